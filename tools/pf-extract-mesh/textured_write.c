#include "tools/pf-extract-mesh/textured_write.h"

#include <stdlib.h>
#include <string.h>

#include "common/opt.h"
#include "common/output.h"
#include "tools/pf-extract-mesh/glb.h"
#include "tools/pf-extract-mesh/png_strips.h"

/* ---- GLB ---- */

struct vertices {               /* of the atlas, owned */
    float *position, *normal, *uv, *tangent;    /* [n, 3], [n, 3], [n, 2], [n, 4] or NULL */
};

static void
release(struct vertices *v)
{
    free(v->position);
    free(v->normal);
    free(v->uv);
    free(v->tangent);
}

static pf_err
gather(struct vertices *to, const struct pf_mesh *mesh, const struct pf_texture *x)
{
    const struct pf_atlas *const a = &x->atlas;
    const size_t n = (size_t)a->vertices + 1;
    to->position = malloc(n * 12);
    to->normal = malloc(n * 12);
    to->uv = malloc(n * 8);
    to->tangent = x->normal.pixel ? malloc(n * 16) : NULL;
    if (!to->position || !to->normal || !to->uv || (x->normal.pixel && !to->tangent))
        return pf_fail(PF_ENOMEM, "no memory for %lld vertices", (long long)a->vertices);
#pragma omp parallel for
    for (int64_t v = 0; v < a->vertices; v++) {
        const int64_t of = a->of[v];
        memcpy(to->position + 3 * v, mesh->vertex + 3 * of, 12);
        memcpy(to->normal + 3 * v, mesh->normal + 3 * of, 12);
        for (int k = 0; k < 2; k++)
            to->uv[2 * v + k] = a->at[2 * v + k] / (float)a->size;
        if (!to->tangent)
            continue;
        pf_texture_tangent(to->tangent + 4 * v, to->normal + 3 * v, a->right[a->chart_of[v]]);
        to->tangent[4 * v + 3] = 1;             // charts are not mirrored
    }
    return PF_OK;
}

struct file {                   /* in memory, owned */
    char *bytes;
    size_t size;
};

static pf_err
encode(struct file *png, const pf_image *image)
{
    FILE *const to = open_memstream(&png->bytes, &png->size);
    if (!to)
        return pf_fail(PF_ENOMEM, "no memory for a picture");
    const pf_err err = pf_png_strips_write(image, to);
    return fclose(to) && !err ? pf_fail(PF_ENOMEM, "no memory for a picture") : err;
}

/* The scene; parts: position, normal, uv, indices, colours, then tangents and normals. */
static json_t *
scene(const float *position, const struct pf_atlas *a, int64_t faces, bool normals)
{
    const int64_t V = a->vertices;
    json_t *const first = pf_glb_accessor(0, PF_GLTF_FLOAT, V, "VEC3");
    pf_glb_bound(first, position, V);
    json_t *const primitive = json_pack("{s:{s:i, s:i, s:i}, s:i, s:i}", "attributes", "POSITION",
                                        0, "NORMAL", 1, "TEXCOORD_0", 2, "indices", 3, "material",
                                        0);
    json_t *const accessors = json_pack("[o,o,o,o]", first,
                                        pf_glb_accessor(1, PF_GLTF_FLOAT, V, "VEC3"),
                                        pf_glb_accessor(2, PF_GLTF_FLOAT, V, "VEC2"),
                                        pf_glb_accessor(3, PF_GLTF_UINT, 3 * faces, "SCALAR"));
    json_t *const material = json_pack("{s:{s:{s:i}, s:i, s:i}}", "pbrMetallicRoughness",
                                       "baseColorTexture", "index", 0, "metallicFactor", 0,
                                       "roughnessFactor", 1);
    json_t *const textures = json_pack("[{s:i, s:i}]", "sampler", 0, "source", 0);
    json_t *const images = json_pack("[{s:i, s:s}]", "bufferView", 4, "mimeType", "image/png");
    if (normals) {
        json_array_append_new(accessors, pf_glb_accessor(5, PF_GLTF_FLOAT, V, "VEC4"));
        json_object_set_new(json_object_get(primitive, "attributes"), "TANGENT", json_integer(4));
        json_object_set_new(material, "normalTexture", json_pack("{s:i}", "index", 1));
        json_array_append_new(textures, json_pack("{s:i, s:i}", "sampler", 0, "source", 1));
        json_array_append_new(images, json_pack("{s:i, s:s}", "bufferView", 6, "mimeType",
                                                "image/png"));
    }
    json_t *const root = pf_glb_scene(primitive, material, accessors);
    json_object_set_new(root, "textures", textures);
    json_object_set_new(root, "images", images);
    json_object_set_new(root, "samplers",
                        json_pack("[{s:i, s:i, s:i, s:i}]", "magFilter", PF_GLTF_LINEAR,
                                  "minFilter", PF_GLTF_LINEAR, "wrapS", PF_GLTF_CLAMP, "wrapT",
                                  PF_GLTF_CLAMP));
    return root;
}

pf_err
pf_textured_write_glb(const struct pf_mesh *mesh, const struct pf_texture *x, FILE *to)
{
    const struct pf_atlas *const a = &x->atlas;
    const bool normals = x->normal.pixel != NULL;
    const int64_t V = a->vertices;
    struct file color = {0}, normal = {0};
    struct vertices v = {0};
    pf_err err = gather(&v, mesh, x);
    if (!err)
        err = encode(&color, &x->color);
    if (!err && normals)
        err = encode(&normal, &x->normal);
    const struct pf_glb_part parts[] = {
        {v.position, 12 * V, PF_GLTF_VERTICES}, {v.normal, 12 * V, PF_GLTF_VERTICES},
        {v.uv, 8 * V, PF_GLTF_VERTICES}, {a->face, 12 * mesh->faces, PF_GLTF_INDICES},
        {color.bytes, (int64_t)color.size, 0}, {v.tangent, 16 * V, PF_GLTF_VERTICES},
        {normal.bytes, (int64_t)normal.size, 0},
    };
    if (!err)
        err = pf_glb_write(scene(v.position, a, mesh->faces, normals), parts, normals ? 7 : 5, to);
    if (!err)
        err = pf_output_flush(to, "the mesh");
    free(color.bytes);
    free(normal.bytes);
    release(&v);
    return err;
}

/* ---- OBJ ---- */

/* path with what is behind its last dot replaced, in heap memory. */
static pf_err
beside(char **name, const char *path, const char *ending)
{
    const char *const dot = strrchr(path, '.'), *const slash = strrchr(path, '/');
    const size_t stem = dot && (!slash || dot > slash) ? (size_t)(dot - path) : strlen(path);
    *name = malloc(stem + strlen(ending) + 1);
    if (!*name)
        return pf_fail(PF_ENOMEM, "no memory for a file's name");
    memcpy(*name, path, stem);
    strcpy(*name + stem, ending);
    return PF_OK;
}

static const char *
last_part(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

struct names {                  /* owned */
    char *mtl, *color, *normal; /* normal NULL: none */
};

static pf_err
name_files(struct names *n, const char *path, bool normals)
{
    PF_TRY(beside(&n->mtl, path, ".mtl"));
    PF_TRY(beside(&n->color, path, ".png"));
    return normals ? beside(&n->normal, path, "-normal.png") : PF_OK;
}

static void
release_names(struct names *n)
{
    free(n->mtl);
    free(n->color);
    free(n->normal);
}

pf_err
pf_textured_try_obj(const char *path, bool normals)
{
    struct names n = {0};
    pf_err err = name_files(&n, path, normals);
    if (!err)
        err = pf_output_try(n.mtl);
    if (!err)
        err = pf_output_try(n.color);
    if (!err && normals)
        err = pf_output_try(n.normal);
    release_names(&n);
    return err;
}

static pf_err
save(const pf_image *image, const char *path)
{
    pf_output *out;
    PF_TRY(pf_output_open(&out, path));
    const pf_err err = pf_png_strips_write(image, pf_output_file(out));
    if (err)
        pf_output_abandon(out);
    return err ? err : pf_output_close(out);
}

static pf_err
write_mtl(const struct names *n)
{
    pf_output *out;
    PF_TRY(pf_output_open(&out, n->mtl));
    FILE *const to = pf_output_file(out);
    fprintf(to, "# pf-extract-mesh %s\nnewmtl surface\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\n"
            "map_Kd %s\n", PF_VERSION, last_part(n->color));
    if (n->normal)
        fprintf(to, "norm %s\n", last_part(n->normal));
    return pf_output_close(out);
}

static void
write_obj(const struct pf_mesh *m, const struct pf_atlas *a, const char *mtl, FILE *to)
{
    fprintf(to, "# pf-extract-mesh %s: %lld vertices, %lld faces with a texture\nmtllib %s\n",
            PF_VERSION, (long long)m->vertices, (long long)m->faces, mtl);
    for (int64_t v = 0; v < m->vertices; v++)
        fprintf(to, "v %.9g %.9g %.9g\n", (double)m->vertex[3 * v], (double)m->vertex[3 * v + 1],
                (double)m->vertex[3 * v + 2]);
    for (int64_t v = 0; v < a->vertices; v++)   // upwards
        fprintf(to, "vt %.7g %.7g\n", (double)a->at[2 * v] / a->size,
                1 - (double)a->at[2 * v + 1] / a->size);
    for (int64_t v = 0; v < m->vertices; v++)
        fprintf(to, "vn %.6g %.6g %.6g\n", (double)m->normal[3 * v], (double)m->normal[3 * v + 1],
                (double)m->normal[3 * v + 2]);
    fputs("usemtl surface\n", to);
    for (int64_t f = 0; f < m->faces; f++) {
        fputc('f', to);
        for (int k = 0; k < 3; k++)
            fprintf(to, " %u/%u/%u", m->face[3 * f + k] + 1, a->face[3 * f + k] + 1,
                    m->face[3 * f + k] + 1);
        fputc('\n', to);
    }
}

pf_err
pf_textured_write_obj(const struct pf_mesh *mesh, const struct pf_texture *texture,
                      const char *path, FILE *to)
{
    struct names n = {0};
    pf_err err = name_files(&n, path, texture->normal.pixel != NULL);
    if (!err)
        err = save(&texture->color, n.color);
    if (!err && n.normal)
        err = save(&texture->normal, n.normal);
    if (!err)
        err = write_mtl(&n);
    if (!err)
        write_obj(mesh, &texture->atlas, last_part(n.mtl), to);
    release_names(&n);
    return err ? err : pf_output_flush(to, "the mesh");
}
