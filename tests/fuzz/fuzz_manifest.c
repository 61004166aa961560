/* fuzz_manifest.c - any bytes as a batch's manifest, by both that read it: pf-stream table, and
 * pf-report, which finds no photo beside it. */
// uses: tools/pf-stream/table.c tools/pf-report/manifest.c tools/pf-report/folder.c
// uses: tools/pf-report/history.c tools/pf-report/html.c
#include <stdbool.h>
#include <unistd.h>

#include "tests/fuzz/replay.h"
#include "tools/pf-report/manifest.h"
#include "tools/pf-stream/table.h"

static char path[64];

static void
remove_file(void)
{
    unlink(path);
    *strrchr(path, '/') = 0;
    rmdir(path);
}

/* The bytes as a file in a folder of its own, not in replay_path's, where every number is a file
 * that is open. */
static void
put_file(const uint8_t *bytes, size_t size)
{
    if (!*path) {
        char folder[] = "/tmp/fuzz_manifest.XXXXXX";
        if (!mkdtemp(folder))
            abort();
        snprintf(path, sizeof path, "%s/manifest.jsonl", folder);
        atexit(remove_file);
    }
    FILE *const f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f))
        abort();
}

/* A table has no control characters but ends of lines: a terminal shows it. */
static void
expect_plain(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)text[i] < ' ' && text[i] != '\n') || text[i] == 127)
            abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    put_file(bytes, size);
    json_t *const last = json_object();
    char *text = NULL;
    size_t length = 0;
    FILE *const to = open_memstream(&text, &length);
    if (!last || !to)
        abort();
    const bool read = !table_read(last, path);
    if (read && table_print(to, last))
        abort();
    fflush(to);
    expect_plain(text, length);
    const bool written = !manifest_write(to, path, 1, 60);
    fclose(to);
    if (written && !length)
        abort();
    free(text);
    json_decref(last);
    return 0;
}

REPLAY("tests/data/seeds/manifest", 100)
