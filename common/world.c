/* world.c - see world.h. */
#include "common/world.h"

#include <stdio.h>

#include <jansson.h>

pf_err
pf_world_put(pf_doc *doc, const struct pf_world *w)
{
    char text[256];
    snprintf(text, sizeof text, "{\"center\": [%.17g, %.17g, %.17g], \"scale\": %.17g}",
             w->center[0], w->center[1], w->center[2], w->scale);
    return pf_doc_set_meta(doc, "pf.world", text);
}

static bool
parse(struct pf_world *w, const json_t *all)
{
    const json_t *center = json_object_get(all, "center"), *scale = json_object_get(all, "scale");
    if (json_array_size(center) != 3 || !json_is_number(scale))
        return false;
    for (size_t k = 0; k < 3; k++) {
        if (!json_is_number(json_array_get(center, k)))
            return false;
        w->center[k] = json_number_value(json_array_get(center, k));
    }
    w->scale = json_number_value(scale);
    return w->scale > 0;                        // JSON has no infinity
}

pf_err
pf_world_need(struct pf_world *w, const pf_doc *doc)
{
    const char *text = pf_doc_get_meta(doc, "pf.world");
    if (!text)
        return pf_fail(PF_EFORMAT,
                       "there is no pf.world: only views of pf-stream pack say where they stood");
    json_t *all = json_loads(text, 0, NULL);
    const bool good = parse(w, all);
    json_decref(all);
    return good ? PF_OK
                : pf_fail(PF_EFORMAT, "pf.world is not {\"center\": [X, Y, Z], \"scale\": S}");
}

void
pf_world_points(float *point, int64_t n, const struct pf_world *w)
{
    for (int64_t i = 0; i < 3 * n; i++)
        point[i] = (float)(point[i] / w->scale + w->center[i % 3]);
}
