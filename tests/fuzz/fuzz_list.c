/* fuzz_list.c - any bytes as a list of photos: what was read has photo and name in every row. */
// uses: tools/pf-crop/list.c
#include <math.h>

#include "tests/fuzz/replay.h"
#include "tools/pf-crop/list.h"

static void
expect(const struct list_row *row)
{
    if (!row->photo || !row->object || !*row->object || strchr(row->object, '/'))
        abort();
    if (fabs(row->elevation_deg) > 89 || fabs(row->azimuth_deg) > 360 || row->crop_px < LIST_NONE ||
        row->crop_px > 4096 || row->seed < -1)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct list list;
    if (list_read(&list, replay_path(bytes, size)))
        return 0;
    if (list.n < 1)
        abort();
    for (int i = 0; i < list.n; i++)
        expect(&list.row[i]);
    list_release(&list);
    return 0;
}

REPLAY("tests/data/seeds/list", 200)
