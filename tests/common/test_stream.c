/* Documents on files and in memory: what goes in comes out; what is damaged is refused. */
#include <unistd.h>

#include "common/opt.h"
#include "common/stream.h"
#include "tests/check.h"

/* What pf_doc_write makes of a document, in memory that the caller frees. */
static char *
written(pf_doc *doc, size_t *size)
{
    char *bytes = NULL;
    FILE *f = open_memstream(&bytes, size);
    assert_ok(pf_doc_write(doc, f));
    fclose(f);
    return bytes;
}

static char *
small_document(size_t *size)
{
    static float v[] = {1, 2, 3, 4, 5, 6};
    const pf_tensor t = PF_VIEW(v, PF_F32, 2, 3), scalar = pf_tensor_view(v, PF_F32, 0, NULL);
    pf_doc doc = {0};
    char *bytes;
    assert_ok(pf_doc_put(&doc, "views.pose", &t));
    assert_ok(pf_doc_put(&doc, "a", &scalar));
    assert_ok(pf_doc_set_meta(&doc, "pf.kind", "views"));
    bytes = written(&doc, size);
    pf_doc_release(&doc);
    return bytes;
}

static pf_err
read_one(const void *bytes, size_t size, pf_doc *doc)
{
    pf_stream *s;
    pf_err err;
    assert_ok(pf_stream_open_memory(&s, bytes, size));
    err = pf_stream_read(s, doc);
    pf_stream_close(s);
    return err;
}

static void
test_document_comes_back(void **state)
{
    size_t size;
    char *bytes = small_document(&size), *again;
    pf_doc doc = {0};
    pf_tensor t;
    size_t size2;
    (void)state;
    assert_ok(read_one(bytes, size, &doc));
    assert_ok(pf_doc_need(&doc, "views.pose", PF_F32, 2, (int64_t[]){-1, 3}, &t));
    assert_near((float *)t.data, ((float[]){1, 2, 3, 4, 5, 6}), 6, 0);
    assert_int_equal(pf_doc_get(&doc, "a")->ndim, 0);
    assert_string_equal(pf_doc_get_meta(&doc, "pf.kind"), "views");
    assert_string_equal(pf_doc_get_meta(&doc, "pf.format"), "1");
    again = written(&doc, &size2);      /* unknown things pass through: same bytes */
    assert_int_equal(size, size2);
    assert_memory_equal(bytes, again, size);
    free(again);
    free(bytes);
    pf_doc_release(&doc);
}

static void
test_data_starts_on_64_bytes(void **state)
{
    size_t size;
    char *bytes = small_document(&size);
    (void)state;
    assert_int_equal((8 + (unsigned char)bytes[0] + 256 * (unsigned char)bytes[1]) % 64, 0);
    free(bytes);
}

/* What people give instead of a stream was "a header of 1196314761 bytes". */
static void
test_other_files_are_called_by_their_name(void **state)
{
#define FILE_OF(BYTES, WORDS) {BYTES, sizeof BYTES - 1, WORDS}
    static const struct { const char *bytes; size_t n; const char *words; } cases[] = {
        FILE_OF("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "memory: is a PNG picture, not a stream of"),
        FILE_OF("\x1f\x8b\x08\0\0\0\0\0\0\3", "a gzip file, not a stream of documents: unpack it"),
        FILE_OF("<!DOCTYPE html><html>", "an HTML page, not a stream of documents: the download"),
        FILE_OF("version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not"),
        FILE_OF("{\"frames\": []}", "is JSON, not a stream"),
        FILE_OF("[]", "is JSON, not a stream"),         // shorter than a length
        FILE_OF("{\"a\":  {}, \"b\": 1}", "is JSON, not a stream"),    // '{' is byte 8
        FILE_OF("PK\3\4\0\0\0\0\0", "is a zip archive or a checkpoint of PyTorch, not a stream"),
        FILE_OF("\x80\2}q\0\0\0\0\0", "is a checkpoint of PyTorch"),
        FILE_OF("\x08\x07\x12\x07pytorch\x1a", "is an ONNX model"),
        FILE_OF("GIF89a\1\0\1\0", "is a GIF picture"),
        FILE_OF("RIFF\0\0\0\0WEBPVP8L", "is a WebP picture"),
        FILE_OF("glTF\2\0\0\0\0\1\0\0", "is a GLB mesh"),
        FILE_OF("ply\nformat", "is a PLY mesh"),
        FILE_OF("\0\0\0\x18" "ftypisom", "is a video"),
        FILE_OF("solid cube\n", "document 0 is not a pf-stream or safetensors document"),
        FILE_OF("\10\0\0\0\0\0\0\0x\2\3\4", "document 0 is not a pf-stream or"),
        FILE_OF("abc", "ends inside document 0, after 3 of its first 8 bytes"),
    };
    pf_doc doc = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(read_one(cases[i].bytes, cases[i].n, &doc), PF_EFORMAT, cases[i].words);
}

static void
test_every_truncation_is_refused(void **state)
{
    size_t size;
    char *bytes = small_document(&size);
    pf_doc doc = {0};
    (void)state;
    for (size_t n = 0; n < size; n++)
        if (read_one(bytes, n, &doc) != PF_EFORMAT)
            fail_msg("%zu of %zu bytes were accepted", n, size);
    free(bytes);
}

static void
test_flipped_bit_of_data_is_found(void **state)
{
    size_t size;
    char *bytes = small_document(&size);
    pf_doc doc = {0};
    (void)state;
    bytes[size - 1] ^= 1;
    assert_fails(read_one(bytes, size, &doc), PF_EFORMAT,
                 "tensor views.pose of document 0 is damaged");
    free(bytes);
}

static void
test_false_promise_costs_no_memory(void **state)
{
    /* A header that promises 4 EB of data and sends none. */
    const char *json = "{\"a\":{\"dtype\":\"U8\",\"shape\":[4611686018427387904],"
                       "\"data_offsets\":[0,4611686018427387904]}}";
    char bytes[256];
    const size_t n = strlen(json);
    pf_doc doc = {0};
    (void)state;
    memset(bytes, 0, sizeof bytes);
    bytes[0] = (char)n;
    memcpy(bytes + 8, json, n);
    assert_fails(read_one(bytes, 8 + n, &doc), PF_EFORMAT, "ends inside document 0");
}

static void
test_missing_document_is_an_error(void **state)
{
    char *bytes = NULL;
    size_t size;
    FILE *f = open_memstream(&bytes, &size);
    pf_stream *s;
    pf_doc doc = {0};
    (void)state;
    assert_ok(pf_doc_set_position(&doc, 0, 3));
    assert_ok(pf_doc_write(&doc, f));
    assert_ok(pf_doc_set_position(&doc, 1, 3));
    assert_ok(pf_doc_write(&doc, f));
    fclose(f);
    assert_ok(pf_stream_open_memory(&s, bytes, size));
    assert_ok(pf_stream_read(s, &doc));
    assert_ok(pf_stream_read(s, &doc));
    assert_fails(pf_stream_read(s, &doc), PF_EFORMAT, "document 2 of 0 to 2 is missing");
    pf_stream_close(s);
    free(bytes);
}

static void
test_concatenated_streams_are_one(void **state)
{
    size_t size;
    char *one = small_document(&size), *two = malloc(2 * size);
    pf_stream *s;
    pf_doc doc = {0};
    (void)state;
    memcpy(two, one, size);
    memcpy(two + size, one, size);
    assert_ok(pf_stream_open_memory(&s, two, 2 * size));
    assert_ok(pf_stream_read(s, &doc));
    assert_ok(pf_stream_read(s, &doc));
    assert_int_equal(pf_stream_read(s, &doc), PF_END);
    pf_stream_close(s);
    pf_doc_release(&doc);
    free(one);
    free(two);
}

static void
test_missing_tensor_names_its_maker(void **state)
{
    pf_doc doc = {0};
    pf_tensor t;
    (void)state;
    assert_fails(pf_doc_need(&doc, "views.alpha", PF_F32, 3, (int64_t[]){-1, -1, -1}, &t),
                 PF_EFORMAT, "no tensor views.alpha; it is made by pf-mask");
}

static void
test_history_grows(void **state)
{
    pf_doc doc = {0};
    (void)state;
    assert_ok(pf_doc_add_history(&doc));
    assert_ok(pf_doc_add_history(&doc));
    assert_non_null(strstr(pf_doc_get_meta(&doc, "pf.history"), "},{\"tool\":"));
    assert_ok(pf_doc_set_meta(&doc, "pf.history", "{}"));
    assert_fails(pf_doc_add_history(&doc), PF_EFORMAT, "pf.history");
    pf_doc_release(&doc);
}

static void
test_one_document_as_a_file(void **state)
{
    char path[] = "/tmp/pf-stream-XXXXXX";
    const int fd = mkstemp(path);
    pf_doc doc = {0};
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_fails(pf_doc_read_file(&doc, path), PF_EFORMAT, "is empty: it holds no document");
    assert_ok(pf_doc_set_meta(&doc, "pf.kind", "views"));
    assert_ok(pf_doc_write_file(&doc, path));
    assert_ok(pf_doc_set_meta(&doc, "only.here", "1"));
    assert_ok(pf_doc_read_file(&doc, path));
    assert_string_equal(pf_doc_get_meta(&doc, "pf.kind"), "views");
    assert_null(pf_doc_get_meta(&doc, "only.here"));            /* doc was replaced */
    assert_fails(pf_doc_write_file(&doc, "/dev/full"), PF_EIO, "No space left");
    assert_fails(pf_doc_write_file(&doc, "/none/x"), PF_EIO, "cannot write /none/x");
    assert_fails(pf_doc_read_file(&doc, "/none/x"), PF_EIO, "cannot read /none/x");
    assert_int_equal(doc.metas, 0);                             /* and empty after a failure */
    unlink(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_document_comes_back),
        cmocka_unit_test(test_data_starts_on_64_bytes),
        cmocka_unit_test(test_other_files_are_called_by_their_name),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_flipped_bit_of_data_is_found),
        cmocka_unit_test(test_false_promise_costs_no_memory),
        cmocka_unit_test(test_missing_document_is_an_error),
        cmocka_unit_test(test_concatenated_streams_are_one),
        cmocka_unit_test(test_missing_tensor_names_its_maker),
        cmocka_unit_test(test_history_grows),
        cmocka_unit_test(test_one_document_as_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
