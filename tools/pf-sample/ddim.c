/* ddim.c - the noise schedule and DDIM's steps (networks.md, 1 and 8). */
#include <math.h>
#include <string.h>

#include "tools/pf-sample/ddim.h"

/* These are bit for bit what torch computes on a CPU: linspace fills eights of lanes, counted from
 * the nearer end; the square is a float; the product runs in double. */
void
ddim_alphas(float alphas_cumprod[DDIM_TIMES])
{
    const float from = (float)sqrt(0.00085), to = (float)sqrt(0.0120);
    const float step = (to - from) / (DDIM_TIMES - 1);
    double product = 1;
    for (int i = 0; i < DDIM_TIMES; i++) {
        const int lane = i % 8, base = i - lane;
        const float first = base < DDIM_TIMES / 2
                                ? fmaf(step, (float)base, from)
                                : fmaf(-step, (float)(DDIM_TIMES - 1 - base), to);
        const float root = first + step * (float)lane;
        product *= 1.0f - root * root;
        alphas_cumprod[i] = (float)product;
    }
}

pf_err
ddim_times(struct ddim *d, int steps, const char *list)
{
    const bool original = !strcmp(list, "original"), trailing = !strcmp(list, "trailing");
    const int first = steps < DDIM_TIMES;       // 0 where all thousand steps are taken
    const int stride = DDIM_TIMES / steps;
    if (original && first && (DDIM_TIMES - 1) % stride == 0)
        return pf_fail(PF_EARG, "the original's list of %d steps ends at time %d, but the last is "
                       "%d; take another number of steps, or even time steps", steps, DDIM_TIMES,
                       DDIM_TIMES - 1);
    d->steps = original ? (DDIM_TIMES - 1) / stride + 1 : steps;
    for (int k = 0; k < d->steps; k++)
        d->t[k] = trailing   ? (2 * DDIM_TIMES * (k + 1) + steps) / (2 * steps) - 1
                  : original ? k * stride + first
                             : k * DDIM_TIMES / steps + first;
    return PF_OK;
}

void
ddim_schedule(struct ddim *d, const float alphas_cumprod[DDIM_TIMES], double eta, bool velocity)
{
    for (int k = 0; k < d->steps; k++) {
        const double a = alphas_cumprod[d->t[k]], prev = alphas_cumprod[k ? d->t[k - 1] : 0];
        const double sigma = eta * sqrt((1 - prev) / (1 - a) * (1 - a / prev));
        d->c[k] = (struct pf_ddim_coefficients){
            .sqrt_a = (float)sqrt(a),
            .sqrt_one_minus_a = (float)sqrt(1 - a),
            .sqrt_a_prev = (float)sqrt(prev),
            .dir = (float)sqrt(fmax(1 - prev - sigma * sigma, 1e-7)),
            .sigma = (float)sigma,
            .eps_of_out = velocity ? (float)sqrt(a) : 1,
            .eps_of_x = velocity ? (float)sqrt(1 - a) : 0,
        };
    }
}

/* e^x for x <= 0 with the rounding of the library that the original ran on (SLEEF's polynomial,
 * 1 ulp): an angle of t w_k for t near 1000 turns one ulp of w_k into 6e-5 of the embedding. */
static float
exp_as_trained(float x)
{
    static const float c[] = {1.3930435525e-3f, 8.3333607763e-3f, 4.1666485369e-2f,
                              1.6666667163e-1f, 0.5f};
    const float q = rintf(x * 1.4426950409f);
    float u = 1.9852761761e-4f, s = fmaf(q, -0.693145751953125f, x);
    s = fmaf(q, -1.4286067653e-6f, s);
    for (int i = 0; i < 5; i++)
        u = fmaf(u, s, c[i]);
    return ldexpf(1.0f + fmaf(s * s, u, s), (int)q);
}

void
ddim_sinusoid(float *out, int dim, int t)
{
    const int half = dim / 2;
    for (int k = 0; k < half; k++) {
        const float w = exp_as_trained((float)-log(10000.0) * (float)k / (float)half);
        out[k] = cosf((float)t * w);
        out[half + k] = sinf((float)t * w);
    }
}
