/* unpickle.h - read a Python pickle (protocols 2 to 5) as inert data.  Nothing is ever imported,
 * called or executed: a fixed list of constructors that PyTorch uses for tensors, and plain
 * containers, become values; every other class becomes a placeholder (PF_PY_OBJECT) that keeps
 * its name and state.  A pickle that names something of a module which runs code or touches
 * files (os, subprocess, builtins but for the plain types, ...) is refused as a whole although it
 * could do no harm here: such a file is not what it claims to be.
 *
 *     pf_pickle *p;
 *     PF_TRY(pf_unpickle(&p, bytes, size, NULL));
 *     const pf_py *weights = pf_py_get(pf_pickle_root(p), "state_dict");
 *     ...
 *     pf_pickle_free(p);
 *
 * Values may contain one another in circles: whoever walks them bounds the depth. */
#ifndef PF_UNPICKLE_H
#define PF_UNPICKLE_H
#include "common/tensor.h"

enum pf_py_kind {
    PF_PY_NONE, PF_PY_BOOL, PF_PY_INT, PF_PY_BIG_INT, PF_PY_FLOAT, PF_PY_STR, PF_PY_BYTES,
    PF_PY_TUPLE, PF_PY_LIST, PF_PY_SET, PF_PY_DICT,
    PF_PY_GLOBAL, PF_PY_OBJECT, PF_PY_STORAGE, PF_PY_TENSOR,
};

typedef struct pf_py pf_py;
struct pf_py_text {             /* bytes of the pickle itself, not terminated */
    const char *s;
    size_t length;
};
struct pf_py_storage {
    struct pf_py_text key;      /* which block of the file */
    const pf_py *type;          /* the global that names it, torch.FloatStorage */
    pf_dtype dtype;             /* PF_DTYPES: a type that tensors here cannot have */
    size_t item;                /* bytes an element */
    int64_t count;              /* elements of the block */
    int64_t first, view;        /* the elements that this storage sees: legacy views, else all */
    const pf_py *next;          /* the storage named before this one */
};
struct pf_py_tensor {           /* dim and stride >= 0 and within the storage: checked */
    const pf_py *storage;
    pf_tensor t;                /* type and shape; data is NULL */
    int64_t stride[PF_MAX_DIMS];        /* elements of t.dtype */
    int64_t first;              /* element of the block, of t.dtype */
};
struct pf_py {
    enum pf_py_kind kind;
    union {
        int64_t i;              /* BOOL, INT */
        double real;            /* FLOAT */
        struct pf_py_text text; /* STR, BYTES; BIG_INT as two's complement, little-endian */
        struct {
            pf_py **item;       /* TUPLE, LIST, SET; of a DICT key and value in turn */
            size_t n, room;
        } list;
        struct {
            struct pf_py_text module, name;
        } global;
        struct {
            const pf_py *type;  /* the global it was made from */
            pf_py *state;       /* what BUILD gave it, or NULL */
        } object;
        struct pf_py_storage *storage;
        struct pf_py_tensor *tensor;
    };
};

typedef struct pf_pickle pf_pickle;     /* opaque; owns all values */
/* Read the pickle at the start of bytes, which must outlive the result.  *used, unless used is
 * NULL, is how many bytes it takes.  PF_EFORMAT. */
pf_err pf_unpickle(pf_pickle **p, const void *bytes, size_t size, size_t *used) PF_MUST_USE;
void pf_pickle_free(pf_pickle *p);                              /* NULL is fine */
const pf_py *pf_pickle_root(const pf_pickle *p);
const pf_py *pf_pickle_storages(const pf_pickle *p);            /* the last one named, or NULL */

bool pf_py_is(const pf_py *v, const char *text);                /* a STR with this text? */
const pf_py *pf_py_get(const pf_py *dict, const char *key);     /* NULL: no DICT, no such key */
/* "dict of 3", "object of class lightning.Thing" into buf, and buf back. */
const char *pf_py_describe(char *buf, size_t size, const pf_py *v);

#endif
