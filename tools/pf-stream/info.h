/* info.h - what a document holds, for people. */
#ifndef PF_INFO_H
#define PF_INFO_H
#include <stdio.h>

#include "common/stream.h"

/* Metadata, tensors with their statistics, history.  Bytes that are not printable ASCII or UTF-8
 * show as "?". */
void pf_info_print(FILE *to, const pf_doc *doc);

#endif
