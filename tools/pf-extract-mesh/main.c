/* pf-extract-mesh - the surface of a field as a triangle mesh with normals and colours of vertices.
 * in:  field.*        out: PLY, OBJ, GLB or STL */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/opt.h"
#include "common/progress.h"
#include "common/output.h"
#include "common/stream.h"
#include "common/world.h"
#include "kernels/dev.h"
#include "kernels/field/field_march.h"
#include "tools/pf-extract-mesh/components.h"
#include "tools/pf-extract-mesh/mesh_write.h"
#include "tools/pf-extract-mesh/normals.h"
#include "tools/pf-extract-mesh/simplify.h"
#include "tools/pf-extract-mesh/texture.h"
#include "tools/pf-extract-mesh/textured_write.h"

static struct {
    bool largest, dense, world, normal_map;
    int components, target_faces, texture;
    const char *views;
    double min_component;
} opt;

static const struct pf_opt opts[] = {
    PF_OPT_INT(0, "resolution", pf_conf.mesh.resolution, "N", "grid points along each axis", 8,
               PF_MARCH_MAX),
    PF_OPT_CHOICE(0, "format", pf_conf.mesh.format, "auto|ply|obj|glb|stl",
                  "of the output; auto: what its name ends in"),
    PF_OPT_FLAG(0, "largest", opt.largest, "keep only the component with the most faces"),
    PF_OPT_INT(0, "keep-components", opt.components, "N",
               "keep the N components with the most faces; 0: all", 0, INT32_MAX),
    PF_OPT_REAL(0, "min-component", opt.min_component, "SHARE",
                "drop components of fewer faces than this share of the largest's", 0, 1),
    PF_OPT_INT(0, "target-faces", opt.target_faces, "N",
               "simplify to at most N faces; 0: keep all", 0, INT32_MAX),
    PF_OPT_INT(0, "texture", opt.texture, "PX",
               "colours in a square picture of PX texels a side, for GLB and OBJ; 0: at vertices",
               0, PF_ATLAS_MAX),
    PF_OPT_STR(0, "views", opt.views, "STREAM",
               "with --texture: colours from these views where they see the mesh"),
    PF_OPT_FLAG(0, "normal-map", opt.normal_map, "with --texture: one of the field's normals too"),
    PF_OPT_FLAG(0, "world", opt.world,
                "in the units and axes of the cameras given to pf-stream pack"),
    PF_OPT_FLAG(0, "dense", opt.dense, "evaluate the whole grid, for comparison"),
    PF_OPT_END};

enum { COLOR_BATCH = 1 << 20 };

static void
to_bytes(uint8_t *color, const float *rgb, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        color[i] = (uint8_t)(255 * fminf(fmaxf(rgb[i], 0), 1));     // truncated, as the original's
}

/* The normal of each vertex, and its colour as seen along that. */
static pf_err
look(struct pf_mesh *mesh, pf_field *field)
{
    float *rgb = malloc(3 * COLOR_BATCH * sizeof *rgb);
    pf_err err = PF_OK;
    mesh->color = malloc((size_t)mesh->vertices * 3);
    mesh->normal = malloc((size_t)mesh->vertices * 3 * sizeof *mesh->normal);
    if (!rgb || !mesh->color || !mesh->normal)
        err = pf_fail(PF_ENOMEM, "no memory for the colours of %lld vertices",
                      (long long)mesh->vertices);
    for (int64_t v = 0; !err && v < mesh->vertices; v += COLOR_BATCH) {
        const int64_t left = mesh->vertices - v, n = left < COLOR_BATCH ? left : COLOR_BATCH;
        err = pf_field_eval(field, NULL, mesh->normal + 3 * v, rgb, mesh->vertex + 3 * v, NULL, n);
        if (!err)
            to_bytes(mesh->color + 3 * v, rgb, 3 * n);
    }
    free(rgb);
    return err ? err : pf_mesh_set_normals(mesh);
}

/* What --texture needs that can be known before anything is read. */
static void
check_texture(enum pf_mesh_format format)
{
    if (!opt.texture && opt.normal_map)
        pf_usage("--normal-map goes with a texture; give --texture");
    if (!opt.texture && opt.views)
        pf_usage("--views are for a texture; give --texture");
    if (!opt.texture)
        return;
    if (opt.texture < PF_ATLAS_MIN)
        pf_usage("--texture is %d; expected %d to %d, or 0 for none", opt.texture, PF_ATLAS_MIN,
                 PF_ATLAS_MAX);
    if (format != PF_MESH_GLB && format != PF_MESH_OBJ)
        pf_usage("a texture goes into .glb or beside .obj alone");
    if (format == PF_MESH_OBJ && strcmp(pf_common.out, "-") == 0)
        pf_usage("the texture goes beside the OBJ, which needs a name: give --output");
    if (format == PF_MESH_OBJ)
        pf_must(pf_textured_try_obj(pf_common.out, opt.normal_map));
}

/* The views of all documents of --views. */
static pf_err
read_views(pf_blend **blend, const struct pf_mesh *mesh, double bound)
{
    struct pf_posed_views views;
    pf_stream *in;
    pf_doc doc = {0};
    pf_err err;
    PF_TRY(pf_stream_open(&in, opt.views));
    PF_TRY(pf_blend_new(blend));
    while ((err = pf_stream_read(in, &doc)) == PF_OK) {
        PF_TRY(pf_posed_views_read(&views, &doc));
        PF_TRY(pf_posed_views_aim(&views, bound));
        PF_TRY(pf_blend_add(*blend, &views, mesh));
    }
    pf_stream_close(in);
    pf_doc_release(&doc);
    return err == PF_END ? PF_OK : err;
}

/* The texture, of the views' colours if they are asked for. */
static void
make_texture(struct pf_texture *texture, const struct pf_mesh *mesh, pf_field *field)
{
    pf_blend *blend = NULL;
    if (opt.views)
        pf_must(pf_stream_blame(opt.views, read_views(&blend, mesh, pf_field_bound(field))));
    pf_must(pf_texture_make(texture, mesh, opt.texture, field, blend, opt.normal_map));
    pf_blend_free(blend);
}

/* A mesh without texture has no atlas. */
static pf_err
write_mesh(const struct pf_mesh *mesh, const struct pf_texture *texture,
           enum pf_mesh_format format, FILE *to)
{
    if (!texture->atlas.size)
        return pf_mesh_write(mesh, format, to);
    return format == PF_MESH_GLB ? pf_textured_write_glb(mesh, texture, to)
                                 : pf_textured_write_obj(mesh, texture, pf_common.out, to);
}

static double
stage(const char *what, double since)
{
    const double now = pf_seconds();
    pf_stage_time(what, now - since);
    return now;
}

static void
say_counts(const struct pf_march_stats *stats, const struct pf_mesh *mesh)
{
    int64_t components;
    if (!pf_common.verbose || pf_common.quiet)
        return;
    pf_must(pf_mesh_count_components(&components, mesh));
    // Each edge of a closed mesh has two faces, so Euler's number is V - F / 2.
    fprintf(stderr, "%s: %lld distances, %lld cells, %lld vertices, %lld faces, %lld components,"
            " Euler number %lld\n", pf_program(), (long long)stats->evaluations,
            (long long)stats->cells, (long long)mesh->vertices, (long long)mesh->faces,
            (long long)components, (long long)(mesh->vertices - mesh->faces / 2));
}

int
main(int argc, char *argv[])
{
    enum pf_mesh_format format;
    struct pf_march_stats stats;
    struct pf_mesh mesh = {0};
    struct pf_texture texture = {0};
    struct pf_world world;
    pf_output *out;
    pf_field *field;
    pf_dev *dev;
    pf_doc doc = {0};

    pf_start(&argc, &argv, "[FIELD]", "Write the surface of a field as a mesh.", opts);
    if (opt.target_faces && opt.target_faces < 4)
        pf_usage("no closed mesh has %d faces; --target-faces wants 4 or more", opt.target_faces);
    if (argc > 1)
        pf_usage("one field at a time, not %d", argc);
    if (!pf_mesh_format_find(&format, pf_conf.mesh.format, pf_common.out))
        pf_usage(
            "the name of the output, %s, ends in none of .ply, .obj, .glb, .stl; give --format",
            pf_common.out);
    check_texture(format);
    pf_must(pf_output_open(&out, pf_common.out));
    const char *name = argc ? argv[0] : "-";
    pf_must(pf_doc_read_file(&doc, name));
    if (opt.world)
        pf_must(pf_stream_blame(name, pf_world_need(&world, &doc)));
    pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    pf_must(pf_stream_blame(name, pf_field_load(&field, dev, &doc, &pf_conf.neus)));
    const struct pf_march_options march = {.resolution = pf_conf.mesh.resolution,
                                           .bound = pf_field_bound(field), .dense = opt.dense};
    double t = pf_seconds();
    pf_must(pf_field_march(&mesh, &stats, field, &march));          // [V, 3], [F, 3]
    t = stage("surface", t);
    if (opt.largest || opt.components || opt.min_component > 0)
        pf_must(pf_mesh_keep_components(&mesh, opt.largest ? 1 : opt.components,
                                        opt.min_component));
    if (!mesh.faces)
        pf_die("the field has no surface: its distances have one sign throughout");
    if (opt.target_faces) {
        pf_must(pf_mesh_simplify(&mesh, opt.target_faces));
        t = stage("simplifying", t);
    }
    pf_must(look(&mesh, field));                                    // [V, 3]
    t = stage("normals and colours", t);
    if (opt.texture) {
        make_texture(&texture, &mesh, field);
        t = stage("texture", t);
    }
    if (opt.world)
        pf_world_points(mesh.vertex, mesh.vertices, &world);
    pf_must(write_mesh(&mesh, &texture, format, pf_output_file(out)));
    pf_must(pf_output_close(out));
    stage("writing", t);
    say_counts(&stats, &mesh);
    pf_texture_release(&texture);
    pf_mesh_release(&mesh);
    pf_field_free(field);
    pf_dev_close(dev);
    pf_doc_release(&doc);
    return 0;
}
