/* pf-extract-mesh - the surface of a field as a triangle mesh with normals and colours of vertices.
 * in:  field.*        out: PLY, OBJ, GLB or STL */
#include <math.h>
#include <stdlib.h>

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

int
main(int argc, char *argv[])
{
    enum pf_mesh_format format;
    struct pf_march_stats stats;
    struct pf_mesh mesh = {0};
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
    if (opt.world)
        pf_world_points(mesh.vertex, mesh.vertices, &world);
    pf_must(pf_mesh_write(&mesh, format, pf_output_file(out)));
    pf_must(pf_output_close(out));
    stage("writing", t);
    say_counts(&stats, &mesh);
    pf_mesh_release(&mesh);
    pf_field_free(field);
    pf_dev_close(dev);
    pf_doc_release(&doc);
    return 0;
}
