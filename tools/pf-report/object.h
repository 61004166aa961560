/* object.h - the part of a report that is about one object. */
#ifndef PF_REPORT_OBJECT_H
#define PF_REPORT_OBJECT_H
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"
#include "tools/pf-report/folder.h"

struct report_options {
    const char *photo;          /* the object's photo, or NULL */
    const char *preview;        /* a folder of previews, or NULL */
    int picture_size;           /* longest side of a picture, pixels */
    int mesh_vertices;          /* that a mesh is thinned to; 0: none is shown */
    double film_size;           /* longest film that goes into the page, in megabytes */
};

/* number: of the object on the page.  What is missing or damaged in the folder is said in the page;
 * fails only where that cannot be helped. */
pf_err object_write(FILE *to, const struct folder *f, int number, const struct report_options *o)
    PF_MUST_USE;

#endif
