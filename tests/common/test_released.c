/* Files that released versions wrote, tests/data/released/VERSION/: each later version reads them,
 * to the same numbers.  They are never written again; a new version adds a folder. */
#include <dirent.h>

#include "common/checkpoint.h"
#include "common/config.h"
#include "common/stream.h"
#include "kernels/field/field.h"
#include "tests/check.h"

static void
expect_stream(const char *folder)
{
    char path[300];
    pf_stream *s;
    pf_doc doc = {0};
    snprintf(path, sizeof path, "%s/stream.pf", folder);
    assert_ok(pf_stream_open(&s, path));
    assert_ok(pf_stream_read(s, &doc));
    const pf_tensor *const a = pf_doc_get(&doc, "a"), *const b = pf_doc_get(&doc, "b");
    assert_true(a && pf_tensor_is(a, PF_F32, 1, (int64_t[]){2}));
    assert_near((float *)a->data, ((float[]){1, 2}), 2, 0);
    assert_true(b && pf_tensor_is(b, PF_U8, 1, (int64_t[]){3}));
    assert_memory_equal(b->data, "abc", 3);
    assert_string_equal(pf_doc_get_meta(&doc, "pf.kind"), "x");
    assert_ok(pf_stream_read(s, &doc));
    assert_int_equal(doc.tensors, 3);
    assert_int_equal(pf_stream_read(s, &doc), PF_END);
    pf_doc_release(&doc);
    pf_stream_close(s);
}

/* field.txt: points and the distances there that the version which trained it computed. */
static void
expect_field(const char *folder)
{
    char path[300];
    pf_doc doc = {0};
    pf_field *f;
    float x[3], expected, sdf;
    int points = 0;
    snprintf(path, sizeof path, "%s/field.pf", folder);
    assert_ok(pf_doc_read_file(&doc, path));
    assert_ok(pf_field_load(&f, NULL, &doc, &pf_conf.neus));
    snprintf(path, sizeof path, "%s/field.txt", folder);
    FILE *const txt = fopen(path, "r");
    assert_non_null(txt);
    for (; fscanf(txt, "%f %f %f %f", x, x + 1, x + 2, &expected) == 4; points++) {
        assert_ok(pf_field_sdf(f, &sdf, x, 1));
        assert_near(&sdf, &expected, 1, 1e-5);
    }
    fclose(txt);
    assert_true(points > 1);
    pf_field_free(f);
    pf_doc_release(&doc);
}

static void
expect_weights(const char *folder, const char *name)
{
    char path[300];
    pf_checkpoint *w;
    pf_tensor t;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(pf_checkpoint_open(&w, path));
    assert_ok(pf_checkpoint_verify_all(w));
    assert_ok(pf_checkpoint_need(w, "a.weight", &t, 2, (int64_t[]){2, 3}));
    assert_near((float *)t.data, ((float[]){0, 1, 2, 3, 4, 5}), 6, 0);
    pf_checkpoint_close(w);
}

static void
test_every_released_version_is_read(void **state)
{
    struct dirent **entry = NULL;
    const int n = scandir("tests/data/released", &entry, NULL, alphasort);
    int versions = 0;
    (void)state;
    for (int i = 0; i < n; i++) {
        char folder[280];
        snprintf(folder, sizeof folder, "tests/data/released/%s", entry[i]->d_name);
        if (entry[i]->d_name[0] != '.') {
            expect_stream(folder);
            expect_field(folder);
            expect_weights(folder, "weights.safetensors");
            expect_weights(folder, "weights.ckpt");
            versions++;
        }
        free(entry[i]);
    }
    free(entry);
    assert_true(versions > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_released_version_is_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
