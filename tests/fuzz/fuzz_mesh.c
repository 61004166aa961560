/* fuzz_mesh.c - any bytes at all as what the importing child hands over: refused or taken, never a
 * crash.
 *
 *     make fuzz T=mesh SECONDS=600
 *
 * Without PF_FUZZER it replays the files given, what a child may have handed over, or else those of
 * tests/data/seeds/mesh with bytes changed, and imports all of tests/data/mesh, cut short and with
 * bytes changed, and then changes what the child made of two whole ones; it speaks TAP. */
#include <unistd.h>

#include "common/stream.h"
#include "kernels/raster/scene.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char *path = "tests/data/mesh/fuzz";

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pf_stream *in;
    pf_doc doc = {0};
    pf_scene scene;
    struct pf_world world;

    if (pf_stream_open_memory(&in, bytes, size))
        return 0;
    if (!pf_stream_read(in, &doc) && !pf_scene_take(&scene, &doc, path, 16)) {
        pf_scene_place(&scene, &(struct pf_scene_place){.up = scene.up, .scale = 1}, &world);
        for (int64_t i = 0; i < 3 * scene.triangles; i++)
            if (scene.index[i] >= scene.vertices)
                abort();
        pf_scene_release(&scene);
    }
    pf_doc_release(&doc);
    pf_stream_close(in);
    return 0;
}

#ifdef PF_FUZZER
size_t
LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed)
{
    return repair_document(bytes, size, most, seed);
}
#else
/* A document without the checksums that would keep changed bytes out. */
static void
without_checksums(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i + 9 < size; i++)
        if (memcmp(bytes + i, "\"pf.crc32\"", 10) == 0)
            memcpy(bytes + i, "\"no.crc32\"", 10);
}

static void
import(const uint8_t *bytes, size_t size, const char *ending)
{
    char name[64];
    uint8_t *made;
    size_t n;
    snprintf(name, sizeof name, "/tmp/fuzz_mesh.%d.%s", (int)getpid(), ending);
    FILE *const f = fopen(name, "wb");
    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f))
        abort();
    if (!pf_scene_import(&made, &n, name)) {
        without_checksums(made, n);
        LLVMFuzzerTestOneInput(made, n);
        free(made);
    }
    unlink(name);
}

static void
replay(uint8_t *bytes, size_t size)
{
    static const char *const endings[] = {"obj", "glb", "dae", "fbx", "stl"};
    static const char *const starts[] = {"mtll", "glTF", "<?xm", "; FB", "box "};
    for (int i = 0; i < 5; i++) {
        if (size < 4 || memcmp(bytes, starts[i], 4) != 0)
            continue;
        for (int cut = 1; cut < 3; cut++)
            import(bytes, size * (size_t)cut / 3, endings[i]);
        for (int change = 0; change < 3; change++) {
            uint8_t *const byte = &bytes[pf_rng_u32(2, PF_RNG_TEST, (uint64_t)change) % size];
            *byte ^= (uint8_t)(1 << change);
            import(bytes, size, endings[i]);
            *byte ^= (uint8_t)(1 << change);
        }
    }
}

/* What the child could hand over, by hand. */
static void
replay_document(uint8_t *bytes, size_t size)
{
    replay_changed(bytes, size, 100);
}

/* A mesh of the data as the child hands it over, with bytes changed. */
static void
replay_import(const char *mesh, uint64_t changes)
{
    uint8_t *made;
    size_t size;
    if (pf_scene_import(&made, &size, mesh))
        abort();
    path = mesh;
    without_checksums(made, size);
    replay_changed(made, size, changes);
    free(made);
}

int
main(int argc, char *argv[])
{
    if (argc >= 2)
        return replay_files(argc, argv, NULL, replay_document);
    replay_import("tests/data/mesh/box.obj", 100);
    replay_import("tests/data/mesh/box.glb", 100);
    path = "tests/data/seeds/mesh/a.glb";
    if (replay_files(argc, argv, "tests/data/seeds/mesh", replay_document))
        return 1;
    return replay_files(argc, argv, "tests/data/mesh", replay);
}
#endif
