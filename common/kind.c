/* kind.c - see kind.h. */
#include "common/kind.h"

#include <string.h>
#include <strings.h>

#include "common/bytes.h"
#include "common/onnx.h"
#include "common/safetensors.h"

#define PAGE "the download gave a web page instead of the file"
#define MESSAGE "the download gave a message instead of the file"
#define UNPACK "unpack it first"
#define CURL "curl -L -o photo.png ADDRESS"
#define OPENJPEG "opj_decompress -i %s -o photo.png"
#define RSVG "rsvg-convert -o photo.png %s"

static const struct {
    size_t at, n;
    const char *bytes;
    struct pf_kind kind;
} magics[] = {
#define MAGIC(AT, BYTES, WHAT, ...) {AT, sizeof BYTES - 1, BYTES, {.what = WHAT, __VA_ARGS__}}
    MAGIC(0, "version https://git-lfs", "a Git LFS pointer",
          .advice = "get the file itself with git lfs pull", .command = "git lfs pull"),
    MAGIC(0, "\x1f\x8b", "a gzip file", .advice = UNPACK),
    MAGIC(0, "7z\xbc\xaf\x27\x1c", "a 7z archive", .advice = UNPACK),
    MAGIC(0, "\x28\xb5\x2f\xfd", "a zstd file", .advice = UNPACK),
    MAGIC(0, "\xfd" "7zXZ", "an xz file", .advice = UNPACK),
    MAGIC(0, "BZh", "a bzip2 file", .advice = UNPACK),
    MAGIC(0, "Rar!\x1a", "a RAR archive", .advice = UNPACK),
    MAGIC(257, "ustar", "a tar archive", .advice = UNPACK),
    MAGIC(0, "PK\3\4", "a zip archive or a checkpoint of PyTorch"),
    MAGIC(0, "\x80\2", "a checkpoint of PyTorch, or another pickle"),
    MAGIC(0, "GGUF", "a GGUF file", .advice = "take the model's .safetensors or .ckpt"),
    MAGIC(0, "\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)"),
    MAGIC(0, "\x93NUMPY", "a NumPy array"),
    MAGIC(4, "TFL3", "a TensorFlow Lite model"),
    MAGIC(0, "\x89PNG", "a PNG picture"),
    MAGIC(0, "\xff\xd8\xff", "a JPEG picture"),
    MAGIC(8, "WEBP", "a WebP picture"),
    MAGIC(4, "ftypheic", "a HEIC picture", .command = "heif-convert %s photo.png"),
    MAGIC(4, "ftypheix", "a HEIC picture", .command = "heif-convert %s photo.png"),
    MAGIC(4, "ftyphevc", "a HEIC picture", .command = "heif-convert %s photo.png"),
    MAGIC(4, "ftypmif1", "a HEIF picture", .command = "heif-convert %s photo.png"),
    MAGIC(4, "ftypmsf1", "a HEIF picture", .command = "heif-convert %s photo.png"),
    MAGIC(4, "ftypavif", "an AVIF picture", .command = "avifdec %s photo.png"),
    MAGIC(4, "ftypavis", "an AVIF picture", .command = "avifdec %s photo.png"),
    MAGIC(4, "ftypcrx ", "a raw picture", .command = "darktable-cli %s photo.png"),
    MAGIC(4, "ftyp", "a video", .command = "ffmpeg -i %s -frames:v 1 photo.png"),
    MAGIC(0, "\x1a\x45\xdf\xa3", "a video", .command = "ffmpeg -i %s -frames:v 1 photo.png"),
    MAGIC(0, "YUV4MPEG2", "a video", .command = "ffmpeg -i %s -frames:v 1 photo.png"),
    MAGIC(0, "II*\0", "a TIFF picture", .command = "convert %s[0] photo.png"),
    MAGIC(0, "MM\0*", "a TIFF picture", .command = "convert %s[0] photo.png"),
    MAGIC(0, "GIF8", "a GIF picture", .command = "convert %s[0] photo.png"),
    MAGIC(0, "\0\0\0\x0cjP  ", "a JPEG 2000 picture", .command = OPENJPEG),
    MAGIC(0, "\xff\x4f\xff\x51", "a JPEG 2000 picture", .command = OPENJPEG),
    MAGIC(0, "\0\0\0\x0cJXL ", "a JPEG XL picture", .command = "djxl %s photo.png"),
    MAGIC(0, "\xff\x0a", "a JPEG XL picture", .command = "djxl %s photo.png"),
    MAGIC(0, "8BPS", "a Photoshop picture", .command = "convert %s[0] photo.png"),
    MAGIC(0, "%PDF", "a PDF document", .command = "pdftoppm -png -singlefile -r 300 %s photo"),
    MAGIC(0, "glTF", "a GLB mesh"),
    MAGIC(0, "ply\n", "a PLY mesh"),
    MAGIC(0, "ply\r", "a PLY mesh"),
#undef MAGIC
};

/* Of text, behind blanks and a byte order mark, in capitals or not. */
static const struct {
    const char *start;
    struct pf_kind kind;
} texts[] = {
    {"<!doctype html", {.what = "an HTML page", .advice = PAGE, .command = CURL}},
    {"<html", {.what = "an HTML page", .advice = PAGE, .command = CURL}},
    {"<svg", {.what = "an SVG drawing", .command = RSVG}},
    {"<error", {.what = "XML", .advice = MESSAGE}},
    {"{", {.what = "JSON", .json = true}},
    {"[", {.what = "JSON", .json = true}},
};

/* XML may be a drawing, or what a server says instead. */
static const struct pf_kind xml = {.what = "XML", .advice = MESSAGE},
                            svg = {.what = "an SVG drawing", .command = RSVG},
                            bmp = {.what = "a BMP picture", .command = "convert %s photo.png"},
                            onnx = {.what = "an ONNX model"},
                            document = {.what = "a stream or a safetensors file"};

static bool
has(const unsigned char *p, size_t size, size_t at, const char *bytes, size_t n)
{
    return size >= at + n && memcmp(p + at, bytes, n) == 0;
}

static bool
is_document(const unsigned char *p, size_t size)
{
    return size > 8 && p[8] == '{' && pf_little(p, 8) >= 2 && pf_little(p, 8) <= PF_ST_HEADER_MAX;
}

static const struct pf_kind *
text_of(const unsigned char *p, size_t size)
{
    size_t i = has(p, size, 0, "\xef\xbb\xbf", 3) ? 3 : 0;
    while (i < size && p[i] && strchr(" \t\r\n", p[i]))
        i++;
    const char *const text = (const char *)p + i;
    const size_t left = size - i;
    if (left >= 5 && !strncasecmp(text, "<?xml", 5))
        return memmem(text, left, "<svg", 4) ? &svg : &xml;
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        if (left >= strlen(texts[k].start) &&
            !strncasecmp(text, texts[k].start, strlen(texts[k].start)))
            return &texts[k].kind;
    return NULL;
}

const struct pf_kind *
pf_kind_of(const void *bytes, size_t size)
{
    const unsigned char *p = bytes;
    if (is_document(p, size))
        return &document;
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if (has(p, size, magics[i].at, magics[i].bytes, magics[i].n))
            return &magics[i].kind;
    if (has(p, size, 0, "BM", 2) && has(p, size, 6, "\0\0\0\0", 4))    /* BM alone may be a text */
        return &bmp;
    const struct pf_kind *text = text_of(p, size);
    return text ? text : pf_onnx_is(p, size) ? &onnx : NULL;
}

pf_err
pf_kind_fail(const struct pf_kind *kind, const char *expected)
{
    return pf_fail(PF_EFORMAT, "is %s, not %s%s%s", kind->what, expected, kind->advice ? ": " : "",
                   kind->advice ? kind->advice : "");
}

pf_err
pf_fail_empty(const char *name)
{
    return pf_fail(PF_EFORMAT, "%s is empty%s", name,
                   strcmp(name, "stdin") ? "" : "; did the command before this one fail?");
}
