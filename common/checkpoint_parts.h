/* checkpoint_parts.h - between the parts of the checkpoint reader: the front (checkpoint.c), the
 * formats (checkpoint_safetensors.c, checkpoint_torch.c, checkpoint_onnx.c) and the data of tensors
 * (checkpoint_data.c, checkpoint_f8.c).  Of no use to others. */
#ifndef PF_CHECKPOINT_PARTS_H
#define PF_CHECKPOINT_PARTS_H
#include "common/checkpoint.h"
#include "common/mapped.h"
#include "common/safetensors.h"
#include "common/unzip.h"

struct pf_weight {
    char *name;
    pf_tensor t;                        /* type and shape, as handed out; data is NULL */
    int64_t stride[PF_MAX_DIMS], first; /* elements from the start of the block */
    const unsigned char *block;         /* in memory, or NULL: packed in entry */
    struct pf_zip_entry *entry;         /* zip only */
    size_t varints;                     /* ONNX: if elements are varints, the block's bytes, or 0 */
    pf_tensor scale;                    /* F32, owned, if the block holds F8_E4M3 numbers */
    void *data;                         /* what was handed out, or NULL */
    void *owned;                        /* data, if it is a copy */
    uint32_t crc;                       /* what pf.crc32 says that it is */
    bool has_crc;
};

struct pf_checkpoint {
    char *path;
    const char *format;
    const unsigned char *bytes;         /* the file */
    size_t size;
    enum { PF_BORROWED, PF_MAPPED, PF_ALLOCATED } kept;
    struct pf_mapped map;
    struct pf_weight *weight;           /* in name order once all are there */
    int weights, weight_room;
    uint64_t budget;                    /* left of what the file may cost: budget.h */
    char **skipped;
    int skips, skip_room;
    bool ema;                           /* the averages are wanted */
    bool ema_entered, ema_beside;       /* their dictionary was read, was skipped */
    bool ema_alone;                     /* model_ema.* and no parameters that they belong to */
    char cut[64];                       /* left out of names: "module." */
    struct pf_st_header header;         /* safetensors */
    struct pf_zip zip;
    pf_checkpoint **part;               /* the files of an index, whose tensors were taken over */
    int parts;
};

/* checkpoint.c: fail unless that much is left of the budget, and take it; one more tensor, zero but
 * for its name; one more line about what was skipped; the failure of these for want of memory. */
pf_err pf_checkpoint_spend(pf_checkpoint *w, uint64_t cost) PF_MUST_USE;
pf_err pf_checkpoint_add(pf_checkpoint *w, const char *name, struct pf_weight **x) PF_MUST_USE;
pf_err pf_checkpoint_skip(pf_checkpoint *w, const char *line) PF_MUST_USE;
pf_err pf_checkpoint_no_memory(void);

/* checkpoint.c: free what the tensor owns. */
void pf_weight_release(struct pf_weight *x);

/* checkpoint_data.c: set x->data; compare with the checksum that it has, if any.  Errors name
 * nothing. */
pf_err pf_weight_find(struct pf_weight *x) PF_MUST_USE;
pf_err pf_weight_verify(struct pf_weight *x) PF_MUST_USE;

/* checkpoint_f8.c: give the tensors of F8_E4M3 numbers their scales, and set x->data to the
 * product, owned. */
pf_err pf_checkpoint_take_scales(pf_checkpoint *w) PF_MUST_USE;
pf_err pf_weight_decode(struct pf_weight *x) PF_MUST_USE;

/* Elements from a tensor's first to behind its last, none of whose sizes is 0. */
static inline int64_t
pf_weight_reach(const struct pf_weight *x)
{
    int64_t reach = 1;
    for (int i = 0; i < x->t.ndim; i++)
        reach += (x->t.dim[i] - 1) * x->stride[i];
    return reach;
}

/* checkpoint_names.c: leave out of the names what wraps all of them; the failure of a file that has
 * none. */
void pf_checkpoint_trim_names(pf_checkpoint *w);
pf_err pf_checkpoint_without_tensors(const pf_checkpoint *w);

/* checkpoint.c: whether there is such a tensor or it was skipped; open a file of an index, which
 * must be one that is mapped and no index itself. */
bool pf_checkpoint_knows(const pf_checkpoint *w, const char *name);
pf_err pf_checkpoint_open_part(pf_checkpoint **part, const char *path) PF_MUST_USE;

/* checkpoint.c: the index of the tensor of exactly this name, or -1. */
int pf_checkpoint_find(const pf_checkpoint *w, const char *name);

/* checkpoint_ema.c: the name of a parameter's average, false if it is not one of model.*; put the
 * averages in the parameters' place. */
bool pf_checkpoint_ema_name(char ema[PF_ST_NAME_MAX + 20], const char *name);
pf_err pf_checkpoint_take_ema(pf_checkpoint *w) PF_MUST_USE;

/* checkpoint_kinds.c: the failure of a file that is something else. */
pf_err pf_checkpoint_other_kind(pf_checkpoint *w);

/* checkpoint_index.c: whether w->bytes are an index; add the tensors of its files, which lie beside
 * path (NULL: it has no name). */
bool pf_checkpoint_is_index(const pf_checkpoint *w);
pf_err pf_checkpoint_list_index(pf_checkpoint *w, const char *path) PF_MUST_USE;

/* Add the tensors of w->bytes and set w->format.  Errors do not name the file. */
pf_err pf_checkpoint_list_safetensors(pf_checkpoint *w) PF_MUST_USE;
pf_err pf_checkpoint_list_zip(pf_checkpoint *w) PF_MUST_USE;
pf_err pf_checkpoint_list_legacy(pf_checkpoint *w) PF_MUST_USE;
pf_err pf_checkpoint_list_onnx(pf_checkpoint *w) PF_MUST_USE;

#endif
