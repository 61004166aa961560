/* info.h - what a document holds, for people. */
#ifndef PF_INFO_H
#define PF_INFO_H
#include <stdio.h>

#include "common/stream.h"

/* Print metadata, tensors with their statistics, and history.  Control characters show as "?". */
void pf_info_print(FILE *to, const pf_doc *doc);

#endif
