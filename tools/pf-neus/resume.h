/* resume.h - what a checkpoint was trained with, beside its numbers: settings and views, so that a
 * run that goes on with others is told. */
#ifndef PF_RESUME_H
#define PF_RESUME_H
#include "common/doc.h"
#include "tools/pf-neus/all_views.h"

/* Put the settings of pf_conf's method and the views' checksum into the metadata train.config,
 * train.views. */
pf_err resume_record(pf_doc *doc, const struct all_views *v) PF_MUST_USE;
/* Whether pf_conf and the views can go on from the checkpoint doc.  Other views, a --seed that is
 * not its own and fewer steps than it has done are PF_EARG; what is a sentence about the settings
 * that hold only from here on, or "". */
pf_err resume_check(char *what, size_t size, const pf_doc *doc, const struct all_views *v,
                    int steps) PF_MUST_USE;

#endif
