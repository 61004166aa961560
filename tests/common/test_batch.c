/* The loop of all tools: names of outputs, objects in order, documents that failed, positions. */
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/batch.h"
#include "common/batch_record.h"
#include "common/opt.h"
#include "common/pattern.h"
#include "common/progress.h"
#include "common/seen.h"
#include "common/stream.h"
#include "tests/check.h"

static char scratch[] = "/tmp/pf-batch-XXXXXX";

static int
enter(void **state)
{
    (void)state;
    pf_set_program("pf-test");
    return !mkdtemp(scratch) || chdir(scratch);
}

static int
leave(void **state)
{
    char line[64];
    (void)state;
    snprintf(line, sizeof line, "rm -r %s", scratch);
    return chdir("/") || system(line);
}

static pf_doc
document(const char *object, int index, int count)
{
    const float one = 1;
    const pf_tensor t = pf_tensor_view((void *)&one, PF_F32, 1, (int64_t[]){1});
    pf_doc doc = {0};
    assert_ok(pf_doc_put(&doc, "a", &t));
    assert_ok(pf_doc_set_meta(&doc, "pf.kind", "views"));
    if (object)
        assert_ok(pf_doc_set_meta(&doc, "pf.object", object));
    assert_ok(pf_doc_set_position(&doc, index, count));
    return doc;
}

/* A stream of one document for each name; one that begins with '!' failed. */
static void
write_stream(const char *path, int n, const char *const *object)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < n; i++) {
        pf_doc doc = document(object[i] + (*object[i] == '!'), i, n);
        if (*object[i] == '!') {
            pf_doc_drop(&doc, "a");
            assert_ok(pf_doc_set_meta(&doc, "pf.kind", "failed"));
            assert_ok(pf_doc_set_meta(&doc, "pf.error", "pf-before: a sentence"));
        }
        assert_ok(pf_doc_write(&doc, f));
        pf_doc_release(&doc);
    }
    assert_int_equal(fclose(f), 0);
}
#define STREAM(path, ...)                                                               \
    write_stream(path, sizeof (const char *[]){__VA_ARGS__} / sizeof (char *),          \
                 (const char *[]){__VA_ARGS__})

static void
test_names_before_are_found(void **state)
{
    void *seen = NULL;
    bool before;
    char name[16];
    (void)state;
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "object-%d", i % 1000);
        assert_ok(pf_seen_add(&seen, name, &before));
        assert_int_equal(before, i >= 1000);
    }
    pf_seen_free(&seen);
}

static void
expands(const char *pattern, const pf_doc *doc, const char *expected)
{
    char path[PATH_MAX];
    assert_ok(pf_pattern_expand(path, pattern, doc));
    assert_string_equal(path, expected);
}

static void
test_patterns(void **state)
{
    const float rad = -0.21816616f;     // -12.5 degrees
    const pf_tensor t = pf_tensor_view((void *)&rad, PF_F32, 1, (int64_t[]){1});
    pf_doc doc = document("a mug", 3, 7);
    char path[PATH_MAX];
    struct stat st;
    (void)state;
    expands("plain.pf", &doc, "plain.pf");
    expands("%o-%i-%s-100%%.pf", &doc, "a mug-3-0-100%.pf");
    assert_fails(pf_pattern_expand(path, "%e", &doc), PF_EFORMAT, "says no elevation");
    assert_ok(pf_doc_put(&doc, "views.elevation", &t));
    expands("%e", &doc, "-12.5");
    assert_ok(pf_doc_set_meta(&doc, "pf.elevation", "30"));
    assert_ok(pf_doc_set_meta(&doc, "pf.sample", "2"));
    expands("out/%o/%e/%s.pf", &doc, "out/a mug/30/2.pf");
    assert_int_equal(stat("out/a mug/30", &st), 0);
    assert_ok(pf_doc_set_meta(&doc, "pf.elevation", ".."));
    expands("%e", &doc, "-12.5");       // no number, no name
    pf_doc_release(&doc);
}

static void
test_names_that_leave_the_folder_are_refused(void **state)
{
    static const char *const bad[] = {"../x", "..", ".", "", "a/b", "/etc", "-o", "a\nb"};
    char path[PATH_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pf_doc doc = document(bad[i], 0, 1);
        assert_fails(pf_object_check(bad[i]), PF_EARG, "cannot be the name of an object");
        assert_fails(pf_pattern_expand(path, "%o/mesh.glb", &doc), PF_EARG, "cannot be the name");
        pf_doc_release(&doc);
    }
    assert_ok(pf_object_check("..a photo: #1, \"x\" $HOME"));
    pf_doc none = document(NULL, 0, 1);
    assert_fails(pf_pattern_expand(path, "%o", &none), PF_EFORMAT, "does not say whose it is");
    pf_doc_release(&none);
}

static void
test_objects_are_named_after_photos(void **state)
{
    static const char *const cases[][2] = {{"a/b/mug.15.png", "mug.15"}, {"mug", "mug"},
                                           {".png", ".png"}, {"x/..png", "..png"},
                                           {"-v.jpg", "_v"}, {"a.b/c", "c"}};
    char name[NAME_MAX + 1];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pf_object_of(name, cases[i][0]);
        assert_string_equal(name, cases[i][1]);
        assert_ok(pf_object_check(name));
    }
}

static void
test_a_file_is_not_written_twice(void **state)
{
    struct pf_place own = {.option = "--output", .pattern = "p/%e.glb"};
    struct pf_place shared = {.option = "--png", .pattern = "p/%e", .shared = true};
    static const char *const elevation[] = {"10", "10", "20", "10"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        pf_doc doc = document("x", i, 4);
        assert_ok(pf_doc_set_meta(&doc, "pf.elevation", elevation[i]));
        if (i == 1 || i == 3)
            assert_fails(pf_place_next(&own, &doc), PF_EARG, "p/10.glb would be written twice");
        else
            assert_ok(pf_place_next(&own, &doc));
        if (i == 3)
            assert_fails(pf_place_next(&shared, &doc), PF_EARG, "p/10 would be written twice");
        else
            assert_ok(pf_place_next(&shared, &doc));
        assert_int_equal(shared.number, i == 1);
        pf_doc_release(&doc);
    }
    pf_seen_free(&own.used);
    pf_seen_free(&shared.used);
}

static pf_batch *
open_batch(char *in, const char *out)
{
    static char *name[1];
    pf_batch *b;
    name[0] = in;
    assert_ok(pf_batch_open(&b, out));
    assert_ok(pf_batch_input(b, 1, name));
    return b;
}

static void
test_documents_of_an_object_follow_each_other(void **state)
{
    pf_doc doc = {0};
    (void)state;
    STREAM("order.pf", "a", "a", "b", "a");
    pf_batch *b = open_batch("order.pf", NULL);
    for (int i = 0; i < 3; i++)
        assert_ok(pf_batch_read(b, &doc));
    assert_fails(pf_batch_read(b, &doc), PF_EFORMAT,
                 "order.pf: document 3 is of the object a as an earlier one, with others between");
    pf_doc_release(&doc);
    assert_int_equal(pf_batch_end(b), 0);
}

static void
test_what_failed_passes(void **state)
{
    pf_doc doc = {0};
    pf_stream *s;
    int n = 0;
    (void)state;
    STREAM("failed.pf", "a", "!b", "c");
    pf_batch *b = open_batch("failed.pf", "passed.pf");
    while (pf_batch_read(b, &doc) == PF_OK) {
        assert_false(pf_doc_failed(&doc));
        assert_ok(pf_batch_write(b, &doc));
        n++;
    }
    assert_int_equal(n, 2);
    assert_int_equal(pf_batch_end(b), 0);       // the tool before has said it
    assert_ok(pf_stream_open(&s, "passed.pf"));
    assert_ok(pf_stream_read(s, &doc));
    assert_ok(pf_stream_read(s, &doc));
    assert_true(pf_doc_failed(&doc));
    assert_string_equal(pf_doc_get_meta(&doc, "pf.error"), "pf-before: a sentence");
    assert_ok(pf_stream_read(s, &doc));
    assert_int_equal(pf_stream_read(s, &doc), PF_END);
    pf_stream_close(s);
    pf_doc_release(&doc);
}

static void
test_keep_going(void **state)
{
    pf_doc doc = document("a", 0, 1);
    pf_batch *b;
    char text[200];
    (void)state;
    assert_ok(pf_batch_open(&b, "kept.pf"));
    assert_int_equal(pf_batch_put(b, &doc, pf_fail(PF_ESHAPE, "too flat")), PF_ESHAPE);
    assert_int_equal(doc.tensors, 1);
    pf_common.keep_going = true;
    assert_int_equal(pf_batch_put(b, &doc, pf_fail(PF_EDEV, "the device is gone")), PF_EDEV);
    const int terminal = dup(STDERR_FILENO);
    FILE *const said = tmpfile();
    dup2(fileno(said), STDERR_FILENO);
    assert_ok(pf_batch_put(b, &doc, pf_fail(PF_ESHAPE, "too flat")));
    assert_int_equal(pf_batch_end(b), 1);
    dup2(terminal, STDERR_FILENO);
    close(terminal);
    pf_common.keep_going = false;
    rewind(said);
    text[fread(text, 1, sizeof text - 1, said)] = 0;
    fclose(said);
    assert_string_equal(text, "pf-test: too flat\npf-test: 1 object failed\n");
    pf_doc_release(&doc);
    assert_ok(pf_doc_read_file(&doc, "kept.pf"));
    assert_string_equal(pf_doc_get_meta(&doc, "pf.kind"), "failed");
    assert_string_equal(pf_doc_get_meta(&doc, "pf.error"), "pf-test: too flat");
    assert_string_equal(pf_doc_get_meta(&doc, "pf.object"), "a");
    assert_int_equal(doc.tensors, 0);
    pf_doc_release(&doc);
}

/* One file for each object, a run of its own; none of an object that failed. */
static void
test_files_by_object(void **state)
{
    pf_doc doc = {0};
    pf_stream *s;
    int index, count;
    (void)state;
    STREAM("all.pf", "a", "a", "b", "!b", "b", "c");
    pf_batch *b = open_batch("all.pf", "by/%o.pf");
    while (pf_batch_read(b, &doc) == PF_OK)
        assert_ok(pf_batch_write(b, &doc));
    assert_int_equal(pf_batch_end(b), 0);
    assert_ok(pf_stream_open(&s, "by/a.pf"));
    for (int i = 0; i < 2; i++) {
        assert_ok(pf_stream_read(s, &doc));
        pf_doc_position(&doc, &index, &count);
        assert_int_equal(10 * index + count, 10 * i + 2);
    }
    assert_int_equal(pf_stream_read(s, &doc), PF_END);
    pf_stream_close(s);
    assert_ok(pf_doc_read_file(&doc, "by/c.pf"));
    pf_doc_position(&doc, &index, &count);
    assert_int_equal(10 * index + count, 1);
    assert_int_equal(access("by/b.pf", F_OK), -1);
    pf_doc_release(&doc);
}

static void
test_one_file_takes_one_document(void **state)
{
    pf_doc doc = {0};
    (void)state;
    STREAM("two.pf", "a", "b");
    STREAM("bad.pf", "!a");
    pf_batch *b = open_batch("two.pf", NULL);
    pf_batch_name(b, "mesh.ply");
    assert_fails(pf_batch_read(b, &doc), PF_EFORMAT,
                 "two.pf: holds more than one document: pf-stream cat --index N takes one");
    assert_int_equal(pf_batch_end(b), 0);
    b = open_batch("bad.pf", NULL);
    pf_batch_name(b, "mesh.ply");
    assert_fails(pf_batch_read(b, &doc), PF_EFORMAT,
                 "bad.pf: an earlier tool failed: pf-before: a sentence");
    assert_int_equal(pf_batch_end(b), 0);
    b = open_batch("two.pf", NULL);
    pf_batch_name(b, "%o.ply");
    assert_ok(pf_batch_read(b, &doc));
    assert_ok(pf_batch_read(b, &doc));
    assert_int_equal(pf_batch_end(b), 0);
    pf_doc_release(&doc);
}

/* Documents from first to last of count become one; where that stands. */
static pf_err
merge(struct pf_merge *m, int first, int n, int count, int *index, int *of)
{
    pf_doc doc = {0};
    for (int i = 0; i < n; i++) {
        pf_doc_release(&doc);
        doc = document("x", first + i, count);
        pf_merge_add(m, &doc);
    }
    const pf_err err = pf_merge_put(m, &doc);
    pf_doc_position(&doc, index, of);
    pf_doc_release(&doc);
    return err;
}

static void
test_several_become_one(void **state)
{
    struct pf_merge m = {0};
    int index, count;
    (void)state;
    assert_ok(merge(&m, 0, 2, 6, &index, &count));
    assert_int_equal(10 * index + count, 3);
    assert_ok(merge(&m, 2, 2, 6, &index, &count));
    assert_int_equal(10 * index + count, 13);
    assert_fails(merge(&m, 4, 1, 6, &index, &count), PF_EFORMAT,
                 "object x has 1 documents, the first has 2, of 6 in all");
    m = (struct pf_merge){0};
    assert_fails(merge(&m, 0, 4, 6, &index, &count), PF_EFORMAT, "object x has 4 documents");
    /* Whole runs of one object, as of several files. */
    m = (struct pf_merge){0};
    for (int i = 0; i < 3; i++) {
        pf_doc doc = document("x", 0, 1);
        pf_merge_add(&m, &doc);
        if (i == 2)
            assert_ok(pf_merge_put(&m, &doc));
        pf_doc_position(&doc, &index, &count);
        pf_doc_release(&doc);
    }
    assert_int_equal(10 * index + count, 1);
}

static void
test_one_becomes_several(void **state)
{
    pf_doc doc = document("x", 2, 5);
    int index, count;
    (void)state;
    assert_ok(pf_spread_put(&doc, 2, 5, 1, 4));
    pf_doc_position(&doc, &index, &count);
    assert_int_equal(index, 9);
    assert_int_equal(count, 20);
    assert_fails(pf_spread_put(&doc, 2, 1 << 30, 1, 4), PF_EARG, "are too many");
    pf_doc_release(&doc);
}

static void
rest(double seconds)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(seconds * 1e9)}, NULL);
}

/* All documents of a stream; b's takes a while. */
static void
work_on(const char *stream)
{
    char *names[] = {(char *)stream};
    pf_batch *b;
    pf_doc doc = {0};
    pf_err err;
    assert_ok(pf_batch_open(&b, "out.pf"));
    assert_ok(pf_batch_input(b, 1, names));
    while (!(err = pf_batch_read(b, &doc))) {
        if (!strcmp(pf_doc_get_meta(&doc, "pf.object"), "b\"")) {
            rest(0.05);
            pf_batch_note(b, "watertight", "true");
        }
        assert_ok(pf_batch_put(b, &doc, PF_OK));
    }
    assert_int_equal(err, PF_END);
    assert_int_equal(pf_batch_end(b), 0);
    pf_doc_release(&doc);
}

static void
test_what_each_object_cost(void **state)
{
    double a, b, memory;
    int end = 0;
    char text[400] = "";
    (void)state;
    STREAM("in.pf", "a", "!lost", "b\"");
    work_on("in.pf");
    assert_int_not_equal(access("stages", F_OK), 0);
    setenv("PF_STAGES", "stages", 1);
    work_on("in.pf");
    FILE *const f = fopen("stages", "r");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    assert_int_equal(sscanf(text, "{\"object\":\"a\",\"tool\":\"pf-test\",\"seconds\":%lf,"
                            "\"memory\":%lf}\n{\"object\":\"b\\\"\",\"tool\":\"pf-test\","
                            "\"seconds\":%lf,\"memory\":%*f,\"watertight\":true}\n%n", &a,
                            &memory, &b, &end), 3);
    assert_int_equal(end, strlen(text));
    assert_true(a >= 0 && b >= 0.05 && memory > 0);
    setenv("PF_STAGES", "none/stages", 1);
    pf_batch *batch;
    assert_fails(pf_batch_open(&batch, NULL), PF_EIO, "PF_STAGES: none/stages: ");
    unsetenv("PF_STAGES");
}

/* Where a tool waits, it does not work. */
static void
test_waiting_is_no_work(void **state)
{
    struct pf_record r = {0};
    const double start = pf_seconds();
    (void)state;
    assert_ok(pf_record_open(&r));
    pf_record_wait(&r);
    pf_record_go(&r);
    rest(0.02);
    pf_record_wait(&r);
    rest(0.05);
    pf_record_go(&r);
    pf_record_wait(&r);
    assert_true(r.worked >= 0.02 && r.worked <= pf_seconds() - start - 0.05);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_before_are_found),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_names_that_leave_the_folder_are_refused),
        cmocka_unit_test(test_objects_are_named_after_photos),
        cmocka_unit_test(test_a_file_is_not_written_twice),
        cmocka_unit_test(test_documents_of_an_object_follow_each_other),
        cmocka_unit_test(test_what_failed_passes),
        cmocka_unit_test(test_keep_going),
        cmocka_unit_test(test_files_by_object),
        cmocka_unit_test(test_one_file_takes_one_document),
        cmocka_unit_test(test_several_become_one),
        cmocka_unit_test(test_one_becomes_several),
        cmocka_unit_test(test_what_each_object_cost),
        cmocka_unit_test(test_waiting_is_no_work),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
