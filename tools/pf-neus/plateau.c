#include "tools/pf-neus/plateau.h"

#include <math.h>
#include <string.h>

enum { WINDOWS = 20 };          /* of all steps */
enum { VIEW_STEPS = 100 };      /* until a colour depends on the direction as it ever will */

static int
later(int a, int b)
{
    return a > b ? a : b;
}

/* Kinds that lack one of the schedules have its keys, too: they wait as long, which is not long. */
void
plateau_begin(struct plateau *p, const struct pf_neus_config *conf)
{
    *p = (struct plateau){.window = later(conf->steps / WINDOWS, 1), .least = INFINITY};
    p->start = later(conf->warm_up, conf->anneal_steps);
    p->start = later(p->start, (conf->levels - conf->start_levels) * conf->level_steps);
    p->start = later(p->start, conf->view_start ? conf->view_start + VIEW_STEPS : 0);
}

void
plateau_add(struct plateau *p, int step, double loss)
{
    if (step < p->start)
        return;
    p->sum += loss;
    if (++p->steps < p->window)
        return;
    const double mean = p->sum / p->window;
    p->windows++;
    if (mean < (1 - PLATEAU_FALL) * p->least) {
        p->least = mean;
        p->windows = 0;
    }
    p->steps = 0;
    p->sum = 0;
}

bool
plateau_reached(const struct plateau *p)
{
    return p->windows >= PLATEAU_WINDOWS;
}

pf_err
plateau_save(const struct plateau *p, pf_doc *doc)
{
    double state[] = {(double)p->steps, (double)p->windows, p->sum, p->least};
    const pf_tensor t = PF_VIEW(state, PF_F64, 4);
    return pf_doc_put(doc, "train.plateau", &t);
}

pf_err
plateau_load(struct plateau *p, const pf_doc *doc)
{
    double state[4];
    pf_tensor t;
    if (!pf_doc_get(doc, "train.plateau"))
        return PF_OK;
    PF_TRY(pf_doc_need(doc, "train.plateau", PF_F64, 1, (int64_t[]){4}, &t));
    memcpy(state, t.data, sizeof state);
    if (!(state[0] >= 0 && state[0] < p->window) || !(state[1] >= 0 && state[1] <= INT32_MAX))
        return pf_fail(PF_EFORMAT, "train.plateau has %g steps of %d in %g windows", state[0],
                       p->window, state[1]);
    p->steps = (int64_t)state[0];
    p->windows = (int64_t)state[1];
    p->sum = state[2];
    p->least = state[3];
    return PF_OK;
}
