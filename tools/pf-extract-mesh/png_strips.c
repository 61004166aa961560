/* png_strips.c - the rows of a strip are compressed on their own, up to a byte's end, and follow
 * each other in one stream of zlib's, whose sum is combined from the strips' (as pigz does). */
#include "tools/pf-extract-mesh/png_strips.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

enum { STRIP = 64 };            /* rows */
enum { LEVEL = 4 };             /* as common/image_png.c */
enum { LEFT = 1, ABOVE = 2 };    /* what PNG calls the filters sub and up */

struct strip {
    uint8_t *bytes;             /* compressed, owned */
    size_t size, raw;           /* raw: before that */
    uLong sum;                  /* Adler's, of what is compressed */
    bool done;
};

/* Row y as its difference to the left or the row above, whichever is smaller, behind the filter's
 * number. */
static void
filter(uint8_t *to, const pf_image *image, int y)
{
    const int n = 3 * image->width;
    const uint8_t *const row = image->pixel + (int64_t)y * n, *const above = row - n;
    int64_t left_size = 0, above_size = 0;
    for (int x = 0; x < n; x++) {
        left_size += abs((int8_t)(row[x] - (x < 3 ? 0 : row[x - 3])));
        above_size += y ? abs((int8_t)(row[x] - above[x])) : 0;
    }
    to[0] = y && above_size <= left_size ? ABOVE : LEFT;
    for (int x = 0; x < n; x++)
        to[1 + x] = (uint8_t)(row[x] - (to[0] == ABOVE ? above[x] : x < 3 ? 0 : row[x - 3]));
}

static void
compress_strip(struct strip *s, const pf_image *image, int from, int end)
{
    const size_t row = 3 * (size_t)image->width + 1;
    z_stream z = {0};
    s->raw = row * (size_t)(end - from);
    uint8_t *const raw = malloc(s->raw);
    if (raw && deflateInit2(&z, LEVEL, Z_DEFLATED, -15, 8, Z_FILTERED) == Z_OK) {
        const uLong room = deflateBound(&z, s->raw) + 16;       // and the mark at the end
        for (int y = from; y < end; y++)
            filter(raw + row * (size_t)(y - from), image, y);
        s->sum = adler32(adler32(0, NULL, 0), raw, (uInt)s->raw);
        s->bytes = malloc(room);
        z.next_in = raw;
        z.avail_in = (uInt)s->raw;
        z.next_out = s->bytes;
        z.avail_out = (uInt)room;
        const bool last = end == image->height;
        const int said = s->bytes ? deflate(&z, last ? Z_FINISH : Z_SYNC_FLUSH) : Z_MEM_ERROR;
        s->done = said == (last ? Z_STREAM_END : Z_OK) && z.avail_in == 0;
        s->size = z.total_out;
        deflateEnd(&z);
    }
    free(raw);
}

static void
put_u32(uint8_t to[4], size_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A chunk's length and name; its sum begins with the name. */
static uLong
begin_chunk(FILE *to, const char *name, size_t size)
{
    uint8_t head[8];
    put_u32(head, size);
    memcpy(head + 4, name, 4);
    fwrite(head, 1, sizeof head, to);
    return crc32(crc32(0, NULL, 0), head + 4, 4);
}

static uLong
add(FILE *to, uLong sum, const void *bytes, size_t n)
{
    fwrite(bytes, 1, n, to);
    return crc32(sum, bytes, (uInt)n);
}

static void
end_chunk(FILE *to, uLong sum)
{
    uint8_t tail[4];
    put_u32(tail, sum);
    fwrite(tail, 1, sizeof tail, to);
}

static void
write_chunks(FILE *to, const pf_image *image, const struct strip *s, int strips)
{
    static const uint8_t zlib_head[2] = {0x78, 0x5e};
    uint8_t head[13] = {[8] = 8, [9] = 2};      // eight bits, RGB
    uint8_t tail[4];
    uLong all = adler32(0, NULL, 0);
    size_t size = sizeof zlib_head + sizeof tail;
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, to);
    put_u32(head, (size_t)image->width);
    put_u32(head + 4, (size_t)image->height);
    end_chunk(to, add(to, begin_chunk(to, "IHDR", sizeof head), head, sizeof head));
    for (int i = 0; i < strips; i++) {
        all = adler32_combine(all, s[i].sum, (z_off_t)s[i].raw);
        size += s[i].size;
    }
    uLong sum = add(to, begin_chunk(to, "IDAT", size), zlib_head, sizeof zlib_head);
    for (int i = 0; i < strips; i++)
        sum = add(to, sum, s[i].bytes, s[i].size);
    put_u32(tail, all);
    end_chunk(to, add(to, sum, tail, sizeof tail));
    end_chunk(to, begin_chunk(to, "IEND", 0));
}

pf_err
pf_png_strips_write(const pf_image *image, FILE *to)
{
    const int strips = (image->height + STRIP - 1) / STRIP;
    struct strip *const s = calloc((size_t)strips + 1, sizeof *s);
    bool done = s != NULL;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < strips; i++)
        if (s)
            compress_strip(&s[i], image, i * STRIP,
                           i + 1 < strips ? (i + 1) * STRIP : image->height);
    for (int i = 0; s && i < strips; i++)
        done &= s[i].done;
    if (done)
        write_chunks(to, image, s, strips);
    for (int i = 0; s && i < strips; i++)
        free(s[i].bytes);
    free(s);
    return done ? PF_OK : pf_fail(PF_ENOMEM, "no memory to compress a picture of %d x %d pixels",
                                  image->width, image->height);
}
