/* table.h - what a batch came to: the lines of its manifest.jsonl (pf-batch(7)) in figures.
 *
 *     json_t *last = json_object();
 *     pf_must(table_read(last, "out/manifest.jsonl"));
 *     table_print(stdout, last); */
#ifndef PF_STREAM_TABLE_H
#define PF_STREAM_TABLE_H
#include <stdio.h>

#include <jansson.h>

#include "common/error.h"

/* Put the lines of the manifest, "-" is stdin, into last: under each object's name the last one.
 * PF_EFORMAT names file and line of what is none, PF_EIO a file that cannot be read. */
pf_err table_read(json_t *last, const char *path) PF_MUST_USE;
/* Counts, means, the slowest objects and the failures. */
pf_err table_print(FILE *to, json_t *last) PF_MUST_USE;

#endif
