/* fuzz_colmap.c - any bytes as COLMAP's text model: cameras.txt, and behind a NUL images.txt. */
#include "common/capture.h"
#include "tests/fuzz/replay.h"

static void
write_file(const char *folder, const char *name, const uint8_t *bytes, size_t size)
{
    char path[100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *const f = fopen(path, "w");
    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f))
        abort();
}

static char folder[] = "/tmp/pf-fuzz-colmap-XXXXXX";

static void
remove_folder(void)
{
    char path[100];
    snprintf(path, sizeof path, "%s/cameras.txt", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/images.txt", folder);
    unlink(path);
    rmdir(folder);
}

/* A lens has a focal length, whatever the file calls it. */
static void
expect_lenses(const struct pf_capture *c)
{
    double K[9];
    for (int i = 0; i < c->shots; i++) {
        pf_shot_intrinsics(K, &c->shot[i], 64, 48);
        if (!(K[0] > 0 && K[4] > 0))
            abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static bool made;
    struct pf_capture c = {0};
    const uint8_t *const nul = size ? memchr(bytes, 0, size) : NULL;
    const size_t cameras = nul ? (size_t)(nul - bytes) : size;
    if (!made && (!mkdtemp(folder) || atexit(remove_folder)))
        abort();
    made = true;
    write_file(folder, "cameras.txt", bytes, cameras);
    write_file(folder, "images.txt", nul ? nul + 1 : bytes, nul ? size - cameras - 1 : 0);
    if (pf_capture_read(&c, folder, "tests/data/images") == PF_OK) {
        if (c.shots < 1)
            abort();
        expect_lenses(&c);
    }
    pf_capture_release(&c);
    return 0;
}

REPLAY("tests/data/seeds/colmap", 200)
