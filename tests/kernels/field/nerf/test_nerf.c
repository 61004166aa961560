/* The original's NGP renderer against its formulas in doubles (reference.h): encoding, density,
 * colour, marching, blending, the grid of what is occupied, losses, the gradients of a step.  Then
 * what every field must do: learn a ball, resume, not depend on threads, refuse what it is not. */
#include "kernels/field/nerf/nerf.h"
#include "kernels/field/rays/batch.h"
#include "kernels/field/rays/composite.h"
#include "kernels/field/rays/density.h"
#include "tests/kernels/field/nerf/reference.h"
#include "tests/kernels/field/training.h"

#include <omp.h>

enum { SIDE = 24, BATCH = 40 };

static struct pf_neus_config
small(void)
{
    struct pf_neus_config c = pf_conf.nerf;
    c.field = "nerf";
    c.batch_rays = BATCH;
    c.steps = 60;
    c.warm_up = 5;
    c.levels = 6;
    c.log2_table = 13;          /* three levels are dense, three are hashed */
    c.hidden = c.color_hidden = 16;
    c.geo_features = 13;        /* 3 inputs of the colour are padding, and 4 of the density */
    c.occupancy_resolution = 16;
    c.ray_samples = 200;
    return c;
}

static struct reference
reference_of(const pf_field *f)
{
    const struct pf_neus_config *c = &f->conf;
    const struct pf_param *p = f->net->param;
    return (struct reference){
        c->levels, c->level_features, c->log2_table, c->base_resolution, c->max_resolution,
        c->hidden, c->color_hidden, c->geo_features, c->occupancy_resolution, c->ray_samples,
        (float)c->bound, p[0].value, {p[1].value, p[2].value},
        {p[3].value, p[4].value, p[5].value}, p[6].value, 0, NULL};
}

/* A field whose every number matters; half of its cells are occupied. */
static pf_field *
rough(const struct pf_neus_config *conf)
{
    pf_field *f;
    assert_ok(pf_field_new(&f, NULL, conf, 3));
    roughen(f, 0.5f, 0.1f);
    return f;
}

static void
unit(float d[3])
{
    const float length = sqrtf(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    for (int k = 0; k < 3; k++)
        d[k] /= length;
}

static void
widen(double to[3], const float from[3])
{
    for (int k = 0; k < 3; k++)
        to[k] = from[k];
}

/* Encoding, density and colour at points of the cube. */
static void
check_points(const struct pf_neus_config *conf, int n)
{
    enum { MOST = 300 };
    pf_field *f = rough(conf);
    const struct reference ref = reference_of(f);
    float x[3 * MOST], d[3 * MOST], density[MOST], alone[MOST], rgb[3 * MOST];
    fill_uniform(x, 3 * n, 1);
    fill_uniform(d, 3 * n, 2);
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < 3; k++)
            x[3 * i + k] *= i % 2 ? 0.25f : 0.6f;       /* where the density is much, and little */
        unit(d + 3 * i);
    }
    assert_ok(f->net->ops->forward(f->net, density, NULL, rgb, x, d, n, false));
    assert_ok(f->net->ops->sdf(f->net, alone, x, n));
    for (int i = 0; i < n; i++) {
        double at[3], way[3], color[3];
        widen(at, x + 3 * i);
        widen(way, d + 3 * i);
        const double want = ref_field(&ref, color, at, way);
        if (!(fabs(density[i] - want) <= 3e-5 * want + 1e-7))
            fail_msg("point %d: density %g, expected %g", i, (double)density[i], want);
        assert_true(alone[i] == density[i]);
        for (int k = 0; k < 3; k++)
            if (!(fabs(rgb[3 * i + k] - color[k]) <= 2e-5))
                fail_msg("point %d: colour %g, expected %g", i, (double)rgb[3 * i + k], color[k]);
    }
    pf_field_free(f);
}

static void
test_points_have_the_density_and_the_colour_of_the_formulas(void **state)
{
    struct pf_neus_config c = small();
    (void)state;
    check_points(&c, 300);
    c.levels = 16;              /* the original's but for the grid of densities */
    c.log2_table = 14;
    c.hidden = c.color_hidden = 64;
    c.geo_features = 15;
    check_points(&c, 200);
}

/* 2^(log2(8) / 15) a level; the networks have 10240 weights. */
static void
test_sizes_are_the_originals(void **state)
{
    static const int sides[16] = {16, 19, 22, 25, 28, 32, 37, 43, 49, 56, 64, 74, 85, 98, 112, 128};
    struct pf_neus_config c = pf_conf.nerf;
    struct pf_hash_grid g;
    (void)state;
    assert_ok(pf_hash_grid_init(&g, c.levels, c.level_features, c.log2_table, c.base_resolution,
                                c.max_resolution, c.bound));
    for (int l = 0; l < 16; l++) {
        const double scale = 16 * pow(2, l * log2(8) / 15) - 1;
        assert_true(fabs(g.level[l].scale - scale) < 1e-4);
        assert_int_equal(g.level[l].res, sides[l]);
        const int64_t all = (int64_t)sides[l] * sides[l] * sides[l], rounded = (all + 7) / 8 * 8;
        assert_int_equal(g.level[l].size, rounded < 1 << 19 ? rounded : 1 << 19);
    }
    c = small();
    c.hidden = c.color_hidden = 64;
    c.geo_features = 15;
    c.levels = 16;
    c.field = "nerf";
    pf_field *f;
    assert_ok(pf_field_new(&f, NULL, &c, 3));
    int64_t weights = 0;
    for (int i = 1; i <= 5; i++)
        weights += f->net->param[i].n;
    assert_int_equal(weights, 64 * 32 + 16 * 64 + 64 * 32 + 64 * 64 + 16 * 64);
    pf_field_free(f);
}

/* ---- rays ---- */

enum { RAYS = 200, MOST_SAMPLES = 1024 };

/* From a sphere around the cube to places in it; the last ones pass it by. */
static void
make_rays(float *o, float *d, int n)
{
    float to[3 * RAYS];
    fill_uniform(o, 3 * n, 5);
    fill_uniform(to, 3 * n, 6);
    for (int i = 0; i < n; i++) {
        unit(o + 3 * i);
        for (int k = 0; k < 3; k++) {
            o[3 * i + k] *= i % 3 ? 1.5f : 0.3f;        /* some begin inside */
            d[3 * i + k] = (i > n - 20 ? 3.0f : 0.5f) * to[3 * i + k] - o[3 * i + k];
        }
        unit(d + 3 * i);
    }
}

static void
test_samples_are_where_the_march_puts_them(void **state)
{
    static float o[3 * RAYS], d[3 * RAYS];
    struct pf_neus_config conf = small();
    struct pf_density_grid g;
    struct pf_samples s = {0};
    int64_t all = 0;
    int missed = 0, wrong = 0;
    (void)state;
    conf.ray_samples = 1024;
    pf_field *f = rough(&conf);
    const struct reference ref = reference_of(f);
    const double threshold = ref_threshold(&ref);
    make_rays(o, d, RAYS);
    assert_ok(pf_nerf_density_grid(f->net, &g, false, 0, 0));
    assert_true(fabs(g.threshold - threshold) < 1e-6 && threshold > 0);
    assert_ok(pf_density_sample(&s, &g, o, d, RAYS));
    for (int r = 0; r < RAYS; r++) {
        double at[MOST_SAMPLES], from[3], way[3];
        widen(from, o + 3 * r);
        widen(way, d + 3 * r);
        const int n = ref_march(&ref, at, MOST_SAMPLES, from, way, g.threshold);
        const int64_t got = s.first[r + 1] - s.first[r];
        bool same = n == got;
        for (int i = 0; i < n && same; i++)
            for (int k = 0; k < 3; k++) {
                const int64_t p = s.first[r] + i;
                same = same && fabs(s.x[3 * p + k] - (from[k] + at[i] * way[k])) < 1e-5;
                assert_true(s.dir[3 * p + k] == d[3 * r + k]);
                assert_true(fabs(s.dist[p] - 2 * sqrt(3) / 1024) < 1e-9);
            }
        all += n;
        missed += n == 0;
        wrong += !same;
    }
    /* Where a sample lies on the edge of a cell, a rounding decides. */
    if (wrong > RAYS / 50)
        fail_msg("%d of %d rays have other samples", wrong, RAYS);
    assert_true(all > 10 * RAYS && missed > 5 && missed < RAYS / 2);
    pf_samples_release(&s);
    pf_field_free(f);
}

/* The weights of samples, and the cotangents as the original's kernel writes them down: with white
 * behind, the opacity's is gW - sum gI. */
static void
test_blending_and_its_cotangents_are_the_formulas(void **state)
{
    enum { N = 60 };
    float sdf[N], rgb[3 * N], dist[N], alpha[N], left[N], d_sdf[N], d_rgb[3 * N];
    double density[N], color[N][3], weight[N], want[3], opacity;
    const float gI[3] = {0.3f, -0.7f, 0.2f}, gW = 0.4f;
    const double dt = (float)(2 * sqrt(3) / 200);
    (void)state;
    for (int dark = 0; dark < 2; dark++) {      /* the second ends in the dark */
        fill_uniform(sdf, N, 7);
        fill_uniform(rgb, 3 * N, 8);
        for (int i = 0; i < N; i++) {
            density[i] = sdf[i] = (sdf[i] + 1) * (dark ? 40 : 2);
            dist[i] = (float)dt;
            for (int k = 0; k < 3; k++)
                color[i][k] = rgb[3 * i + k] = 0.5f + 0.5f * rgb[3 * i + k];
        }
        const struct pf_ray_points points = {NULL, dist, sdf, NULL, rgb, NULL, 1, 1};
        const struct pf_ray_color got = pf_points_blend(&points, alpha, left, 0, N);
        ref_blend(want, &opacity, weight, density, (const double (*)[3])color, dt, N);
        assert_true(fabs(got.mask - opacity) < 1e-6 && (opacity > 0.9999) == dark);
        for (int k = 0; k < 3; k++)
            assert_true(fabs(got.rgb[k] - want[k]) < 1e-6 && got.normal[k] == 0);
        pf_points_blend_backward(d_sdf, NULL, d_rgb, &points, alpha, left, gI, gW, 0, N);
        const double g_opacity = gW - (gI[0] + gI[1] + gI[2]);
        double I[3], W = 0, upto[3] = {0, 0, 0};
        for (int k = 0; k < 3; k++)
            I[k] = want[k] - (1 - opacity);
        for (int i = 0; i < N; i++) {
            const bool seen = 1 - W >= 1e-4;
            double behind = g_opacity * (1 - opacity);
            W += weight[i];
            for (int k = 0; k < 3; k++) {
                upto[k] += weight[i] * color[i][k];
                behind += gI[k] * ((1 - W) * color[i][k] - (I[k] - upto[k]));
                assert_true(fabs(d_rgb[3 * i + k] - weight[i] * gI[k]) < 1e-6);
            }
            if (!(fabs(d_sdf[i] - (seen ? dt * behind : 0)) < 1e-6 * dt + 1e-8))
                fail_msg("sample %d: %g, expected %g", i, (double)d_sdf[i], dt * behind);
        }
    }
}

/* ---- the grid of what is occupied ---- */

/* Number i of an update: Philox at update R^3 + i, whose first word chooses a cell. */
static int64_t
draw(double x[3], const struct reference *f, int64_t update, int64_t i, const int32_t *list,
     int64_t listed)
{
    const int64_t cells = (int64_t)f->R * f->R * f->R;
    const struct pf_rng4 r = pf_philox(9, PF_RNG_OCCUPANCY | UINT64_C(2) << 32,
                                       (uint64_t)(update * cells + i));
    const double share = r.v[0] / 4294967296.0;
    const int64_t c = update < 16     ? i
                      : i < cells / 4 ? (int64_t)(share * (double)cells)
                                      : list[(int64_t)(share * (double)listed)];
    const int64_t at[3] = {c % f->R, c / f->R % f->R, c / f->R / f->R};
    for (int k = 0; k < 3; k++)
        x[k] = (2.0 * (double)at[k] / (f->R - 1) - 1) * (f->bound - f->bound / f->R) +
               (2 * (r.v[k + 1] >> 8) / 16777216.0 - 1) * f->bound / f->R;
    return c;
}

static void
check_update(int step, bool whole)
{
    enum { CELLS = 8 * 8 * 8 };
    struct pf_neus_config conf = small();
    struct pf_density_grid g;
    conf.occupancy_resolution = 8;
    pf_field *f = rough(&conf);
    float *grid = f->net->param[6].value, before[CELLS];
    double fresh[CELLS];
    int32_t list[CELLS];
    int listed = 0, touched = 0;
    for (int c = 0; c < CELLS; c++)
        grid[c] = fabsf(grid[c]) < 0.05f ? 0.001f * fabsf(grid[c]) : 40 * fabsf(grid[c]);
    const struct reference ref = reference_of(f);
    const double threshold = ref_threshold(&ref);
    for (int c = 0; c < CELLS; c++) {
        before[c] = grid[c];
        fresh[c] = -1;
        if (grid[c] > threshold)
            list[listed++] = c;
    }
    assert_true(listed > 100 && listed < CELLS - 100);
    const int draws = whole ? CELLS : CELLS / 2;
    for (int i = 0; i < draws; i++) {
        double x[3];
        const int64_t c = draw(x, &ref, step / 16, i, list, listed);
        fresh[c] = fmax(fresh[c], ref_field(&ref, NULL, x, NULL));
    }
    assert_ok(pf_nerf_density_grid(f->net, &g, true, 9, step));
    for (int c = 0; c < CELLS; c++) {
        const double want = fresh[c] < 0 ? before[c] : fmax(0.95 * before[c], fresh[c]);
        touched += fresh[c] >= 0;
        if (!(fabs(grid[c] - want) <= 1e-4 * want + 1e-7))
            fail_msg("step %d, cell %d: %g, expected %g", step, c, (double)grid[c], want);
    }
    assert_true(whole ? touched == CELLS : touched > CELLS / 4 && touched < CELLS / 2);
    assert_true(fabs(g.threshold - ref_threshold(&ref)) < 1e-6);
    memcpy(before, grid, sizeof before);
    assert_ok(pf_nerf_density_grid(f->net, &g, true, 9, step + 1));     /* no step of an update */
    assert_ok(pf_nerf_density_grid(f->net, &g, false, 9, step));        /* nor training */
    assert_memory_equal(before, grid, sizeof before);
    pf_field_free(f);
}

static void
test_the_grid_is_updated_by_the_formulas(void **state)
{
    (void)state;
    check_update(0, true);
    check_update(240, true);            /* the 16th time */
    check_update(256, false);           /* from then on a quarter, and as many of the occupied */
}

/* ---- a step ---- */

struct step {
    struct world world;
    struct run run;
    struct pf_batch batch;              /* as the trainer draws it */
    float number[BATCH][11];
    int32_t view[BATCH];
    struct pf_samples samples;
};

static void
begin_step(struct step *s)
{
    s->world.conf = small();
    see_ball(&s->world, SIDE);
    s->run.field = rough(&s->world.conf);
    assert_ok(pf_trainer_new(&s->run.trainer, s->run.field, &s->world.views, &s->world.conf, 9));
}

static void
end_step(struct step *s)
{
    pf_samples_release(&s->samples);
    stop(&s->run);
    release_world(&s->world);
}

/* The rays of step 0 and their samples, after the grid's update that the trainer has made. */
static void
draw_batch(struct step *s)
{
    static float o[3 * BATCH], d[3 * BATCH], rgb[3 * BATCH], mask[BATCH], offset[BATCH];
    struct pf_density_grid g;
    s->batch = (struct pf_batch){
        .views = s->world.views, .all = {V * SIDE * SIDE, BATCH, NULL, 0}, .rays = BATCH,
        .coarse_samples = 1, .origin = o, .dir = d, .offset = offset, .rgb = rgb, .mask = mask,
        .view = s->view};
    for (int r = 0; r < BATCH; r++)
        pf_batch_draw(&s->batch, r, 9, 0);
    assert_ok(pf_nerf_density_grid(s->run.field->net, &g, false, 9, 0));
    assert_ok(pf_density_sample(&s->samples, &g, o, d, BATCH));
}

/* 0.5 mean sqrt(|C - C'|^2 + 0.001) + 10 mean (W - W')^2 */
static double
loss_of(const struct step *s, const struct reference *f)
{
    double loss = 0;
    for (int r = 0; r < BATCH; r++) {
        const int64_t first = s->samples.first[r];
        const int n = (int)(s->samples.first[r + 1] - first);
        double density[MOST_SAMPLES], color[MOST_SAMPLES][3], rgb[3], opacity, square = 0.001;
        for (int i = 0; i < n; i++) {
            double x[3], d[3];
            widen(x, s->samples.x + 3 * (first + i));
            widen(d, s->samples.dir + 3 * (first + i));
            density[i] = ref_field(f, color[i], x, d);
        }
        ref_blend(rgb, &opacity, NULL, density, (const double (*)[3])color,
                  2 * sqrt(3) / f->steps, n);
        for (int k = 0; k < 3; k++)
            square += pow(rgb[k] - s->batch.rgb[3 * r + k], 2);
        loss += (0.5 * sqrt(square) + 10 * pow(opacity - s->batch.mask[r], 2)) / BATCH;
    }
    return loss;
}

static void
test_a_step_has_the_loss_and_the_gradients_of_the_formulas(void **state)
{
    static struct step s;
    struct pf_field_losses losses;
    float d_variance;
    (void)state;
    begin_step(&s);
    assert_ok(pf_trainer_gradients(s.run.trainer, &losses, &d_variance));
    draw_batch(&s);
    struct reference f = reference_of(s.run.field);
    const double loss = loss_of(&s, &f);
    if (!(fabs(losses.total - loss) < 1e-5 * loss))
        fail_msg("loss %g, expected %g", (double)losses.total, loss);
    assert_true(d_variance == 0 && losses.eikonal == 0 && s.samples.n > 10 * BATCH);
    for (int i = 0; i < 6; i++) {
        const struct pf_param *p = &s.run.field->net->param[i];
        double most = 0;
        int checked = 0;
        for (int64_t k = 0; k < p->n; k++)
            most = fmax(most, fabsf(p->grad[k]));
        assert_true(most > 1e-5);
        for (int64_t k = 0; k < p->n && checked < 5; k += p->n / 41) {
            if (fabsf(p->grad[k]) < 1e-3 * most)
                continue;
            f.at = p->value + k;
            f.moved = 1e-6;
            double slope = loss_of(&s, &f);
            f.moved = -1e-6;
            slope = (slope - loss_of(&s, &f)) / 2e-6;
            if (!(fabs(p->grad[k] - slope) <= 2e-4 * most))
                fail_msg("%s[%lld]: %g, expected %g of up to %g", p->name, (long long)k,
                         (double)p->grad[k], slope, most);
            checked++;
        }
        assert_true(checked >= 3);
    }
    for (int64_t k = 0; k < s.run.field->net->param[6].n; k++)
        assert_true(s.run.field->net->param[6].grad[k] == 0);
    end_step(&s);
}

/* The rate of the original's schedule: 100 steps up, then a drop every 1000. */
static void
test_the_rate_is_the_originals(void **state)
{
    struct pf_neus_config c = pf_conf.nerf;
    c.field = "nerf";
    (void)state;
    const struct { int step; double rate; } at[] = {
        {0, 0.02}, {50, 0.51}, {100, 1}, {999, 1}, {1000, 0.141421356}, {1999, 0.141421356}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        assert_true(fabs(pf_neus_rate(&c, at[i].step) - at[i].rate) < 1e-6);
}

/* ---- as a field ---- */

static void
make_world(struct world *w)
{
    w->conf = small();
    w->conf.batch_rays = 300;
    see_ball(w, SIDE);
}

static void
test_a_ball_is_learned(void **state)
{
    struct world w;
    (void)state;
    make_world(&w);
    struct run r = start(&w, NULL);
    const struct pf_field_losses first = steps(&r, 1), last = steps(&r, 49);
    if (!(last.psnr > 25 && last.psnr > first.psnr + 5))
        fail_msg("%g dB after 50 steps, %g at first", (double)last.psnr, (double)first.psnr);
    /* Seen whole: the same colour as in training, opaque in the middle, nothing beside it. */
    float rgb[6], opacity[2], normal[6];
    const float o[6] = {1.5f, 0, 0, 1.5f, 0.55f, 0}, d[6] = {-1, 0, 0, -1, 0, 0};
    assert_ok(pf_field_render(r.field, rgb, opacity, normal, o, d, 2));
    assert_true(opacity[0] > 0.95f && opacity[1] < 0.05f && normal[0] == 0);
    assert_true(fabsf(rgb[3] - 1) < 0.05f);
    stop(&r);
    release_world(&w);
}

static void
test_a_resumed_run_gives_the_same_bytes_whatever_the_threads(void **state)
{
    struct world w;
    pf_doc whole = {0}, half = {0}, again = {0};
    const int threads = omp_get_max_threads();
    (void)state;
    make_world(&w);
    w.conf.batch_rays = 60;
    struct run a = start(&w, NULL);
    steps(&a, 20);
    assert_ok(pf_trainer_save(a.trainer, &whole));
    stop(&a);
    omp_set_num_threads(3);
    a = start(&w, NULL);
    steps(&a, 15);                      /* the grid is brought up to date at 16 */
    assert_ok(pf_trainer_save(a.trainer, &half));
    stop(&a);
    omp_set_num_threads(1);
    a = start(&w, NULL);
    assert_ok(pf_trainer_load(a.trainer, &half));
    steps(&a, 5);
    assert_ok(pf_trainer_save(a.trainer, &again));
    omp_set_num_threads(threads);
    assert_same(&whole, &again);
    stop(&a);
    pf_doc_release(&whole);
    pf_doc_release(&half);
    pf_doc_release(&again);
    release_world(&w);
}

static void
test_a_saved_field_looks_the_same(void **state)
{
    static float o[3 * RAYS], d[3 * RAYS], a[4 * RAYS], b[4 * RAYS];
    const struct pf_neus_config conf = small();
    pf_doc doc = {0};
    pf_field *copy;
    (void)state;
    pf_field *f = rough(&conf);
    make_rays(o, d, RAYS);
    assert_ok(pf_field_save(f, &doc));
    assert_ok(pf_field_load(&copy, NULL, &doc, &pf_conf.neus));
    assert_string_equal(pf_field_kind(copy), "nerf");
    assert_ok(pf_field_render(f, a, a + 3 * RAYS, NULL, o, d, RAYS));
    assert_ok(pf_field_render(copy, b, b + 3 * RAYS, NULL, o, d, RAYS));
    assert_memory_equal(a, b, sizeof a);
    pf_field_free(copy);
    pf_field_free(f);
    pf_doc_release(&doc);
}

static void
test_there_is_no_surface(void **state)
{
    const struct pf_neus_config conf = small();
    float sdf, rgb[3], x[3] = {0, 0, 0};
    (void)state;
    pf_field *f = rough(&conf);
    assert_fails(pf_field_sdf(f, &sdf, x, 1), PF_EARG, "a field of kind nerf has no surface");
    assert_fails(pf_field_eval(f, NULL, NULL, rgb, x, NULL, 1), PF_EARG, "has no surface");
    pf_field_free(f);
}

static void
test_sizes_that_cannot_be_are_refused(void **state)
{
    struct pf_neus_config c = small();
    pf_field *f;
    (void)state;
    c.hidden = 24;
    assert_fails(pf_field_new(&f, NULL, &c, 3), PF_EARG, "nerf.hidden is 24, expected a multiple");
    c = small();
    c.occupancy_resolution = 3;
    assert_fails(pf_field_new(&f, NULL, &c, 3), PF_EARG, "nerf.occupancy_resolution is 3");
    c = small();
    c.max_resolution = 8;
    assert_fails(pf_field_new(&f, NULL, &c, 3), PF_EARG, "nerf.max_resolution is 8, below");
}

/* What pf-neus has without a config file. */
static void
test_the_config_file_is_the_defaults(void **state)
{
    struct pf_config conf = pf_conf;
    (void)state;
    memset(&conf.nerf, 0, sizeof conf.nerf);
    conf.nerf.field = pf_conf.nerf.field;
    assert_ok(pf_config_load(&conf, "configs/nerf.yaml"));
    char *a = pf_config_section(&conf, "nerf"), *b = pf_config_section(&pf_conf, "nerf");
    assert_string_equal(a, b);
    assert_string_equal(conf.neus.method, "nerf");
    free(a);
    free(b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points_have_the_density_and_the_colour_of_the_formulas),
        cmocka_unit_test(test_sizes_are_the_originals),
        cmocka_unit_test(test_samples_are_where_the_march_puts_them),
        cmocka_unit_test(test_blending_and_its_cotangents_are_the_formulas),
        cmocka_unit_test(test_the_grid_is_updated_by_the_formulas),
        cmocka_unit_test(test_a_step_has_the_loss_and_the_gradients_of_the_formulas),
        cmocka_unit_test(test_the_rate_is_the_originals),
        cmocka_unit_test(test_a_ball_is_learned),
        cmocka_unit_test(test_a_resumed_run_gives_the_same_bytes_whatever_the_threads),
        cmocka_unit_test(test_a_saved_field_looks_the_same),
        cmocka_unit_test(test_there_is_no_surface),
        cmocka_unit_test(test_sizes_that_cannot_be_are_refused),
        cmocka_unit_test(test_the_config_file_is_the_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
