/* info.h - what a document holds, for people. */
#ifndef PF_INFO_H
#define PF_INFO_H
#include <stdio.h>

#include "common/stream.h"

/* Print metadata, tensors with their statistics, and history.  Control characters show as "?". */
void pf_info_print(FILE *to, const pf_doc *doc);
/* The same as one line of JSON, {"stream", "document", "metadata", "tensors", "history"}; min, max
 * and mean are null where no element is finite. */
pf_err pf_info_print_json(FILE *to, const pf_doc *doc, const char *stream, int index) PF_MUST_USE;

#endif
