/* import.c - a mesh file to a document by assimp, in a process of its own (raster.md, 2).
 *
 * assimp reads twenty-year-old formats by hand-written parsers, and a file from the internet may
 * crash it, keep it busy or let it ask for any amount of memory.  So it works in a child that has
 * a limit for both in proportion to the files' sizes, opens what lies in the mesh's folder alone,
 * and can leave nothing but a document, in shared memory. */
#include <assimp/cfileio.h>
#include <assimp/cimport.h>
#include <assimp/material.h>
#include <assimp/GltfMaterial.h>
#include <assimp/metadata.h>
#include <assimp/postprocess.h>
#include <assimp/scene.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/sandbox.h"
#include "common/stream.h"
#include "common/text.h"
#include "kernels/raster/import.h"
#include "kernels/raster/scene.h"

/* What assimp may use: text of a face, a dozen bytes, becomes objects of some hundred. */
enum { BYTES_PER_BYTE = 200, BYTES_AT_ALL = 128 << 20 };
enum { SECONDS_AT_ALL = 2, SECONDS_PER_MEGABYTE = 2 };
enum { MAX_DEPTH = 1000 };      /* of the tree of nodes */

static const struct format {
    const char *ending;
    enum pf_up up;
    bool linear;                /* whether colours are linear light, and multiply each other */
} formats[] = {
    {"glb", PF_UP_Y, true},  {"gltf", PF_UP_Y, true}, {"obj", PF_UP_Y, false},
    {"stl", PF_UP_Z, false}, {"dae", PF_UP_Y, false}, {"fbx", PF_UP_Y, false},
};

static const struct format *
format_of(const char *path)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcasecmp(pf_name_ending(path), formats[i].ending) == 0)
            return &formats[i];
    return NULL;
}

/* ---- files ---- */

pf_err
pf_scene_resolve(char *resolved, const char *path, const char *name)
{
    char folder[PATH_MAX], wanted[2 * PATH_MAX];
    const char *const slash = strrchr(path, '/');
    snprintf(wanted, sizeof wanted, "%.*s", slash ? (int)(slash - path) + 1 : 2,
             slash ? path : "./");
    if (!realpath(wanted, folder))
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    if (snprintf(wanted, sizeof wanted, "%s%s%s", *name == '/' ? "" : folder,
                 *name == '/' ? "" : "/", name) >= PATH_MAX)
        return pf_fail(PF_EFORMAT, "%s: the name of a file that it needs is too long", path);
    for (char *c = wanted; *c; c++)
        *c = *c == '\\' ? '/' : *c;
    if (!realpath(wanted, resolved))
        return pf_fail(PF_EIO, "%s: cannot read %s, which it needs: %s", path, name,
                       strerror(errno));
    const size_t n = strlen(folder);
    if (strncmp(resolved, folder, n) != 0 || (n > 1 && resolved[n] != '/'))
        return pf_fail(PF_EFORMAT, "%s needs %s, which is not in its folder", path, name);
    return PF_OK;
}

struct files {                  /* that assimp opens */
    const char *path;           /* the mesh */
    rlim_t memory, seconds;
    char refused[1024];         /* the sentence about the first that leaves the folder */
    char missing[256];          /* the first that is not there */
};

/* More may be used for a file of this size. */
static void
allow(struct files *f, int64_t bytes)
{
    struct rlimit limit;
    f->memory += (rlim_t)bytes * BYTES_PER_BYTE;
    f->seconds += (rlim_t)(bytes >> 20) * SECONDS_PER_MEGABYTE;
    limit = (struct rlimit){f->seconds, RLIM_INFINITY};
    setrlimit(RLIMIT_CPU, &limit);
#ifndef __SANITIZE_ADDRESS__    // which maps terabytes of its own
    limit = (struct rlimit){f->memory, RLIM_INFINITY};
    setrlimit(RLIMIT_AS, &limit);
#endif
}

/* A regular file of the mesh's folder, or NULL. */
static FILE *
open_near(struct files *f, const char *name)
{
    const char *const slash = strrchr(f->path, '/');
    const size_t folder = slash ? (size_t)(slash - f->path) + 1 : 0;
    char resolved[PATH_MAX];
    struct stat st;
    pf_err err = PF_OK;
    // assimp puts the folder in front as it found it in the mesh's name.
    const char *const rest = strncmp(name, f->path, folder) ? name : name + folder;
    if (strcmp(name, f->path) == 0)             // which the user named, wherever it leads
        snprintf(resolved, sizeof resolved, "%s", name);
    else
        err = pf_scene_resolve(resolved, f->path, rest);
    if (err == PF_EFORMAT && !*f->refused)
        snprintf(f->refused, sizeof f->refused, "%s", pf_error());
    if (err == PF_EIO && !*f->missing)
        snprintf(f->missing, sizeof f->missing, "%s", rest);
    if (err)
        return NULL;
    const int fd = open(resolved, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    FILE *const file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "rb") : NULL;
    if (!file)
        close(fd);
    else
        allow(f, st.st_size);
    return file;
}

static size_t
read_file(struct aiFile *file, char *to, size_t size, size_t n)
{
    return fread(to, size, n, (FILE *)file->UserData);
}

static size_t
write_file(struct aiFile *file, const char *from, size_t size, size_t n)
{
    (void)file, (void)from, (void)size, (void)n;
    return 0;
}

static size_t
tell(struct aiFile *file)
{
    const long at = ftell((FILE *)file->UserData);
    return at < 0 ? 0 : (size_t)at;
}

static size_t
file_size(struct aiFile *file)
{
    struct stat st;
    return fstat(fileno((FILE *)file->UserData), &st) == 0 ? (size_t)st.st_size : 0;
}

static enum aiReturn
seek(struct aiFile *file, size_t offset, enum aiOrigin origin)
{
    const int whence = origin == aiOrigin_SET ? SEEK_SET : origin == aiOrigin_CUR ? SEEK_CUR
                                                                                  : SEEK_END;
    return fseek((FILE *)file->UserData, (long)offset, whence) ? aiReturn_FAILURE
                                                               : aiReturn_SUCCESS;
}

static void
flush(struct aiFile *file)
{
    (void)file;
}

static struct aiFile *
open_file(struct aiFileIO *io, const char *name, const char *mode)
{
    FILE *const f = strpbrk(mode, "wa+") ? NULL : open_near((struct files *)io->UserData, name);
    struct aiFile *const file = f ? malloc(sizeof *file) : NULL;
    if (file)
        *file = (struct aiFile){read_file, write_file, tell, file_size, seek, flush, (char *)f};
    else if (f)
        fclose(f);
    return file;
}

static void
close_file(struct aiFileIO *io, struct aiFile *file)
{
    (void)io;
    fclose((FILE *)file->UserData);
    free(file);
}

/* ---- the scene: sizes first, then all of it ---- */

struct build {
    const struct aiScene *scene;
    const struct format *format;
    bool measuring;             /* only vertices and triangles are counted */
    int64_t vertices, triangles;
    float *position, *normal, *uv, *color;      /* of the document's tensors */
    uint32_t *index, *material_of;
    const float *material;      /* [M, PF_IMPORT_MATERIAL] */
    const int *channel;         /* [M]: of texture coordinates */
};

static pf_err
put_vertices(struct build *b, const struct aiMesh *m, const struct aiMatrix4x4 *T, bool textured)
{
    struct aiMatrix3x3 N;
    const int channel = b->channel[m->mMaterialIndex];
    const struct aiVector3D *const uv =
        channel >= 0 && channel < AI_MAX_NUMBER_OF_TEXTURECOORDS ? m->mTextureCoords[channel]
                                                                 : NULL;
    // Where colours do not multiply the texture stands alone.
    const struct aiColor4D *const color = b->format->linear || !textured ? m->mColors[0] : NULL;
    aiMatrix3FromMatrix4(&N, T);
    aiMatrix3Inverse(&N);
    aiTransposeMatrix3(&N);                     // of normals, which stay upright on the surface
    for (unsigned i = 0; i < m->mNumVertices; i++) {
        const int64_t at = b->vertices + i;
        struct aiVector3D p = m->mVertices[i], n = m->mNormals ? m->mNormals[i]
                                                               : (struct aiVector3D){0, 0, 0};
        aiTransformVecByMatrix4(&p, T);
        aiTransformVecByMatrix3(&n, &N);
        memcpy(b->position + 3 * at, &p, 12);
        memcpy(b->normal + 3 * at, &n, 12);
        if (uv)
            memcpy(b->uv + 2 * at, &uv[i], 8);
        if (color)
            memcpy(b->color + 4 * at, &color[i], 16);
        else
            for (int k = 0; k < 4; k++)
                b->color[4 * at + k] = 1;
    }
    return PF_OK;
}

/* mirrored: the node turns what is in front to the back. */
static pf_err
put_triangles(struct build *b, const struct aiMesh *m, bool mirrored)
{
    int64_t n = b->triangles;
    for (unsigned i = 0; i < m->mNumFaces; i++) {
        const struct aiFace *const f = &m->mFaces[i];
        if (f->mNumIndices != 3)
            continue;
        for (int k = 0; k < 3; k++) {
            if (f->mIndices[k] >= m->mNumVertices)
                return pf_fail(PF_EFORMAT, "a face has vertex %u of %u", f->mIndices[k],
                               m->mNumVertices);
            b->index[3 * n + (mirrored ? 2 - k : k)] = (uint32_t)(b->vertices + f->mIndices[k]);
        }
        b->material_of[n++] = m->mMaterialIndex;
    }
    return PF_OK;
}

static pf_err
put_mesh(struct build *b, unsigned number, const struct aiMatrix4x4 *T)
{
    if (number >= b->scene->mNumMeshes || !b->scene->mMeshes[number])
        return pf_fail(PF_EFORMAT, "a node has mesh %u of %u", number, b->scene->mNumMeshes);
    const struct aiMesh *const m = b->scene->mMeshes[number];
    int64_t triangles = 0;
    if (!m->mVertices || (m->mNumFaces && !m->mFaces) ||
        m->mMaterialIndex >= b->scene->mNumMaterials)
        return pf_fail(PF_EFORMAT, "mesh %u is incomplete", number);
    for (unsigned i = 0; i < m->mNumFaces; i++)
        triangles += m->mFaces[i].mNumIndices == 3 && m->mFaces[i].mIndices;
    if (triangles == 0)                         // points and lines
        return PF_OK;
    if (!b->measuring) {
        const float *const material = b->material + PF_IMPORT_MATERIAL * m->mMaterialIndex;
        PF_TRY(put_triangles(b, m, aiMatrix4Determinant(T) < 0));
        PF_TRY(put_vertices(b, m, T, material[PF_IMPORT_TEXTURE] >= 0));
    }
    b->vertices += m->mNumVertices;
    b->triangles += triangles;
    return b->vertices > INT32_MAX || b->triangles > INT32_MAX
               ? pf_fail(PF_EFORMAT, "its nodes repeat meshes to more than 2^31 vertices")
               : PF_OK;
}

static pf_err
put_node(struct build *b, const struct aiNode *node, struct aiMatrix4x4 T, int depth)
{
    aiMultiplyMatrix4(&T, &node->mTransformation);
    if (depth > MAX_DEPTH)
        return pf_fail(PF_EFORMAT, "its nodes lie more than %d deep", MAX_DEPTH);
    for (unsigned i = 0; i < node->mNumMeshes; i++)
        PF_TRY(put_mesh(b, node->mMeshes[i], &T));
    for (unsigned i = 0; i < node->mNumChildren; i++)
        PF_TRY(put_node(b, node->mChildren[i], T, depth + 1));
    return PF_OK;
}

static pf_err
walk(struct build *b, bool measuring)
{
    struct aiMatrix4x4 T;
    aiIdentityMatrix4(&T);
    b->measuring = measuring;
    b->vertices = b->triangles = 0;
    return put_node(b, b->scene->mRootNode, T, 0);
}

/* ---- materials ---- */

/* A texture within the file: "*3", or by the name that it has there; NULL: a file of its own. */
static const struct aiTexture *
embedded(const struct aiScene *scene, const char *name)
{
    char *end;
    const unsigned long number = *name == '*' ? strtoul(name + 1, &end, 10) : ULONG_MAX;
    if (number < scene->mNumTextures && *end == 0)
        return scene->mTextures[number];
    for (unsigned i = 0; i < scene->mNumTextures; i++)
        if (scene->mTextures[i] && scene->mTextures[i]->mFilename.length &&
            strcmp(scene->mTextures[i]->mFilename.data, name) == 0)
            return scene->mTextures[i];
    return NULL;
}

static pf_err
put_texture(pf_doc *doc, int number, const struct aiScene *scene, const char *name)
{
    const struct aiTexture *const t = embedded(scene, name);
    char key[32];
    snprintf(key, sizeof key, "texture.%d", number);
    if (!t)
        return pf_doc_set_meta(doc, key, name);
    if (!t->pcData || !t->mWidth)
        return pf_fail(PF_EFORMAT, "its texture %s is empty", name);
    // A file of mWidth bytes, or texels as B, G, R, A.
    const pf_tensor data = t->mHeight ? PF_VIEW(t->pcData, PF_U8, t->mHeight, t->mWidth, 4)
                                      : PF_VIEW(t->pcData, PF_U8, t->mWidth);
    return pf_doc_put(doc, key, &data);
}

/* The number of the texture of that name, which is put in if it is new. */
static pf_err
find_texture(float *number, pf_doc *doc, char (**names)[MAXLEN], int *textures,
             const struct aiScene *scene, const char *name)
{
    int i = 0;
    while (i < *textures && strcmp((*names)[i], name) != 0)
        i++;
    *number = (float)i;
    if (i < *textures)
        return PF_OK;
    char (*const more)[MAXLEN] = realloc(*names, ((size_t)i + 1) * sizeof **names);
    if (!more)
        return pf_fail(PF_ENOMEM, "no memory for the names of its textures");
    *names = more;
    snprintf(more[i], MAXLEN, "%s", name);
    *textures = i + 1;
    return put_texture(doc, i, scene, name);
}

static float
wrap_of(const struct aiMaterial *m, const char *key, enum aiTextureType type)
{
    int mode = aiTextureMapMode_Wrap;
    if (aiGetMaterialIntegerArray(m, key, type, 0, &mode, NULL) != aiReturn_SUCCESS)
        return PF_WRAP_REPEAT;
    return mode == aiTextureMapMode_Mirror  ? PF_WRAP_MIRROR
           : mode == aiTextureMapMode_Wrap ? PF_WRAP_REPEAT
                                           : PF_WRAP_CLAMP;
}

/* name: "" if the material has no texture; the row's wraps and the channel of its coordinates. */
static void
read_texture(char name[MAXLEN], float *row, int *channel, const struct aiMaterial *m)
{
    static const enum aiTextureType types[] = {aiTextureType_BASE_COLOR, aiTextureType_DIFFUSE};
    struct aiString file;
    *name = 0;
    *channel = 0;
    for (int i = 0; i < 2 && !*name; i++) {
        if (aiGetMaterialString(m, AI_MATKEY_TEXTURE(types[i], 0), &file) != aiReturn_SUCCESS)
            continue;
        snprintf(name, MAXLEN, "%.*s", (int)file.length, file.data);
        aiGetMaterialIntegerArray(m, AI_MATKEY_UVWSRC(types[i], 0), channel, NULL);
        row[PF_IMPORT_WRAP] = wrap_of(m, _AI_MATKEY_MAPPINGMODE_U_BASE, types[i]);
        row[PF_IMPORT_WRAP + 1] = wrap_of(m, _AI_MATKEY_MAPPINGMODE_V_BASE, types[i]);
    }
}

/* glTF says how alpha is meant.  Elsewhere the opacity is the material's, and a texture has holes
 * where it is less than half there; glass is not drawn. */
static void
read_alpha(float *row, const struct aiMaterial *m, const struct format *format)
{
    struct aiString mode = {0};
    int two_sided = 1;
    float opacity = 1;
    if (format->linear)
        aiGetMaterialString(m, AI_MATKEY_GLTF_ALPHAMODE, &mode);
    if (format->linear)
        aiGetMaterialIntegerArray(m, AI_MATKEY_TWOSIDED, &two_sided, NULL);
    else
        aiGetMaterialFloatArray(m, AI_MATKEY_OPACITY, &opacity, NULL);
    row[PF_IMPORT_TWO_SIDED] = two_sided != 0;
    row[PF_IMPORT_CUTOFF] = 0.5f;
    if (strcmp(mode.data, "MASK") == 0) {
        aiGetMaterialFloatArray(m, AI_MATKEY_GLTF_ALPHACUTOFF, &row[PF_IMPORT_CUTOFF], NULL);
        return;
    }
    if (format->linear && strcmp(mode.data, "BLEND") != 0)
        row[PF_IMPORT_CUTOFF] = 0;              // glTF's OPAQUE
    if (!format->linear)
        row[3] = opacity;
    row[PF_IMPORT_GLASS] = row[PF_IMPORT_CUTOFF] > 0 && row[3] < PF_IMPORT_GLASS_BELOW;
    row[3] = 1;
}

static pf_err
put_material(float *row, int *channel, pf_doc *doc, char (**names)[MAXLEN], int *textures,
             const struct build *b, const struct aiMaterial *m)
{
    struct aiString title = {0};
    struct aiColor4D color = {0.8f, 0.8f, 0.8f, 1};
    char name[MAXLEN];
    if (aiGetMaterialString(m, AI_MATKEY_NAME, &title) != aiReturn_SUCCESS ||
        strcmp(title.data, AI_DEFAULT_MATERIAL_NAME) != 0) {    // which is assimp's own, and dark
        if (!b->format->linear || aiGetMaterialColor(m, AI_MATKEY_BASE_COLOR, &color))
            aiGetMaterialColor(m, AI_MATKEY_COLOR_DIFFUSE, &color);
    }
    memcpy(row, &color, 16);
    row[PF_IMPORT_TEXTURE] = -1;
    read_texture(name, row, channel, m);
    if (*name)
        PF_TRY(find_texture(&row[PF_IMPORT_TEXTURE], doc, names, textures, b->scene, name));
    if (*name && !b->format->linear)
        row[0] = row[1] = row[2] = 1;
    read_alpha(row, m, b->format);
    return PF_OK;
}

/* A vertex' colour stands for the material's where they do not multiply. */
static void
prefer_vertex_colors(float *material, const struct build *b)
{
    for (unsigned i = 0; i < b->scene->mNumMeshes && !b->format->linear; i++) {
        const struct aiMesh *const m = b->scene->mMeshes[i];
        if (m && m->mColors[0] && m->mMaterialIndex < b->scene->mNumMaterials)
            for (int k = 0; k < 3; k++)
                material[PF_IMPORT_MATERIAL * m->mMaterialIndex + k] = 1;
    }
}

static pf_err
put_materials(pf_doc *doc, struct build *b, int **channel)
{
    const unsigned M = b->scene->mNumMaterials;
    char (*names)[MAXLEN] = NULL;
    int textures = 0;
    pf_tensor t;
    pf_err err = PF_OK;
    *channel = calloc(M ? M : 1, sizeof **channel);
    if (!*channel)
        return pf_fail(PF_ENOMEM, "no memory for its materials");
    PF_TRY(PF_TENSOR_NEW(&t, PF_F32, M, PF_IMPORT_MATERIAL));
    for (unsigned i = 0; i < M && !err; i++)
        err = put_material((float *)t.data + PF_IMPORT_MATERIAL * i, &(*channel)[i], doc, &names,
                           &textures, b, b->scene->mMaterials[i]);
    prefer_vertex_colors(t.data, b);
    free(names);
    PF_TRY(err);
    return pf_doc_take(doc, "material", &t);
}

/* ---- all of it ---- */

/* FBX says which axis is up. */
static const char *
up_of(const struct build *b)
{
    const struct aiMetadata *const m = b->scene->mMetaData;
    int axis = b->format->up == PF_UP_Z ? 2 : 1;
    for (unsigned i = 0; m && strcasecmp(b->format->ending, "fbx") == 0 && i < m->mNumProperties;
         i++)
        if (strcmp(m->mKeys[i].data, "UpAxis") == 0 && m->mValues[i].mType == AI_INT32)
            axis = *(const int32_t *)m->mValues[i].mData;
    return axis == 2 ? "z" : "y";
}

static pf_err
put_tensors(pf_doc *doc, struct build *b)
{
    const int64_t V = b->vertices, T = b->triangles;
    pf_tensor position, normal, uv, color, index, material_of;
    PF_TRY(PF_TENSOR_NEW(&position, PF_F32, V, 3));
    PF_TRY(PF_TENSOR_NEW(&normal, PF_F32, V, 3));
    PF_TRY(PF_TENSOR_NEW(&uv, PF_F32, V, 2));
    PF_TRY(PF_TENSOR_NEW(&color, PF_F32, V, 4));
    PF_TRY(PF_TENSOR_NEW(&index, PF_U32, T, 3));
    PF_TRY(PF_TENSOR_NEW(&material_of, PF_U32, T));
    b->position = position.data;
    b->normal = normal.data;
    b->uv = uv.data;
    b->color = color.data;
    b->index = index.data;
    b->material_of = material_of.data;
    PF_TRY(walk(b, false));
    PF_TRY(pf_doc_take(doc, "position", &position));
    PF_TRY(pf_doc_take(doc, "normal", &normal));
    PF_TRY(pf_doc_take(doc, "uv", &uv));
    PF_TRY(pf_doc_take(doc, "color", &color));
    PF_TRY(pf_doc_take(doc, "index", &index));
    return pf_doc_take(doc, "material_of", &material_of);
}

static pf_err
put_scene(pf_doc *doc, const struct aiScene *scene, const struct format *format)
{
    struct build b = {.scene = scene, .format = format};
    int *channel;
    if (!scene->mRootNode)
        return pf_fail(PF_EFORMAT, "it holds no scene");
    PF_TRY(put_materials(doc, &b, &channel));
    b.channel = channel;
    b.material = pf_doc_get(doc, "material")->data;
    PF_TRY(walk(&b, true));
    if (b.triangles == 0)
        return pf_fail(PF_EFORMAT, "it holds no triangle");
    PF_TRY(put_tensors(doc, &b));
    PF_TRY(pf_doc_set_meta(doc, "colors", format->linear ? "linear" : "sRGB"));
    return pf_doc_set_meta(doc, "up", up_of(&b));
}

/* assimp's sentence on one line and without its end. */
static pf_err
assimp_failed(void)
{
    char said[400];
    snprintf(said, sizeof said, "%s", aiGetErrorString());
    for (char *c = said; *c; c++)
        *c = (unsigned char)*c < ' ' ? ' ' : *c;
    for (size_t n = strlen(said); n && strchr(" .!", said[n - 1]);)
        said[--n] = 0;
    return pf_fail(PF_EFORMAT, "assimp cannot read it%s%s", *said ? ": " : "", said);
}

/* assimp only remarks on faces of a glTF file whose vertices are not there, and drops them. */
static void
hear(const char *remark, char *dropped)
{
    *(bool *)dropped |= strstr(remark, "out-of-range indices") != NULL;
}

/* All memory goes with the process. */
static pf_err
import(pf_doc *doc, struct files *f)
{
    struct aiFileIO io = {open_file, close_file, (char *)f};
    bool dropped = false;
    const struct aiLogStream log = {hear, (char *)&dropped};
    aiAttachLogStream(&log);
    const struct aiScene *const scene =
        aiImportFileEx(f->path, aiProcess_Triangulate | aiProcess_TransformUVCoords, &io);
    if (*f->refused)
        return pf_doc_set_meta(doc, "refused", f->refused);
    if (!scene)
        return assimp_failed();
    if (dropped)
        return pf_fail(PF_EFORMAT, "it has faces with indices of vertices that are not there");
    if (*f->missing)
        PF_TRY(pf_doc_set_meta(doc, "missing", f->missing));
    return put_scene(doc, scene, format_of(f->path));
}

/* Bytes of this process' memory, mapped. */
static rlim_t
mapped(void)
{
    long pages = 0;
    FILE *const f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void __attribute__((noreturn))
work(const char *path, int to)
{
    const struct rlimit none = {0, 0};
    struct files f = {.path = path, .memory = mapped() + BYTES_AT_ALL, .seconds = SECONDS_AT_ALL};
    pf_doc doc = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &none);
    if (pf_sandbox_enter(0, NULL, 0))
        _exit(1);
    allow(&f, 0);
    if (import(&doc, &f)) {
        pf_doc_release(&doc);
        if (pf_doc_set_meta(&doc, "error", pf_error()))
            _exit(1);
    }
    FILE *const out = fdopen(to, "wb");
    _exit(!out || pf_doc_write(&doc, out) != PF_OK);
}

/* The child is this program once more, under a name that sends it here before main: after a fork
 * alone it would have the locks of the parent's threads, but not the threads that open them. */
static const char child_name[] = "pf-import-mesh";

static void __attribute__((constructor))
be_the_child(int argc, char *argv[])
{
    int64_t to;
    if (argc == 3 && strcmp(argv[0], child_name) == 0 && pf_parse_int(&to, argv[2]))
        work(argv[1], (int)to);
}

/* In the child, where little is allowed.  Nobody hears it: a library that the program is linked
 * with may complain of the sandbox before work begins. */
static void __attribute__((noreturn))
start_again(const char *path, int shared, char *number)
{
    char *const argv[] = {(char *)child_name, (char *)path, number, NULL};
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(nowhere, 1);
    dup2(nowhere, 2);
    fcntl(shared, F_SETFD, 0);                  // stays open
    execv("/proc/self/exe", argv);
    _exit(1);
}

/* How the child ended; PF_OK: there is a document. */
static pf_err
judge(int status, const char *path)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return PF_OK;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
        return pf_fail(PF_EFORMAT, "%s: it takes assimp longer to read than a file of its size may",
                       path);
    return pf_fail(PF_EFORMAT,
                   "%s: assimp failed on it, or needs more memory than a file of its size may",
                   path);
}

static pf_err
collect(uint8_t **bytes, size_t *size, int from, const char *path)
{
    struct stat st;
    if (fstat(from, &st) != 0)
        return pf_fail(PF_EIO, "%s: %s", path, strerror(errno));
    *size = (size_t)st.st_size;
    *bytes = malloc(*size ? *size : 1);
    if (!*bytes)
        return pf_fail(PF_ENOMEM, "%s: no memory for its %zu bytes", path, *size);
    for (size_t at = 0; at < *size;) {
        const ssize_t n = pread(from, *bytes + at, *size - at, (off_t)at);
        if (n <= 0) {
            free(*bytes);
            *bytes = NULL;
            return pf_fail(PF_EIO, "%s: %s", path, strerror(errno));
        }
        at += (size_t)n;
    }
    return PF_OK;
}

pf_err
pf_scene_import(uint8_t **bytes, size_t *size, const char *path)
{
    char number[16];
    int status;
    *bytes = NULL;
    if (!format_of(path))
        return pf_fail(PF_EFORMAT,
                       "%s: its name ends in none of .glb, .gltf, .obj, .ply, .stl, .dae, .fbx",
                       path);
    if (access(path, R_OK) != 0)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    const int shared = memfd_create("mesh", MFD_CLOEXEC);
    if (shared < 0)
        return pf_fail(PF_EIO, "%s: no memory to share: %s", path, strerror(errno));
    snprintf(number, sizeof number, "%d", shared);
    const pid_t child = fork();
    if (child == 0)
        start_again(path, shared, number);
    pf_err err = PF_OK;
    if (child < 0)
        err = pf_fail(PF_EIO, "%s: cannot start a process: %s", path, strerror(errno));
    while (!err && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!err && !(err = judge(status, path)))
        err = collect(bytes, size, shared, path);
    close(shared);
    return err;
}
