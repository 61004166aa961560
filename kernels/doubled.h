/* doubled.h - a 3 x 3 convolution of doubled pixels, by 2 x 2 ones of the pixels themselves.
 *
 * Of a row in which x[i] stands at 2 i and 2 i + 1, a kernel w sees with padding 1
 *   at 2 i       x[i - 1] w[0] + x[i] (w[1] + w[2])
 *   at 2 i + 1   x[i] (w[0] + w[1]) + x[i + 1] w[2]
 * and beyond both ends zeros, as x itself has there.  So with both axes: four kernels, one for each
 * parity, of 4 taps instead of 9. */
#ifndef PF_DOUBLED_H
#define PF_DOUBLED_H
#include "common/hd.h"

enum { PF_DOUBLED_PARITIES = 4, PF_DOUBLED_TAPS = 4 };

/* Tap t of a row of three, at odd or even places. */
static inline PF_HD float
pf_doubled_tap(float w0, float w1, float w2, int odd, int t)
{
    return odd ? (t ? w2 : w0 + w1) : (t ? w1 + w2 : w0);
}

/* Tap t, row-major, of parity's kernel: bit 0 for odd rows, bit 1 for odd columns; w: 3 x 3. */
static inline PF_HD float
pf_doubled_weight(const float *w, int parity, int t)
{
    const int odd = parity & 1, u = t / 2;
    return pf_doubled_tap(pf_doubled_tap(w[0], w[3], w[6], odd, u),
                          pf_doubled_tap(w[1], w[4], w[7], odd, u),
                          pf_doubled_tap(w[2], w[5], w[8], odd, u), parity >> 1, t % 2);
}

#endif
