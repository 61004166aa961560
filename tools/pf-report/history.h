/* history.h - the table of the stages that made an object. */
#ifndef PF_REPORT_HISTORY_H
#define PF_REPORT_HISTORY_H
#include <stdio.h>

#include <jansson.h>

#include "common/error.h"

/* pf.history of a document, or an array like it: tool, version, seed, options; whatever else its
 * entries say, as seconds and memory, has columns of its own.  PF_EFORMAT if it is none; nothing is
 * written then. */
pf_err history_write(FILE *to, const char *history, const char *object) PF_MUST_USE;
/* A value as a cell, with its number for sorting; key tells its unit: seconds,
 * memory in MB, bytes. */
void history_cell(FILE *to, const char *key, const json_t *value);
/* A key as a heading: spaces for underscores. */
void history_heading(FILE *to, const char *key);

#endif
