/* pf-pick: the hull, what its scores say of views of a box whose truth is known, and the
 * program. */
// uses: tools/pf-pick/hull.c tools/pf-pick/score.c tools/pf-pick/elevation.c
#include "common/camera.h"
#include "common/config.h"
#include "tests/tools/program.h"
#include "tools/pf-pick/elevation.h"
#include "tools/pf-pick/hull.h"
#include "tools/pf-pick/score.h"

enum { N = 8, S = 40, PHOTO = 48 };
static const double target_deg = 30;
static const double box[3] = {0.2, 0.35, 0.3};          // half its sides

/* Where the ray first meets the box; false if it does not. */
static bool
meet(double X[3], const float o[3], const float d[3])
{
    double from = 0, to = 10;
    for (int k = 0; k < 3; k++) {
        const double a = (-box[k] - (double)o[k]) / (double)d[k],
                     b = (box[k] - (double)o[k]) / (double)d[k];
        from = fmax(from, fmin(a, b));
        to = fmin(to, fmax(a, b));
    }
    for (int k = 0; k < 3; k++)
        X[k] = (double)o[k] + from * (double)d[k];
    return from <= to;
}

/* A picture of the box, whose colour is its place: soft alpha and rgb 0..1 before white, from 3 x 3
 * rays a pixel. */
static void
draw(float *alpha, float *rgb, int side, const double pose[12], const double K[9])
{
    for (int i = 0; i < side * side; i++) {
        alpha[i] = 0;
        rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = 0;
        for (int r = 0; r < 9; r++) {
            float o[3], d[3];
            double X[3];
            pf_camera_ray(o, d, pose, K, i % side + (r % 3 - 1) / 3.0,
                          i / side + (r / 3 - 1) / 3.0);
            const bool hit = meet(X, o, d);
            alpha[i] += hit ? 1 / 9.0f : 0;
            for (int k = 0; k < 3; k++)
                rgb[3 * i + k] += (hit ? 0.5f + (float)X[k] : 1) / 9;
        }
        alpha[i] = fminf(alpha[i], 1);
    }
}

/* A photo that was taken from true_deg and is said to be from said_deg; zoom and shift are how it
 * was cropped. */
static void
put_photo(pf_doc *doc, double true_deg, double said_deg, double zoom, double shift)
{
    pf_tensor image, alpha;
    static float rgb[PHOTO * PHOTO * 3];
    double pose[12], K[9];
    float elevation = (float)(said_deg * PF_PI / 180), azimuth = 0;
    const pf_tensor e = PF_VIEW(&elevation, PF_F32, 1), a = PF_VIEW(&azimuth, PF_F32, 1);
    assert_ok(PF_TENSOR_NEW(&image, PF_F32, 3, PHOTO, PHOTO));
    assert_ok(PF_TENSOR_NEW(&alpha, PF_F32, PHOTO, PHOTO));
    pf_camera_pose(pose, true_deg * PF_PI / 180, 0);
    pf_camera_intrinsics(K, PHOTO);
    K[0] *= zoom;
    K[4] *= zoom;
    K[2] += shift;
    draw(alpha.data, rgb, PHOTO, pose, K);
    for (int i = 0; i < 3 * PHOTO * PHOTO; i++)
        ((float *)image.data)[i % 3 * PHOTO * PHOTO + i / 3] = 2 * fminf(rgb[i], 1) - 1;
    assert_ok(pf_doc_take(doc, "input.image", &image));
    assert_ok(pf_doc_take(doc, "input.alpha", &alpha));
    assert_ok(pf_doc_put(doc, "input.elevation", &e));
    assert_ok(pf_doc_put(doc, "input.azimuth", &a));
}

/* True views of the box. */
static void
put_views(pf_doc *doc)
{
    pf_tensor image, alpha, pose, K, elevation, azimuth;
    static float rgb[S * S * 3];
    assert_ok(PF_TENSOR_NEW(&image, PF_U8, N, S, S, 3));
    assert_ok(PF_TENSOR_NEW(&alpha, PF_F32, N, S, S));
    assert_ok(pf_rig_tensors(&pose, &K, &elevation, &azimuth, N, target_deg * PF_PI / 180, S));
    for (int n = 0; n < N; n++) {
        double P[12], L[9];
        for (int k = 0; k < 12; k++)
            P[k] = (double)((float *)pose.data)[12 * n + k];
        for (int k = 0; k < 9; k++)
            L[k] = (double)((float *)K.data)[9 * n + k];
        draw((float *)alpha.data + n * S * S, rgb, S, P, L);
        for (int i = 0; i < 3 * S * S; i++)
            ((uint8_t *)image.data)[3 * n * S * S + i] = (uint8_t)(fminf(rgb[i], 1) * 255 + 0.5f);
    }
    assert_ok(pf_doc_take(doc, "views.image", &image));
    assert_ok(pf_doc_take(doc, "views.alpha", &alpha));
    assert_ok(pf_doc_take(doc, "views.pose", &pose));
    assert_ok(pf_doc_take(doc, "views.intrinsics", &K));
    assert_ok(pf_doc_take(doc, "views.elevation", &elevation));
    assert_ok(pf_doc_take(doc, "views.azimuth", &azimuth));
}

static pf_doc
document(double true_deg, double said_deg)
{
    pf_doc doc = {0};
    put_views(&doc);
    put_photo(&doc, true_deg, said_deg, 1, 0);
    return doc;
}

static struct score
score_of(pf_doc *doc)
{
    struct score s;
    assert_ok(score_measure(&s, doc, "views"));
    return s;
}

/* A view of another document of the same shapes in place of view n's. */
static void
swap_view(pf_doc *doc, const char *name, int n, int from)
{
    const pf_tensor *t = pf_doc_get(doc, name);
    const size_t each = pf_tensor_bytes(t) / N;
    memcpy((char *)t->data + (size_t)n * each, (char *)t->data + (size_t)from * each, each);
}

/* ---- the parts ---- */

static void
test_masks_leave_the_box(void **state)
{
    static float alpha[6][96 * 96], rgb[96 * 96 * 3], cover[LOOK * LOOK], depth[LOOK * LOOK];
    struct hull h;
    struct picture p[6];
    double outside = 0, inside = 0;
    (void)state;
    assert_ok(hull_new(&h, 64, 0.6));
    for (int n = 0; n < 6; n++) {               // the axes, and down
        p[n] = (struct picture){96, 96, alpha[n], rgb, {0}, {0}};
        pf_camera_pose(p[n].pose, n < 4 ? 0 : n == 4 ? PF_PI / 2 : -PF_PI / 2,
                       n < 4 ? n * PF_PI / 2 : 0);
        pf_camera_intrinsics(p[n].K, 96);
        draw(alpha[n], rgb, 96, p[n].pose, p[n].K);
        hull_carve(&h, &p[n]);
    }
    /* Cells a cell within the box stay; the perspective of six cameras leaves 15 % around it. */
    for (int i = 0; i < 64 * 64 * 64; i++) {
        const int cell[3] = {i / 4096, i / 64 % 64, i % 64};
        double beyond = -1;
        for (int k = 0; k < 3; k++)
            beyond = fmax(beyond, fabs((cell[k] + 0.5) * 1.2 / 64 - 0.6) / box[k]);
        if (beyond < 0.9)
            inside = fmax(inside, 1 - (double)h.occupancy[i]);
        if (beyond > 1.3)
            outside = fmax(outside, (double)h.occupancy[i]);
    }
    assert_true(inside == 0 && outside == 0);
    for (int k = 0; k < 3; k++)
        assert_true(h.high[k] > box[k] && h.high[k] < 1.3 * box[k] + 0.03 && h.low[k] < -box[k]);

    hull_look(&h, &p[0], cover, depth);
    const int middle = LOOK / 2 * LOOK + LOOK / 2;
    assert_true(cover[middle] > 0.99f && fabs((double)depth[middle] - 1.3) < 0.05);
    assert_true(cover[0] == 0 && depth[0] == 0);
    hull_release(&h);
}

static void
test_photo_is_pulled_to_where_it_was_taken(void **state)
{
    (void)state;
    const double said[] = {0, 45};
    for (int i = 0; i < 2; i++) {
        pf_doc doc = document(20, said[i]);
        const struct score s = score_of(&doc);
        assert_true(fabs(s.elevation_deg - said[i]) < 1e-4);
        assert_true(fabs(said[i] + s.v[SCORE_SHAPE_PULL] - 20) < 8);
        assert_true(fabs(said[i] + s.v[SCORE_COLOR_PULL] - 20) < 8);
        pf_doc_release(&doc);
    }
}

static void
test_true_views_agree_best(void **state)
{
    pf_doc good = document(10, 10), wrong = document(10, 45);
    const struct score s = score_of(&good), at_wrong = score_of(&wrong);
    (void)state;
    assert_true(s.v[SCORE_SILHOUETTE] > 0.8 && s.v[SCORE_COHERENCE] > 0.9);
    assert_true(s.v[SCORE_COLOR] > 0.9 && s.v[SCORE_CONSISTENCY] > 0.9);
    assert_true(at_wrong.v[SCORE_COHERENCE] < s.v[SCORE_COHERENCE]);
    assert_true(at_wrong.v[SCORE_COLOR] < s.v[SCORE_COLOR] - 0.01);
    assert_true(at_wrong.v[SCORE_AGREEMENT] < s.v[SCORE_AGREEMENT]);
    pf_doc_release(&wrong);

    swap_view(&good, "views.image", 2, 0);      // another side's colours in the same outline
    const struct score colors = score_of(&good);
    assert_true(colors.v[SCORE_CONSISTENCY] < s.v[SCORE_CONSISTENCY] - 0.01);
    assert_true(colors.v[SCORE_AGREEMENT] == (s.v[SCORE_SILHOUETTE] + colors.v[SCORE_COLOR] +
                                              s.v[SCORE_COHERENCE]) / 3);
    assert_true(colors.v[SCORE_COHERENCE] == s.v[SCORE_COHERENCE]);
    swap_view(&good, "views.alpha", 2, 0);      // and its outline
    const struct score shapes = score_of(&good);
    assert_true(shapes.v[SCORE_COHERENCE] < s.v[SCORE_COHERENCE] - 0.01);
    assert_true(shapes.v[SCORE_AGREEMENT] < s.v[SCORE_AGREEMENT]);
    pf_doc_release(&good);
}

static void
test_crop_of_the_photo_does_not_matter(void **state)
{
    pf_doc as_is = document(10, 10), cropped = document(10, 10);
    (void)state;
    put_photo(&cropped, 10, 10, 0.8, 3);
    const struct score a = score_of(&as_is), b = score_of(&cropped);
    for (int k = 0; k <= SCORE_AGREEMENT; k++)
        assert_true(fabs(a.v[k] - b.v[k]) < 0.02);
    pf_doc_release(&as_is);
    pf_doc_release(&cropped);
}

static void
test_estimate_follows_its_signs(void **state)
{
    struct score s[2] = {
        {.elevation_deg = 0, .embedding_deg = NAN, .v[SCORE_COHERENCE] = 0.95},
        {.elevation_deg = 20, .embedding_deg = NAN, .v[SCORE_COHERENCE] = 0.95}};
    (void)state;
    assert_true(elevation_differs(s, 2));
    assert_false(elevation_differs(s, 1));
    const double level = elevation_estimate(s, 2, target_deg);
    s[1].v[SCORE_COHERENCE] = 0.96;
    assert_true(elevation_estimate(s, 2, target_deg) > level + 1);
    s[1].v[SCORE_COHERENCE] = 0.94;
    assert_true(elevation_estimate(s, 2, target_deg) < level - 1);
    s[1].v[SCORE_COHERENCE] = 0.95;
    s[0].v[SCORE_SHAPE_PULL] = 6;
    assert_true(elevation_estimate(s, 2, target_deg) > level + 0.2);
    s[0].v[SCORE_SHAPE_PULL] = 0;
    s[0].v[SCORE_COLOR_PULL] = 6;
    assert_true(elevation_estimate(s, 2, target_deg) > level + 1);
    s[0].v[SCORE_COLOR_PULL] = 90;
    assert_true(elevation_estimate(s, 2, target_deg) == 25);    // 5 beyond the candidates
    s[0].v[SCORE_COLOR_PULL] = -90;
    assert_true(elevation_estimate(s, 2, target_deg) == -5);
    s[0].v[SCORE_COLOR_PULL] = 0;
    s[1].v[SCORE_COHERENCE] = 1;                                // nothing is missing
    assert_true(isfinite(elevation_estimate(s, 2, target_deg)));
}

/* Zeros that nobody measured moved it. */
static void
test_estimate_leaves_out_what_is_not_measured(void **state)
{
    struct score s[3] = {
        {.elevation_deg = 0, .embedding_deg = NAN, .v[SCORE_COHERENCE] = 0.95},
        {.elevation_deg = 20, .embedding_deg = NAN, .v[SCORE_COHERENCE] = 0.96},
        {.elevation_deg = 40, .embedding_deg = NAN, .v[SCORE_COHERENCE] = NAN}};
    (void)state;
    assert_true(elevation_estimate(s, 3, target_deg) == elevation_estimate(s, 2, target_deg));
    s[1].v[SCORE_SHAPE_PULL] = NAN;
    assert_false(elevation_differs(s, 3));
}

/* Where the config says that the embedding tells the elevation, it is read. */
static void
test_embedding_is_read_where_it_tells(void **state)
{
    pf_doc doc = document(10, 10);
    float clip[4] = {9, 9, 0.5f, 0.8660254f};
    const pf_tensor t = PF_VIEW(clip, PF_F32, 1, 4);
    struct score s[2] = {{.elevation_deg = 0}, {.elevation_deg = 40}};
    (void)state;
    assert_ok(pf_doc_put(&doc, "input.clip", &t));
    assert_true(isnan(score_of(&doc).embedding_deg));
    pf_conf.clip.elevation = 2;
    assert_true(fabs(score_of(&doc).embedding_deg - 30) < 1e-4);
    pf_conf.clip.elevation = 3;
    assert_fails(score_measure(&s[0], &doc, "views"), PF_ESHAPE,
                 "expected the elevation at 3 and 4");
    pf_conf.clip.elevation = -1;
    pf_doc_release(&doc);

    s[0] = (struct score){.elevation_deg = 0, .embedding_deg = 10};
    s[1] = (struct score){.elevation_deg = 40, .embedding_deg = 10};
    assert_true(elevation_estimate(s, 2, target_deg) == 10);
}

/* ---- the program ---- */

/* Documents with these true and said elevations, one after the other, into a file. */
static void
write_stream(const char *path, int n, const double true_deg[], const double said_deg[])
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < n; i++) {
        pf_doc doc = document(true_deg[i], said_deg[i]);
        assert_ok(pf_doc_set_position(&doc, i, n));
        assert_ok(pf_doc_write(&doc, f));
        pf_doc_release(&doc);
    }
    assert_int_equal(fclose(f), 0);
}

/* The next document supposes this elevation, and stands there. */
static void
expect_next(pf_stream *in, double said_deg, const char *index, const char *count)
{
    pf_doc doc = {0};
    pf_tensor t;
    assert_ok(pf_stream_read(in, &doc));
    assert_ok(pf_doc_need(&doc, "input.elevation", PF_F32, 1, (int64_t[]){1}, &t));
    assert_true(fabs((double)*(float *)t.data * 180 / PF_PI - said_deg) < 1e-3);
    assert_ok(pf_doc_need(&doc, "views.score", PF_F32, 1, (int64_t[]){SCORES}, &t));
    assert_string_equal(pf_doc_get_meta(&doc, "pf.index"), index);
    assert_string_equal(pf_doc_get_meta(&doc, "pf.count"), count);
    assert_string_equal(pf_doc_get_meta(&doc, "pf.scores"),
                        "[\"silhouette\",\"color\",\"coherence\",\"consistency\",\"agreement\","
                        "\"shape_pull\",\"color_pull\"]");
    pf_doc_release(&doc);
}

static void
test_one_of_each_photo_is_written(void **state)
{
    pf_stream *in;
    pf_doc none = {0};
    (void)state;
    write_stream("two.pf", 4, (double[]){0, 0, 35, 35}, (double[]){0, 35, 0, 35});
    RUNS("pf-pick --by coherence --print -o picked.pf two.pf | cut -f 1,3,13 >table");
    write_text("expected", "group\tinput\tchosen\n0\t0\t1\n0\t35\t0\n1\t0\t0\n1\t35\t1\n");
    RUNS("cmp expected table");
    assert_ok(pf_stream_open(&in, "picked.pf"));
    expect_next(in, 0, "0", "2");
    expect_next(in, 35, "1", "2");
    assert_int_equal(pf_stream_read(in, &none), PF_END);
    pf_stream_close(in);
}

/* What comes out again is the photo at the elevation that the table has. */
static void
test_refined_photo_has_no_views(void **state)
{
    pf_doc doc = {0};
    pf_tensor t;
    double said;
    (void)state;
    write_stream("one.pf", 3, (double[]){20, 20, 20}, (double[]){-10, 15, 40});
    RUNS("pf-pick --refine --print -o refined.pf one.pf | tail -n 1 | cut -f 12 >elevation");
    FILE *f = fopen("elevation", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lf", &said), 1);
    fclose(f);
    read_document(&doc, "refined.pf");
    assert_ok(pf_doc_need(&doc, "input.elevation", PF_F32, 1, (int64_t[]){1}, &t));
    assert_true(fabs((double)*(float *)t.data * 180 / PF_PI - said) < 0.06);
    for (int i = 0; i < doc.tensors; i++)
        assert_true(!strncmp(doc.tensor[i].name, "input.", 6));
    assert_string_equal(pf_doc_get_meta(&doc, "pf.kind"), "input");
    assert_string_equal(pf_doc_get_meta(&doc, "pf.count"), "1");
    pf_doc_release(&doc);
}

/* A document by itself passes; masks that are missing are made, and not kept. */
static void
test_lone_document_passes(void **state)
{
    pf_doc doc = document(10, 10);
    (void)state;
    assert_ok(pf_doc_set_meta(&doc, "of.others", "stays"));
    pf_doc_drop(&doc, "views.alpha");
    write_document(&doc, "lone.pf");
    pf_doc_release(&doc);
    SAYS("lone.pf: document 0: one set of views of this photo and target elevation, so there is "
         "nothing to choose\n", "pf-pick -o passed.pf lone.pf");
    read_document(&doc, "passed.pf");
    assert_non_null(pf_doc_get(&doc, "views.score"));
    assert_non_null(pf_doc_get(&doc, "views.image"));
    assert_null(pf_doc_get(&doc, "views.alpha"));
    assert_string_equal(pf_doc_get_meta(&doc, "of.others"), "stays");
    pf_doc_release(&doc);
}

/* Nor does a view of noise stop a run: some candidate may be that bad. */
static void
test_views_of_noise_are_told(void **state)
{
    pf_doc doc = document(10, 10);
    (void)state;
    pf_doc_drop(&doc, "views.alpha");
    for (int i = 0; i < N * S * S * 3; i++)
        ((uint8_t *)pf_doc_get(&doc, "views.image")->data)[i] = (uint8_t)(i * 37 % 251);
    write_document(&doc, "noise.pf");
    pf_doc_release(&doc);
    SAYS("noise.pf: document 0: there is no views.alpha, and no colour fills the border",
         "pf-pick -o passed.pf noise.pf");
}

static void
refuse(pf_doc *doc, const char *words)
{
    write_document(doc, "bad.pf");
    FAILS(1, words, "pf-pick -o out.pf bad.pf");
    RUNS("test ! -e out.pf");
    pf_doc_release(doc);
}

static void
test_bad_documents_are_refused(void **state)
{
    (void)state;
    pf_doc doc = document(10, 10);
    pf_doc_drop(&doc, "input.alpha");
    refuse(&doc, "input.alpha");
    doc = document(10, 10);
    memset(pf_doc_get(&doc, "input.alpha")->data, 0, PHOTO * PHOTO * sizeof(float));
    refuse(&doc, "bad.pf: document 0: input.alpha: the photo shows no object");
    doc = document(10, 10);
    ((float *)pf_doc_get(&doc, "input.alpha")->data)[7] = NAN;
    refuse(&doc, "input.alpha");
    doc = document(10, 10);
    ((float *)pf_doc_get(&doc, "input.image")->data)[7] = NAN;
    refuse(&doc, "input.image");
    doc = document(10, 10);
    ((float *)pf_doc_get(&doc, "views.alpha")->data)[7] = NAN;
    refuse(&doc, "views.alpha");
    doc = document(10, 10);
    ((float *)pf_doc_get(&doc, "views.pose")->data)[0] = 5;
    refuse(&doc, "views.pose");
    doc = document(10, 10);
    ((float *)pf_doc_get(&doc, "input.elevation")->data)[0] = 20;
    refuse(&doc, "input.elevation");
    doc = document(10, 10);
    pf_doc_drop(&doc, "views.elevation");
    refuse(&doc, "views.elevation");
    FAILS(1, "standard input", "pf-pick -o out.pf </dev/null");
    FAILS(2, "one stream", "pf-pick -o out.pf a b");
    FAILS(2, "--by", "pf-pick --by luck -o out.pf two.pf");
}

/* ---- what is not measured ---- */

static void
blacken(pf_doc *doc, int first, int last)
{
    memset((float *)pf_doc_get(doc, "views.alpha")->data + first * S * S, 0,
           (size_t)(last - first) * S * S * sizeof(float));
}

/* It was 0, or 0.8, or the first elevation that is tried. */
static void
test_views_of_nothing_are_not_measured(void **state)
{
    pf_doc doc = document(10, 10);
    (void)state;
    blacken(&doc, 0, N);
    const struct score s = score_of(&doc);
    for (int k = 0; k < SCORES; k++)
        assert_true(isnan(s.v[k]));
    write_document(&doc, "none.pf");
    FAILS(1, "none.pf: document 0: no view shows an object, so nothing can be chosen by agreement",
          "pf-pick -o out.pf none.pf");
    RUNS("test ! -e out.pf");
    pf_doc_release(&doc);

    doc = document(10, 10);
    blacken(&doc, 3, 4);
    assert_true(isnan(score_of(&doc).v[SCORE_SILHOUETTE]));
    pf_doc_release(&doc);
}

/* Views that hide the points of all others, and masks that are nowhere sure. */
static void
test_colors_that_nobody_compares_are_not_measured(void **state)
{
    pf_doc doc = document(10, 10);
    (void)state;
    for (int i = 0; i < N * S * S; i++)
        ((float *)pf_doc_get(&doc, "views.alpha")->data)[i] *= 0.8f;
    const struct score s = score_of(&doc);
    assert_true(isnan(s.v[SCORE_COLOR]) && isnan(s.v[SCORE_CONSISTENCY]));
    assert_true(isnan(s.v[SCORE_AGREEMENT]) && isnan(s.v[SCORE_COLOR_PULL]));
    assert_true(s.v[SCORE_SILHOUETTE] > 0.5 && isfinite(s.v[SCORE_SHAPE_PULL]));
    write_document(&doc, "faint.pf");
    FAILS(1, "faint.pf: document 0: no colour of the photo is seen in a view, so nothing can be "
          "chosen by agreement", "pf-pick -o out.pf faint.pf");
    FAILS(1, "so nothing can be chosen by consistency",
          "pf-pick --by consistency -o out.pf faint.pf");
    RUNS("pf-pick --by silhouette --print faint.pf 2>told | tail -n 1 | cut -f 5,7-8,10 >table");
    write_text("expected", "nan\tnan\tnan\tnan\n");
    RUNS("cmp expected table");
    pf_doc_release(&doc);
}

/* The first of several was the best whatever came. */
static void
test_what_is_not_measured_is_not_chosen(void **state)
{
    FILE *const f = fopen("mixed.pf", "wb");
    (void)state;
    assert_non_null(f);
    for (int i = 0; i < 3; i++) {
        pf_doc doc = document(20, 20 * i);
        if (i < 2)
            blacken(&doc, 0, i ? 1 : N);
        assert_ok(pf_doc_set_position(&doc, i, 3));
        assert_ok(pf_doc_write(&doc, f));
        pf_doc_release(&doc);
    }
    assert_int_equal(fclose(f), 0);
    RUNS("pf-pick --print mixed.pf 2>told | cut -f 3-10,13 >table");
    write_text("expected",
               "input\tsilhouette\tcolor\tcoherence\tconsistency\tagreement\tshape_pull\t"
               "color_pull\tchosen\n"
               "0\tnan\tnan\tnan\tnan\tnan\tnan\tnan\t0\n"
               "20\tnan\tnan\tnan\tnan\tnan\tnan\tnan\t0\n");
    RUNS("head -n 3 table | cmp expected -; tail -n 1 table | grep -q '^40.*1$'");
    RUNS("grep -qx 'pf-pick: mixed.pf: document 1: view 0 shows no object' told");
    RUNS("grep -qx 'pf-pick: mixed.pf: document 0: no view shows an object' told");
    SAYS("mixed.pf: documents 0 to 2: neither views that suppose different elevations nor an "
         "embedding tells the photo's: the supposed 40 degrees stay",
         "pf-pick --refine -o refined.pf mixed.pf");
}

/* Nobody had measured anything, and the first one won. */
static void
test_photos_without_views_have_no_scores(void **state)
{
    pf_doc doc = {0};
    float clip[2] = {0.5f, 0.8660254f};
    const pf_tensor t = PF_VIEW(clip, PF_F32, 1, 2);
    (void)state;
    put_photo(&doc, 10, 10, 1, 0);
    assert_ok(pf_doc_put(&doc, "input.clip", &t));
    write_document(&doc, "photo.pf");
    pf_doc_release(&doc);
    write_text("tells.yaml", "clip: {elevation: 0}\n");
    RUNS("pf-pick -c tells.yaml --refine --print -o refined.pf photo.pf 2>told | tail -n 1 >table; "
         "test ! -s told");
    write_text("expected", "0\t0\t10\tnan\tnan\tnan\tnan\tnan\tnan\tnan\t30\t30\t1\n");
    RUNS("cmp expected table");
    RUNS("cat photo.pf photo.pf | pf-pick -c tells.yaml --refine --print | tail -n 2 | cut -f 13 | "
         "tr '\\n' ' ' >table");
    write_text("expected", "1 0 ");             /* of equals the first */
    RUNS("cmp expected table");
    FAILS(1, "photo.pf: document 0: the stream has no tensor views.elevation",
          "pf-pick -c tells.yaml --refine --by color -o out.pf photo.pf");
}

/* ---- groups ---- */

static void
test_groups_are_of_one_size(void **state)
{
    (void)state;
    write_stream("uneven.pf", 3, (double[]){0, 0, 35}, (double[]){0, 0, 35});
    FAILS(1, "uneven.pf: documents 0 to 1: 2 of the 3 documents are of one photo and target "
          "elevation, which does not divide them", "pf-pick -o out.pf uneven.pf");
    write_stream("fourth.pf", 4, (double[]){0, 0, 35, 40}, (double[]){0, 0, 35, 40});
    FAILS(1, "fourth.pf: document 2: 1 of one photo and target elevation, but 2 of the first one",
          "pf-pick -o out.pf fourth.pf");
    RUNS("test ! -e out.pf");

    FILE *const f = fopen("loose.pf", "wb");            // without pf.count it was accepted
    assert_non_null(f);
    for (int i = 0; i < 3; i++) {
        pf_doc doc = document(i < 2 ? 0 : 35, i);
        assert_ok(pf_doc_write(&doc, f));
        pf_doc_release(&doc);
    }
    assert_int_equal(fclose(f), 0);
    FAILS(1, "loose.pf: document 2: 1 of one photo", "pf-pick -o out.pf loose.pf");
}

/* What was wrong was said, but not where. */
static void
test_the_wrong_document_is_named(void **state)
{
    (void)state;
    FILE *const f = fopen("second.pf", "wb");
    assert_non_null(f);
    for (int i = 0; i < 2; i++) {
        pf_doc doc = document(10, 10);
        ((float *)pf_doc_get(&doc, "views.pose")->data)[0] += i ? 5 : 0;
        assert_ok(pf_doc_write(&doc, f));
        pf_doc_release(&doc);
    }
    assert_int_equal(fclose(f), 0);
    FAILS(1, "second.pf: document 1: views.pose", "pf-pick -o out.pf second.pf");
    FAILS(1, "stdin: document 1: views.pose", "pf-pick -o out.pf <second.pf");
}

/* The second run's documents were numbered as if they were the first's. */
static void
test_runs_that_follow_each_other_are_counted_apart(void **state)
{
    pf_stream *in;
    pf_doc none = {0};
    (void)state;
    write_stream("one.pf", 2, (double[]){0, 0}, (double[]){0, 35});
    write_stream("other.pf", 2, (double[]){35, 35}, (double[]){0, 35});
    RUNS("cat one.pf other.pf | pf-pick --by coherence -o picked.pf");
    assert_ok(pf_stream_open(&in, "picked.pf"));
    expect_next(in, 0, "0", "1");
    expect_next(in, 35, "0", "1");
    assert_int_equal(pf_stream_read(in, &none), PF_END);
    pf_stream_close(in);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks_leave_the_box),
        cmocka_unit_test(test_photo_is_pulled_to_where_it_was_taken),
        cmocka_unit_test(test_true_views_agree_best),
        cmocka_unit_test(test_crop_of_the_photo_does_not_matter),
        cmocka_unit_test(test_estimate_follows_its_signs),
        cmocka_unit_test(test_estimate_leaves_out_what_is_not_measured),
        cmocka_unit_test(test_embedding_is_read_where_it_tells),
        cmocka_unit_test(test_one_of_each_photo_is_written),
        cmocka_unit_test(test_refined_photo_has_no_views),
        cmocka_unit_test(test_lone_document_passes),
        cmocka_unit_test(test_views_of_noise_are_told),
        cmocka_unit_test(test_bad_documents_are_refused),
        cmocka_unit_test(test_views_of_nothing_are_not_measured),
        cmocka_unit_test(test_colors_that_nobody_compares_are_not_measured),
        cmocka_unit_test(test_what_is_not_measured_is_not_chosen),
        cmocka_unit_test(test_photos_without_views_have_no_scores),
        cmocka_unit_test(test_groups_are_of_one_size),
        cmocka_unit_test(test_the_wrong_document_is_named),
        cmocka_unit_test(test_runs_that_follow_each_other_are_counted_apart),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
