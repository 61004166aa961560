/* chart.h - curves of training, from what pf-neus --log wrote, as SVG. */
#ifndef PF_REPORT_CHART_H
#define PF_REPORT_CHART_H
#include <stdio.h>

#include "common/error.h"

/* A figure of the losses and one of the PSNR of the log at path, which messages call name.
 * PF_EFORMAT if it is no log; nothing is written then. */
pf_err chart_log(FILE *to, const char *path, const char *name) PF_MUST_USE;

#endif
