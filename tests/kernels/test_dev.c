#include <omp.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/kernels/operator.h"

static void
test_only_known_devices_and_precisions_open(void **state)
{
    pf_dev *dev;
    (void)state;
    assert_ok(pf_dev_open(&dev, "cpu", "f32"));
    assert_non_null(strstr(pf_dev_name(dev), "cpu ("));
    assert_true(pf_dev_dtype(dev) == PF_F32 && !pf_dev_is_cuda(dev));
    assert_ok(pf_dev_sync(dev));
    pf_dev_close(dev);
    assert_fails(pf_dev_open(&dev, "gpu", NULL), PF_EARG, "no device \"gpu\"");
    assert_fails(pf_dev_open(&dev, "cuda:", NULL), PF_EARG, "no device \"cuda:\"");
    assert_fails(pf_dev_open(&dev, "cuda:1x", NULL), PF_EARG, "no device \"cuda:1x\"");
    assert_fails(pf_dev_open(&dev, "cuda:1000", NULL), PF_EDEV, "cuda:1000");
    assert_fails(pf_dev_open(&dev, "cpu", "f16"), PF_EARG, "f32 or bf16, not in \"f16\"");
    assert_fails(pf_dev_open(&dev, "cpu", "f8"), PF_EARG, "f32 or bf16");
    assert_null(dev);
    if (pf_dev_open(&dev, "cpu", "bf16") == PF_OK)
        assert_true(pf_dev_dtype(dev) == PF_F32);
    else
        assert_non_null(strstr(pf_error(), "takes AVX512-BF16 or AMX; use --precision f32"));
    pf_dev_close(dev);
    pf_dev_close(NULL);
}

static void
make_zeros(pf_dev *dev)
{
    pf_tensor t, host = UNIFORM(1, 3, 7);
    assert_ok(PF_ALLOC(dev, &t, pf_dev_dtype(dev), 3, 7));
    assert_ok(pf_dev_put(dev, &t, &host));
    assert_ok(pf_dev_zero(dev, &t));
    assert_ok(pf_dev_get(dev, &host, &t));
    for (int i = 0; i < 21; i++)
        assert_true(floats(&host)[i] == 0);
}

static void
test_zeros_are_zeros(void **state)
{
    (void)state;
    make_zeros(cpu);
}

static void
test_cuda_zeros_are_zeros(void **state)
{
    (void)state;
    for (int p = 0; gpu_opened(p); p++)
        make_zeros(gpu);
}

/* Without a GPU, or a build for one, "cuda" is a sentence and "auto" is the CPU. */
static void
test_auto_takes_what_there_is(void **state)
{
    pf_dev *dev, *its;
    (void)state;
    const pf_err err = pf_dev_open(&dev, "cuda", "f32");
    assert_ok(pf_dev_open(&its, "auto", "f32"));
    assert_true(pf_dev_is_cuda(its) == (err == PF_OK));
    if (err) {
        assert_int_equal(err, PF_EDEV);
        assert_fails(pf_dev_open(&dev, "cuda", NULL), PF_EDEV, "-d cpu");
    }
    pf_dev_close(its);
    pf_dev_close(dev);
}

/* Work that is replayed does the same as work that is called; on the CPU it is called. */
static pf_err
double_it(void *ctx)
{
    pf_tensor *const t = ctx;
    return pf_add(cpu, t, t, t, 1.0f);
}

static void
test_replay_runs_the_work_each_time(void **state)
{
    float one = 1;
    pf_tensor t = PF_VIEW(&one, PF_F32, 1);
    pf_graph *g = NULL;
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_ok(pf_replay(cpu, &g, double_it, &t));
    assert_true(one == 32);
    pf_graph_free(g);
}

/* Double ctx, a [N] of the GPU, through scratch memory of the arena. */
enum { DOUBLED = 5 << 20 };
static pf_err
double_by_scratch(void *ctx)
{
    pf_tensor *const t = ctx, scratch;
    const size_t mark = pf_dev_mark(gpu);
    PF_TRY(PF_ALLOC(gpu, &scratch, PF_F32, DOUBLED));
    PF_TRY(pf_dev_cast(gpu, &scratch, t));
    PF_TRY(pf_add(gpu, t, &scratch, &scratch, 1.0f));
    pf_dev_reset(gpu, mark);
    return PF_OK;
}

/* A graph does not use memory that the arena has given back since it was recorded. */
static void
test_cuda_replay_sees_that_the_arena_changed(void **state)
{
    enum { MB = 1 << 20, RUNS = 12 };
    (void)state;
    gpu_opened(F32);
    pf_tensor t, other, host = EMPTY(DOUBLED);
    pf_graph *g = NULL;
    for (int64_t i = 0; i < DOUBLED; i++)
        floats(&host)[i] = 1;
    assert_ok(PF_KEEP(gpu, &t, PF_F32, DOUBLED));
    assert_ok(pf_dev_put(gpu, &t, &host));
    for (int i = 0; i < RUNS; i++) {
        assert_ok(pf_replay(gpu, &g, double_by_scratch, &t));
        if (i == RUNS / 2) {
            for (int k = 0; k < 3; k++)
                assert_ok(PF_ALLOC(gpu, &other, PF_U8, (20 + 20 * k) * MB));
            pf_dev_reset(gpu, 0);                               /* three pieces go */
        }
    }
    assert_ok(pf_dev_get(gpu, &host, &t));
    for (int64_t i = 0; i < DOUBLED; i++)
        assert_true(floats(&host)[i] == 1 << RUNS);
    pf_graph_free(g);
}

static void
test_reset_gives_memory_back_and_the_peak_stays(void **state)
{
    pf_tensor a, b, c;
    pf_dev *dev;
    (void)state;
    assert_ok(pf_dev_open(&dev, "cpu", NULL));
    assert_ok(PF_ALLOC(dev, &a, PF_F32, 100));
    const size_t mark = pf_dev_mark(dev);
    assert_ok(PF_ALLOC(dev, &b, PF_F32, 1000, 3));
    assert_true((uintptr_t)a.data % 64 == 0 && (uintptr_t)b.data % 64 == 0);
    pf_dev_reset(dev, mark);
    assert_ok(PF_ALLOC(dev, &c, PF_F32, 10));
    assert_ptr_equal(c.data, b.data);
    assert_int_equal(pf_dev_peak(dev), 448 + 12032);
    pf_dev_close(dev);
}

/* Tensors larger than a chunk, nested marks, and many rounds: what is before a mark survives. */
static void
test_the_arena_grows_over_chunks(void **state)
{
    enum { MB = 1 << 20, N = 6 };
    static const int64_t size[N] = {20 * MB, 20 * MB, 70 * MB, 1, 30 * MB, 5};
    pf_tensor t[N];
    size_t mark[N];
    pf_dev *dev;
    (void)state;
    assert_ok(pf_dev_open(&dev, "cpu", NULL));
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < N; i++) {
            mark[i] = pf_dev_mark(dev);
            assert_ok(PF_ALLOC(dev, &t[i], PF_U8, size[i]));
            ((uint8_t *)t[i].data)[0] = (uint8_t)i;
            ((uint8_t *)t[i].data)[size[i] - 1] = (uint8_t)i;
        }
        for (int i = N - 1; i >= 0; i--) {
            for (int k = 0; k <= i; k++)
                assert_true(((uint8_t *)t[k].data)[0] == k &&
                            ((uint8_t *)t[k].data)[size[k] - 1] == k);
            if (i > round)
                pf_dev_reset(dev, mark[i]);
        }
        pf_dev_reset(dev, round % 2 ? 0 : mark[1]);
        if (round % 2 == 0)
            pf_dev_reset(dev, mark[0]);
        assert_true(pf_dev_mark(dev) == 0 || round == 0);
    }
    assert_true(pf_dev_peak(dev) >= 140 * MB && pf_dev_peak(dev) < 141 * MB);
    pf_dev_trim(dev);
    assert_int_equal(pf_dev_mark(dev), 0);
    assert_ok(PF_ALLOC(dev, &t[0], PF_U8, 70 * MB));
    ((uint8_t *)t[0].data)[70 * MB - 1] = 1;
    pf_dev_trim(dev);
    pf_dev_close(dev);
}

static void
test_too_much_memory_is_a_sentence(void **state)
{
    pf_tensor t;
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip();                             /* it aborts before malloc can refuse */
#endif
    assert_fails(PF_ALLOC(cpu, &t, PF_F32, INT64_C(1) << 50), PF_ENOMEM, "no memory for");
    assert_fails(PF_KEEP(cpu, &t, PF_F32, INT64_C(1) << 50), PF_ENOMEM, "no memory for");
    assert_fails(PF_ALLOC(cpu, &t, PF_F32, INT64_C(1) << 40, INT64_C(1) << 40), PF_ESHAPE, "");
    assert_fails(PF_ALLOC(cpu, &t, PF_F32, -1), PF_ESHAPE, "");
}

static void
test_put_and_get_convert(void **state)
{
    enum { N = 2500 };
    pf_tensor host = UNIFORM(1, N), half = {0}, back = EMPTY(N), ints = {0}, wrong = EMPTY(N + 1);
    (void)state;
    assert_ok(PF_KEEP(cpu, &half, PF_F16, N));
    assert_ok(PF_KEEP(cpu, &ints, PF_I32, N));
    assert_ok(pf_dev_put(cpu, &half, &host));
    assert_ok(pf_dev_get(cpu, &back, &half));
    assert_near(back.data, floats(&host), N, 0x1p-11);
    assert_true(memcmp(back.data, host.data, pf_tensor_bytes(&host)) != 0);
    for (int i = 0; i < N; i++)
        ((int32_t *)ints.data)[i] = i;
    assert_ok(pf_dev_put(cpu, &back, &ints));
    assert_true(floats(&back)[2400] == 2400);
    assert_fails(pf_dev_put(cpu, &wrong, &host), PF_ESHAPE, "cannot copy F32 [2500] to F32 [2501]");
    assert_fails(pf_dev_put(cpu, &ints, &host), PF_ESHAPE, "cannot copy");
}

/* ---- every operator gives the same bytes with 1, 2 and 3 threads ---- */

enum { OPERATORS = 10 };

static pf_err
run_operator(pf_dev *dev, int i, pf_tensor *y)
{
    pf_tensor w = UNIFORM(1, 48, 40), k2 = UNIFORM(2, 48, 40, 3, 3),
              k3 = UNIFORM(3, 40, 48, 3, 3, 3), v = UNIFORM(4, 40);
    pf_tensor wide = UNIFORM(5, 24, 1280, 3, 3), deep = UNIFORM(6, 24, 4096);
    pf_layer *l;
    switch (i) {
    case 0: {
        pf_tensor x = UNIFORM(7, 70, 40);
        *y = EMPTY(70, 48);
        PF_TRY(pf_layer_new(dev, &l, &w, NULL, false));
        return pf_linear(dev, y, &x, l, NULL);
    }
    case 1: {
        pf_tensor x = UNIFORM(7, 2, 17, 16, 40);
        *y = EMPTY(2, 17, 16, 48);
        PF_TRY(pf_layer_new(dev, &l, &k2, NULL, false));
        return pf_conv(dev, y, &x, l, 1, 1, 1, NULL);
    }
    case 2: {
        pf_tensor x = UNIFORM(7, 1, 6, 5, 5, 40);
        *y = EMPTY(1, 12, 10, 10, 48);
        PF_TRY(pf_layer_new(dev, &l, &k3, NULL, true));
        return pf_conv(dev, y, &x, l, 2, 1, 1, NULL);
    }
    case 3: {
        pf_tensor x = UNIFORM(7, 2, 5000, 40);
        *y = EMPTY(2, 5000, 40);
        return pf_group_norm(dev, y, &x, &v, &v, 8, 1e-5f, PF_SILU, NULL, NULL);
    }
    case 4: {
        pf_tensor x = UNIFORM(7, 2, 300, 120);
        *y = EMPTY(2, 300, 40);
        return pf_attention(dev, y, &x, 4, 0.3f, NULL, 0);
    }
    case 5: {
        pf_tensor q = UNIFORM(7, 1, 8, 8, 40), context = UNIFORM(8, 1, 20, 8, 8, 10);
        *y = EMPTY(1, 8, 8, 40);
        return pf_depth_attention(dev, y, &q, &context, 4, 0.3f);
    }
    case 6: {
        pf_tensor x = UNIFORM(7, 1, 4, 4, 1280);        /* few pixels, many channels */
        *y = EMPTY(1, 4, 4, 24);
        PF_TRY(pf_layer_new(dev, &l, &wide, NULL, false));
        return pf_conv(dev, y, &x, l, 1, 1, 1, NULL);
    }
    case 7: {
        pf_tensor x = UNIFORM(7, 1, 4096);              /* one row */
        *y = EMPTY(1, 24);
        PF_TRY(pf_layer_new(dev, &l, &deep, NULL, false));
        return pf_linear(dev, y, &x, l, NULL);
    }
    case 8: {
        pf_tensor x = UNIFORM(7, 2, 9, 8, 40);          /* doubled pixels */
        *y = EMPTY(2, 18, 16, 48);
        PF_TRY(pf_layer_new_doubled(dev, &l, &k2, NULL));
        return pf_conv(dev, y, &x, l, 1, 1, 1, NULL);
    }
    default: {
        pf_tensor x = UNIFORM(7, 400, 40);
        *y = EMPTY(400, 40);
        return pf_layer_norm(dev, y, &x, &v, &v, 1e-5f);
    }
    }
}

static void
test_threads_do_not_change_results(void **state)
{
    const int threads = omp_get_max_threads();
    pf_tensor one, more;
    pf_dev *dev;
    (void)state;
    for (int i = 0; i < OPERATORS; i++) {
        omp_set_num_threads(1);
        assert_ok(pf_dev_open(&dev, "cpu", NULL));
        assert_ok(run_operator(dev, i, &one));
        pf_dev_close(dev);
        for (int n = 2; n <= 5; n++) {
            omp_set_num_threads(n);
            assert_ok(pf_dev_open(&dev, "cpu", NULL));
            assert_ok(run_operator(dev, i, &more));
            pf_dev_close(dev);
            if (memcmp(one.data, more.data, pf_tensor_bytes(&one)))
                fail_msg("operator %d differs with %d threads", i, n);
        }
    }
    omp_set_num_threads(threads);
}

/* ---- a dry device ---- */

/* Every operator takes what it takes on a real one, and neither reads nor writes. */
static void
test_dry_operators_count_and_do_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < OPERATORS; i++) {
        pf_dev *real, *dry;
        pf_tensor y;
        assert_ok(pf_dev_open(&real, "cpu", NULL));
        assert_ok(pf_dev_open_dry(&dry, "cpu", NULL));
        assert_true(pf_dev_is_dry(dry) && !pf_dev_is_dry(real));
        assert_string_equal(pf_dev_name(dry), pf_dev_name(real));
        assert_ok(run_operator(real, i, &y));
        assert_ok(run_operator(dry, i, &y));
        for (int64_t k = 0; k < pf_tensor_count(&y); k++)
            assert_true(isnan(floats(&y)[k]));
        if (pf_dev_peak(dry) != pf_dev_peak(real) || pf_dev_kept(dry) != pf_dev_kept(real) ||
            pf_dev_need(dry) != pf_dev_need(real))
            fail_msg("operator %d takes something else on a dry device", i);
        pf_dev_close(real);
        pf_dev_close(dry);
    }
}

/* A dry device refuses what a real one refuses. */
static void
test_dry_operators_check_their_shapes(void **state)
{
    pf_tensor x = UNIFORM(1, 4, 6), w = UNIFORM(2, 5, 7), y = EMPTY(4, 5);
    pf_layer *l;
    pf_dev *dry;
    (void)state;
    assert_ok(pf_dev_open_dry(&dry, "cpu", NULL));
    assert_ok(pf_layer_new(dry, &l, &w, NULL, false));
    assert_fails(pf_linear(dry, &y, &x, l, NULL), PF_ESHAPE, "x is F32 [4, 6]");
    assert_fails(pf_layer_norm(dry, &y, &x, &x, &x, 1e-5f), PF_ESHAPE, "");
    assert_fails(pf_dev_put(dry, &y, &x), PF_ESHAPE, "cannot copy");
    pf_dev_close(dry);
    assert_fails(pf_dev_open_dry(&dry, "gpu", NULL), PF_EARG, "no device");
}

static bool
can_be_read(const void *p)
{
    int status;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);       /* not cmocka's, nor a sanitizer's */
        _exit(*(const volatile char *)p & 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Its tensors lie apart, as far from each other as they are large; nobody can touch them.  What
 * is put is not read, what is got is zeros. */
static void
test_dry_memory_is_addresses_alone(void **state)
{
    const int64_t huge = INT64_C(1) << 36;
    float host[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    pf_tensor a, b, c, part, t = PF_VIEW(host, PF_F32, 8), nowhere = PF_VIEW((void *)64, PF_F32, 8);
    pf_dev *dry;
    (void)state;
    assert_ok(pf_dev_open_dry(&dry, "cpu", NULL));
    assert_ok(PF_KEEP(dry, &a, PF_U8, huge));
    assert_ok(PF_ALLOC(dry, &b, PF_U8, huge));
    assert_ok(PF_ALLOC(dry, &c, PF_U8, 100));
    const char *const at[] = {a.data, b.data, c.data};
    for (int i = 0; i < 3; i++) {
        assert_int_equal((uintptr_t)at[i] % 64, 0);
        for (int k = 0; k < i; k++)
            assert_true(at[i] >= at[k] + (k < 2 ? huge : 100) ||
                        at[k] >= at[i] + (i < 2 ? huge : 100));
        assert_false(can_be_read(at[i]));
    }
    assert_true(can_be_read(host));
    assert_int_equal(pf_dev_kept(dry), huge);
    assert_int_equal(pf_dev_peak(dry), huge + 128);
    assert_true(pf_dev_need(dry) >= 2 * (size_t)huge + 128);
    assert_ok(PF_KEEP(dry, &part, PF_F32, 8));
    assert_ok(pf_dev_put(dry, &part, &nowhere));
    assert_ok(pf_dev_cast(dry, &part, &part));
    assert_ok(pf_dev_get(dry, &t, &part));
    for (int i = 0; i < 8; i++)
        assert_true(host[i] == 0);
    assert_ok(pf_dev_sync(dry));
    pf_dev_close(dry);
}

/* The bytes that a device says it needs: kept, and whole pieces of the arena. */
static void
test_need_counts_pieces_at_their_most(void **state)
{
    enum { MB = 1 << 20 };
    pf_tensor t;
    pf_dev *dev;
    (void)state;
    assert_ok(pf_dev_open(&dev, "cpu", NULL));
    assert_int_equal(pf_dev_need(dev), 0);
    assert_ok(PF_KEEP(dev, &t, PF_U8, 100));
    for (int i = 0; i < 3; i++)
        assert_ok(PF_ALLOC(dev, &t, PF_U8, 20 * MB));
    assert_int_equal(pf_dev_need(dev), 128 + 3 * 32 * MB);      /* one to a piece */
    pf_dev_reset(dev, 0);
    for (int i = 0; i < 3; i++)
        assert_ok(PF_ALLOC(dev, &t, PF_U8, 20 * MB));           /* all in one */
    assert_int_equal(pf_dev_need(dev), 128 + 3 * 32 * MB);
    assert_int_equal(pf_dev_peak(dev), 60 * MB);
    pf_dev_close(dev);
}

/* Who knows the peak before gets one piece, which lasts; what goes beyond gets another. */
static void
test_an_expected_arena_is_one_piece(void **state)
{
    enum { MB = 1 << 20 };
    pf_tensor t;
    pf_dev *dev;
    (void)state;
    assert_ok(pf_dev_open(&dev, "cpu", NULL));
    assert_ok(PF_ALLOC(dev, &t, PF_U8, MB));                    /* while it loads its weights */
    pf_dev_reset(dev, 0);
    pf_dev_expect(dev, 0);
    assert_int_equal(pf_dev_need(dev), 32 * MB);
    pf_dev_expect(dev, 100 * MB);
    assert_int_equal(pf_dev_mark(dev), 0);
    for (int round = 0; round < 3; round++) {
        const void *first = NULL;
        for (int i = 0; i < 5; i++) {
            assert_ok(PF_ALLOC(dev, &t, PF_U8, 20 * MB));
            first = first ? first : t.data;
            assert_ptr_equal(t.data, (const char *)first + i * 20 * MB);
        }
        assert_int_equal(pf_dev_need(dev), 100 * MB);
        pf_dev_reset(dev, 0);
    }
    for (int i = 0; i < 6; i++)
        assert_ok(PF_ALLOC(dev, &t, PF_U8, 20 * MB));
    assert_int_equal(pf_dev_need(dev), 132 * MB);
    assert_int_equal(pf_dev_peak(dev), 120 * MB);
    pf_dev_close(dev);
}

/* Weights of all sizes, in any order, come back as they were put: on boards of the shelf, and
 * through the buffers of the bus, of which small ones share one and large ones fill several.  A dry
 * GPU counts the same. */
static void
test_cuda_keeps_what_was_put(void **state)
{
    enum { N = 600, MB = 1 << 20 };
    static pf_tensor host[N], there[N];
    pf_dev *dry;
    (void)state;
    gpu_opened(F32);
    assert_ok(pf_dev_open_dry(&dry, "cuda", "f32"));
    const size_t before = pf_dev_need(gpu);
    for (int i = 0; i < N; i++) {
        const int64_t n = i % 100 == 7    ? MB / 4 + i
                          : i % 100 == 53 ? 3 * MB + i
                                          : 1 + i * 37 % 9000;
        pf_tensor t;
        host[i] = uniform((uint64_t)i, 1, &n);
        assert_ok(PF_KEEP(gpu, &there[i], PF_F32, n));
        assert_ok(pf_dev_put(gpu, &there[i], &host[i]));
        assert_ok(PF_KEEP(dry, &t, PF_F32, n));
    }
    for (int i = 0; i < N; i++) {
        pf_tensor back = shaped(1, host[i].dim);
        assert_ok(pf_dev_get(gpu, &back, &there[i]));
        assert_memory_equal(back.data, host[i].data, pf_tensor_bytes(&back));
    }
    assert_int_equal(pf_dev_kept(gpu), pf_dev_kept(dry));
    assert_int_equal(pf_dev_need(gpu), pf_dev_need(dry));
    assert_true(pf_dev_need(gpu) - before - pf_dev_kept(gpu) < 16 * MB);
    pf_dev_close(dry);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_known_devices_and_precisions_open),
        cmocka_unit_test(test_zeros_are_zeros),
        cmocka_unit_test(test_cuda_zeros_are_zeros),
        cmocka_unit_test(test_auto_takes_what_there_is),
        cmocka_unit_test(test_replay_runs_the_work_each_time),
        cmocka_unit_test(test_cuda_replay_sees_that_the_arena_changed),
        cmocka_unit_test(test_reset_gives_memory_back_and_the_peak_stays),
        cmocka_unit_test(test_the_arena_grows_over_chunks),
        cmocka_unit_test(test_too_much_memory_is_a_sentence),
        cmocka_unit_test(test_put_and_get_convert),
        cmocka_unit_test(test_threads_do_not_change_results),
        cmocka_unit_test(test_dry_operators_count_and_do_nothing),
        cmocka_unit_test(test_dry_operators_check_their_shapes),
        cmocka_unit_test(test_dry_memory_is_addresses_alone),
        cmocka_unit_test(test_need_counts_pieces_at_their_most),
        cmocka_unit_test(test_an_expected_arena_is_one_piece),
        cmocka_unit_test(test_cuda_keeps_what_was_put),
    };
    return RUN_OPERATOR_TESTS(tests);
}
