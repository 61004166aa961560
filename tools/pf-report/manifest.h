/* manifest.h - the part of a report that is about a batch: a table of its objects, from the JSON
 * lines that pipelines/batch.mk appends to manifest.jsonl. */
#ifndef PF_REPORT_MANIFEST_H
#define PF_REPORT_MANIFEST_H
#include <stdio.h>

#include "common/error.h"

/* number: of the batch on the page; picture_size: of which thumbnails have a sixth.  Of an
 * object that has several lines the last one counts.  PF_EFORMAT names the line that is no JSON
 * object or names no object. */
pf_err manifest_write(FILE *to, const char *path, int number, int picture_size) PF_MUST_USE;

#endif
