/* replay.h - a fuzz target as a test: main without libFuzzer, which hands over files one by one and
 * speaks TAP.
 *
 *     return replay_files(argc, argv, "tests/data/images", replay); */
#ifndef PF_TEST_REPLAY_H
#define PF_TEST_REPLAY_H
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/rng.h"

typedef void replay_fn(uint8_t *bytes, size_t size);

/* The bytes of a file in memory of exactly their size, so that sanitizers see a read past them;
 * NULL where it cannot be read. */
static inline uint8_t *
replay_read(const char *path, size_t *size)
{
    static uint8_t bytes[1 << 24];
    FILE *const f = fopen(path, "rb");
    if (!f)
        return NULL;
    *size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    uint8_t *const copy = malloc(*size ? *size : 1);
    if (copy)
        memcpy(copy, bytes, *size);
    return copy;
}

/* A name under which readers that open by name find these bytes, until the next call. */
static inline const char *
replay_path(const uint8_t *bytes, size_t size)
{
    static char path[64];
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("fuzz", 0);
    if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, bytes, size, 0) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* The bytes as they are, and with a random one of them changed, so many times. */
static inline void
replay_changed(uint8_t *bytes, size_t size, uint64_t changes)
{
    LLVMFuzzerTestOneInput(bytes, size);
    for (uint64_t i = 0; i < changes && size; i++) {
        const double where = pf_rng_uniform(1, PF_RNG_TEST, 2 * i) * (double)size;
        uint8_t *const byte = &bytes[(size_t)where % size];
        const uint8_t was = *byte;
        *byte = (uint8_t)(256 * pf_rng_uniform(1, PF_RNG_TEST, 2 * i + 1));
        LLVMFuzzerTestOneInput(bytes, size);
        *byte = was;
    }
}

static inline void
replay_file(const char *path, int number, replay_fn *replay)
{
    size_t size;
    uint8_t *const bytes = replay_read(path, &size);
    if (!bytes) {
        printf("not ok %d - cannot read %s\n", number, path);
        return;
    }
    replay(bytes, size);
    free(bytes);
    printf("ok %d - %s\n", number, path);
}

/* The files of the command line or, where there are none, all of the folder.  Returns main's. */
static inline int
replay_files(int argc, char *argv[], const char *folder, replay_fn *replay)
{
    struct dirent **entry = NULL;
    const int entries = argc > 1 ? 0 : scandir(folder, &entry, NULL, alphasort);
    int number = 0;
    for (int i = 1; i < argc; i++)
        replay_file(argv[i], ++number, replay);
    for (int i = 0; i < entries; i++) {
        char path[1000];
        snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        if (entry[i]->d_name[0] != '.')
            replay_file(path, ++number, replay);
        free(entry[i]);
    }
    free(entry);
    if (!number)
        printf("not ok 1 - no files in %s\n", folder);
    return number == 0;
}

/* main of a target that replays a folder, each file whole and with so many single bytes changed. */
#ifdef PF_FUZZER
#define REPLAY(folder, changes)
#else
#define REPLAY(folder, changes)                                     \
    static void                                                     \
    replay(uint8_t *bytes, size_t size)                             \
    {                                                               \
        replay_changed(bytes, size, changes);                       \
    }                                                               \
    int                                                             \
    main(int argc, char *argv[])                                    \
    {                                                               \
        return replay_files(argc, argv, folder, replay);            \
    }
#endif

#endif
