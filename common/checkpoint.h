/* checkpoint.h - read weights: .safetensors (mapped), .ckpt and .pt in PyTorch's zip and legacy
 * formats, TorchScript archives, .onnx (mapped).  Nothing in a file is ever executed: the unpickler
 * knows an allow-list of constructors (tensors, storages, plain containers, dtypes, sizes), turns
 * every other object into an inert placeholder, and refuses a file that names a means to run code
 * (unpickle.h); of a graph's operators only the names of their inputs are looked at (onnx.h).
 *
 *     pf_checkpoint *w;
 *     pf_must(pf_checkpoint_open(&w, "model.ckpt"));
 *     pf_must(pf_checkpoint_need(w, "time_embed.0.weight", &t, 2, (int64_t[]){256, 256}));
 *     pf_checkpoint_close(w);
 *
 * Names are those of the state_dict: a "state_dict" entry of the top dictionary is entered (or
 * "model", "module" and the like), TorchScript attributes are joined with dots, and what all names
 * begin with because the model was wrapped ("module.") is left out.  A tensor NAME of F8_E4M3
 * numbers in safetensors has a tensor NAME_scale, by which they are multiplied: one number, or one
 * for each row.  It is handed out as the product, in BF16 if that has all of it exactly, else in
 * F32; its scale is no tensor of its own.  Several threads may get tensors, and one drop others at
 * that time; everything else is for one at a time. */
#ifndef PF_CHECKPOINT_H
#define PF_CHECKPOINT_H
#include <stdbool.h>

#include "common/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pf_checkpoint pf_checkpoint;     /* opaque, owned by whoever opened it */

/* Open path; "-" is stdin.  A regular file is mapped, a pipe is read into memory. */
pf_err pf_checkpoint_open(pf_checkpoint **w, const char *path) PF_MUST_USE;
/* The same, and take the model's moving average (EMA) where it and the model itself are there:
 * model_ema.* under the names of model.*, or a dictionary under "ema" and the like.  Fails if there
 * is none. */
pf_err pf_checkpoint_open_ema(pf_checkpoint **w, const char *path) PF_MUST_USE;
/* The same for bytes in memory, borrowed until close; name is for messages. */
pf_err pf_checkpoint_open_memory(pf_checkpoint **w, const void *bytes, size_t size,
                                 const char *name) PF_MUST_USE;
void pf_checkpoint_close(pf_checkpoint *w);     /* NULL is fine; tensors got from it die here */
const char *pf_checkpoint_path(const pf_checkpoint *w);
/* "safetensors", "zip", "legacy", "torchscript" or "onnx". */
const char *pf_checkpoint_format(const pf_checkpoint *w);
int pf_checkpoint_count(const pf_checkpoint *w);
const char *pf_checkpoint_name(const pf_checkpoint *w, int i);  /* in name order */
/* Tensor of that name: contiguous, read-only, borrowed until close (mapped where the file allows;
 * a strided one is gathered once).  false if there is none, or (a deflated entry that is damaged,
 * no memory) it cannot be read; pf_error() then says why. */
bool pf_checkpoint_get(pf_checkpoint *w, const char *name, pf_tensor *t);
/* Whether any tensor's name begins so. */
bool pf_checkpoint_has(const pf_checkpoint *w, const char *prefix);
/* As get, but it must be there with this shape (-1: any size), of any float type.  The error
 * names the file, the tensor and both shapes. */
pf_err pf_checkpoint_need(pf_checkpoint *w, const char *name, pf_tensor *t, int ndim,
                          const int64_t *dim) PF_MUST_USE;
/* The same without the data, which costs nothing: t->data is NULL. */
pf_err pf_checkpoint_expect(const pf_checkpoint *w, const char *name, pf_tensor *t, int ndim,
                            const int64_t *dim) PF_MUST_USE;
/* The number of the tensor of that name, for the functions below; -1 if there is none. */
int pf_checkpoint_index(const pf_checkpoint *w, const char *name);
/* Whether the data of the tensor t that get or need gave under this name are finite, all of them.
 * The error names the file, the tensor and the first that is not.  Reads everything. */
pf_err pf_checkpoint_expect_finite(const pf_checkpoint *w, const char *name, const pf_tensor *t)
    PF_MUST_USE;
/* The same of all tensors of the file, for whom only counted (pf_dev_odd). */
pf_err pf_checkpoint_expect_all_finite(pf_checkpoint *w) PF_MUST_USE;
/* Whether there is an average that was not asked for, or has the names of model_ema.* still. */
bool pf_checkpoint_has_ema(const pf_checkpoint *w);
/* What was left out of names (module., _orig_mod., model.); "" if nothing. */
const char *pf_checkpoint_cut(const pf_checkpoint *w);
/* Things that were skipped because they are not tensors (other objects of the pickle) or of a type
 * that is not known (or F8_E4M3 without a scale), as one readable line each; for pf-weights
 * info. */
int pf_checkpoint_skipped(const pf_checkpoint *w);
const char *pf_checkpoint_skipped_name(const pf_checkpoint *w, int i);

/* For going through all tensors without holding them all: type and shape of number i (data is
 * NULL), its data as get gives it, and giving back the memory that this took. */
const pf_tensor *pf_checkpoint_shape(const pf_checkpoint *w, int i);
pf_err pf_checkpoint_read(pf_checkpoint *w, int i, pf_tensor *t) PF_MUST_USE;
void pf_checkpoint_drop(pf_checkpoint *w, int i);
/* Tensor i as it lies in the file, and its scale in F32 of the file's shape, if it is of F8_E4M3
 * numbers; both borrowed until close.  false: it is of another type. */
bool pf_checkpoint_f8(const pf_checkpoint *w, int i, pf_tensor *numbers, pf_tensor *scale);
/* The metadata of a safetensors file: key and value number i, in key order; false past the end. */
bool pf_checkpoint_meta(const pf_checkpoint *w, int i, const char **key, const char **value);
/* Compare the checksums that the file carries (CRC of zip entries, pf.crc32) with the data of
 * tensor i; no checksum is no error. */
pf_err pf_checkpoint_verify(pf_checkpoint *w, int i) PF_MUST_USE;
/* How many tensors have a checksum; compare them all, and warn where there are none. */
int pf_checkpoint_checksums(const pf_checkpoint *w);
pf_err pf_checkpoint_verify_all(pf_checkpoint *w) PF_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
