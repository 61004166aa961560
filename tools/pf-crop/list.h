/* list.h - the photos of --list: a table with tabs between the columns, whose first row names them.
 *
 *     PF_TRY(list_read(&list, "photos.tsv"));
 *     for (int i = 0; i < list.n; i++) ... list.row[i].photo ... */
#ifndef PF_CROP_LIST_H
#define PF_CROP_LIST_H
#include <stdint.h>

#include "common/error.h"

struct list_row {
    char *photo, *object;       /* how to open it; its name.  Owned by the list */
    int line;
    double elevation_deg, azimuth_deg;          /* NAN: none is said */
    int crop_px;                                /* LIST_NONE: none is said */
    char *target;               /* target_elevation, numbers separated by commas, or NULL */
    int64_t seed;                               /* negative: none is said */
};
enum { LIST_NONE = -2 };

struct list {
    struct list_row *row;
    int n;
};

/* Read the list at path, "-" is stdin.  PF_EFORMAT names file, line and column of what is wrong:
 * a column that is unknown, a number that is none, two photos of one object. */
pf_err list_read(struct list *list, const char *path) PF_MUST_USE;
/* The photos of the command line as a list; of "-", stdin, nobody knows the object. */
pf_err list_of(struct list *list, int photos, char **names) PF_MUST_USE;
void list_release(struct list *list);

#endif
