/* multistep.c - the coefficients of DPM-Solver++(2M) and UniPC-2 (networks.md, 8). */
#include <math.h>

#include "tools/pf-sample/multistep.h"

struct interval {                       /* from one time of the list to the next */
    double h;                           /* by how much lambda, half of the log-SNR, grows */
    double of_y, of_m;                  /* first order: x = of_y y + of_m m */
};

/* Where nothing but noise is left, abar = 0, lambda is -infinity and so h infinite, which the
 * formulas bear: expm1(-h) is -1, and of_m the whole alpha. */
static struct interval
interval(double from, double to)        // abar of both
{
    const double h = from == to ? 0 : (log(to / from) + log((1 - from) / (1 - to))) / 2;
    return (struct interval){h, sqrt((1 - to) / (1 - from)), -sqrt(to) * expm1(-h)};
}

/* Let y be the state at this time, corrected by what the network says there: UniC with B(h) =
 * expm1(-h).  `in` led here, `before` led to where it began and has h = 0 for none. */
static void
correct(struct pf_multistep_coefficients *c, struct interval in, struct interval before)
{
    const double hh = -in.h, phi1 = expm1(hh), phi2 = phi1 / hh - 1, phi3 = phi2 / hh - 0.5;
    const double r = -before.h / in.h, b1 = phi2 / phi1, b2 = 2 * phi3 / phi1;
    const bool second = before.h > 0;
    const double older = second ? (b1 - b2) / (1 - r) : 0, own = second ? b1 - older : 0.5;
    const double of_older = second ? older / r : 0;
    c->y_of_x = 0;
    c->y_of_y = (float)in.of_y;
    c->y_of_m = (float)(in.of_m * own);
    c->y_of_m1 = (float)(in.of_m * (1 - own - of_older));
    c->y_of_m2 = (float)(in.of_m * of_older);
}

void
multistep_schedule(struct multistep *m, const struct ddim *times,
                   const float alphas_cumprod[DDIM_TIMES], bool velocity, bool corrected)
{
    struct interval in = {0}, before = {0};
    for (int k = times->steps - 1; k >= 0; k--) {
        const double a = alphas_cumprod[times->t[k]];
        const struct interval out = interval(a, alphas_cumprod[k ? times->t[k - 1] : 0]);
        const double second = in.h > 0 ? out.h / (2 * in.h) : 0;
        m->c[k] = (struct pf_multistep_coefficients){
            .m_of_x = (float)(velocity ? sqrt(a) : 1 / sqrt(a)),
            .m_of_out = (float)(velocity ? -sqrt(1 - a) : -sqrt((1 - a) / a)),
            .y_of_x = 1,
            .x_of_y = (float)out.of_y,
            .x_of_m = (float)(out.of_m * (1 + second)),
            .x_of_m1 = (float)(-out.of_m * second),
        };
        if (corrected && in.h > 0)
            correct(&m->c[k], in, before);
        before = in;
        in = out;
    }
}
