/* Pluecker maps and epipolar masks against cameras.md's test vectors and the golden folder. */
#include <zlib.h>

#include "kernels/spad.h"
#include "kernels/strips.h"
#include "tests/kernels/operator.h"
#include "tests/tools/golden.h"

enum { N = 32, TOKENS = N * N };

static double
rad(double deg)
{
    return (float)(deg * PF_PI / 180);          // the original's angles are float32
}

/* f64 [V, 2, 4, 3]: V targets around the ring from this azimuth on, and one input.  Degrees. */
static pf_tensor
ring(int V, double elevation, double azimuth, double input, double input_azimuth)
{
    pf_tensor t = {0};
    assert_ok(PF_TENSOR_NEW(&t, PF_F64, V, 2, 4, 3));
    struct pf_spad_camera *const c = t.data;
    for (int v = 0; v < V; v++) {
        pf_spad_camera(&c[2 * v], rad(elevation), rad(azimuth + 360.0 * v / V));
        pf_spad_camera(&c[2 * v + 1], rad(input), rad(input_azimuth));
    }
    return t;
}

/* Results that have no NaN to show that nothing was written: all ones. */
static pf_tensor
mask_of(const pf_tensor *cameras, int n, int h)
{
    const int T = 2 * h * h;
    pf_tensor t = {0};
    assert_ok(PF_TENSOR_NEW(&t, PF_U32, cameras->dim[0], T, (T + 31) / 32));
    memset(t.data, 0xff, pf_tensor_bytes(&t));
    assert_ok(pf_epipolar_mask(cpu, &t, cameras, n, h));
    return t;
}

static pf_tensor
map_of(const pf_tensor *cameras, int n, int h)
{
    pf_tensor t = {0};
    assert_ok(PF_TENSOR_NEW(&t, PF_F32, cameras->dim[0], 2 * h * h, 6));
    memset(t.data, 0xff, pf_tensor_bytes(&t));
    assert_ok(pf_plucker_tokens(cpu, &t, cameras, n, h));
    return t;
}

/* Does pixel p of camera a see pixel q of camera b of view 0? */
static bool
sees(const pf_tensor *mask, int a, int p, int b, int q)
{
    const int side = (int)sqrt((double)mask->dim[1] / 2), k = pf_strip_place(2 * q + b, side);
    const uint32_t *const row =
        (const uint32_t *)mask->data + pf_strip_place(2 * p + a, side) * mask->dim[2];
    return row[k / 32] >> k % 32 & 1;
}

static int
row_count(const pf_tensor *mask, int a, int p, int b)
{
    int count = 0;
    for (int q = 0; q < mask->dim[1] / 2; q++)
        count += sees(mask, a, p, b, q);
    return count;
}

static int
block_count(const pf_tensor *mask, int a, int b)
{
    int count = 0;
    for (int p = 0; p < mask->dim[1] / 2; p++)
        count += row_count(mask, a, p, b);
    return count;
}

/* The CRC of cameras.md, 8: bits packed from the least significant. */
static uint32_t
block_crc(const pf_tensor *mask, int a, int b)
{
    uint8_t bytes[TOKENS / 8];
    uLong crc = crc32(0, NULL, 0);
    for (int p = 0; p < TOKENS; p++) {
        memset(bytes, 0, sizeof bytes);
        for (int q = 0; q < TOKENS; q++)
            bytes[q / 8] |= (uint8_t)(sees(mask, a, p, b, q) << q % 8);
        crc = crc32(crc, bytes, sizeof bytes);
    }
    return (uint32_t)crc;
}

/* ---- maps ---- */

/* cameras.md, 8. */
static void
test_plucker_vectors(void **state)
{
    static const struct {
        int input, i, j;
        float v[6];
    } vector[] = {
        {0, 0, 0, {-0.679066f, -0.687526f, -0.257251f, 0.549779f, -0.381645f, -0.431272f}},
        {0, 31, 5, {-0.290928f, -0.406835f, -0.865937f, 0.011485f, 0.638771f, -0.303966f}},
        {1, 10, 20, {-0.479894f, 0.126001f, -0.868231f, -0.177603f, -0.231001f, 0.064642f}},
    };
    pf_tensor cameras = ring(1, 50, 22.5, 20, 0), map = map_of(&cameras, N, N);
    (void)state;
    for (int k = 0; k < 3; k++)
        assert_near(floats(&map) + 6 * (2 * (vector[k].i * N + vector[k].j) + vector[k].input),
                    vector[k].v, 6, 1e-6);
    pf_tensor_release(&map);
    pf_tensor_release(&cameras);
}

/* Elevation 0 is the pole of SPAD's polar angle: the limit from above, where the original has
 * NaN. */
static void
test_plucker_at_elevation_zero_is_the_limit(void **state)
{
    pf_tensor at = ring(1, 0, 63, 0, 0), near = ring(1, 1e-4, 63, 1e-4, 0);
    pf_tensor a = map_of(&at, N, N), b = map_of(&near, N, N);
    (void)state;
    assert_near(floats(&a), floats(&b), 12 * TOKENS, 1e-5);
    pf_tensor_release(&a);
    pf_tensor_release(&b);
    pf_tensor_release(&at);
    pf_tensor_release(&near);
}

/* A map of side h is the mean of the four pixels around each centre, or the one that is there. */
static void
test_plucker_shrinks_to_means(void **state)
{
    static const int side[][2] = {{32, 16}, {32, 8}, {32, 4}, {12, 4}, {9, 3}, {7, 7}};
    pf_tensor cameras = ring(2, 50, 22.5, 20, 0);
    (void)state;
    for (int s = 0; s < 6; s++) {
        const int n = side[s][0], h = side[s][1], r = n / h;
        pf_tensor full = map_of(&cameras, n, n), map = map_of(&cameras, n, h);
        for (int t = 0; t < 2 * 2 * h * h; t++) {
            const int v = t / (2 * h * h), i = r * (t / 2 / h % h), j = r * (t / 2 % h),
                      a = (r - 1) / 2, b = r / 2;
            for (int k = 0; k < 6; k++) {
                const float *const p =
                    floats(&full) + 12 * (v * n * n + i * n + j) + 6 * (t % 2) + k;
                const float mean = (p[12 * (a * n + a)] + p[12 * (a * n + b)] +
                                    p[12 * (b * n + a)] + p[12 * (b * n + b)]) /
                                   4;
                assert_near(floats(&map) + 6 * t + k, &mean, 1, 1e-6);
            }
        }
        pf_tensor_release(&map);
        pf_tensor_release(&full);
    }
    pf_tensor_release(&cameras);
}

/* ---- masks ---- */

/* cameras.md, 8: both cross blocks of six pairs. */
static void
test_mask_vectors(void **state)
{
    static const struct {
        double elevation, azimuth, input;
        int sum[2];
        uint32_t crc[2];
        int rows[2][3];
    } vector[] = {
        {50, 22.5, 20, {90010, 93183}, {0x2e59176c, 0xc451b6cc}, {{58, 115, 84}, {103, 105, 105}}},
        {30, 90, 20, {91923, 89818}, {0xfdac4613, 0xb26d93eb}, {{116, 113, 114}, {19, 119, 0}}},
        {-20, 45, 10, {90644, 93556}, {0x4094bfbc, 0xa6f42965}, {{14, 114, 32}, {103, 106, 106}}},
        {70, 180, 30, {88532, 88532}, {0x9482f0b0, 0x9482f0b0}, {{6, 101, 91}, {6, 101, 91}}},
        {50, 0, 20, {94897, 94618}, {0x378591a8, 0x76e3936b}, {{12, 97, 82}, {81, 97, 13}}},
        {30, 337.5, -10, {94565, 93646}, {0xe08405bf, 0x76ec31ee}, {{35, 108, 72}, {0, 98, 0}}},
    };
    static const int row[3] = {0, 500, 1023};
    (void)state;
    for (int k = 0; k < 6; k++) {
        pf_tensor cameras = ring(1, vector[k].elevation, vector[k].azimuth, vector[k].input, 0);
        pf_tensor mask = mask_of(&cameras, N, N);
        for (int b = 0; b < 2; b++) {
            for (int r = 0; r < 3; r++)
                assert_int_equal(row_count(&mask, b, row[r], 1 - b), vector[k].rows[b][r]);
            assert_int_equal(block_count(&mask, b, 1 - b), vector[k].sum[b]);
            assert_int_equal(block_crc(&mask, b, 1 - b), vector[k].crc[b]);
            assert_int_equal(block_count(&mask, b, b), TOKENS * TOKENS);
        }
        pf_tensor_release(&mask);
        pf_tensor_release(&cameras);
    }
}

/* A ray that misses the other picture sees its own view alone: pixel 1023 of the input of the
 * pair above. */
static void
test_a_pixel_may_see_nothing_of_the_other_view(void **state)
{
    pf_tensor cameras = ring(1, 30, 90, 20, 0), mask = mask_of(&cameras, N, N);
    (void)state;
    assert_int_equal(row_count(&mask, 1, 1023, 1), TOKENS);
    assert_int_equal(row_count(&mask, 1, 1023, 0), 0);
    pf_tensor_release(&mask);
    pf_tensor_release(&cameras);
}

/* Cameras in one place, by the same angles and by the opposite azimuth of the opposite
 * elevation. */
static void
test_cameras_in_one_place_see_only_themselves(void **state)
{
    static const double angle[][2] = {{30, 0}, {-30, 180}};
    (void)state;
    for (int k = 0; k < 2; k++) {
        pf_tensor cameras = ring(1, angle[k][0], angle[k][1], 30, 0),
                  mask = mask_of(&cameras, N, N);
        assert_int_equal(block_count(&mask, 0, 1) + block_count(&mask, 1, 0), 0);
        assert_int_equal(block_count(&mask, 0, 0) + block_count(&mask, 1, 1), 2 * TOKENS * TOKENS);
        pf_tensor_release(&mask);
        pf_tensor_release(&cameras);
    }
}

/* Shrinking is nearest on the flattened index: pixel (y, x) of side 16 is pixel (2 y + (x >= 8),
 * 4 x mod 32) of side 32 (cameras.md, 7, flattened mask). */
static void
test_mask_shrinks_on_the_flattened_index(void **state)
{
    pf_tensor cameras = ring(1, 50, 22.5, 20, 0), mask = mask_of(&cameras, N, N);
    pf_tensor half = mask_of(&cameras, N, 16), tiny = mask_of(&cameras, N, 4);
    (void)state;
    for (int p = 0; p < 512; p++)
        for (int q = 0; q < 512; q++) {
            const int y = q / 2 / 16, x = q / 2 % 16, from = (2 * y + (x >= 8)) * N + 4 * x % N;
            assert_int_equal(sees(&half, p % 2, p / 2, q % 2, q / 2),
                             sees(&mask, p % 2, 4 * (p / 2), q % 2, from));
        }
    for (int p = 0; p < 32; p++)
        for (int q = 0; q < 32; q++)
            assert_int_equal(sees(&tiny, p % 2, p / 2, q % 2, q / 2),
                             sees(&mask, p % 2, 64 * (p / 2), q % 2, 64 * (q / 2)));
    pf_tensor_release(&tiny);
    pf_tensor_release(&half);
    pf_tensor_release(&mask);
    pf_tensor_release(&cameras);
}

/* Other latent sides scale the lens: any side gives lines through the same part of the picture. */
static void
test_mask_of_another_side_covers_the_same_share(void **state)
{
    pf_tensor cameras = ring(1, 50, 22.5, 20, 0), mask = mask_of(&cameras, 8, 8);
    const int count = block_count(&mask, 0, 1);
    (void)state;
    assert_int_equal(block_count(&mask, 0, 0), 64 * 64);
    assert_true(count > 64 * 64 / 5 && count < 64 * 64 / 2);    // 3 of 8 pixels wide
    pf_tensor_release(&mask);
    pf_tensor_release(&cameras);
}

/* Where the other camera is in the picture, lines start there and run the way that their pixels'
 * points lie. */
static void
test_lines_start_at_an_epipole_inside(void **state)
{
    pf_tensor cameras = ring(1, 70, 180, 70, 0);
    const struct pf_spad_camera *const c = cameras.data;
    const struct pf_point e = pf_spad_epipole(&c[0], &c[1], N);
    (void)state;
    assert_true(pf_spad_inside(e, N));
    for (int pixel = 0; pixel < TOKENS; pixel++) {
        const struct pf_segment s = pf_spad_segment(&c[0], &c[1], e, N, pixel);
        double d[3], at[3];
        pf_spad_ray(d, &c[0], N, pixel);
        for (int k = 0; k < 3; k++)
            at[k] = c[0].center[k] + PF_RIG_DISTANCE * d[k];
        const struct pf_point p = pf_spad_project(&c[1], N, at);
        const double x = p.x - e.x, y = p.y - e.y;
        assert_true(s.bx == pf_spad_cell(e.x) && s.by == pf_spad_cell(e.y));
        assert_true((s.ax - s.bx) * x + (s.ay - s.by) * y > -sqrt(x * x + y * y));
    }
    pf_tensor_release(&cameras);
}

/* Ends of lines are cut towards zero, but for what the original's floats took for a whole cell. */
static void
test_ends_are_cut_to_cells(void **state)
{
    (void)state;
    assert_true(pf_spad_cell(0) == 0 && pf_spad_cell(N) == N - 1);
    assert_true(pf_spad_cell(9.49) == 8 && pf_spad_cell(9.499996) == 9 && pf_spad_cell(10.49) == 9);
}

/* skimage.draw.line as cameras.md, 6 has it. */
static void
plain_line(bool *seen, int n, int x0, int y0, int x1, int y1)
{
    const bool steep = abs(y1 - y0) > abs(x1 - x0);
    int r = steep ? x0 : y0, c = steep ? y0 : x0;
    const int r1 = steep ? x1 : y1, c1 = steep ? y1 : x1, dr = abs(r1 - r), dc = abs(c1 - c);
    int d = 2 * dr - dc;
    for (int k = 0; k < dc; k++) {
        seen[steep ? c * n + r : r * n + c] = true;
        for (; d >= 0; d -= 2 * dc)
            r += r1 > r ? 1 : -1;
        c += c1 > c ? 1 : -1;
        d += 2 * dr;
    }
    seen[y1 * n + x1] = true;
}

static int
within(int v, int n)
{
    return v < 0 ? 0 : v < n ? v : n - 1;
}

/* All pixels of a segment's nine lines. */
static void
plain_lines(bool *seen, int n, const struct pf_segment *s)
{
    memset(seen, 0, (size_t)n * (size_t)n);
    for (int dy = -1; dy <= 1 && (s->ax + s->ay || s->bx + s->by); dy++)
        for (int dx = -1; dx <= 1; dx++)
            plain_line(seen, n, within(s->ax + dx, n), within(s->ay + dy, n), within(s->bx + dx, n),
                       within(s->by + dy, n));
}

/* Lines in fixed point are skimage's: between any two pixels of a small picture, and in the
 * greatest one. */
static void
test_lines_are_the_originals(void **state)
{
    enum { SMALL = 9 };
    static bool seen[SMALL * SMALL], drawn[SMALL * SMALL];
    (void)state;
    for (int i = 0; i < SMALL * SMALL * SMALL * SMALL; i++) {
        const int a = i % (SMALL * SMALL), b = i / (SMALL * SMALL);
        const struct pf_segment s = {a % SMALL, a / SMALL, b % SMALL, b / SMALL};
        memset(drawn, 0, sizeof drawn);
        plain_lines(seen, SMALL, &s);
        for (int shift = 0; shift < PF_SPAD_SHIFTS; shift++) {
            const struct pf_line l = pf_spad_line(&s, shift, SMALL);
            for (int k = 0; k <= l.length; k++)
                drawn[pf_spad_pixel(&l, k)] = true;
        }
        assert_memory_equal(drawn, seen, sizeof seen);
    }
    for (int minor = 0; minor < PF_SPAD_SIDE; minor += 63) {
        const int major = PF_SPAD_SIDE - 1;
        const struct pf_segment s = {0, minor, major, 0};
        const struct pf_line l = pf_spad_line(&s, 4, PF_SPAD_SIDE);
        assert_int_equal(l.length, major);
        for (int k = 0; k <= major; k++) {
            const int64_t up = (2 * (int64_t)minor * k + major) / (2 * major);
            assert_true(pf_spad_pixel(&l, k) == (minor - up) * PF_SPAD_SIDE + k);
        }
    }
}

/* Every side and every divisor of it, at pairs with the epipole inside and outside: the plain
 * picture of each pixel's lines, every (n / h)^2-th pixel of it, at bit 2 q + other of row 2 p +
 * own. */
static void
check_against_plain(const pf_tensor *cameras, int n)
{
    bool *const seen = malloc((size_t)(n * n));
    const struct pf_spad_camera *const c = cameras->data;
    assert_non_null(seen);
    for (int h = 1; h <= n; h++) {
        const int ratio = (n / h) * (n / h);
        if (n % h)
            continue;
        pf_tensor mask = mask_of(cameras, n, h);
        for (int t = 0; t < 2 * h * h; t++) {
            const int a = t % 2, p = t / 2;
            const struct pf_segment s = pf_spad_segment(
                &c[a], &c[1 - a], pf_spad_epipole(&c[a], &c[1 - a], n), n, p * ratio);
            plain_lines(seen, n, &s);
            for (int q = 0; q < h * h; q++) {
                assert_true(sees(&mask, a, p, a, q));
                assert_int_equal(sees(&mask, a, p, 1 - a, q), seen[q * ratio]);
            }
            if (mask.dim[1] % 32)               // nothing beyond the last token
                assert_int_equal(
                    ((uint32_t *)mask.data)[(t + 1) * mask.dim[2] - 1] >> mask.dim[1] % 32, 0);
        }
        pf_tensor_release(&mask);
    }
    free(seen);
}

static void
test_masks_of_any_side(void **state)
{
    static const int side[] = {1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 33};
    static const double angle[][3] = {
        {50, 22.5, 20}, {0, 180, -20}, {70, 180, 70}, {-89, 20, 80}, {30, 0, 30}};
    int inside = 0;
    (void)state;
    for (int k = 0; k < 5; k++) {
        pf_tensor cameras = ring(1, angle[k][0], angle[k][1], angle[k][2], 0);
        const struct pf_spad_camera *const c = cameras.data;
        inside += pf_spad_inside(pf_spad_epipole(&c[0], &c[1], N), N);
        for (int s = 0; s < 11; s++)
            check_against_plain(&cameras, side[s]);
        pf_tensor_release(&cameras);
    }
    assert_int_equal(inside, 2);
}

static void
test_wrong_shapes_are_refused(void **state)
{
    pf_tensor cameras = ring(2, 50, 0, 20, 0), one = ring(1, 50, 0, 20, 0);
    pf_tensor mask = mask_of(&cameras, 8, 4), map = map_of(&cameras, 8, 4);
    (void)state;
    assert_fails(pf_epipolar_mask(cpu, &mask, &map, 8, 4), PF_ESHAPE, "cameras is");
    assert_fails(pf_epipolar_mask(cpu, &mask, &one, 8, 4), PF_ESHAPE, "mask is");
    assert_fails(pf_epipolar_mask(cpu, &mask, &cameras, 8, 8), PF_ESHAPE, "mask is");
    assert_fails(pf_epipolar_mask(cpu, &mask, &cameras, 9, 4), PF_ESHAPE,
                 "side 4 does not divide side 9");
    assert_fails(pf_epipolar_mask(cpu, &mask, &cameras, 0, 4), PF_ESHAPE, "side 0");
    assert_fails(pf_epipolar_mask(cpu, &mask, &cameras, 8, 0), PF_ESHAPE, "side 0");
    assert_fails(pf_plucker_tokens(cpu, &map, &cameras, 1 << 20, 4), PF_ESHAPE, "1..16384");
    assert_fails(pf_plucker_tokens(cpu, &map, &one, 8, 4), PF_ESHAPE, "y is");
    assert_fails(pf_plucker_tokens(cpu, &mask, &cameras, 8, 4), PF_ESHAPE, "y is");
    pf_tensor_release(&map);
    pf_tensor_release(&mask);
    pf_tensor_release(&one);
    pf_tensor_release(&cameras);
}

/* ---- golden ---- */

static const void *
get(const pf_doc *doc, int pair, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "pair%d.%s", pair, name);
    const pf_tensor *const t = pf_doc_get(doc, full);
    if (!t)
        fail_msg("golden data have no %s", full);
    return t->data;
}

/* Golden tokens are camera * 1024 + pixel, and golden bits come from the greatest.  Pairs 4 and
 * 5 are identical cameras, pair 8 has elevation 0: there the original's cross blocks (and the
 * input's map of pair 8) are rounding noise, empty or NaN and only the rest is compared. */
static void
check_golden_mask(const pf_tensor *mask, const uint8_t *bits, bool degenerate)
{
    for (int a = 0; a < 2; a++)
        for (int p = 0; p < TOKENS; p++, bits += 2 * TOKENS / 8)
            for (int q = 0; q < 2 * TOKENS; q++)
                if (!degenerate || q / TOKENS == a)
                    assert_int_equal(sees(mask, a, p, q / TOKENS, q % TOKENS),
                                     bits[q / 8] >> (7 - q % 8) & 1);
}

static void
check_golden_map(const pf_tensor *map, const float *plucker, int a)
{
    for (int p = 0; p < TOKENS; p++)
        for (int k = 0; k < 6; k++)
            assert_near(floats(map) + 6 * (2 * p + a) + k, &plucker[(6 * a + k) * TOKENS + p], 1,
                        1e-6);
}

static void
test_golden_pairs(void **state)
{
    pf_doc doc = {0};
    (void)state;
    golden_open(&doc, "cameras/pairs.safetensors");
    for (int k = 0; k < 9; k++) {
        const float *const elevation = get(&doc, k, "elevations");
        const float *const azimuth = get(&doc, k, "azimuths");
        struct pf_spad_camera c[2];
        for (int v = 0; v < 2; v++)
            pf_spad_camera(&c[v], elevation[v], azimuth[v]);
        const pf_tensor cameras = PF_VIEW(c, PF_F64, 1, 2, 4, 3);
        pf_tensor mask = mask_of(&cameras, N, N), map = map_of(&cameras, N, N);
        check_golden_mask(&mask, get(&doc, k, "mask_bits"), k == 4 || k == 5 || k == 8);
        for (int v = 0; v < 2; v++)
            if (k != 8 || v != 1)
                check_golden_map(&map, get(&doc, k, "plucker"), v);
        pf_tensor_release(&map);
        pf_tensor_release(&mask);
    }
    pf_doc_release(&doc);
}

/* ---- CUDA against the CPU: the same bits ---- */

static void
check_gpu(const pf_tensor *cameras, int n, int h)
{
    const size_t mark = pf_dev_mark(gpu);
    pf_tensor mask = mask_of(cameras, n, h), map = map_of(cameras, n, h), got_mask = {0},
              got_map = {0}, c, m, y;
    assert_ok(pf_tensor_copy(&got_mask, &mask));
    assert_ok(pf_tensor_copy(&got_map, &map));
    assert_ok(pf_dev_alloc(gpu, &c, PF_F64, 4, cameras->dim));
    assert_ok(pf_dev_put(gpu, &c, cameras));
    assert_ok(pf_dev_alloc(gpu, &m, PF_U32, 3, mask.dim));
    assert_ok(pf_dev_alloc(gpu, &y, pf_dev_dtype(gpu), 3, map.dim));
    assert_ok(pf_dev_put(gpu, &y, &map));       // the CPU's numbers, rounded to the GPU's type
    assert_ok(pf_dev_get(gpu, &map, &y));
    memset(got_mask.data, 0x5a, pf_tensor_bytes(&mask));
    memset(got_map.data, 0xff, pf_tensor_bytes(&map));
    assert_ok(pf_dev_put(gpu, &m, &got_mask));
    assert_ok(pf_dev_put(gpu, &y, &got_map));
    assert_ok(pf_epipolar_mask(gpu, &m, &c, n, h));
    assert_ok(pf_plucker_tokens(gpu, &y, &c, n, h));
    assert_ok(pf_dev_get(gpu, &got_mask, &m));
    assert_ok(pf_dev_get(gpu, &got_map, &y));
    assert_memory_equal(got_mask.data, mask.data, pf_tensor_bytes(&mask));
    assert_memory_equal(got_map.data, map.data, pf_tensor_bytes(&map));
    pf_tensor_release(&got_map);
    pf_tensor_release(&got_mask);
    pf_tensor_release(&map);
    pf_tensor_release(&mask);
    pf_dev_reset(gpu, mark);
}

static void
test_cuda_gives_the_bits_of_the_cpu(void **state)
{
    static const double elevation[] = {-89, -20, 0, 10, 20, 30, 50, 80};
    static const double input[][2] = {{20, 0}, {0, 0}, {-20, 40}, {70, 0}};
    static const int side[][2] = {{32, 32}, {32, 16}, {32, 8}, {32, 4}, {16, 16}, {8, 8},  {4, 4},
                                  {1, 1},   {5, 5},   {9, 3},  {12, 6}, {33, 11}, {64, 64}};
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        for (int e = 0; e < 8; e++)
            for (int i = 0; i < 4; i++)
                for (int s = 0; s < 13; s++) {
                    pf_tensor cameras =
                        ring(side[s][0] > 32 ? 2 : 16, elevation[e], 0, input[i][0], input[i][1]);
                    check_gpu(&cameras, side[s][0], side[s][1]);
                    pf_tensor_release(&cameras);
                }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plucker_vectors),
        cmocka_unit_test(test_plucker_at_elevation_zero_is_the_limit),
        cmocka_unit_test(test_plucker_shrinks_to_means),
        cmocka_unit_test(test_mask_vectors),
        cmocka_unit_test(test_a_pixel_may_see_nothing_of_the_other_view),
        cmocka_unit_test(test_cameras_in_one_place_see_only_themselves),
        cmocka_unit_test(test_mask_shrinks_on_the_flattened_index),
        cmocka_unit_test(test_mask_of_another_side_covers_the_same_share),
        cmocka_unit_test(test_lines_start_at_an_epipole_inside),
        cmocka_unit_test(test_ends_are_cut_to_cells),
        cmocka_unit_test(test_lines_are_the_originals),
        cmocka_unit_test(test_masks_of_any_side),
        cmocka_unit_test(test_wrong_shapes_are_refused),
        cmocka_unit_test(test_golden_pairs),
        cmocka_unit_test(test_cuda_gives_the_bits_of_the_cpu),
    };
    return RUN_OPERATOR_TESTS(tests);
}
