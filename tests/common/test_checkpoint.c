/* Weights files of every format: small ones with known values, hostile ones named after their
 * mistake, and the golden folder's.  The fixtures are made by tests/data/make_checkpoints.py. */
#include <unistd.h>

#include "common/checkpoint.h"
#include "tests/check.h"
#include "tests/common/truncated.h"

#define FILES "tests/data/checkpoint/"

static pf_checkpoint *
open_file(const char *path)
{
    pf_checkpoint *w;
    assert_ok(pf_checkpoint_open(&w, path));
    return w;
}

/* The tensor of that name as floats, which must be these. */
static void
assert_tensor(pf_checkpoint *w, const char *name, pf_dtype dtype, int n, const float *want)
{
    float is[16];
    pf_tensor t;
    if (!pf_checkpoint_get(w, name, &t))
        fail_msg("%s has no %s: %s", pf_checkpoint_path(w), name, pf_error());
    assert_int_equal(t.dtype, dtype);
    assert_int_equal(pf_tensor_count(&t), n);
    assert_int_equal((uintptr_t)t.data % pf_dtype_size(dtype), 0);
    pf_to_f32(is, t.data, dtype, n);
    assert_near(is, want, n, 0);
}

static void
assert_small(const char *path, const char *format)
{
    pf_checkpoint *w = open_file(path);
    assert_string_equal(pf_checkpoint_format(w), format);
    assert_int_equal(pf_checkpoint_count(w), 4);
    assert_string_equal(pf_checkpoint_name(w, 0), "a.turned");
    assert_tensor(w, "a.weight", PF_F32, 6, (float[]){0, 1, 2, 3, 4, 5});
    assert_tensor(w, "a.turned", PF_F32, 6, (float[]){0, 3, 1, 4, 2, 5});
    assert_tensor(w, "b.half", PF_F16, 2, (float[]){1.5f, -2});
    assert_tensor(w, "b.step", PF_I64, 1, (float[]){7});
    assert_int_equal(pf_checkpoint_skipped(w), 3);
    pf_checkpoint_close(w);
}

static void
test_same_tensors_in_every_format(void **state)
{
    (void)state;
    assert_small(FILES "small.ckpt", "zip");
    assert_small(FILES "small-deflated.ckpt", "zip");
    assert_small(FILES "small-zip64.ckpt", "zip");
    assert_small(FILES "small-no-folder.ckpt", "zip");
    assert_small(FILES "small-legacy.ckpt", "legacy");
}

static void
test_other_spellings_of_a_tensor(void **state)
{
    static const float ramp[] = {0, 1, 2, 3, 4, 5};
    const struct { const char *file, *name; int n; const float *want; } cases[] = {
        {FILES "protocol4.ckpt", "w", 6, ramp},
        {FILES "parameter.ckpt", "w", 6, ramp},
        {FILES "untyped.ckpt", "w", 2, (float[]){1, 3}},
        {FILES "view-legacy.ckpt", "w", 2, (float[]){3, 4}},
        {FILES "script.pt", "inner.weight", 6, ramp},
        {FILES "small.safetensors", "m.a", 6, ramp},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pf_checkpoint *w = open_file(cases[i].file);
        assert_tensor(w, cases[i].name, PF_F32, cases[i].n, cases[i].want);
        pf_checkpoint_close(w);
    }
}

/* What trainers and compilers put around a model was "holds no tensors", or names that nobody asks
 * for. */
static void
test_wrappers_and_prefixes_are_left_out(void **state)
{
    static const struct { const char *file, *cut; } cases[] = {
        {FILES "under_model.ckpt", ""}, {FILES "under_model_state_dict.ckpt", ""},
        {FILES "under_module.ckpt", ""}, {FILES "under_params_ema.ckpt", ""},
        {FILES "under_ema.ckpt", ""}, {FILES "under_three.ckpt", "_orig_mod.module."},
        {FILES "prefixes.safetensors", "_orig_mod.module.model."},
    };
    pf_checkpoint *w;
    pf_tensor t;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        w = open_file(cases[i].file);
        assert_tensor(w, "a.weight", PF_F32, 6, (float[]){0, 1, 2, 3, 4, 5});
        assert_string_equal(pf_checkpoint_cut(w), cases[i].cut);
        pf_checkpoint_close(w);
    }
    w = open_file(FILES "prefixes.safetensors");
    assert_tensor(w, "b.x", PF_F32, 1, (float[]){8});
    assert_tensor(w, "c_orig_mod.x", PF_F32, 1, (float[]){9});
    assert_fails(pf_checkpoint_need(w, "y", &t, 1, (int64_t[]){1}), PF_EFORMAT, "of type C64");
    pf_checkpoint_close(w);
    w = open_file(FILES "unet_alone.safetensors");
    assert_string_equal(pf_checkpoint_name(w, 0), "model.diffusion_model.a.weight");
    pf_checkpoint_close(w);
}

/* EMA weights beside the model, or instead of it, were no names that anybody asks for. */
static void
test_averages_take_the_place_of_the_model(void **state)
{
    pf_checkpoint *w;
    pf_tensor t;
    (void)state;
    w = open_file(FILES "ema_beside.safetensors");
    assert_true(pf_checkpoint_has_ema(w));
    assert_tensor(w, "model.a.weight", PF_F32, 1, (float[]){1});
    pf_checkpoint_close(w);
    assert_ok(pf_checkpoint_open_ema(&w, FILES "ema_beside.safetensors"));
    assert_int_equal(pf_checkpoint_count(w), 3);
    assert_tensor(w, "model.a.weight", PF_F32, 1, (float[]){4});
    assert_tensor(w, "model.table", PF_F32, 1, (float[]){2});
    assert_tensor(w, "other.b", PF_F32, 1, (float[]){3});
    assert_false(pf_checkpoint_has_ema(w));
    pf_checkpoint_close(w);

    w = open_file(FILES "ema_alone.safetensors");
    assert_fails(pf_checkpoint_need(w, "model.a.weight", &t, 1, (int64_t[]){1}), PF_EFORMAT,
                 "has no tensor model.a.weight, but its EMA weights: --ema takes them");
    pf_checkpoint_close(w);
    assert_ok(pf_checkpoint_open_ema(&w, FILES "ema_alone.safetensors"));
    assert_tensor(w, "model.a.weight", PF_F32, 1, (float[]){4});
    assert_tensor(w, "other.b", PF_F32, 1, (float[]){3});
    assert_true(pf_checkpoint_has(w, "model.a."));
    assert_false(pf_checkpoint_has(w, "model.b."));
    pf_checkpoint_close(w);

    w = open_file(FILES "ema_beside.ckpt");
    assert_true(pf_checkpoint_has_ema(w));
    assert_tensor(w, "a.weight", PF_F32, 6, (float[]){0, 1, 2, 3, 4, 5});
    pf_checkpoint_close(w);
    assert_ok(pf_checkpoint_open_ema(&w, FILES "ema_beside.ckpt"));
    assert_tensor(w, "a.weight", PF_F32, 6, (float[]){5, 4, 3, 2, 1, 0});
    pf_checkpoint_close(w);

    assert_fails(pf_checkpoint_open_ema(&w, FILES "small.ckpt"), PF_EFORMAT,
                 "small.ckpt: holds no EMA weights");
    assert_fails(pf_checkpoint_open_ema(&w, FILES "ema_shape.safetensors"), PF_EFORMAT,
                 "tensor model.a.weight: its EMA weights have another shape");
    assert_fails(pf_checkpoint_open_ema(&w, FILES "ema_of_two.safetensors"), PF_EFORMAT,
                 "are another's, too");
}

static void
test_several_files_by_their_index(void **state)
{
    pf_checkpoint *w = open_file(FILES "parts.index.json");
    (void)state;
    assert_string_equal(pf_checkpoint_format(w), "index");
    assert_int_equal(pf_checkpoint_count(w), 2);
    assert_tensor(w, "a.weight", PF_F32, 6, (float[]){0, 1, 2, 3, 4, 5});
    assert_tensor(w, "b.weight", PF_F32, 1, (float[]){7});
    assert_ok(pf_checkpoint_verify(w, 1));
    pf_checkpoint_drop(w, 0);
    assert_tensor(w, "a.weight", PF_F32, 6, (float[]){0, 1, 2, 3, 4, 5});
    pf_checkpoint_close(w);
}

/* Each index is refused for the mistake that it is named after. */
static void
test_hostile_indices_are_refused(void **state)
{
    static const struct { const char *file, *words; pf_err err; } cases[] = {
        {"leaves_folder", "\"../checkpoint/part-1.safetensors\" is not the name of a file",
         PF_EFORMAT},
        {"absolute", "\"/etc/passwd\" is not the name of a file beside", PF_EFORMAT},
        {"file_is_no_text", "\"(no text)\" is not the name", PF_EFORMAT},
        {"file_missing", "part-3.safetensors: cannot be opened", PF_EIO},
        {"tensor_elsewhere", "tensor module.a.weight is not in part-2.ckpt", PF_EFORMAT},
        {"in_itself", "parts.index.json: is an index, in an index", PF_EFORMAT},
        {"tensor_twice", "tensor module.a.weight is there twice", PF_EFORMAT},
        {"map_is_a_list", "weight_map is not an object", PF_EFORMAT},
        {"truncated", "not valid JSON", PF_EFORMAT},
        {"map_empty", "holds no tensors", PF_EFORMAT},
    };
    static const char json[] = "{\"weight_map\": {\"a\": \"b\"}}";
    pf_checkpoint *w;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[200];
        snprintf(path, sizeof path, FILES "%s.index.json", cases[i].file);
        assert_fails(pf_checkpoint_open(&w, path), cases[i].err, cases[i].words);
        assert_null(w);
    }
    assert_fails(pf_checkpoint_open_memory(&w, json, sizeof json - 1, "stdin"), PF_EFORMAT,
                 "stdin: is an index of several files: give its name");
}

/* What people have instead of the file was "not a weights file". */
static void
test_other_files_are_called_by_their_name(void **state)
{
#define FILE_OF(BYTES, WORDS) {BYTES, sizeof BYTES - 1, WORDS}
    static const struct { const char *bytes; size_t n; const char *words; } cases[] = {
        FILE_OF("version https://git-lfs.github.com/spec/v1\noid sha256:", "is a Git LFS pointer"),
        FILE_OF("<!DOCTYPE html><html>", "is an HTML page"),
        FILE_OF("\n  <html lang=\"en\">", "is an HTML page"),
        FILE_OF("<?xml version=\"1.0\"?><Error>", "is XML"),
        FILE_OF("{\"error\": \"not found\"}", "is JSON, but no index"),
        FILE_OF("{\"a\":  {}, \"b\": 1}", "is JSON, but no index"),  // '{' is byte 8
        FILE_OF("[1, 2]", "is JSON, but no index"),
        FILE_OF("\x1f\x8b\x08\0\0\0\0\0", "is a gzip file, not a model's weights: unpack it first"),
        FILE_OF("7z\xbc\xaf\x27\x1c\0\4", "is a 7z archive"),
        FILE_OF("\x28\xb5\x2f\xfd\x24\x05", "is a zstd file"),
        FILE_OF("\xfd" "7zXZ\0", "is an xz file"),
        FILE_OF("BZh91AY", "is a bzip2 file"),
        FILE_OF("GGUF\3\0\0\0\0", "is a GGUF file"),
        FILE_OF("\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        FILE_OF("\x93NUMPY\1\0v\0{'descr'", "is a NumPy array"),
        FILE_OF("weights", "is not a weights file"),
    };
    char tar[512] = "model.ckpt";
    pf_checkpoint *w;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(pf_checkpoint_open_memory(&w, cases[i].bytes, cases[i].n, "model.ckpt"),
                     PF_EFORMAT, cases[i].words);
    memcpy(tar + 257, "ustar", 6);
    assert_fails(pf_checkpoint_open_memory(&w, tar, sizeof tar, "model.ckpt"), PF_EFORMAT,
                 "is a tar archive");
}

/* Any of their type had the whole file refused; F8_E4M3 needs a scale. */
static void
test_types_not_known_are_refused_when_needed(void **state)
{
    pf_checkpoint *w = open_file(FILES "types_unknown.safetensors");
    pf_tensor t;
    (void)state;
    assert_int_equal(pf_checkpoint_count(w), 1);
    assert_tensor(w, "a.weight", PF_F32, 6, (float[]){0, 1, 2, 3, 4, 5});
    assert_int_equal(pf_checkpoint_skipped(w), 3);
    assert_string_equal(pf_checkpoint_skipped_name(w, 1), "c.tiny: tensor of type F4");
    assert_fails(pf_checkpoint_need(w, "b.small", &t, 1, (int64_t[]){4}), PF_EFORMAT,
                 "tensor b.small is tensor of type F8_E4M3 without its scale, which cannot");
    pf_checkpoint_close(w);
    w = open_file(FILES "float8.ckpt");
    assert_tensor(w, "a.weight", PF_F32, 6, (float[]){0, 1, 2, 3, 4, 5});
    assert_fails(pf_checkpoint_need(w, "b.small", &t, 1, (int64_t[]){2}), PF_EFORMAT,
                 "tensor b.small is object of class torch.float8_e4m3fn, which cannot be used");
    pf_checkpoint_close(w);
}

/* In BF16 where that is exact; the scale is no tensor of its own, but x_scale is nobody's. */
static void
test_eights_are_read_with_their_scales(void **state)
{
    pf_checkpoint *w = open_file(FILES "f8.safetensors");
    pf_tensor numbers, scale;
    (void)state;
    assert_int_equal(pf_checkpoint_count(w), 6);
    assert_int_equal(pf_checkpoint_shape(w, 0)->dtype, PF_BF16);
    for (int i = 0; i < 2; i++) {
        assert_tensor(w, "a.weight", PF_BF16, 6, (float[]){.25f, .28125f, -.5f, 112, 0x1p-11f, 0});
        assert_tensor(w, "b.weight", PF_F32, 4, (float[]){.5f, 1, 3, 6});
        assert_tensor(w, "c.least", PF_BF16, 2, (float[]){448 * 0x1p-124f, 0x1p-133f});
        assert_tensor(w, "d.below", PF_F32, 2, (float[]){0x1p-125f, 0x1p-134f});
        assert_tensor(w, "e.half", PF_F32, 2, (float[]){0x1.998p-4f, -0x1.998p-4f});
        assert_tensor(w, "x_scale", PF_F32, 1, (float[]){9});
        for (int k = 0; k < 6; k++) {
            assert_ok(pf_checkpoint_verify(w, k));
            pf_checkpoint_drop(w, k);
        }
    }
    assert_int_equal(pf_checkpoint_checksums(w), 6);
    assert_false(pf_checkpoint_f8(w, 5, &numbers, &scale));
    assert_true(pf_checkpoint_f8(w, 1, &numbers, &scale));
    assert_true(pf_tensor_is(&numbers, PF_F8, 2, (int64_t[]){2, 2}));
    assert_memory_equal(numbers.data, "\x38\x40\x38\x40", 4);
    assert_true(pf_tensor_is(&scale, PF_F32, 2, (int64_t[]){2, 1}));
    assert_near((const float *)scale.data, ((float[]){.5f, 3}), 2, 0);
    pf_checkpoint_close(w);
    w = open_file(FILES "f8_crc_wrong.safetensors");
    assert_fails(pf_checkpoint_verify(w, 0), PF_EFORMAT, "tensor a.weight: checksum");
    pf_checkpoint_close(w);
}

/* The scale in another file than what it belongs to. */
static void
test_eights_of_several_files(void **state)
{
    pf_checkpoint *w = open_file(FILES "f8.index.json");
    pf_tensor t;
    (void)state;
    assert_int_equal(pf_checkpoint_count(w), 1);
    assert_tensor(w, "a.weight", PF_BF16, 6, (float[]){.25f, .28125f, -.5f, 1792, 0x1p-7f, 0});
    assert_fails(pf_checkpoint_need(w, "b.weight", &t, 1, (int64_t[]){6}), PF_EFORMAT,
                 "tensor b.weight is tensor of type F8_E4M3 without its scale");
    pf_checkpoint_close(w);
}

static void
test_skipped_objects_are_named(void **state)
{
    pf_checkpoint *w = open_file(FILES "small.ckpt");
    (void)state;
    assert_string_equal(pf_checkpoint_skipped_name(w, 0), "epoch: int");
    assert_string_equal(pf_checkpoint_skipped_name(w, 1),
                        "hyper_parameters: object of class lightning.parsing.AttributeDict");
    assert_string_equal(pf_checkpoint_skipped_name(w, 2), "note: str");
    pf_checkpoint_close(w);
}

static void
test_need_names_file_tensor_and_shapes(void **state)
{
    pf_checkpoint *w = open_file(FILES "small.ckpt");
    pf_tensor t;
    (void)state;
    assert_ok(pf_checkpoint_need(w, "a.weight", &t, 2, (int64_t[]){2, -1}));
    assert_int_equal(t.dim[1], 3);
    assert_fails(pf_checkpoint_need(w, "a.weight", &t, 2, (int64_t[]){2, 4}), PF_ESHAPE,
                 "small.ckpt: tensor a.weight is F32 [2, 3], expected F32 [2, 4]");
    assert_fails(pf_checkpoint_need(w, "a.weight", &t, 1, (int64_t[]){6}), PF_ESHAPE, "[6]");
    assert_fails(pf_checkpoint_need(w, "b.step", &t, 0, NULL), PF_ESHAPE, "b.step is I64");
    assert_fails(pf_checkpoint_need(w, "c", &t, 0, NULL), PF_EFORMAT,
                 "small.ckpt: has no tensor c");
    assert_fails(pf_checkpoint_need(w, "a.c", &t, 0, NULL), PF_EFORMAT,
                 "small.ckpt: has no tensor a.c");
    assert_fails(pf_checkpoint_need(w, "c.weight", &t, 0, NULL), PF_EFORMAT,    // another network's
                 "has no tensor c.weight, nor any other of c.; it has a.turned to b.step");
    assert_false(pf_checkpoint_get(w, "c", &t));
    assert_ok(pf_checkpoint_expect(w, "a.weight", &t, 2, (int64_t[]){-1, 3}));
    assert_true(pf_tensor_is(&t, PF_F32, 2, (int64_t[]){2, 3}) && !t.data);
    assert_fails(pf_checkpoint_expect(w, "a.weight", &t, 1, (int64_t[]){6}), PF_ESHAPE, "[6]");
    assert_true(pf_checkpoint_index(w, "a.weight") == 1 && pf_checkpoint_index(w, "c") == -1);
    pf_checkpoint_close(w);
}

/* Dropping gives the memory back; the next read gives the same numbers. */
static void
test_dropped_tensor_is_read_again(void **state)
{
    pf_checkpoint *w = open_file(FILES "small-deflated.ckpt");
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_tensor(w, "a.turned", PF_F32, 6, (float[]){0, 3, 1, 4, 2, 5});
        pf_checkpoint_drop(w, 0);
    }
    pf_checkpoint_close(w);
}

static void
test_metadata_is_there_in_key_order(void **state)
{
    pf_checkpoint *w = open_file(FILES "small.safetensors");
    const char *key, *value;
    (void)state;
    assert_true(pf_checkpoint_meta(w, 0, &key, &value));
    assert_string_equal(key, "note");
    assert_string_equal(value, "kept");
    assert_true(pf_checkpoint_meta(w, 1, &key, &value));
    assert_false(pf_checkpoint_meta(w, 2, &key, &value));
    pf_checkpoint_close(w);
}

static void
test_wrong_checksums_are_found(void **state)
{
    static const char *const wrong[] = {FILES "checksum_wrong.ckpt", FILES "crc_wrong.safetensors"};
    pf_checkpoint *w = open_file(FILES "crc.safetensors");
    (void)state;
    assert_ok(pf_checkpoint_verify(w, 0));
    pf_checkpoint_close(w);
    for (int i = 0; i < 2; i++) {
        w = open_file(wrong[i]);
        assert_fails(pf_checkpoint_verify(w, 0), PF_EFORMAT, "checksum");
        pf_checkpoint_close(w);
    }
}

static void
test_damaged_data_is_an_error_of_reading(void **state)
{
    pf_checkpoint *w = open_file(FILES "deflate_damaged.ckpt");
    pf_tensor t;
    (void)state;
    assert_fails(pf_checkpoint_read(w, 0, &t), PF_EFORMAT, "damaged.ckpt: tensor w: zip entry");
    assert_false(pf_checkpoint_get(w, "w", &t));
    pf_checkpoint_close(w);
}

/* Each hostile file is refused for the mistake that it is named after. */
static void
test_hostile_files_are_refused(void **state)
{
    static const struct { const char *file, *words; } cases[] = {
        {"storage_too_short.ckpt", "tensor w: its storage has 23 bytes, expected 24"},
        {"storage_missing.ckpt", "tensor w: its storage is not in the file"},
        {"storage_type_unknown.ckpt", "type that is not known"},
        {"storage_size_negative.ckpt", "size of a storage"},
        {"offset_beyond_storage.ckpt", "beyond its storage"},
        {"offset_negative.ckpt", "before its storage"},
        {"stride_beyond_storage.ckpt", "beyond its storage"},
        {"stride_overflow.ckpt", "beyond its storage"},
        {"stride_negative.ckpt", "not a number >= 0"},
        {"stride_count.ckpt", "as many strides"},
        {"shape_overflow.ckpt", "too large"},
        {"shape_zero_overflow.ckpt", "too large"},
        {"shape_nine_axes.ckpt", "at most 8"},
        {"expanded_too_far.ckpt", "far larger"},
        {"tensor_malformed.ckpt", "malformed"},
        {"name_twice.ckpt", "tensor w is there twice"},
        {"name_with_nul.ckpt", "control characters"},
        {"name_not_utf8.ckpt", "not UTF-8"},
        {"no_tensors.ckpt", "holds no tensors"},
        {"under_generator.ckpt", "; found epoch: int, generator: dict of 1"},
        {"not_a_dictionary.ckpt", "holds list of 1"},
        {"deep_nesting.pt", "nested too deep"},
        {"deep_modules.pt", "nested too deep"},
        {"module_in_itself.pt", "nested too deep"},
        {"memo_far_ahead.pt", "far ahead"},
        {"memo_never_set.pt", "never remembered"},
        {"stack_empty.pt", "empty stack"},
        {"below_the_mark.pt", "empty stack"},
        {"key_without_value.pt", "key without a value"},
        {"calls_a_number.pt", "not a class"},
        {"persistent_id_odd.pt", "persistent id"},
        {"string_too_long.pt", "middle of an instruction"},
        {"frame_too_long.pt", "frame"},
        {"no_stop.pt", "last instruction"},
        {"protocol0.pt", "not a pickle of protocol 2"},
        {"extension.pt", "not known"},
        {"names_system.ckpt", "refused: the pickle names posix.system"},
        {"names_subprocess.ckpt", "refused: the pickle names subprocess.Popen"},
        {"names_getattr.ckpt", "refused: the pickle names builtins.getattr"},
        {"names_os_inside.ckpt", "refused: the pickle names pathlib.os.system"},
        {"names_eval-legacy.ckpt", "refused: the pickle names __builtin__.eval"},
        {"byte_order_big.ckpt", "byte order is \"big\""},
        {"byte_order_big-legacy.ckpt", "big-endian"},
        {"truncated_storage-legacy.ckpt", "middle of storage 1 of 1"},
        {"truncated_count-legacy.ckpt", "before storage 1 of 1"},
        {"truncated_pickle-legacy.ckpt", "middle of an instruction"},
        {"magic_wrong-legacy.ckpt", "not one that PyTorch's save wrote"},
        {"storage_count_wrong-legacy.ckpt", "has 5 elements, expected 6"},
        {"storage_not_listed-legacy.ckpt", "not in the file"},
        {"storage_not_described-legacy.ckpt", "not described"},
        {"storage_of_two_types-legacy.ckpt", "two different ways"},
        {"view_beyond_storage-legacy.ckpt", "does not lie within"},
        {"truncated_directory.ckpt", "no end record"},
        {"truncated_start.ckpt", "no end record"},
        {"no_pickle.ckpt", "without data.pkl, so not one of PyTorch; in it is a/b/data.pkl"},
        {"entry_twice.ckpt", "there twice"},
        {"entry_beyond_file.ckpt", "no local header"},
        {"entry_sizes_differ.ckpt", "two different sizes"},
        {"entry_encrypted.ckpt", "encrypted"},
        {"entry_method_unknown.ckpt", "method 99"},
        {"zip64_end_missing.ckpt", "zip64 end record is not where it should be"},
        {"zip64_sizes_missing.ckpt", "zip64 sizes are missing"},
        {"bomb.ckpt", "cannot unpack to 2147483632"},
        {"offset_overflow.safetensors", "span 3 bytes"},
        {"offset_beyond_file.safetensors", "has 4 bytes of data, expected 8"},
        {"offset_backwards.safetensors", "rising"},
        {"offset_three.safetensors", "two rising numbers"},
        {"hole.safetensors", "hole"},
        {"overlap.safetensors", "overlapping"},
        {"trailing_bytes.safetensors", "has 8 bytes of data, expected 4"},
        {"dtype_unknown.safetensors", "found w: tensor of type F8_E5M2"},
        {"dtype_missing.safetensors", "dtype"},
        {"scale_nan.safetensors", "tensor w_scale: is nan, expected a finite number above 0"},
        {"scale_infinite.safetensors", "tensor w_scale: is inf, expected a finite number above"},
        {"scale_zero.safetensors", "tensor w_scale: is 0, expected a finite number above 0"},
        {"scale_negative.safetensors", "tensor w_scale: is -1, expected a finite number above 0"},
        {"scale_of_columns.safetensors", "tensor w_scale: is F32 [3], expected F32, F16 or BF16, "
         "one number or one for each row of F8_E4M3 [2, 3]"},
        {"scale_turned.safetensors", "tensor w_scale: is F32 [1, 2], expected"},
        {"scale_of_each.safetensors", "tensor w_scale: is F32 [2, 3], expected"},
        {"scale_of_none.safetensors", "tensor w_scale: is F32 [0], expected"},
        {"scale_whole.safetensors", "tensor w_scale: is I64 [1], expected F32, F16 or BF16"},
        {"scale_of_eights.safetensors", "tensor w_scale: is F8_E4M3 [1], expected F32"},
        {"scale_crc_wrong.safetensors", "tensor a.weight_scale: checksum"},
        {"shape_overflow.safetensors", "too large"},
        {"shape_zero_overflow.safetensors", "too large"},
        {"shape_negative.safetensors", "not a whole number"},
        {"shape_real.safetensors", "not a whole number"},
        {"shape_nine_axes.safetensors", "at most 8"},
        {"shape_disagrees.safetensors", "span 4 bytes, its shape needs 12"},
        {"key_twice.safetensors", "duplicate"},
        {"name_with_nul.safetensors", "not valid JSON"},
        {"name_with_escape.safetensors", "control characters"},
        {"name_empty.safetensors", "name is empty"},
        {"metadata_not_text.safetensors", "not a string"},
        {"header_not_json.safetensors", "not valid JSON"},
        {"header_beyond_file.safetensors", "the file ends"},
        {"truncated_header.safetensors", "the file ends"},
        {"empty.safetensors", "is empty"},
        {"neither.ckpt", "not a weights file"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[200];
        pf_checkpoint *w;
        snprintf(path, sizeof path, FILES "%s", cases[i].file);
        assert_fails(pf_checkpoint_open(&w, path), PF_EFORMAT, cases[i].words);
        assert_null(w);
        assert_memory_equal(pf_error(), path, strlen(path));    // the sentence begins with the file
    }
    assert_int_not_equal(access("pf_pwned", F_OK), 0);
}

static void
test_every_truncation_is_refused(void **state)
{
    static const char *const files[] = {"small.ckpt", "small-legacy.ckpt", "small.safetensors"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        char path[200];
        snprintf(path, sizeof path, FILES "%s", files[i]);
        every_truncation_is_refused(path);
    }
}

static void
test_what_is_no_file_is_refused(void **state)
{
    pf_checkpoint *w;
    (void)state;
    assert_fails(pf_checkpoint_open(&w, "/nonexistent.ckpt"), PF_EIO,
                 "/nonexistent.ckpt: cannot be opened");
    assert_fails(pf_checkpoint_open(&w, "tests"), PF_EIO, "neither a file nor a pipe");
    assert_fails(pf_checkpoint_open(&w, "/dev/zero"), PF_EIO, "neither a file nor a pipe");
}

/* The bytes, all of which a pipe takes at once, as a pipe; its name is good until it is closed. */
static int
pipe_of(char path[32], const void *bytes, size_t size)
{
    int end[2];
    assert_int_equal(pipe(end), 0);
    assert_int_equal(write(end[1], bytes, size), size);
    close(end[1]);
    snprintf(path, 32, "/proc/self/fd/%d", end[0]);
    return end[0];
}

static void
test_pipes_are_read_if_they_may_hold_weights(void **state)
{
    static char bytes[1 << 14];
    char path[32];
    pf_checkpoint *w;
    FILE *const f = fopen(FILES "small.safetensors", "rb");
    (void)state;
    assert_non_null(f);
    const size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    int end = pipe_of(path, bytes, size);
    w = open_file(path);
    assert_tensor(w, "m.a", PF_F32, 6, (float[]){0, 1, 2, 3, 4, 5});
    pf_checkpoint_close(w);
    close(end);
    for (const char *word = "a \1{"; *word; word++) {
        memset(bytes, *word, sizeof bytes);
        end = pipe_of(path, bytes, sizeof bytes);
        assert_fails(pf_checkpoint_open(&w, path), PF_EFORMAT, path);
        close(end);
    }
}

/* ---- golden ---- */

static pf_checkpoint *
golden(const char *name)
{
    const char *folder = getenv("PF_GOLDEN");
    char path[4096];
    snprintf(path, sizeof path, "%s/tiny/%s", folder ? folder : "../shared/golden", name);
    if (access(path, R_OK) != 0)
        skip();
    return open_file(path);
}

/* Every tensor of a is in b with the same shape and, as f32, the same numbers. */
static void
assert_same(pf_checkpoint *a, pf_checkpoint *b)
{
    for (int i = 0; i < pf_checkpoint_count(a); i++) {
        const char *name = pf_checkpoint_name(a, i);
        pf_tensor x, y;
        assert_ok(pf_checkpoint_read(a, i, &x));
        if (!pf_checkpoint_get(b, name, &y))
            fail_msg("%s has no %s", pf_checkpoint_path(b), name);
        assert_int_equal(x.ndim, y.ndim);
        assert_memory_equal(x.dim, y.dim, sizeof x.dim);
        const int64_t n = pf_tensor_count(&x);
        float *p = malloc((size_t)n * 4 + 1), *q = malloc((size_t)n * 4 + 1);
        pf_to_f32(p, x.data, x.dtype, n);
        pf_to_f32(q, y.data, y.dtype, n);
        if (memcmp(p, q, (size_t)n * 4) != 0)
            fail_msg("%s: the numbers of %s differ", pf_checkpoint_path(a), name);
        free(p);
        free(q);
    }
}

static void
test_golden_checkpoints_equal_the_weights(void **state)
{
    static const struct { const char *file, *same; int count; } cases[] = {
        {"model.ckpt", "weights.safetensors", 1116},
        {"model-legacy.ckpt", "weights.safetensors", 11},
        {"model-old-lightning.ckpt", "weights.safetensors", 11},
        {"odd.ckpt", "odd-expected.safetensors", 17},
        {"odd-legacy.ckpt", "odd-expected.safetensors", 17},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pf_checkpoint *a = golden(cases[i].file), *b = golden(cases[i].same);
        assert_int_equal(pf_checkpoint_count(a), cases[i].count);
        assert_same(a, b);
        pf_checkpoint_close(a);
        pf_checkpoint_close(b);
    }
}

/* The same weights as the CLIP part of the diffusion model, under OpenAI's names. */
static void
test_golden_clip_archive_is_readable(void **state)
{
    pf_checkpoint *w = golden("clip-jit.pt"), *all = golden("weights.safetensors");
    int compared = 0;
    (void)state;
    assert_string_equal(pf_checkpoint_format(w), "torchscript");
    assert_int_equal(pf_checkpoint_count(w), 41);
    for (int i = 0; i < pf_checkpoint_count(w); i++) {
        char name[300];
        pf_tensor a, b;
        snprintf(name, sizeof name, "clip_image_encoder.model.%s", pf_checkpoint_name(w, i));
        assert_ok(pf_checkpoint_read(w, i, &a));
        if (!pf_checkpoint_get(all, name, &b))
            continue;
        assert_memory_equal(a.dim, b.dim, sizeof a.dim);
        compared++;
    }
    assert_true(compared >= 30);
    pf_checkpoint_close(w);
    pf_checkpoint_close(all);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_tensors_in_every_format),
        cmocka_unit_test(test_other_spellings_of_a_tensor),
        cmocka_unit_test(test_wrappers_and_prefixes_are_left_out),
        cmocka_unit_test(test_averages_take_the_place_of_the_model),
        cmocka_unit_test(test_several_files_by_their_index),
        cmocka_unit_test(test_hostile_indices_are_refused),
        cmocka_unit_test(test_other_files_are_called_by_their_name),
        cmocka_unit_test(test_types_not_known_are_refused_when_needed),
        cmocka_unit_test(test_eights_are_read_with_their_scales),
        cmocka_unit_test(test_eights_of_several_files),
        cmocka_unit_test(test_skipped_objects_are_named),
        cmocka_unit_test(test_need_names_file_tensor_and_shapes),
        cmocka_unit_test(test_dropped_tensor_is_read_again),
        cmocka_unit_test(test_metadata_is_there_in_key_order),
        cmocka_unit_test(test_wrong_checksums_are_found),
        cmocka_unit_test(test_damaged_data_is_an_error_of_reading),
        cmocka_unit_test(test_hostile_files_are_refused),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_what_is_no_file_is_refused),
        cmocka_unit_test(test_pipes_are_read_if_they_may_hold_weights),
        cmocka_unit_test(test_golden_checkpoints_equal_the_weights),
        cmocka_unit_test(test_golden_clip_archive_is_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
