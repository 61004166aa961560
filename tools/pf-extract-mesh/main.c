/* pf-extract-mesh - the surface of a field as a triangle mesh with normals and colours of vertices.
 * in:  documents with field.*        out: a PLY, OBJ, GLB or STL of each */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/batch.h"
#include "common/config.h"
#include "common/opt.h"
#include "common/progress.h"
#include "common/output.h"
#include "common/pattern.h"
#include "common/sandbox.h"
#include "common/stream.h"
#include "common/world.h"
#include "kernels/dev.h"
#include "kernels/field/field_march.h"
#include "tools/pf-extract-mesh/closed.h"
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

enum { COLOR_BATCH = 1 << 20 }; /* vertices that the field is asked for together */

static void
to_bytes(uint8_t *color, const float *rgb, int64_t n)
{
#pragma omp parallel for
    for (int64_t i = 0; i < n; i++)             // truncated, as the original's
        color[i] = (uint8_t)(255 * (rgb[i] > 0 ? rgb[i] < 1 ? rgb[i] : 1 : 0));
}

/* The normal of each vertex, and its colour as seen along that. */
static pf_err
look(struct pf_mesh *mesh, pf_field *field)
{
    const int64_t most = mesh->vertices < COLOR_BATCH ? mesh->vertices : COLOR_BATCH;
    float *rgb = malloc(3 * (size_t)most * sizeof *rgb);
    pf_err err = PF_OK;
    mesh->color = malloc((size_t)mesh->vertices * 3);
    mesh->normal = malloc((size_t)mesh->vertices * 3 * sizeof *mesh->normal);
    if (!rgb || !mesh->color || !mesh->normal)
        err = pf_fail(PF_ENOMEM, "no memory for the colours of %lld vertices",
                      (long long)mesh->vertices);
    for (int64_t v = 0; !err && v < mesh->vertices; v += most) {
        const int64_t left = mesh->vertices - v, n = left < most ? left : most;
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
    if (format == PF_MESH_OBJ && !pf_pattern(pf_common.out))
        pf_must(pf_textured_try_obj(pf_common.out, opt.normal_map));
}

/* Whether a document of --views shows the object: one of the two has no name, or it is the same. */
static bool
shows(const pf_doc *views, const char *object)
{
    const char *name = pf_doc_get_meta(views, "pf.object");
    return !name || !object || !strcmp(name, object);
}

/* The object's views of all documents of --views. */
static pf_err
add_views(pf_blend *blend, pf_stream *in, const char *object, const struct pf_mesh *mesh,
          double bound)
{
    struct pf_posed_views views;
    pf_doc doc = {0};
    pf_err err;
    int used = 0;
    while ((err = pf_stream_read(in, &doc)) == PF_OK) {
        if (!shows(&doc, object))
            continue;
        used++;
        if ((err = pf_posed_views_read(&views, &doc)) ||
            (err = pf_posed_views_aim(&views, bound)) || (err = pf_blend_add(blend, &views, mesh)))
            break;
    }
    pf_doc_release(&doc);
    if (err == PF_END && !used)
        return pf_fail(PF_EFORMAT, "no document has views of %s", object ? object : "the object");
    return err == PF_END ? PF_OK : err;
}

/* The texture, of the views' colours if they are asked for. */
static pf_err
make_texture(struct pf_texture *texture, const struct pf_mesh *mesh, pf_field *field,
             const char *object)
{
    const double start = pf_seconds();
    pf_blend *blend = NULL;
    pf_stream *in;
    pf_err err = PF_OK;
    if (opt.views) {
        PF_TRY(pf_stream_open(&in, opt.views));
        err = pf_blend_new(&blend);
        if (!err)
            err = pf_stream_blame(opt.views,
                                  add_views(blend, in, object, mesh, pf_field_bound(field)));
        pf_stream_close(in);
        pf_stage_time("views", pf_seconds() - start);
    }
    if (!err)
        err = pf_texture_make(texture, mesh, opt.texture, field, blend, opt.normal_map);
    pf_blend_free(blend);
    return err;
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

/* Leave out and simplify as the options say. */
static pf_err
reduce(struct pf_mesh *mesh, double *t)
{
    if (opt.largest || opt.components || opt.min_component > 0)
        PF_TRY(pf_mesh_keep_components(mesh, opt.largest ? 1 : opt.components,
                                       opt.min_component));
    if (!mesh->faces)
        return pf_fail(PF_EFORMAT,
                       "the field has no surface: its distances have one sign throughout");
    if (!opt.target_faces)
        return PF_OK;
    PF_TRY(pf_mesh_simplify(mesh, opt.target_faces));
    *t = stage("simplifying", *t);
    return PF_OK;
}

/* The mesh of a field and its texture, in the units of world unless that is NULL. */
static pf_err
make_mesh(struct pf_mesh *mesh, struct pf_texture *texture, struct pf_march_stats *stats,
          pf_field *field, const struct pf_world *world, const char *object)
{
    const struct pf_march_options march = {.resolution = pf_conf.mesh.resolution,
                                           .bound = pf_field_bound(field), .dense = opt.dense};
    double t = pf_seconds();
    PF_TRY(pf_field_march(mesh, stats, field, &march));             // [V, 3], [F, 3]
    t = stage("surface", t);
    PF_TRY(reduce(mesh, &t));
    PF_TRY(look(mesh, field));                                      // [V, 3]
    stage("normals and colours", t);
    if (opt.texture)
        PF_TRY(make_texture(texture, mesh, field, object));
    if (world)
        pf_world_points(mesh->vertex, mesh->vertices, world);
    return PF_OK;
}

static struct pf_place out_at = {.option = "--output"};
static pf_output *out;                  /* open from the start where its name is no pattern */

static pf_err
write_mesh(const struct pf_mesh *mesh, const struct pf_texture *texture,
           enum pf_mesh_format format, const pf_doc *doc)
{
    const double t = pf_seconds();
    if (!out) {
        PF_TRY(pf_place_next(&out_at, doc));
        PF_TRY(pf_output_open(&out, out_at.path));
    }
    pf_output *const to = out;
    out = NULL;
    const char *const path = pf_pattern(pf_common.out) ? out_at.path : pf_common.out;
    FILE *const f = pf_output_file(to);
    const pf_err err = !texture->atlas.size      ? pf_mesh_write(mesh, format, f)
                       : format == PF_MESH_GLB ? pf_textured_write_glb(mesh, texture, f)
                                               : pf_textured_write_obj(mesh, texture, path, f);
    if (err)
        pf_output_abandon(to);
    PF_TRY(err ? err : pf_output_close(to));
    stage("writing", t);
    return PF_OK;
}

/* Whether the mesh is watertight, for who reads it in PF_STAGES. */
static pf_err
note_closed(pf_batch *batch, const struct pf_mesh *mesh)
{
    bool closed;
    if (!pf_batch_noted(batch))
        return PF_OK;
    PF_TRY(pf_mesh_is_closed(&closed, mesh));
    pf_batch_note(batch, "watertight", closed ? "true" : "false");
    return PF_OK;
}

/* One field to its mesh.  The device is opened for the first. */
static pf_err
extract(const pf_doc *doc, pf_dev *dev, pf_batch *batch, enum pf_mesh_format format)
{
    struct pf_march_stats stats;
    struct pf_mesh mesh = {0};
    struct pf_texture texture = {0};
    struct pf_world world;
    pf_field *field;
    if (opt.world)
        PF_TRY(pf_batch_blame(batch, pf_world_need(&world, doc)));
    PF_TRY(pf_batch_blame(batch, pf_field_load(&field, dev, doc, &pf_conf.neus)));
    pf_err err = pf_batch_blame(batch, pf_field_need_surface(field));
    if (!err)
        err = make_mesh(&mesh, &texture, &stats, field, opt.world ? &world : NULL,
                        pf_doc_get_meta(doc, "pf.object"));
    if (!err)
        err = write_mesh(&mesh, &texture, format, doc);
    if (!err)
        err = note_closed(batch, &mesh);
    if (!err)
        say_counts(&stats, &mesh);
    pf_texture_release(&texture);
    pf_mesh_release(&mesh);
    pf_field_free(field);
    return err;
}

int
main(int argc, char *argv[])
{
    enum pf_mesh_format format;
    pf_batch *batch;
    pf_dev *dev;
    pf_doc doc = {0};
    pf_err err;

    pf_start(&argc, &argv, "[FIELD]", "Write the surface of each field as a mesh.", opts);
    if (opt.target_faces && opt.target_faces < 4)
        pf_usage("no closed mesh has %d faces; --target-faces wants 4 or more", opt.target_faces);
    if (argc > 1)
        pf_usage("one stream of fields at a time, not %d", argc);
    if (!pf_mesh_format_find(&format, pf_conf.mesh.format, pf_common.out))
        pf_usage(
            "the name of the output, %s, ends in none of .ply, .obj, .glb, .stl; give --format",
            pf_common.out);
    check_texture(format);
    pf_pattern_check("--output", pf_common.out);
    out_at.pattern = pf_common.out;
    if (!pf_pattern(pf_common.out))
        pf_must(pf_output_open(&out, pf_common.out));
    pf_sandbox(PF_SANDBOX_DEVICE);
    pf_must(pf_batch_open(&batch, NULL));
    pf_batch_name(batch, pf_common.out);
    pf_must(pf_batch_input(batch, argc, argv));
    // Before the first read: in a pipe it starts while others still work.
    pf_must(pf_dev_open(&dev, pf_common.device, pf_common.precision));
    while (!(err = pf_batch_read(batch, &doc)))
        pf_must(pf_batch_put(batch, &doc, extract(&doc, dev, batch, format)));
    pf_must(err == PF_END ? PF_OK : err);
    pf_output_abandon(out);
    pf_dev_close(dev);
    pf_doc_release(&doc);
    return pf_batch_end(batch);
}
