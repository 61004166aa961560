/* views.h - sets of views from a stream, a strip or a folder of pictures.
 *
 *     PF_TRY(views_open(&v, path));
 *     while (!(err = views_next(v)))
 *         for (int n = 0; n < v->count; n++)
 *             PF_TRY(views_get(v, n, rgb, alpha));
 *     views_close(v); */
#ifndef PF_VIEWS_H
#define PF_VIEWS_H
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct views {
    const char *path;           /* borrowed */
    const char *object;         /* pf.object of the present set, or NULL */
    bool failed;                /* the present set is none: a document of kind failed */
    int count, width, height;   /* of the present set */
    bool masked;                /* whether it has masks */
    struct views_source *source;        /* private */
};
/* "-" is stdin.  *v is owned by the caller, whom views_next gives one set after the other: the
 * documents of a stream; of a strip or folder one.  PF_END after the last. */
pf_err views_open(struct views **v, const char *path) PF_MUST_USE;
pf_err views_next(struct views *v) PF_MUST_USE;
/* View n over white, rgb [H, W, 3] 0..1, and its mask [H, W] 0..1, which is 1 where there is
 * none. */
pf_err views_get(struct views *v, int n, float *rgb, float *alpha) PF_MUST_USE;
void views_close(struct views *v);              /* NULL is fine */

#endif
