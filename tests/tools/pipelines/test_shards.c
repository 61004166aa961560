/* pipelines/batch.mk with a model of random weights that takes a second for a photo.  What is
 * looked at stands in long.inc beside this file, a script, for the commands are what people type;
 * it takes minutes: with PF_LONG=1.  test_shards FOLDER leaves the model there, for trials. */
#include "tests/tools/pf-sample/random_model.h"
#include "tests/tools/program.h"

static char root[1024];

static const char config[] =
    "model:   {view_num: 3, image_size: 64, time_embed_dim: 16, scale_factor: 0.5}\n"
    "clip:    {image_size: 32, patch_size: 8, width: 16, layers: 2, heads: 2, output_dim: 12}\n"
    "vae:     {ch: 32, ch_mult: [1, 1, 1, 1], num_res_blocks: 1, z_channels: 4}\n"
    "volume:  {dims: [8, 8, 8, 8], spatial_size: 8, frustum_depth: 8, target_dim: 8}\n"
    "unet:    {in_channels: 8, out_channels: 4, model_channels: 64, channel_mult: [1, 1, 1, 1],\n"
    "          num_res_blocks: 1, num_heads: 4, context_dim: 10, volume_dims: [8, 8, 8, 8]}\n"
    "sampler: {steps: 2}\n";
static const char field[] =
    "neus: {field: mlp, steps: 8, batch_rays: 24, foreground_rays: 8, sdf_width: 24,\n"
    "       sdf_layers: 2, sdf_frequencies: 1, feature_dim: 4, color_width: 8, color_layers: 1,\n"
    "       coarse_samples: 8, fine_samples: 8, fine_rounds: 2}\n";

static void
write_model(void)
{
    static struct pf_config conf;
    struct maker m = {0};
    write_text("config.yaml", config);
    write_text("neus.yaml", field);
    conf = pf_conf;
    assert_ok(pf_config_load(&conf, "config.yaml"));
    make_model(&m, &conf);
    write_document(&m.doc, "model.pf");
    pf_doc_release(&m.doc);
}

static int
setup(void **state)
{
    assert_non_null(getcwd(root, sizeof root));
    assert_int_equal(enter_scratch(state), 0);
    if (getenv("PF_LONG"))
        write_model();
    return 0;
}

/* Run a part of the script: what it measures is shown, and all of it where something is not ok. */
static void
script(const char *part)
{
    char line[1200];
    if (!getenv("PF_LONG"))
        skip();
    snprintf(line, sizeof line, "bash %s/tests/tools/pipelines/long.inc %s >&2", root, part);
    assert_int_equal(system(line), 0);
}

#define PART(name, part)                                                                       \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        script(part);                                                                              \
    }
PART(test_same_bytes_as_one_photo, "bytes")
PART(test_two_runs_at_once, "twice")
PART(test_killed_at_random_moments, "kill")
PART(test_memory_of_a_stream, "stream")
PART(test_gnu_parallel, "parallel")
PART(test_slurm, "slurm")

int
main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes_as_one_photo),
        cmocka_unit_test(test_two_runs_at_once),
        cmocka_unit_test(test_killed_at_random_moments),
        cmocka_unit_test(test_memory_of_a_stream),
        cmocka_unit_test(test_gnu_parallel),
        cmocka_unit_test(test_slurm),
    };
    if (argc == 2) {
        assert_int_equal(chdir(argv[1]), 0);
        write_model();
        return 0;
    }
    return cmocka_run_group_tests(tests, setup, leave_scratch);
}
