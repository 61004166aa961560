#include "tools/pf-extract-mesh/glb.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/opt.h"

#define GLB_MAGIC 0x46546C67u
#define GLB_JSON 0x4E4F534Au
#define GLB_BIN 0x004E4942u

json_t *
pf_glb_accessor(int part, int component, int64_t count, const char *type)
{
    return json_pack("{s:i, s:i, s:I, s:s}", "bufferView", part, "componentType", component,
                     "count", (json_int_t)count, "type", type);
}

void
pf_glb_bound(json_t *accessor, const float *point, int64_t n)
{
    double low[3], high[3];
    for (int k = 0; k < 3; k++)
        low[k] = high[k] = n ? point[k] : 0;
    for (int64_t i = 1; i < n; i++)
        for (int k = 0; k < 3; k++) {
            low[k] = fmin(low[k], point[3 * i + k]);
            high[k] = fmax(high[k], point[3 * i + k]);
        }
    json_object_set_new(accessor, "min", json_pack("[f,f,f]", low[0], low[1], low[2]));
    json_object_set_new(accessor, "max", json_pack("[f,f,f]", high[0], high[1], high[2]));
}

/* A third of a turn about the diagonal of the axes. */
static json_t *
node(void)
{
    return json_pack("{s:i, s:[f,f,f,f]}", "mesh", 0, "rotation", -0.5, -0.5, -0.5, 0.5);
}

json_t *
pf_glb_scene(json_t *primitive, json_t *material, json_t *accessors)
{
    return json_pack("{s:{s:s, s:s}, s:i, s:[{s:[i]}], s:[o], s:[{s:[o]}], s:[o], s:o}", "asset",
                     "version", "2.0", "generator", "pf-extract-mesh " PF_VERSION, "scene", 0,
                     "scenes", "nodes", 0, "nodes", node(), "meshes", "primitives", primitive,
                     "materials", material, "accessors", accessors);
}

static int64_t
padded(int64_t bytes)
{
    return (bytes + 3) / 4 * 4;
}

/* The views of the one buffer, each at a multiple of four bytes. */
static pf_err
add_views(json_t *root, int64_t *binary, const struct pf_glb_part *part, int parts)
{
    json_t *const views = json_array();
    *binary = 0;
    for (int i = 0; i < parts; i++) {
        json_t *const view = json_pack("{s:i, s:I, s:I}", "buffer", 0, "byteOffset",
                                       (json_int_t)*binary, "byteLength",
                                       (json_int_t)part[i].bytes);
        if (part[i].target)
            json_object_set_new(view, "target", json_integer(part[i].target));
        json_array_append_new(views, view);
        *binary += padded(part[i].bytes);
    }
    json_t *const buffers = json_pack("[{s:I}]", "byteLength", (json_int_t)*binary);
    if (json_object_set_new(root, "bufferViews", views) ||
        json_object_set_new(root, "buffers", buffers) || json_array_size(views) != (size_t)parts)
        return pf_fail(PF_ENOMEM, "no memory for a glTF header");
    return PF_OK;
}

static void
write_u32(uint32_t v, FILE *to)
{
    fwrite(&v, sizeof v, 1, to);
}

static pf_err
write_all(const char *text, int64_t binary, const struct pf_glb_part *part, int parts, FILE *to)
{
    const int64_t length = (int64_t)strlen(text), total = 12 + 8 + padded(length) + 8 + binary;
    if (total > UINT32_MAX)
        return pf_fail(PF_ESHAPE, "a mesh of %lld bytes does not fit into a GLB file of 4 GiB",
                       (long long)total);
    write_u32(GLB_MAGIC, to);
    write_u32(2, to);
    write_u32((uint32_t)total, to);
    write_u32((uint32_t)padded(length), to);
    write_u32(GLB_JSON, to);
    fprintf(to, "%-*s", (int)padded(length), text);
    write_u32((uint32_t)binary, to);
    write_u32(GLB_BIN, to);
    for (int i = 0; i < parts; i++) {
        fwrite(part[i].data, 1, (size_t)part[i].bytes, to);
        fwrite("\0\0\0", 1, (size_t)(padded(part[i].bytes) - part[i].bytes), to);
    }
    return PF_OK;
}

pf_err
pf_glb_write(json_t *root, const struct pf_glb_part *part, int parts, FILE *to)
{
    int64_t binary;
    if (!root)
        return pf_fail(PF_ENOMEM, "no memory for a glTF header");
    pf_err err = add_views(root, &binary, part, parts);
    char *const text = err ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (!err)
        err = text ? write_all(text, binary, part, parts, to)
                   : pf_fail(PF_ENOMEM, "no memory for a glTF header");
    free(text);
    return err;
}
