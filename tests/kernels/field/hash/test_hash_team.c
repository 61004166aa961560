/* The fast field of a GPU, run on the host by a team of threads: the same numbers as the CPU's
 * field, at sizes that fill no row of four, whatever the size of the team. */
#include "common/config.h"
#include "kernels/field/hash/hash_team.h"
#include "tests/check.h"

enum { POINTS = 150, MOST_TEAM = 13 };          /* twice 64 and a part */

static struct pf_neus_config
config(int features, int hidden, int color, int geo)
{
    struct pf_neus_config conf = pf_conf.neus;
    conf.field = "hash";
    conf.levels = 5;
    conf.level_features = features;
    conf.log2_table = 10;
    conf.base_resolution = 4;
    conf.max_resolution = 24;
    conf.hidden = hidden;
    conf.color_hidden = color;
    conf.geo_features = geo;
    conf.init_radius = 0.4;
    conf.bound = 0.6;
    return conf;
}

static struct pf_hash *
rough_net(const struct pf_neus_config *conf)
{
    struct pf_net *net;
    assert_ok(pf_net_kind("hash")->create(&net, conf, 1));
    fill_uniform(net->param[0].value, net->param[0].n, 7);
    for (int64_t i = 0; i < net->param[0].n; i++)
        net->param[0].value[i] *= 0.3f;
    for (int p = 2; p < net->params; p += 2)            /* biases are not 0 either */
        for (int64_t i = 0; i < net->param[p].n; i++)
            net->param[p].value[i] += 0.01f * (float)(i % 7 - 3);
    ((struct pf_hash *)net)->active = 4;
    ((struct pf_hash *)net)->view = 0.6f;
    return (struct pf_hash *)net;
}

struct job {                    /* what all members of a team do */
    struct pf_hash_shape f;
    enum pf_team_kind kind;
    int P;
    float *memory;
    int64_t floats;
    long long *fixed;
    float scale, *sdf, *grad, *rgb, *sums;
    const float *x, *dir, *d_sdf, *d_grad, *d_rgb;
};

struct member {
    struct pf_team team;
    const struct job *job;
};

static void *
take_part(void *arg)
{
    const struct member *m = arg;
    const struct job *j = m->job;
    const struct pf_team *team = &m->team;
    struct pf_hash_team t;
    pf_hash_team_lay_out(&t, j->memory, &j->f, j->P, j->kind);
    pf_hash_team_start(team, &t, j->memory, j->floats, &j->f,
                       j->kind == PF_TEAM_SDF ? 2 : PF_HASH_LAYERS);
    for (int64_t from = 0; from < POINTS; from += j->P)
        if (j->kind == PF_TEAM_SDF)
            pf_hash_team_sdf(team, &t, &j->f, j->sdf, j->x, from, POINTS);
        else if (j->kind == PF_TEAM_FORWARD)
            pf_hash_team_forward(team, &t, &j->f, j->sdf, j->grad, j->rgb, j->x, j->dir, from,
                                 POINTS);
        else
            pf_hash_team_backward(team, &t, &j->f, j->fixed, j->scale, j->d_sdf, j->d_grad,
                                  j->d_rgb, j->x, j->dir, from, POINTS);
    if (j->kind == PF_TEAM_BACKWARD)
        for (int64_t i = team->rank; i < j->f.weights; i += team->size)
            j->sums[i] = t.sums[i];
    return NULL;
}

static void
run(struct job *j, int size)
{
    struct pf_hash_team unused;
    struct member members[MOST_TEAM];
    pthread_t thread[MOST_TEAM];
    pthread_barrier_t barrier;
    j->floats = pf_hash_team_lay_out(&unused, NULL, &j->f, j->P, j->kind);
    j->memory = aligned_alloc(64, (size_t)(j->floats + 15) / 16 * 16 * sizeof(float));
    for (int64_t i = 0; i < j->floats; i++)
        j->memory[i] = NAN;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, (unsigned)size), 0);
    for (int i = 0; i < size; i++) {
        members[i] = (struct member){{i, size, size > 1 ? &barrier : NULL}, j};
        assert_int_equal(pthread_create(&thread[i], NULL, take_part, &members[i]), 0);
    }
    for (int i = 0; i < size; i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&barrier);
    free(j->memory);
}

struct probe {
    float x[3 * POINTS], dir[3 * POINTS], a[POINTS], b[3 * POINTS], c[3 * POINTS];
};

static void
make_probe(struct probe *p)
{
    fill_uniform(p->x, 3 * POINTS, 21);
    fill_uniform(p->dir, 3 * POINTS, 22);
    fill_uniform(p->a, POINTS, 23);
    fill_uniform(p->b, 3 * POINTS, 24);
    fill_uniform(p->c, 3 * POINTS, 25);
    for (int i = 0; i < POINTS; i++) {
        float *d = p->dir + 3 * i;
        const float length = sqrtf(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
        for (int k = 0; k < 3; k++) {
            p->x[3 * i + k] *= 0.65f;           /* some are outside of the cube */
            d[k] /= length;
        }
    }
}

static struct job
job_of(const struct pf_hash *net, const struct probe *p, enum pf_team_kind kind, int P,
       bool from_normal)
{
    return (struct job){
        .f = pf_hash_shape_of(net, net->param[0].value, net->param[1].value), .kind = kind, .P = P,
        .x = p->x, .dir = from_normal ? NULL : p->dir, .d_sdf = p->a, .d_grad = p->b,
    };
}

static void
check_values(const struct pf_neus_config *conf, int P, int team, bool from_normal)
{
    static struct probe p;
    float sdf[POINTS], grad[3 * POINTS], rgb[3 * POINTS], got[7 * POINTS], alone[POINTS];
    struct pf_hash *net = rough_net(conf);
    make_probe(&p);
    assert_ok(pf_hash_ops.forward(&net->net, sdf, grad, rgb, p.x, from_normal ? NULL : p.dir,
                                  POINTS, false));
    struct job j = job_of(net, &p, PF_TEAM_FORWARD, P, from_normal);
    j.sdf = got;
    j.grad = got + POINTS;
    j.rgb = got + 4 * POINTS;
    run(&j, team);
    assert_rms(got, sdf, POINTS, 1e-6);
    assert_rms(got + POINTS, grad, 3 * POINTS, 1e-6);
    assert_rms(got + 4 * POINTS, rgb, 3 * POINTS, 1e-6);
    j.kind = PF_TEAM_SDF;
    j.sdf = alone;
    run(&j, team);
    assert_rms(alone, sdf, POINTS, 1e-6);
    pf_hash_ops.free(&net->net);
}

static void
check_gradients(const struct pf_neus_config *conf, int P, int team, bool color, bool from_normal)
{
    static struct probe p;
    float sdf[POINTS], grad[3 * POINTS], rgb[3 * POINTS];
    struct pf_hash *net = rough_net(conf);
    const int64_t n = net->param[0].n;
    make_probe(&p);
    assert_ok(pf_hash_ops.forward(&net->net, sdf, grad, rgb, p.x, from_normal ? NULL : p.dir,
                                  POINTS, true));
    assert_ok(pf_hash_ops.backward(&net->net, p.a, p.b, color ? p.c : NULL));
    struct job j = job_of(net, &p, PF_TEAM_BACKWARD, P, from_normal);
    j.d_rgb = color ? p.c : NULL;
    j.scale = 0x1p40f;
    j.fixed = calloc((size_t)n, sizeof *j.fixed);
    j.sums = malloc((size_t)net->weights * sizeof *j.sums);
    run(&j, team);
    float *table = malloc((size_t)n * sizeof *table);
    for (int64_t i = 0; i < n; i++)
        table[i] = (float)((double)j.fixed[i] * 0x1p-40);
    assert_rms(table, net->param[0].grad, n, 2e-6);
    int64_t at = 0;
    for (int i = 1; i < net->net.params; i++) {
        if (color || i < 5)
            assert_rms(j.sums + at, net->param[i].grad, net->param[i].n, 3e-6);
        at += net->param[i].n;
    }
    assert_int_equal(at, net->weights);
    free(table);
    free(j.fixed);
    free(j.sums);
    pf_hash_ops.free(&net->net);
}

static void
test_values_are_those_of_the_cpu(void **state)
{
    const struct pf_neus_config odd = config(2, 18, 10, 5), wide = config(3, 21, 37, 12);
    const struct pf_neus_config usual = config(2, 64, 32, 13);
    (void)state;
    check_values(&odd, 64, 1, false);
    check_values(&odd, 32, 5, true);
    check_values(&wide, 64, 13, false);
    check_values(&usual, 64, 8, true);
}

static void
test_gradients_are_those_of_the_cpu(void **state)
{
    const struct pf_neus_config odd = config(2, 18, 10, 5), wide = config(3, 21, 37, 12);
    const struct pf_neus_config usual = config(2, 64, 32, 13);
    (void)state;
    check_gradients(&odd, 64, 1, true, false);
    check_gradients(&odd, 32, 7, true, true);
    check_gradients(&wide, 64, 13, true, false);
    check_gradients(&wide, 32, 6, false, true);
    check_gradients(&usual, 64, 8, true, false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_those_of_the_cpu),
        cmocka_unit_test(test_gradients_are_those_of_the_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
