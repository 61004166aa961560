/* pf-weights - look into a checkpoint, check its numbers, convert it to safetensors.
 * in:  .safetensors, .ckpt or .pt
 * out: text, or (convert) a safetensors document of kind weights
 *
 * One tensor at a time is in memory, and of that one a block: files may be larger than memory. */
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/checkpoint.h"
#include "common/json.h"
#include "common/opt.h"
#include "common/progress.h"
#include "common/safetensors.h"
#include "common/output.h"
#include "common/sandbox.h"
#include "common/stream.h"

enum { BLOCK = 1 << 16, SHOWN = 20 };   /* elements converted at once; skipped objects listed */

static struct {
    const char *dtype;
    bool ema;
} opt;

static const struct pf_opt opts[] = {
    PF_OPT_CHOICE(0, "dtype", opt.dtype, "f32|f16|bf16",
                  "convert: store floats like this (default: as they are)"),
    PF_OPT_FLAG(0, "ema", opt.ema, "take the model's moving average (EMA) in its place"),
    PF_OPT_END
};

/* ---- info ---- */

static pf_err
info(pf_checkpoint *w)
{
    char shape[200];
    int64_t numbers = 0;
    uint64_t bytes = 0;
    const int n = pf_checkpoint_count(w), skipped = pf_checkpoint_skipped(w);
    for (int i = 0; i < n; i++) {
        const pf_tensor *t = pf_checkpoint_shape(w, i);
        printf("%s %s\n", pf_checkpoint_name(w, i), pf_tensor_describe(shape, sizeof shape, t));
        numbers += pf_tensor_count(t);
        bytes += pf_tensor_bytes(t);
    }
    for (int i = 0; i < skipped && (i < SHOWN || pf_common.verbose); i++)
        printf("skipped %s\n", pf_checkpoint_skipped_name(w, i));
    if (*pf_checkpoint_cut(w))
        printf("left out of the names: %s\n", pf_checkpoint_cut(w));
    if (!opt.ema && pf_checkpoint_has_ema(w))
        printf("EMA weights are there, too: --ema takes them\n");
    if (skipped > SHOWN && !pf_common.verbose)
        printf("skipped %d more (-v lists them)\n", skipped - SHOWN);
    printf("%s: %s, %d tensors, %" PRId64 " parameters, %" PRIu64 " bytes\n", pf_checkpoint_path(w),
           pf_checkpoint_format(w), n, numbers, bytes);
    return PF_OK;
}

/* Tensors of types that are not known are neither looked at nor converted: say so. */
static void
warn_of_unread(const pf_checkpoint *w)
{
    int unread = 0, first = 0;
    for (int i = pf_checkpoint_skipped(w) - 1; i >= 0; i--)
        if (strstr(pf_checkpoint_skipped_name(w, i), ": tensor of type ")) {
            unread++;
            first = i;
        }
    if (unread)
        pf_warn("%s: %d tensors of types that are not known are left out, the first is %s",
                pf_checkpoint_path(w), unread, pf_checkpoint_skipped_name(w, first));
}

/* ---- check ---- */

static bool
is_float(pf_dtype dtype)
{
    return dtype == PF_F32 || dtype == PF_F16 || dtype == PF_BF16 || dtype == PF_F64;
}

/* Number k of the data as a double: exact for every float type. */
static double
number(const pf_tensor *t, int64_t k)
{
    float v;
    if (t->dtype == PF_F64)
        return ((const double *)t->data)[k];
    pf_to_f32(&v, (const char *)t->data + (size_t)k * pf_dtype_size(t->dtype), t->dtype, 1);
    return v;
}

/* Elements k .. k + n as f32, n <= BLOCK; until the next call. */
static const float *
widen(const pf_tensor *t, int64_t k, int64_t n)
{
    static float wide[BLOCK];
    pf_to_f32(wide, (const char *)t->data + (size_t)k * pf_dtype_size(t->dtype), t->dtype, n);
    return wide;
}

/* Say so if the tensor holds numbers that are not finite; how many it has of them. */
static int64_t
report_bad(const char *name, const pf_tensor *t)
{
    int64_t nans = 0, infinite = 0;
    const float *wide = NULL;
    const int64_t n = is_float(t->dtype) ? pf_tensor_count(t) : 0;
    for (int64_t k = 0; k < n; k++) {
        if (k % BLOCK == 0)
            wide = widen(t, k, n - k < BLOCK ? n - k : BLOCK);
        if (fabsf(wide[k % BLOCK]) <= FLT_MAX)
            continue;
        const double v = number(t, k);          // a large F64 is infinite as f32 only
        nans += isnan(v) != 0;
        infinite += isinf(v) != 0;
    }
    if (nans + infinite)
        printf("%s: %" PRId64 " NaN, %" PRId64 " infinite of %" PRId64 "\n", name, nans,
               infinite, n);
    return nans + infinite;
}

static pf_err
check(pf_checkpoint *w)
{
    const int n = pf_checkpoint_count(w);
    int bad = 0, first = 0;
    warn_of_unread(w);
    for (int i = 0; i < n; i++) {
        pf_tensor t;
        PF_TRY(pf_checkpoint_verify(w, i));
        PF_TRY(pf_checkpoint_read(w, i, &t));
        if (report_bad(pf_checkpoint_name(w, i), &t) && bad++ == 0)
            first = i;
        pf_checkpoint_drop(w, i);
    }
    if (bad)
        return pf_fail(PF_EFORMAT, "%s: %d of %d tensors hold NaN or infinity, the first is %s",
                       pf_checkpoint_path(w), bad, n, pf_checkpoint_name(w, first));
    printf("%s: %d tensors, all finite, %d with checksums that hold\n", pf_checkpoint_path(w), n,
           pf_checkpoint_checksums(w));
    return PF_OK;
}

/* ---- convert ---- */

/* The type that tensor i gets.  Names without a dot are the outermost module's tables (noise
 * schedule, cameras), not parameters: they are small and half precision would spoil them. */
static pf_dtype
target(const pf_checkpoint *w, int i)
{
    const pf_dtype is = pf_checkpoint_shape(w, i)->dtype;
    if (!opt.dtype || !is_float(is) || !strchr(pf_checkpoint_name(w, i), '.'))
        return is;
    return !strcmp(opt.dtype, "f32") ? PF_F32 : !strcmp(opt.dtype, "f16") ? PF_F16 : PF_BF16;
}

/* Elements k .. k + n of t as the type to, in buf.  A finite number must stay finite. */
static pf_err
convert_block(void *buf, const pf_tensor *t, pf_dtype to, int64_t k, int64_t n)
{
    // From here on rounding gives infinity: half a step above the largest number of the type.
    const float limit = to == PF_F16 ? 65520.0f : to == PF_BF16 ? 0x1.ffp127f : INFINITY;
    const float *wide = widen(t, k, n);
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(wide[i]) < limit) && isfinite(number(t, k + i)))
            return pf_fail(PF_EARG, "%g is too large for %s", number(t, k + i), pf_dtype_name(to));
    pf_from_f32(buf, wide, to, n);
    return PF_OK;
}

/* What the converted bytes of a tensor go through: a checksum, or also a file. */
struct sink {
    uLong crc;
    FILE *file;
};

static pf_err
take(struct sink *to, const void *bytes, size_t n)
{
    to->crc = crc32_z(to->crc, bytes, n);
    if (to->file && n && fwrite(bytes, 1, n, to->file) != n)
        return pf_fail(PF_EIO, "cannot write the weights: %s", strerror(errno));
    return PF_OK;
}

static pf_err
convert_tensor(struct sink *to, pf_checkpoint *w, int i)
{
    static char buf[BLOCK * sizeof(float)];
    const pf_dtype dtype = target(w, i);
    const size_t item = pf_dtype_size(dtype);
    pf_err err = PF_OK;
    pf_tensor t;
    PF_TRY(pf_checkpoint_read(w, i, &t));
    const int64_t count = pf_tensor_count(&t);
    for (int64_t k = 0; k < count && !err; k += BLOCK) {
        const int64_t n = count - k < BLOCK ? count - k : BLOCK;
        if (dtype == t.dtype)
            err = take(to, (const char *)t.data + (size_t)k * item, (size_t)n * item);
        else if (!(err = convert_block(buf, &t, dtype, k, n)))
            err = take(to, buf, (size_t)n * item);
    }
    pf_checkpoint_drop(w, i);
    if (!err)
        return PF_OK;
    return pf_fail_in(err, "%s: tensor %s", pf_checkpoint_path(w), pf_checkpoint_name(w, i));
}

/* pf.crc32 of what will be written.  This pass also finds numbers that are too large, before
 * anything is written. */
static pf_err
sum_up(pf_doc *meta, pf_checkpoint *w)
{
    json_t *all = json_object();
    pf_err err = PF_OK;
    int bad = 0;
    for (int i = 0; i < pf_checkpoint_count(w) && !err; i++) {
        struct sink to = {.crc = crc32(0, NULL, 0)};
        char hex[9];
        if ((err = convert_tensor(&to, w, i)))
            break;
        snprintf(hex, sizeof hex, "%08" PRIx32, (uint32_t)to.crc);
        bad |= json_object_set_new(all, pf_checkpoint_name(w, i), json_string(hex));
    }
    char *text = err || bad ? NULL : pf_json_text(all, JSON_COMPACT);
    json_decref(all);
    if (!err)
        err = text ? pf_doc_set_meta(meta, "pf.crc32", text) : pf_fail(PF_ENOMEM, "no memory");
    free(text);
    return err;
}

/* The source's metadata, but for what was true of the source only, and ours. */
static pf_err
describe(pf_doc *meta, pf_checkpoint *w)
{
    const char *key, *value;
    for (int i = 0; pf_checkpoint_meta(w, i, &key, &value); i++)
        if (strcmp(key, "pf.index") != 0 && strcmp(key, "pf.count") != 0)
            PF_TRY(pf_doc_set_meta(meta, key, value));
    PF_TRY(pf_doc_set_meta(meta, "pf.format", "1"));
    PF_TRY(pf_doc_set_meta(meta, "pf.kind", "weights"));
    PF_TRY(pf_doc_add_history(meta));
    return sum_up(meta, w);
}

static pf_err
write_header(FILE *to, const pf_doc *meta, const pf_checkpoint *w)
{
    const int n = pf_checkpoint_count(w);
    struct pf_st_header h = {
        .entries = n, .meta = meta->meta, .metas = meta->metas,
        .entry = calloc((size_t)n + 1, sizeof *h.entry),
    };
    char *bytes = NULL;
    size_t size;
    if (!h.entry)
        return pf_fail(PF_ENOMEM, "no memory for the header");
    for (int i = 0; i < n; i++) {               // names and metadata stay with their owners
        h.entry[i].name = (char *)pf_checkpoint_name(w, i);
        h.entry[i].t = *pf_checkpoint_shape(w, i);
        h.entry[i].t.dtype = target(w, i);
    }
    pf_err err = pf_st_print(&bytes, &size, &h);
    if (!err && fwrite(bytes, 1, size, to) != size)
        err = pf_fail(PF_EIO, "cannot write the weights: %s", strerror(errno));
    free(bytes);
    free(h.entry);
    return err;
}

static pf_output *out;          /* of convert; main opens it before a checkpoint is read */

static pf_err
convert(pf_checkpoint *w)
{
    pf_doc meta = {0};
    if (opt.ema && pf_checkpoint_has_ema(w))
        pf_die("%s: has EMA weights alone, whose names (model_ema.*) are not the model's; "
               "pf-sample --ema reads it as it is", pf_checkpoint_path(w));
    warn_of_unread(w);
    pf_err err = describe(&meta, w);
    if (err || (err = write_header(pf_output_file(out), &meta, w)))
        goto out;
    for (int i = 0; i < pf_checkpoint_count(w); i++) {
        struct sink to = {.file = pf_output_file(out)};
        if ((err = convert_tensor(&to, w, i)))
            goto out;
    }
    err = pf_output_close(out);
    out = NULL;
out:
    pf_output_abandon(out);
    pf_doc_release(&meta);
    return err;
}

static const struct {
    const char *name;
    pf_err (*run)(pf_checkpoint *w);
} commands[] = {{"info", info}, {"check", check}, {"convert", convert}};

static pf_err
(*find_command(const char *name))(pf_checkpoint *w)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run;
    pf_usage("\"%s\" is not one of info, check, convert", name);
}

int
main(int argc, char *argv[])
{
    pf_checkpoint *w;
    pf_start(&argc, &argv, "info|check|convert [FILE]",
             "Look into a checkpoint, check its numbers, or convert it to safetensors.", opts);
    if (argc < 1 || argc > 2)
        pf_usage("expected info, check or convert and one file, not %d operands", argc);
    pf_err (*const run)(pf_checkpoint *w) = find_command(argv[0]);
    if (run != convert && (opt.dtype || strcmp(pf_common.out, "-") != 0))
        pf_usage("-o and --dtype belong to convert, %s prints", argv[0]);
    if (run == convert) {
        pf_need_ending("safetensors");
        pf_must(pf_output_open(&out, pf_common.out));
    }
    pf_sandbox(0);
    pf_must((opt.ema ? pf_checkpoint_open_ema : pf_checkpoint_open)(&w, argc > 1 ? argv[1] : "-"));
    pf_must(run(w));
    pf_must(pf_output_flush(stdout, "standard output"));
    pf_checkpoint_close(w);
    return 0;
}
