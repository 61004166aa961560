/* fuzz_checkpoint.c - any bytes as a weights file: opened, every tensor read and verified.
 *
 *     clang -fsanitize=fuzzer,address -DPF_FUZZER ... tests/fuzz/fuzz_checkpoint.c
 *
 * Without PF_FUZZER it replays the files given, or all of tests/data/checkpoint, each whole and
 * with single bytes changed, and speaks TAP. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checkpoint.h"
#include "common/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile unsigned char seen;     // so that reading the data is not optimised away

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pf_checkpoint *w;
    if (pf_checkpoint_open_memory(&w, bytes, size, "fuzz"))
        return 0;
    for (int i = 0; i < pf_checkpoint_count(w); i++) {
        pf_tensor t;
        if (pf_checkpoint_read(w, i, &t) == PF_OK && pf_tensor_bytes(&t))
            seen = (unsigned char)(((unsigned char *)t.data)[0] ^
                                   ((unsigned char *)t.data)[pf_tensor_bytes(&t) - 1]);
        if (pf_checkpoint_verify(w, i))
            seen = 0;
        pf_checkpoint_drop(w, i);
    }
    pf_checkpoint_close(w);
    return 0;
}

#ifndef PF_FUZZER
enum { LARGEST = 1 << 24, CHANGES = 200 };

/* The bytes of a file in memory of exactly their size, so that sanitizers see a read past them. */
static uint8_t *
read_whole(const char *path, size_t *size)
{
    static uint8_t bytes[LARGEST];
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    *size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    uint8_t *copy = malloc(*size ? *size : 1);
    if (copy)
        memcpy(copy, bytes, *size);
    return copy;
}

static void
replay(const char *path)
{
    static int number;
    size_t size;
    uint8_t *bytes = read_whole(path, &size);
    if (!bytes) {
        printf("not ok %d - %s cannot be read\n", ++number, path);
        return;
    }
    LLVMFuzzerTestOneInput(bytes, size);
    for (uint64_t i = 0; i < CHANGES && size; i++) {
        const double where = pf_rng_uniform(1, PF_RNG_TEST, 2 * i) * (double)size;
        uint8_t *byte = &bytes[(size_t)where % size];
        const uint8_t was = *byte;
        *byte = (uint8_t)(256 * pf_rng_uniform(1, PF_RNG_TEST, 2 * i + 1));
        LLVMFuzzerTestOneInput(bytes, size);
        *byte = was;
    }
    free(bytes);
    printf("ok %d - %s\n", ++number, path);
}

static void
replay_folder(const char *folder)
{
    struct dirent **entry;
    const int n = scandir(folder, &entry, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char path[1000];
        snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        if (entry[i]->d_name[0] != '.')
            replay(path);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
}

int
main(int argc, char *argv[])
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    if (argc < 2)
        replay_folder("tests/data/checkpoint");
    return 0;
}
#endif
