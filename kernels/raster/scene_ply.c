/* scene_ply.c - a PLY file as the document that the child makes of others (raster.md, 2).  Our own
 * reader is strict and needs no child: assimp fills up what a file cut short lacks. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/raster/import.h"
#include "kernels/raster/ply.h"
#include "kernels/raster/scene.h"

static pf_err
put_rows(pf_doc *doc, const char *name, void *rows, pf_dtype type, int64_t n, int width)
{
    const pf_tensor t = PF_VIEW(rows, type, n, width);
    return pf_doc_put(doc, name, &t);
}

/* Where the file has none: normals of 0 are those of the triangles, texture coordinates are not
 * asked for. */
static pf_err
put_zeros(pf_doc *doc, const char *name, int64_t n, int width)
{
    pf_tensor t;
    PF_TRY(PF_TENSOR_NEW(&t, PF_F32, n, width));
    return pf_doc_take(doc, name, &t);
}

static pf_err
put_colors(pf_doc *doc, const struct pf_mesh *m)
{
    pf_tensor t;
    PF_TRY(PF_TENSOR_NEW(&t, PF_F32, m->vertices, 4));
    float *const to = t.data;
    for (int64_t i = 0; i < 4 * m->vertices; i++)
        to[i] = i % 4 < 3 && m->color ? (float)m->color[i / 4 * 3 + i % 4] / 255 : 1;
    return pf_doc_take(doc, "color", &t);
}

/* One material: grey, unless the vertices have colours. */
static pf_err
put_material(pf_doc *doc, const struct pf_mesh *m)
{
    const float color = m->color ? 1 : 0.8f;
    float row[PF_IMPORT_MATERIAL] = {color, color, color, 1, [PF_IMPORT_TEXTURE] = -1,
                                     [PF_IMPORT_TWO_SIDED] = 1};
    pf_tensor of;
    PF_TRY(PF_TENSOR_NEW(&of, PF_U32, m->faces));
    PF_TRY(pf_doc_take(doc, "material_of", &of));
    return put_rows(doc, "material", row, PF_F32, 1, PF_IMPORT_MATERIAL);
}

static pf_err
put_mesh(pf_doc *doc, const struct pf_mesh *m)
{
    if (!m->faces)
        return pf_fail(PF_EFORMAT, "it holds no triangle");
    PF_TRY(put_rows(doc, "position", m->vertex, PF_F32, m->vertices, 3));
    PF_TRY(m->normal ? put_rows(doc, "normal", m->normal, PF_F32, m->vertices, 3)
                     : put_zeros(doc, "normal", m->vertices, 3));
    PF_TRY(put_zeros(doc, "uv", m->vertices, 2));
    PF_TRY(put_colors(doc, m));
    PF_TRY(put_rows(doc, "index", m->face, PF_U32, m->faces, 3));
    PF_TRY(put_material(doc, m));
    PF_TRY(pf_doc_set_meta(doc, "colors", "sRGB"));
    return pf_doc_set_meta(doc, "up", "z");
}

static pf_err
parse(pf_doc *doc, const uint8_t *bytes, size_t size)
{
    struct pf_mesh mesh;
    bool points;
    if (size < 4 || memcmp(bytes, "ply", 3) != 0)
        return pf_fail(PF_EFORMAT, "is no PLY file");
    PF_TRY(pf_ply_parse(&mesh, &points, bytes, size));
    const pf_err err = put_mesh(doc, &mesh);
    pf_mesh_release(&mesh);
    return err;
}

pf_err
pf_scene_ply(pf_doc *doc, const char *path)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        const pf_err err = fd < 0 ? pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno))
                                  : pf_fail(PF_EIO, "cannot read %s: it is no file", path);
        if (fd >= 0)
            close(fd);
        return err;
    }
    const size_t size = (size_t)st.st_size;
    void *const bytes = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (bytes == MAP_FAILED)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    const pf_err err = parse(doc, bytes, size);
    if (bytes)
        munmap(bytes, size);
    return err ? pf_fail_in(err, "%s", path) : PF_OK;
}
