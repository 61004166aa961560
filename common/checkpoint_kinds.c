/* checkpoint_kinds.c - what a file is that is not a weights file: people have downloaded a page, or
 * not unpacked an archive. */
#include <string.h>

#include "common/checkpoint_parts.h"

static const struct kind {
    size_t at;
    const char *bytes;
    size_t n;
    const char *what;
} kinds[] = {
#define KIND(AT, BYTES, WHAT) {AT, BYTES, sizeof BYTES - 1, WHAT}
    KIND(0, "version https://git-lfs",
         "is a Git LFS pointer, not the file itself: get it with git lfs pull"),
    KIND(0, "<!DOCTYPE", "is an HTML page: the download gave a web page instead of the file"),
    KIND(0, "<!doctype", "is an HTML page: the download gave a web page instead of the file"),
    KIND(0, "<html", "is an HTML page: the download gave a web page instead of the file"),
    KIND(0, "<HTML", "is an HTML page: the download gave a web page instead of the file"),
    KIND(0, "<?xml", "is XML: the download gave a message instead of the file"),
    KIND(0, "<Error", "is XML: the download gave a message instead of the file"),
    KIND(0, "\x1f\x8b", "is packed with gzip: unpack it first"),
    KIND(0, "7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it first"),
    KIND(0, "\x28\xb5\x2f\xfd", "is packed with zstd: unpack it first"),
    KIND(0, "\xfd" "7zXZ", "is packed with xz: unpack it first"),
    KIND(0, "BZh", "is packed with bzip2: unpack it first"),
    KIND(0, "Rar!\x1a", "is a RAR archive: unpack it first"),
    KIND(257, "ustar", "is a tar archive: unpack it first"),
    KIND(0, "GGUF", "is a GGUF file, which is not read: the model's .safetensors or .ckpt is"),
    KIND(0, "\x89HDF\r\n\x1a\n", "is an HDF5 file (Keras), which is not read"),
    KIND(0, "\x93NUMPY", "is a NumPy array, not a model's weights"),
    KIND(4, "TFL3", "is a TensorFlow Lite model, which is not read"),
    KIND(0, "\x89PNG", "is a PNG picture"),
    KIND(0, "\xff\xd8\xff", "is a JPEG picture"),
    KIND(0, "%PDF", "is a PDF document"),
#undef KIND
};

pf_err
pf_checkpoint_other_kind(const pf_checkpoint *w)
{
    size_t start = 0;                           // of text, behind blanks and a byte order mark
    if (w->size >= 3 && memcmp(w->bytes, "\xef\xbb\xbf", 3) == 0)
        start = 3;
    while (start < w->size && start < 100 && memchr(" \t\r\n", w->bytes[start], 4))
        start++;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct kind *const k = &kinds[i];
        const size_t at = k->at + (k->bytes[0] == '<' ? start : 0);
        if (w->size >= at + k->n && memcmp(w->bytes + at, k->bytes, k->n) == 0)
            return pf_fail(PF_EFORMAT, "%s", k->what);
    }
    if (start < w->size && (w->bytes[start] == '{' || w->bytes[start] == '['))
        return pf_fail(PF_EFORMAT, "is JSON, but no index of weights (no weight_map)");
    return pf_fail(PF_EFORMAT, "is not a weights file (.safetensors, a .ckpt or .pt of PyTorch, "
                   "or .onnx)");
}
