/* pf-weights - look into a checkpoint, check its numbers, convert it to safetensors.
 * in:  .safetensors, .ckpt or .pt
 * out: text, or (convert) a safetensors document of kind weights
 *
 * One tensor at a time is in memory, and of that one a block: files may be larger than memory. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checkpoint.h"
#include "common/opt.h"
#include "common/output.h"
#include "common/progress.h"
#include "common/sandbox.h"
#include "tools/pf-weights/convert.h"
#include "tools/pf-weights/numbers.h"

enum { SHOWN = 20 };            /* skipped objects listed */

static struct {
    const char *dtype;
    bool ema;
} opt;

static const struct pf_opt opts[] = {
    PF_OPT_CHOICE(0, "dtype", opt.dtype, "f32|f16|bf16|f8",
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
        pf_tensor t = *pf_checkpoint_shape(w, i), scale;
        if (pf_checkpoint_f8(w, i, &t, &scale))
            bytes += pf_tensor_bytes(&scale);
        printf("%s %s\n", pf_checkpoint_name(w, i), pf_tensor_describe(shape, sizeof shape, &t));
        numbers += pf_tensor_count(&t);
        bytes += pf_tensor_bytes(&t);
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

/* Tensors of types that are not known, or without their scale, are neither looked at nor converted:
 * say so. */
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
        pf_warn("%s: %d tensors that cannot be read are left out, the first is %s",
                pf_checkpoint_path(w), unread, pf_checkpoint_skipped_name(w, first));
}

/* ---- check ---- */

/* Say so if the tensor holds numbers that are not finite; how many it has of them. */
static int64_t
report_bad(const char *name, const pf_tensor *t)
{
    int64_t nans = 0, infinite = 0;
    const float *wide = NULL;
    const int64_t n = pf_is_float(t->dtype) ? pf_tensor_count(t) : 0;
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

static pf_output *out;          /* of convert; main opens it before a checkpoint is read */

static pf_err
convert(pf_checkpoint *w)
{
    if (opt.ema && pf_checkpoint_has_ema(w))
        pf_die("%s: has EMA weights alone, whose names (model_ema.*) are not the model's; "
               "pf-sample --ema reads it as it is", pf_checkpoint_path(w));
    warn_of_unread(w);
    pf_err err = convert_all(pf_output_file(out), w, opt.dtype);
    if (!err) {
        err = pf_output_close(out);
        out = NULL;
    }
    pf_output_abandon(out);
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
