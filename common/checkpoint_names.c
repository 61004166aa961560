/* checkpoint_names.c - the names of tensors without what wraps a model while it is trained or
 * compiled, and a sentence about a file in which none is found. */
#include <stdio.h>
#include <string.h>

#include "common/checkpoint_parts.h"

/* torch.compile puts this before the names of what it wraps, at any depth. */
static const char compiled[] = "_orig_mod.";
/* DataParallel, and modules whose one child is the model, put these before every name. */
enum { MAX_WRAPS = 8 };         /* around each other; a name could be made of nothing else */
static const char *const wraps[] = {"module.", "model.", NULL};
/* A UNet alone is called this, and means it. */
static const char own[] = "model.diffusion_model.";

static bool
begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Note once what was left out. */
static void
note(pf_checkpoint *w, const char *what)
{
    const size_t used = strlen(w->cut), n = strlen(what);
    if (!strstr(w->cut, what) && used + n < sizeof w->cut)
        memcpy(w->cut + used, what, n + 1);
}

static void
cut_compiled(pf_checkpoint *w, char *name)
{
    const size_t n = sizeof compiled - 1;
    char *at = name;
    while ((at = strstr(at, compiled))) {
        if ((at > name && at[-1] != '.') || !at[n])
            at += n;
        else {
            memmove(at, at + n, strlen(at + n) + 1);
            note(w, compiled);
        }
    }
}

/* Whether every name goes on behind the prefix. */
static bool
all_begin(const pf_checkpoint *w, const char *prefix)
{
    for (int i = 0; i < w->weights; i++)
        if (!begins(w->weight[i].name, prefix) || !w->weight[i].name[strlen(prefix)])
            return false;
    return w->weights > 0;
}

/* Cut the prefix from all names and, where they have it, from what was skipped. */
static void
cut_prefix(pf_checkpoint *w, const char *prefix)
{
    const size_t n = strlen(prefix);
    for (int i = 0; i < w->weights + w->skips; i++) {
        char *const name = i < w->weights ? w->weight[i].name : w->skipped[i - w->weights];
        if (begins(name, prefix))
            memmove(name, name + n, strlen(name + n) + 1);
    }
    note(w, prefix);
}

void
pf_checkpoint_trim_names(pf_checkpoint *w)
{
    for (int i = 0; i < w->weights; i++)
        cut_compiled(w, w->weight[i].name);
    for (int i = 0; i < w->skips; i++)
        cut_compiled(w, w->skipped[i]);
    for (int i = 0, cuts = 0; wraps[i] && cuts < MAX_WRAPS;)
        if (all_begin(w, wraps[i]) && !all_begin(w, own)) {
            cut_prefix(w, wraps[i]);
            cuts++;
            i = 0;                              // what is behind it may be wrapped, too
        } else {
            i++;
        }
}

pf_err
pf_checkpoint_without_tensors(const pf_checkpoint *w)
{
    enum { SHOWN = 8 };
    char found[1000] = "";
    for (int i = 0; i < w->skips && i < SHOWN; i++) {
        const size_t n = strlen(found);
        snprintf(found + n, sizeof found - n, "%s%.100s", i ? ", " : "; found ", w->skipped[i]);
    }
    if (w->skips > SHOWN)
        snprintf(found + strlen(found), sizeof found - strlen(found), " and %d more",
                 w->skips - SHOWN);
    return pf_fail(PF_EFORMAT, "holds no tensors that can be read: expected a dictionary of them, "
                   "or one under state_dict, model or the like%s", found);
}
