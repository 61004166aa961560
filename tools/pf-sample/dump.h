/* dump.h - write activations of one view under the names of golden/README.md (--dump). */
#ifndef PF_SAMPLE_DUMP_H
#define PF_SAMPLE_DUMP_H
#include "common/stream.h"
#include "tools/pf-sample/network.h"

struct dump {
    pf_doc doc;
    int view;                   /* the view whose activations these are */
    int64_t row;                /* where it is in the running batch; negative: dump nothing now */
};

/* Put row dump->row of x, channels first: [1, C, ...].  Does nothing where nothing is dumped.  A
 * name that begins with "view." gets the view's number there: view3.frustum_8. */
pf_err dump_row(struct run *r, const pf_tensor *x, const char *fmt, ...) PF_PRINTF(3, 4)
    PF_MUST_USE;
/* The same for x - y. */
pf_err dump_difference(struct run *r, const pf_tensor *x, const pf_tensor *y, const char *fmt, ...)
    PF_PRINTF(4, 5) PF_MUST_USE;
/* Put the host's values as they are. */
pf_err dump_host(struct run *r, const pf_tensor *x, const char *fmt, ...) PF_PRINTF(3, 4)
    PF_MUST_USE;
bool dumping(const struct run *r);

/* Turn [N, P, C] into [N, C, P] and back; f32 on the host. */
void channels_first(float *to, const float *from, int64_t N, int64_t P, int64_t C);
void channels_last(float *to, const float *from, int64_t N, int64_t C, int64_t P);

#endif
