/* pf-extract-mesh - the surface of a field as a triangle mesh with normals and colours of vertices.
 * in:  documents with field.*        out: a PLY, OBJ, GLB or STL of each */
#include <math.h>
#include <stdlib.h>

#include "common/batch.h"
#include "common/config.h"
#include "common/opt.h"
#include "common/progress.h"
#include "common/output.h"
#include "common/pattern.h"
#include "common/world.h"
#include "kernels/dev.h"
#include "kernels/field/field_march.h"
#include "tools/pf-extract-mesh/components.h"
#include "tools/pf-extract-mesh/mesh_write.h"
#include "tools/pf-extract-mesh/normals.h"
#include "tools/pf-extract-mesh/simplify.h"

static struct {
    bool largest, dense, world;
    int components, target_faces;
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
    PF_OPT_FLAG(0, "world", opt.world,
                "in the units and axes of the cameras given to pf-stream pack"),
    PF_OPT_FLAG(0, "dense", opt.dense, "evaluate the whole grid, for comparison"),
    PF_OPT_END};

enum { COLOR_BATCH = 1 << 20 };

static uint8_t
to_byte(float v)
{
    return (uint8_t)(255 * fminf(fmaxf(v, 0), 1));      // truncated, as the original's
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
        for (int64_t i = 0; !err && i < 3 * n; i++)
            mesh->color[3 * v + i] = to_byte(rgb[i]);
    }
    free(rgb);
    return err ? err : pf_mesh_set_normals(mesh);
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

/* The mesh of a field, in the units of world unless that is NULL. */
static pf_err
make_mesh(struct pf_mesh *mesh, struct pf_march_stats *stats, pf_field *field,
          const struct pf_world *world)
{
    const struct pf_march_options march = {.resolution = pf_conf.mesh.resolution,
                                           .bound = pf_field_bound(field), .dense = opt.dense};
    double t = pf_seconds();
    PF_TRY(pf_field_march(mesh, stats, field, &march));             // [V, 3], [F, 3]
    t = stage("surface", t);
    PF_TRY(reduce(mesh, &t));
    PF_TRY(look(mesh, field));                                      // [V, 3]
    stage("normals and colours", t);
    if (world)
        pf_world_points(mesh->vertex, mesh->vertices, world);
    return PF_OK;
}

static struct pf_place out_at = {.option = "--output"};
static pf_output *out;                  /* open from the start where its name is no pattern */

static pf_err
write_mesh(const struct pf_mesh *mesh, enum pf_mesh_format format, const pf_doc *doc)
{
    const double t = pf_seconds();
    if (!out) {
        PF_TRY(pf_place_next(&out_at, doc));
        PF_TRY(pf_output_open(&out, out_at.path));
    }
    pf_output *const to = out;
    out = NULL;
    const pf_err err = pf_mesh_write(mesh, format, pf_output_file(to));
    if (err)
        pf_output_abandon(to);
    PF_TRY(err ? err : pf_output_close(to));
    stage("writing", t);
    return PF_OK;
}

/* One field to its mesh.  The device is opened for the first. */
static pf_err
extract(const pf_doc *doc, pf_dev **dev, pf_batch *batch, enum pf_mesh_format format)
{
    struct pf_march_stats stats;
    struct pf_mesh mesh = {0};
    struct pf_world world;
    pf_field *field;
    if (opt.world)
        PF_TRY(pf_batch_blame(batch, pf_world_need(&world, doc)));
    if (!*dev)
        pf_must(pf_dev_open(dev, pf_common.device, pf_common.precision));
    PF_TRY(pf_batch_blame(batch, pf_field_load(&field, *dev, doc, &pf_conf.neus)));
    pf_err err = make_mesh(&mesh, &stats, field, opt.world ? &world : NULL);
    if (!err)
        err = write_mesh(&mesh, format, doc);
    if (!err)
        say_counts(&stats, &mesh);
    pf_mesh_release(&mesh);
    pf_field_free(field);
    return err;
}

int
main(int argc, char *argv[])
{
    enum pf_mesh_format format;
    pf_batch *batch;
    pf_dev *dev = NULL;
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
    pf_pattern_check("--output", pf_common.out);
    out_at.pattern = pf_common.out;
    if (!pf_pattern(pf_common.out))
        pf_must(pf_output_open(&out, pf_common.out));
    pf_must(pf_batch_open(&batch, NULL));
    pf_batch_name(batch, pf_common.out);
    pf_must(pf_batch_input(batch, argc, argv));
    while (!(err = pf_batch_read(batch, &doc)))
        pf_must(pf_batch_put(batch, &doc, extract(&doc, &dev, batch, format)));
    pf_must(err == PF_END ? PF_OK : err);
    pf_output_abandon(out);
    pf_dev_close(dev);
    pf_doc_release(&doc);
    return pf_batch_end(batch);
}
