/* pf-clip-embed and pf-sample as programs, on a small model of random weights: options, streams,
 * and one sentence for everything that is wrong.  The tools are those of $BIN (build/bin). */
#include "common/image.h"
#include "tests/tools/pf-sample/random_model.h"
#include "tests/tools/program.h"

enum { V = 3, S = 64 };
static char root[1024];                 /* of the tree: the pipelines and the photos that ship */

static const char config[] =
    "model:   {view_num: 3, image_size: 64, time_embed_dim: 16, scale_factor: 0.5}\n"
    "clip:    {image_size: 32, patch_size: 8, width: 16, layers: 2, heads: 2, output_dim: 12}\n"
    "vae:     {ch: 32, ch_mult: [1, 1, 1, 1], num_res_blocks: 1, z_channels: 4}\n"
    "volume:  {dims: [8, 8, 8, 8], spatial_size: 8, frustum_depth: 8, target_dim: 8}\n"
    "unet:    {in_channels: 8, out_channels: 4, model_channels: 64, channel_mult: [1, 1, 1, 1],\n"
    "          num_res_blocks: 1, num_heads: 4, context_dim: 10, volume_dims: [8, 8, 8, 8]}\n"
    "sampler: {steps: 2}\n";

static bool
exists(const char *name)
{
    return access(name, F_OK) == 0;
}

/* All documents of a stream; their number. */
static int
read_all(pf_doc *docs, int most, const char *name)
{
    pf_stream *s;
    pf_err err;
    int n = 0;
    assert_ok(pf_stream_open(&s, name));
    while (n < most && (err = pf_stream_read(s, &docs[n])) == PF_OK)
        n++;
    pf_stream_close(s);
    return n;
}

static void
put(pf_doc *doc, const char *name, uint64_t seed, int ndim, const int64_t *dim)
{
    pf_tensor t;
    assert_ok(pf_tensor_new(&t, PF_F32, ndim, dim));
    fill_uniform(t.data, pf_tensor_count(&t), seed);
    assert_ok(pf_doc_put(doc, name, &t));
    pf_tensor_release(&t);
}
#define PUT(doc, name, seed, ...) put(doc, name, seed, PF_DIMS_(__VA_ARGS__))

/* The folder: config.yaml, model.pf, input.pf (as pf-crop writes it) and clip.pf. */
static int
setup(void **state)
{
    static struct pf_config conf;
    struct maker m = {0};
    pf_doc input = {0};
    assert_non_null(getcwd(root, sizeof root));
    assert_int_equal(enter_scratch(state), 0);
    write_text("config.yaml", config);
    conf = pf_conf;
    assert_ok(pf_config_load(&conf, "config.yaml"));
    make_model(&m, &conf);
    write_document(&m.doc, "model.pf");
    pf_doc_release(&m.doc);
    PUT(&input, "input.image", 1, 3, S, S);
    PUT(&input, "input.elevation", 2, 1);
    PUT(&input, "input.azimuth", 3, 1);
    PUT(&input, "somebody.else", 4, 2, 5);
    assert_ok(pf_doc_set_meta(&input, "note", "kept"));
    write_document(&input, "input.pf");
    pf_doc_release(&input);
    RUNS("pf-clip-embed -c config.yaml -w model.pf -o clip.pf input.pf");
    return 0;
}

#define SAMPLE "pf-sample -q -c config.yaml -w model.pf "

static void
test_clip_embed_adds_its_tensor_and_keeps_the_rest(void **state)
{
    pf_doc doc = {0};
    pf_tensor t;
    (void)state;
    assert_int_equal(read_all(&doc, 1, "clip.pf"), 1);
    assert_ok(pf_doc_need(&doc, "input.clip", PF_F32, 2, (int64_t[]){1, 12}, &t));
    assert_ok(pf_doc_need(&doc, "somebody.else", PF_F32, 2, (int64_t[]){2, 5}, &t));
    assert_string_equal(pf_doc_get_meta(&doc, "note"), "kept");
    assert_non_null(strstr(pf_doc_get_meta(&doc, "pf.history"), "pf-clip-embed"));
    pf_doc_release(&doc);
}

static void
test_clip_embed_refuses(void **state)
{
    (void)state;
    FAILS(2, "-w WEIGHTS", "pf-clip-embed -c config.yaml input.pf -o x.pf");
    FAILS(1, "positional_embedding",
          "sed 's/image_size: 32/image_size: 40/' config.yaml >other.yaml; "
          "pf-clip-embed -c other.yaml -w model.pf -o x.pf input.pf");
    FAILS(1, "input.image", "pf-clip-embed -c config.yaml -w model.pf -o x.pf model.pf");
    assert_false(exists("x.pf"));
}

/* One document for each elevation and sample, numbered, each with one more entry of history. */
static void
test_one_document_for_each_elevation_and_sample(void **state)
{
    pf_doc docs[5] = {0};
    pf_tensor t;
    (void)state;
    RUNS(SAMPLE "--target-elevation 0,40 --sample-num 2 --latents -o four.pf clip.pf");
    assert_int_equal(read_all(docs, 5, "four.pf"), 4);
    for (int i = 0; i < 4; i++) {
        char index[16];
        snprintf(index, sizeof index, "%d", i);
        assert_string_equal(pf_doc_get_meta(&docs[i], "pf.index"), index);
        assert_string_equal(pf_doc_get_meta(&docs[i], "pf.count"), "4");
        assert_string_equal(pf_doc_get_meta(&docs[i], "pf.kind"), "views");
        assert_ok(pf_doc_need(&docs[i], "views.image", PF_U8, 4, (int64_t[]){V, S, S, 3}, &t));
        assert_ok(pf_doc_need(&docs[i], "views.pose", PF_F32, 3, (int64_t[]){V, 3, 4}, &t));
        assert_ok(pf_doc_need(&docs[i], "views.intrinsics", PF_F32, 3, (int64_t[]){V, 3, 3}, &t));
        assert_ok(pf_doc_need(&docs[i], "views.azimuth", PF_F32, 1, (int64_t[]){V}, &t));
        assert_ok(pf_doc_need(&docs[i], "views.latent", PF_F32, 4, (int64_t[]){V, 4, 8, 8}, &t));
        assert_ok(pf_doc_need(&docs[i], "somebody.else", PF_F32, 2, (int64_t[]){2, 5}, &t));
        assert_ok(pf_doc_need(&docs[i], "views.elevation", PF_F32, 1, (int64_t[]){V}, &t));
        assert_near((float *)t.data, ((float[]){i / 2 ? 0.69813170f : 0}), 1, 1e-6);
        const char *once = strstr(pf_doc_get_meta(&docs[i], "pf.history"), "\"pf-sample\"");
        assert_non_null(once);
        assert_null(strstr(once + 1, "\"pf-sample\""));
    }
    for (int i = 0; i < 5; i++)
        pf_doc_release(&docs[i]);
}

static void
same_tensor(const pf_doc *a, const pf_doc *b, const char *name)
{
    const pf_tensor *ta = pf_doc_get(a, name), *tb = pf_doc_get(b, name);
    assert_non_null(ta);
    assert_non_null(tb);
    assert_int_equal(pf_tensor_bytes(ta), pf_tensor_bytes(tb));
    assert_memory_equal(ta->data, tb->data, pf_tensor_bytes(ta));
}

/* The order of the elevations, and what else is asked for, does not matter; nor does the batch. */
static void
test_elevations_do_not_depend_on_each_other(void **state)
{
    pf_doc both[2] = {0}, turned[2] = {0}, one = {0};
    (void)state;
    RUNS(SAMPLE "--target-elevation 50,-10 -o both.pf clip.pf");
    RUNS(SAMPLE "--target-elevation -10,50 --batch-view-num 2 -o turned.pf clip.pf");
    RUNS(SAMPLE "--elevation_target 50 --sample_steps 2 < clip.pf > one.pf");
    assert_int_equal(read_all(both, 2, "both.pf"), 2);
    assert_int_equal(read_all(turned, 2, "turned.pf"), 2);
    assert_int_equal(read_all(&one, 1, "one.pf"), 1);
    same_tensor(&both[0], &turned[1], "views.image");
    same_tensor(&both[1], &turned[0], "views.image");
    same_tensor(&both[0], &one, "views.image");
    same_tensor(&both[0], &one, "views.pose");
    for (int i = 0; i < 2; i++) {
        pf_doc_release(&both[i]);
        pf_doc_release(&turned[i]);
    }
    pf_doc_release(&one);
}

/* Several photos in one stream: a set of views for each, counted through. */
static void
test_several_photos(void **state)
{
    pf_doc docs[3] = {0};
    (void)state;
    RUNS("pf-stream cat clip.pf clip.pf >two.pf; " SAMPLE "--steps 1 -o out.pf two.pf");
    assert_int_equal(read_all(docs, 3, "out.pf"), 2);
    assert_string_equal(pf_doc_get_meta(&docs[1], "pf.index"), "1");
    assert_string_equal(pf_doc_get_meta(&docs[1], "pf.count"), "2");
    for (int i = 0; i < 3; i++)
        pf_doc_release(&docs[i]);
}

/* One document for each photo, each on its own as by itself: what a list wishes is heard unless an
 * option speaks, and one that fails leaves its place to documents that say so. */
static void
test_a_batch_of_photos(void **state)
{
    pf_doc docs[9] = {0}, alone[2] = {0}, bad = {0};
    (void)state;
    read_document(&bad, "clip.pf");
    assert_ok(pf_doc_set_meta(&bad, "pf.object", "first"));
    assert_ok(pf_doc_set_meta(&bad, "pf.target_elevation", "10,-20"));
    assert_ok(pf_doc_set_meta(&bad, "pf.seed", "7"));
    assert_ok(pf_doc_set_position(&bad, 0, 3));
    write_document(&bad, "p0.pf");
    assert_ok(pf_doc_set_meta(&bad, "pf.object", "third"));
    assert_ok(pf_doc_set_position(&bad, 2, 3));
    write_document(&bad, "p2.pf");
    assert_ok(pf_doc_set_meta(&bad, "pf.object", "second"));
    assert_ok(pf_doc_set_position(&bad, 1, 3));
    pf_doc_drop(&bad, "input.clip");
    write_document(&bad, "p1.pf");
    pf_doc_release(&bad);
    char said[4096];
    assert_int_equal(run(said, "cat p0.pf p1.pf p2.pf >p.pf; " SAMPLE
                         "-k --steps 1 --png strips/%%o -o out.pf p.pf"), 1);
    assert_string_equal(said, "pf-sample: p.pf: document 1: the stream has no tensor input.clip; "
                        "it is made by pf-clip-embed\npf-sample: 1 object failed\n");
    assert_true(exists("strips/first/1.png") && exists("strips/third/0.png"));
    assert_false(exists("strips/second"));
    assert_int_equal(read_all(docs, 9, "out.pf"), 6);
    for (int i = 0; i < 6; i++) {
        char index[16];
        snprintf(index, sizeof index, "%d", i);
        assert_string_equal(pf_doc_get_meta(&docs[i], "pf.index"), index);
        assert_string_equal(pf_doc_get_meta(&docs[i], "pf.count"), "6");
        assert_string_equal(pf_doc_get_meta(&docs[i], "pf.elevation"), i % 2 ? "-20" : "10");
        assert_string_equal(pf_doc_get_meta(&docs[i], "pf.sample"), "0");
        assert_int_equal(pf_doc_failed(&docs[i]), i / 2 == 1);
        assert_int_equal(docs[i].tensors == 0, i / 2 == 1);
    }
    RUNS(SAMPLE "--steps 1 --seed 7 --target-elevation -20 -o out.pf clip.pf");
    assert_int_equal(read_all(alone, 2, "out.pf"), 1);
    same_tensor(&docs[1], &alone[0], "views.image");
    same_tensor(&docs[5], &alone[0], "views.image");
    pf_doc_release(&alone[0]);
    RUNS(SAMPLE "--steps 1 --target-elevation 40 -o 'by/%%e.pf' clip.pf");
    assert_int_equal(read_all(alone, 2, "by/40.pf"), 1);
    for (int i = 0; i < 9; i++)
        pf_doc_release(&docs[i]);
    pf_doc_release(&alone[0]);
}

static void
test_wishes_are_checked(void **state)
{
    pf_doc doc = {0};
    (void)state;
    read_document(&doc, "clip.pf");
    assert_ok(pf_doc_set_meta(&doc, "pf.target_elevation", "10,x"));
    write_document(&doc, "wish.pf");
    FAILS(1, "pf.target_elevation is \"10,x\", expected degrees", SAMPLE "-o x.pf wish.pf");
    assert_ok(pf_doc_set_meta(&doc, "pf.target_elevation", "10,20"));
    assert_ok(pf_doc_set_position(&doc, 0, 2));
    write_document(&doc, "wish.pf");
    assert_ok(pf_doc_set_meta(&doc, "pf.target_elevation", "10"));
    assert_ok(pf_doc_set_position(&doc, 1, 2));
    write_document(&doc, "other.pf");
    FAILS(1, "this photo makes 1 documents, the first 2",
          "cat wish.pf other.pf | " SAMPLE "--steps 1 -o x.pf");
    FAILS(1, "document 1 of 0 to 1 is missing", SAMPLE "--steps 1 -o x.pf wish.pf");
    pf_doc_release(&doc);
    assert_false(exists("x.pf"));
}

#define RECONSTRUCT(sample)                                                                        \
    "{ make -f %s/pipelines/reconstruct.mk PATH=\"$PATH\" out/sample.pf OUTPUT=out "               \
    "INPUT=%s/configs/demo/photos/ball-20.png CONFIG=config.yaml CKPT=model.pf DEVICE=cpu "        \
    "SAMPLE_NUM=2 SAMPLE=" sample " INPUT_ELEVATION=20 TARGET_ELEVATION=0,30 SAMPLE_STEPS=1 "      \
    ">made 2>&1 || cat made >&2; }"

/* Of several samples of two elevations, reconstruct.mk takes number 1 of each: SyncDreamer's
 * --sample_num 2. */
static void
test_reconstruct_takes_one_sample_of_each_elevation(void **state)
{
    pf_doc made[5] = {0}, taken[3] = {0};
    (void)state;
    RUNS(RECONSTRUCT("1"), root, root);
    assert_int_equal(read_all(made, 5, "out/views.pf"), 4);
    assert_int_equal(read_all(taken, 3, "out/sample.pf"), 2);
    for (int e = 0; e < 2; e++) {
        const pf_tensor *const other = pf_doc_get(&made[2 * e], "views.image"),
                        *const one = pf_doc_get(&made[2 * e + 1], "views.image");
        assert_memory_not_equal(other->data, one->data, pf_tensor_bytes(one));
        same_tensor(&taken[e], &made[2 * e + 1], "views.image");
        pf_doc_release(&taken[e]);
    }
    /* another number: the settings made the file, too; the views stay */
    RUNS(RECONSTRUCT("0"), root, root);
    RUNS("! grep pf-sample made");
    assert_int_equal(read_all(taken, 3, "out/sample.pf"), 2);
    for (int e = 0; e < 2; e++)
        same_tensor(&taken[e], &made[2 * e], "views.image");
    for (int i = 0; i < 5; i++)
        pf_doc_release(&made[i]);
    for (int i = 0; i < 3; i++)
        pf_doc_release(&taken[i]);
}

/* --png: V views side by side, the bytes of views.image. */
static void
test_strip(void **state)
{
    pf_doc doc = {0};
    pf_image strip;
    (void)state;
    RUNS(SAMPLE "--png strips -o one.pf clip.pf");
    assert_int_equal(read_all(&doc, 1, "one.pf"), 1);
    assert_ok(pf_image_read(&strip, "strips/0.png"));
    assert_int_equal(strip.width, V * S);
    assert_int_equal(strip.height, S);
    const uint8_t *views = pf_doc_get(&doc, "views.image")->data;
    for (int v = 0; v < V; v++)
        for (int y = 0; y < S; y++)
            assert_memory_equal(strip.pixel + (y * V + v) * S * 3, views + (v * S + y) * S * 3,
                                S * 3);
    pf_image_release(&strip);
    pf_doc_release(&doc);
}

/* The original's --output is a folder: "is a directory" it was here. */
static void
test_output_may_be_a_folder(void **state)
{
    (void)state;
    RUNS(SAMPLE "--sample_num 2 --steps 1 --output folder/ clip.pf");
    assert_true(exists("folder/views.pf") && exists("folder/0.png") && exists("folder/1.png"));
    RUNS("rm folder/*; " SAMPLE "--steps 1 --output folder --png elsewhere clip.pf");
    assert_true(exists("folder/views.pf") && !exists("folder/0.png") && exists("elsewhere/0.png"));
}

/* With --noise nothing is left to the seed; a file for fewer steps is refused. */
static void
test_noise_from_a_file(void **state)
{
    pf_doc noise = {0}, a = {0}, b = {0}, c = {0};
    (void)state;
    PUT(&noise, "posterior", 1, 1, 4, 8, 8);
    PUT(&noise, "x_T", 2, V, 4, 8, 8);
    PUT(&noise, "step", 3, 1, V, 4, 8, 8);
    write_document(&noise, "noise.pf");
    pf_doc_release(&noise);
    RUNS(SAMPLE "--noise noise.pf --seed 1 --latents -o a.pf clip.pf");
    RUNS(SAMPLE "--noise noise.pf --seed 2 --latents -o b.pf clip.pf");
    RUNS(SAMPLE "--seed 2 --latents -o c.pf clip.pf");
    assert_int_equal(read_all(&a, 1, "a.pf"), 1);
    assert_int_equal(read_all(&b, 1, "b.pf"), 1);
    assert_int_equal(read_all(&c, 1, "c.pf"), 1);
    same_tensor(&a, &b, "views.latent");
    assert_true(check_rms(pf_doc_get(&a, "views.latent")->data,
                          pf_doc_get(&c, "views.latent")->data, V * 256) > 1e-3);
    FAILS(1, "--noise: step is for 2 steps, this is step 3",
          SAMPLE "--noise noise.pf --steps 3 -o x.pf clip.pf");
    FAILS(1, "--noise: the stream has no tensor posterior",
          SAMPLE "--noise clip.pf -o x.pf clip.pf");
    pf_doc_release(&a);
    pf_doc_release(&b);
    pf_doc_release(&c);
}

static void
test_dump_has_the_golden_names(void **state)
{
    static const char *const names[] = {
        "x_T", "x_input", "v_embed", "t_embed", "vae_encoder_out", "spatial_volume",
        "view1.context", "view1.target_encoder_out", "view1.frustum_8", "view1.unet_output_cond",
        "time_embed", "input_blocks.0", "input_blocks.1.0", "input_blocks.1.1.layer1",
        "input_blocks.1.1.layer2", "middle_block", "middle_conditions", "output_blocks.7",
        "output_conditions.5", "step1.eps", "step2.x_prev", "final_latents", "decoded",
    };
    pf_doc dump = {0};
    (void)state;
    RUNS(SAMPLE "--dump dump.pf --dump-view 1 --batch-view-num 1 -o one.pf clip.pf");
    assert_int_equal(read_all(&dump, 1, "dump.pf"), 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!pf_doc_get(&dump, names[i]))
            fail_msg("%s was not dumped", names[i]);
    pf_doc_release(&dump);
}

/* What a quality means can be said option by option; what is said counts. */
static void
test_quality_is_four_options(void **state)
{
    (void)state;
    RUNS(SAMPLE "--quality draft -o draft.pf clip.pf");
    RUNS(SAMPLE "--sampler ddim --timesteps trailing --steps 3 --eta 0 -o same.pf clip.pf");
    RUNS("pf-stream get views.image draft.pf >a; pf-stream get views.image same.pf >b; cmp a b");
    RUNS(SAMPLE "--quality draft --steps 2 --sampler unipc -o own.pf clip.pf");
    RUNS("pf-stream get views.image own.pf >b; ! cmp -s a b");
    RUNS("pf-stream info own.pf | grep -q '\"steps\": *2\\b'");
    RUNS("pf-stream info own.pf | grep -q '\"timesteps\": *\"trailing\"'");
    FAILS(2, "--quality is one of", SAMPLE "--quality worst -o x.pf clip.pf");
}

static void
test_wrong_usage(void **state)
{
    (void)state;
    FAILS(2, "-w WEIGHTS", "pf-sample -c config.yaml -o x.pf clip.pf");
    FAILS(2, "target-elevation", SAMPLE "--target-elevation nan -o x.pf clip.pf");
    FAILS(2, "target-elevation", SAMPLE "--target-elevation 30,90 -o x.pf clip.pf");
    FAILS(2, "steps", SAMPLE "--steps 0 -o x.pf clip.pf");
    FAILS(2, "ends at time 1000", SAMPLE "--steps 300 --timesteps original -o x.pf clip.pf");
    FAILS(2, "--sampler is one of ddim", SAMPLE "--sampler plms -o x.pf clip.pf");
    FAILS(2, "--eta is for the sampler ddim", SAMPLE "--sampler unipc --eta 0 -o x.pf clip.pf");
    RUNS(SAMPLE "--steps 4 --sampler ddim --timesteps original -o original.pf clip.pf");
    FAILS(2, "one stream", SAMPLE "-o x.pf clip.pf clip.pf");
    assert_false(exists("x.pf"));
}

/* Numbers that were taken as they came: an elevation in degrees, a picture of 0 to 255. */
static void
test_numbers_out_of_their_range_are_refused(void **state)
{
    static const struct {
        const char *name, *words;
        float value;
        int element;
    } wrong[] = {
        {"input.elevation", "input.elevation: element 0 is 30, expected radians, -pi/2 to", 30, 0},
        {"input.azimuth", "input.azimuth: element 0 is nan, expected radians", NAN, 0},
        {"input.image", "input.image: element 7 is 200, expected -1 to 1", 200, 7},
        {"input.clip", "input.clip: element 3 is inf, expected CLIP's features", INFINITY, 3},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        pf_doc doc = {0};
        assert_int_equal(read_all(&doc, 1, "clip.pf"), 1);
        ((float *)pf_doc_get(&doc, wrong[i].name)->data)[wrong[i].element] = wrong[i].value;
        write_document(&doc, "wrong.pf");
        pf_doc_release(&doc);
        FAILS(1, wrong[i].words, SAMPLE "-o x.pf wrong.pf");
        if (!strcmp(wrong[i].name, "input.image"))
            FAILS(1, wrong[i].words, "pf-clip-embed -c config.yaml -w model.pf -o x.pf wrong.pf");
    }
    assert_false(exists("x.pf"));
}

/* Two bytes of the decoder made NaN gave a plain picture: it was clamped away.  A ReLU hides those
 * of the volume. */
static void
test_nan_in_weights_is_told(void **state)
{
    static const char *const damaged[] = {
        "first_stage_model.decoder.conv_out.weight", "first_stage_model.decoder.norm_out.bias",
        "first_stage_model.encoder.conv_in.weight", "time_embed.2.bias", "cc_projection.bias",
        "spatial_volume.target_encoder.final_out.2.weight", "model.diffusion_model.out.2.bias",
        "spatial_volume.frustum_volume_feats.up0.conv.weight",
        "model.diffusion_model.input_blocks.0.0.weight",
        "model.diffusion_model.input_blocks.1.1.layer1.norm.weight",
        "model.diffusion_model.output_conditions.0.proj_context.0.weight",
    };
    pf_doc model = {0};
    (void)state;
    read_document(&model, "model.pf");
    for (size_t i = 0; i <= sizeof damaged / sizeof *damaged; i++) {
        const bool clip = i == sizeof damaged / sizeof *damaged;
        const char *const name = clip ? "clip_image_encoder.model.visual.ln_pre.bias" : damaged[i];
        float *const p = (float *)pf_doc_get(&model, name)->data + 1, was = *p;
        char words[200];
        *p = i % 2 ? NAN : -INFINITY;
        write_document(&model, "nan.pf");
        *p = was;
        snprintf(words, sizeof words, "nan.pf: tensor %s: element 1 is not finite", name);
        FAILS(1, words, "pf-%s -q -c config.yaml -w nan.pf -o x.pf clip.pf",
              clip ? "clip-embed" : "sample --steps 1");
    }
    pf_doc_release(&model);
    assert_false(exists("x.pf"));
}

/* Finite weights whose results are not: no picture, embedding or latent is made of them. */
static void
test_overflow_in_a_network_is_told(void **state)
{
    static const struct { const char *tensor, *words; } large[] = {
        {"first_stage_model.decoder.conv_out.weight", "VAE's decoder gives numbers that are not"},
        {"first_stage_model.encoder.conv_out.weight", "VAE's encoder gives numbers that are not"},
        {"model.diffusion_model.out.2.weight", "network's output is not finite"},
        {"clip_image_encoder.model.visual.proj", "CLIP's embedding of this view is not finite"},
    };
    pf_doc model = {0};
    (void)state;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        read_document(&model, "model.pf");
        const pf_tensor *const t = pf_doc_get(&model, large[i].tensor);
        for (int64_t k = 0; k < pf_tensor_count(t); k++)
            ((float *)t->data)[k] = 3e38f;
        write_document(&model, "large.pf");
        pf_doc_release(&model);
        FAILS(1, large[i].words, "pf-%s -q -c config.yaml -w large.pf -o x.pf clip.pf",
              i == 3 ? "clip-embed" : "sample --steps 1 --png large");
    }
    assert_false(exists("x.pf"));
    assert_false(exists("large/0.png"));
}

/* SyncDreamer's weights were taken for any target elevation without a word. */
static void
test_sync_dreamer_at_other_elevations_gets_a_warning(void **state)
{
    struct pf_config conf = pf_conf;
    struct maker m = {.sync_dreamer = true};
    (void)state;
    assert_ok(pf_config_load(&conf, "config.yaml"));
    make_model(&m, &conf);
    write_document(&m.doc, "sync.pf");
    pf_doc_release(&m.doc);
    SAYS("--target-elevation 20: these weights, SyncDreamer's, were trained for views at 30",
         "pf-sample -q -c config.yaml -w sync.pf --steps 1 "
         "--target-elevation 30,20 -o sync-views.pf clip.pf");
    RUNS("pf-sample -q -c config.yaml -w sync.pf --steps 1 -o sync-views.pf clip.pf");
}

/* Put every parameter of the UNet under its average's name too, or instead. */
static void
add_averages(pf_doc *doc, bool instead)
{
    static const char model[] = "model.";
    const int n = doc->tensors;
    for (int i = 0; i < n; i++) {
        char name[300] = "model_ema.", was[300];
        size_t k = strlen(name);
        snprintf(was, sizeof was, "%s", doc->tensor[i].name);
        if (strncmp(was, model, strlen(model)) != 0)
            continue;
        for (const char *c = was + strlen(model); *c; c++)
            if (*c != '.')
                name[k++] = *c;
        assert_ok(pf_doc_put(doc, name, pf_doc_get(doc, was)));
        pf_tensor *const t = (pf_tensor *)pf_doc_get(doc, was);
        memset(t->data, 0, pf_tensor_bytes(t));
    }
    for (int i = doc->tensors - 1; instead && i >= 0; i--)
        if (!strncmp(doc->tensor[i].name, model, strlen(model))) {
            char name[300];
            snprintf(name, sizeof name, "%s", doc->tensor[i].name);
            pf_doc_drop(doc, name);
        }
}

/* LitEma's names drop the dots: such weights were ignored, or "has no tensor". */
static void
test_ema_weights(void **state)
{
    (void)state;
    RUNS(SAMPLE "-o plain.pf clip.pf");
    for (int instead = 0; instead < 2; instead++) {
        pf_doc model = {0}, plain = {0}, ema = {0};
        read_document(&model, "model.pf");
        add_averages(&model, instead);
        write_document(&model, "ema-weights.pf");
        pf_doc_release(&model);
        if (instead)
            FAILS(1, "but its EMA weights: --ema takes them",
                  "pf-sample -q -c config.yaml -w ema-weights.pf -o x.pf clip.pf");
        else
            SAYS("ema-weights.pf: there are EMA weights, too: --ema takes them",
                 "pf-sample --plan -d cpu -c config.yaml -w ema-weights.pf >/dev/null");
        RUNS("pf-sample -q --ema -c config.yaml -w ema-weights.pf -o ema.pf clip.pf");
        read_document(&plain, "plain.pf");
        read_document(&ema, "ema.pf");
        same_tensor(&plain, &ema, "views.image");
        pf_doc_release(&plain);
        pf_doc_release(&ema);
    }
    FAILS(1, "holds no EMA weights", SAMPLE "--ema -o x.pf clip.pf");
}

/* Weights whose second half was zeros made pictures. */
static void
test_verify_compares_checksums(void **state)
{
    (void)state;
    RUNS("pf-weights convert -o summed.safetensors model.pf");
    RUNS("pf-sample -q --verify -c config.yaml -w summed.safetensors --steps 1 -o one.pf clip.pf");
    RUNS("size=$(wc -c <summed.safetensors); head -c $((size / 2)) summed.safetensors "
         ">zeros.safetensors; truncate -s $size zeros.safetensors");
    FAILS(1, "checksum",
          "pf-sample -q --verify -c config.yaml -w zeros.safetensors --steps 1 -o x.pf clip.pf");
    FAILS(1, "checksum",
          "pf-clip-embed --verify -c config.yaml -w zeros.safetensors -o x.pf input.pf");
    FAILS(1, "checksum", "pf-weights check zeros.safetensors");
    SAYS("plain.safetensors: carries no checksums",
         "sed s/pf.crc32/pf.crc33/ model.pf >plain.safetensors; "
         "pf-clip-embed --verify -c config.yaml -w plain.safetensors -o one.pf input.pf");
}

static void
test_weights_of_other_sizes_without_a_config(void **state)
{
    (void)state;
    FAILS(1, "without -c the sizes are the full model's: -c CONFIG",
          "pf-clip-embed -w model.pf -o x.pf input.pf");
    FAILS(1, "without -c the sizes are the full model's: -c CONFIG",
          "pf-sample --plan -d cpu -w model.pf");
    FAILS(1, "or another float type)\n",
          "sed 's/output_dim: 12/output_dim: 13/' config.yaml >other.yaml; "
          "pf-sample --plan -d cpu -c other.yaml -w model.pf");
}

static void
test_wrong_input(void **state)
{
    (void)state;
    FAILS(1, "pf-clip-embed", SAMPLE "-o x.pf input.pf");
    FAILS(1, "input.image", "sed 's/image_size: 64/image_size: 128/' config.yaml >other.yaml; "
          "pf-sample -q -c other.yaml -w model.pf -o x.pf clip.pf");
    FAILS(1, "context_dim", "sed 's/context_dim/contxt_dim/' config.yaml >other.yaml; "
          "pf-sample -c other.yaml -w model.pf -o x.pf clip.pf");
    FAILS(1, "cc_projection", "sed 's/output_dim: 12/output_dim: 13/' config.yaml >other.yaml; "
          "pf-sample -q -c other.yaml -w model.pf -o x.pf clip.pf");
    FAILS(1, "no-such", "pf-sample -q -c config.yaml -w no-such -o x.pf clip.pf");
    FAILS(1, "", "head -c 20000 clip.pf | " SAMPLE "-o x.pf");
    FAILS(1, "", SAMPLE "--steps 1 clip.pf >/dev/full");
    FAILS(1, "file/x", "touch file; " SAMPLE "--png file/x -o x.pf clip.pf");
    assert_false(exists("x.pf"));
}

/* -v: times of the stages, and memory. */
static void
test_verbose(void **state)
{
    char said[4096];
    (void)state;
    assert_int_equal(run(said, "pf-sample -v -c config.yaml -w model.pf -o one.pf clip.pf"), 0);
    assert_non_null(strstr(said, "sampling"));
    assert_non_null(strstr(said, "decoding"));
    assert_non_null(strstr(said, "MB of weights"));
    assert_int_equal(run(said, SAMPLE "-o one.pf clip.pf"), 0);
    assert_string_equal(said, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clip_embed_adds_its_tensor_and_keeps_the_rest),
        cmocka_unit_test(test_clip_embed_refuses),
        cmocka_unit_test(test_one_document_for_each_elevation_and_sample),
        cmocka_unit_test(test_elevations_do_not_depend_on_each_other),
        cmocka_unit_test(test_several_photos),
        cmocka_unit_test(test_a_batch_of_photos),
        cmocka_unit_test(test_wishes_are_checked),
        cmocka_unit_test(test_reconstruct_takes_one_sample_of_each_elevation),
        cmocka_unit_test(test_strip),
        cmocka_unit_test(test_output_may_be_a_folder),
        cmocka_unit_test(test_noise_from_a_file),
        cmocka_unit_test(test_dump_has_the_golden_names),
        cmocka_unit_test(test_quality_is_four_options),
        cmocka_unit_test(test_wrong_usage),
        cmocka_unit_test(test_numbers_out_of_their_range_are_refused),
        cmocka_unit_test(test_nan_in_weights_is_told),
        cmocka_unit_test(test_overflow_in_a_network_is_told),
        cmocka_unit_test(test_sync_dreamer_at_other_elevations_gets_a_warning),
        cmocka_unit_test(test_ema_weights),
        cmocka_unit_test(test_verify_compares_checksums),
        cmocka_unit_test(test_weights_of_other_sizes_without_a_config),
        cmocka_unit_test(test_wrong_input),
        cmocka_unit_test(test_verbose),
    };
    return cmocka_run_group_tests(tests, setup, leave_scratch);
}
