/* unpickle_torch.c - what a pickle may name, and the constructors that are known: PyTorch's tensors
 * and storages, plain containers.  Everything else is inert (unpickle.h). */
#include <stdio.h>
#include <string.h>

#include "common/safetensors.h"
#include "common/text.h"
#include "common/unpickle_vm.h"

enum { MAX_KEY = 300 };         /* bytes of a storage's name */

/* ---- names of Python things ---- */

bool
pf_py_text_is(struct pf_py_text text, const char *s)
{
    return strlen(s) == text.length && memcmp(text.s, s, text.length) == 0;
}

static bool
text_in(struct pf_py_text text, const char *const *list)
{
    for (; *list; list++)
        if (text.length && *text.s == **list && pf_py_text_is(text, *list))
            return true;
    return false;
}

/* Modules with the means to run code, or to reach files and the network. */
static const char *const refused[] = {
    "__builtin__", "_ctypes", "_io", "_pickle", "_posixsubprocess", "_thread",
    "asyncio", "atexit", "bdb", "builtins", "cProfile", "cPickle", "code", "codeop", "commands",
    "ctypes", "dill", "ftplib", "gc", "http", "imp", "importlib", "inspect", "io", "linecache",
    "marshal", "multiprocessing", "nt", "ntpath", "operator", "_operator", "os", "pdb", "pickle",
    "pip", "pkgutil", "platform", "popen2", "posix", "posixpath", "profile", "pty", "pydoc",
    "requests", "runpy", "shelve", "shutil", "site", "smtplib", "socket", "ssl", "subprocess",
    "sys", "sysconfig", "tempfile", "threading", "timeit", "trace", "types", "urllib", "urllib2",
    "venv", "webbrowser", "xmlrpc", "zipimport", NULL,
};
/* Of these modules, the plain types that real checkpoints name. */
static const char *const harmless_modules[] = {"__builtin__", "builtins", "types", NULL};
static const char *const harmless[] = {
    "set", "frozenset", "list", "dict", "tuple", "int", "long", "float", "complex", "bool", "str",
    "unicode", "bytes", "bytearray", "object", "slice", "range", "xrange", "type", "NoneType",
    "SimpleNamespace", NULL,
};

/* Does the dotted name begin with, or (anywhere) have, a component that is a refused module? */
static bool
reaches(struct pf_py_text dotted, bool anywhere)
{
    for (;;) {
        const char *dot = memchr(dotted.s, '.', dotted.length);
        struct pf_py_text part = dotted;
        if (dot)
            part.length = (size_t)(dot - dotted.s);
        if (text_in(part, refused))
            return true;
        if (!dot || !anywhere)
            return false;
        dotted.length -= part.length + 1;
        dotted.s = dot + 1;
    }
}

/* "x.os.system" reaches os through any module that imports it; a bare name does not. */
static bool
is_refused(struct pf_py_text module, struct pf_py_text name)
{
    if (reaches(module, false))
        return !text_in(module, harmless_modules) || !text_in(name, harmless);
    return memchr(name.s, '.', name.length) && reaches(name, true);
}

const char *
pf_py_global_name(char *buf, size_t size, const pf_py *g)
{
    const struct pf_py_text module = g->global.module, name = g->global.name;
    snprintf(buf, size, "%.*s.%.*s", (int)(module.length < 200 ? module.length : 200), module.s,
             (int)(name.length < 200 ? name.length : 200), name.s);
    return pf_text_clean(buf);
}

pf_err
pf_vm_check_global(const pf_py *g)
{
    char buf[500];
    if (!is_refused(g->global.module, g->global.name))
        return PF_OK;
    return pf_fail(PF_EFORMAT, "refused: the pickle names %s, which has no place among weights and "
                               "could run code in a naive reader",
                   pf_py_global_name(buf, sizeof buf, g));
}

/* ---- storages and tensors ---- */

static const struct {
    const char *name;
    pf_dtype dtype;
    size_t item;
} storage_types[] = {
    {"FloatStorage", PF_F32, 4}, {"HalfStorage", PF_F16, 2}, {"BFloat16Storage", PF_BF16, 2},
    {"DoubleStorage", PF_F64, 8}, {"ByteStorage", PF_U8, 1}, {"CharStorage", PF_I8, 1},
    {"ShortStorage", PF_I16, 2}, {"IntStorage", PF_I32, 4}, {"LongStorage", PF_I64, 8},
    {"BoolStorage", PF_BOOL, 1}, {"UntypedStorage", PF_U8, 1},
    {"ComplexFloatStorage", PF_DTYPES, 8}, {"ComplexDoubleStorage", PF_DTYPES, 16},
    {"QInt8Storage", PF_DTYPES, 1}, {"QUInt8Storage", PF_DTYPES, 1},
    {"QInt32Storage", PF_DTYPES, 4}, {"QUInt4x2Storage", PF_DTYPES, 1},
    {"QUInt2x4Storage", PF_DTYPES, 1},
};
static const struct {
    const char *name;
    pf_dtype dtype;
} torch_dtypes[] = {
    {"float32", PF_F32}, {"float16", PF_F16}, {"bfloat16", PF_BF16}, {"float64", PF_F64},
    {"uint8", PF_U8}, {"int8", PF_I8}, {"uint16", PF_U16}, {"int16", PF_I16}, {"uint32", PF_U32},
    {"int32", PF_I32}, {"uint64", PF_U64}, {"int64", PF_I64}, {"bool", PF_BOOL},
};

static bool
find_storage_type(struct pf_py_storage *s)
{
    const struct pf_py_text name = s->type->global.name;
    for (size_t i = 0; i < sizeof storage_types / sizeof *storage_types; i++)
        if (pf_py_text_is(name, storage_types[i].name)) {
            s->dtype = storage_types[i].dtype;
            s->item = storage_types[i].item;
            return true;
        }
    return false;
}

/* Legacy files: None, or (key, first element, elements) of a view into the block. */
static pf_err
read_view(struct pf_vm *vm, struct pf_py_storage *s, const pf_py *view)
{
    if (view->kind == PF_PY_NONE)
        return PF_OK;
    if (view->kind != PF_PY_TUPLE || view->list.n != 3 || view->list.item[1]->kind != PF_PY_INT ||
        view->list.item[2]->kind != PF_PY_INT)
        return pf_vm_bad(vm, "the view of a storage is malformed");
    s->first = view->list.item[1]->i;
    s->view = view->list.item[2]->i;
    if (s->first < 0 || s->first > s->count || s->view < 0 || s->view > s->count - s->first)
        return pf_vm_bad(vm, "the view of a storage does not lie within it");
    return PF_OK;
}

/* ("storage", type, key, device, elements [, view]) */
pf_err
pf_vm_storage(struct pf_vm *vm, pf_py **v, const pf_py *id)
{
    pf_py *const *part = id->list.item;
    if (id->kind != PF_PY_TUPLE || id->list.n < 5 || !pf_py_is(part[0], "storage") ||
        part[1]->kind != PF_PY_GLOBAL || part[2]->kind != PF_PY_STR || part[4]->kind != PF_PY_INT)
        return pf_vm_bad(vm, "a persistent id is not that of a storage");
    PF_TRY(pf_vm_new(vm, v, PF_PY_STORAGE));
    PF_TRY(pf_vm_take(vm, &(*v)->storage, sizeof *(*v)->storage));
    struct pf_py_storage *s = (*v)->storage;
    s->type = part[1];
    s->key = part[2]->text;
    s->count = s->view = part[4]->i;
    if (s->key.length > MAX_KEY)
        return pf_vm_bad(vm, "the name of a storage is too long");
    if (!find_storage_type(s))
        return pf_vm_bad(vm, "a storage is of a type that is not known");
    if (s->count < 0 || s->count > INT64_MAX / 16)
        return pf_vm_bad(vm, "the size of a storage is not possible");
    if (id->list.n > 5)
        return read_view(vm, s, part[5]);
    return PF_OK;
}

/* A tuple or list of at most PF_MAX_DIMS numbers >= 0. */
static pf_err
read_sizes(struct pf_vm *vm, int64_t *to, int *n, const pf_py *from)
{
    if ((from->kind != PF_PY_TUPLE && from->kind != PF_PY_LIST) || from->list.n > PF_MAX_DIMS)
        return pf_vm_bad(vm, "the sizes of a tensor are not a tuple of at most 8 numbers");
    *n = (int)from->list.n;
    for (int i = 0; i < *n; i++) {
        if (from->list.item[i]->kind != PF_PY_INT || from->list.item[i]->i < 0)
            return pf_vm_bad(vm, "a size or stride of a tensor is not a number >= 0");
        to[i] = from->list.item[i]->i;
    }
    return PF_OK;
}

/* Every element that the tensor can reach lies within its storage.  How far the elements of a small
 * one are repeated is counted for all tensors of the file together: checkpoint.c. */
static pf_err
check_reach(struct pf_vm *vm, const struct pf_py_tensor *x, int64_t offset)
{
    const struct pf_py_storage *s = x->storage->storage;
    const size_t item = pf_dtype_size(x->t.dtype);
    const int64_t holds = s->view / (int64_t)(item / s->item ? item / s->item : 1);
    int64_t last = offset, reach;
    size_t bytes;
    if (!pf_st_shape_ok(x->t.dtype, x->t.ndim, x->t.dim) ||
        pf_shape_bytes(&bytes, x->t.dtype, x->t.ndim, x->t.dim))
        return pf_vm_bad(vm, "the shape of a tensor is too large");
    if (bytes == 0)
        return PF_OK;
    for (int i = 0; i < x->t.ndim; i++)
        if (__builtin_mul_overflow(x->t.dim[i] - 1, x->stride[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return pf_vm_bad(vm, "a tensor reaches beyond its storage");
    if (last >= holds)
        return pf_vm_bad(vm, "a tensor reaches beyond its storage");
    return PF_OK;
}

/* The type of a tensor: that of its storage, or (rebuild_v3) its own over an untyped storage. */
static bool
find_dtype(pf_dtype *dtype, const struct pf_py_storage *s, const pf_py *own)
{
    *dtype = s->dtype;
    if (!own)
        return s->dtype != PF_DTYPES;
    if (own->kind != PF_PY_GLOBAL || s->item != 1)
        return false;
    for (size_t i = 0; i < sizeof torch_dtypes / sizeof *torch_dtypes; i++)
        if (pf_py_text_is(own->global.name, torch_dtypes[i].name)) {
            *dtype = torch_dtypes[i].dtype;
            return true;
        }
    return false;
}

/* (storage, first element, shape, stride, ...); own: a torch.dtype or NULL. */
static pf_err
rebuild(struct pf_vm *vm, pf_py **v, const pf_py *args, const pf_py *own)
{
    pf_py *const *arg = args->list.item;
    if (args->list.n < 4 || arg[0]->kind != PF_PY_STORAGE || arg[1]->kind != PF_PY_INT)
        return pf_vm_bad(vm, "a tensor's description is malformed");
    const struct pf_py_storage *s = arg[0]->storage;
    struct pf_py_tensor *x;
    int strides = 0;
    PF_TRY(pf_vm_take(vm, &x, sizeof *x));
    x->storage = arg[0];
    if (!find_dtype(&x->t.dtype, s, own)) {     // complex, quantised: a placeholder named after it
        PF_TRY(pf_vm_new(vm, v, PF_PY_OBJECT));
        (*v)->object.type = own && own->kind == PF_PY_GLOBAL ? own : s->type;
        return PF_OK;
    }
    PF_TRY(read_sizes(vm, x->t.dim, &x->t.ndim, arg[2]));
    PF_TRY(read_sizes(vm, x->stride, &strides, arg[3]));
    if (strides != x->t.ndim)
        return pf_vm_bad(vm, "a tensor has not as many strides as sizes");
    if (arg[1]->i < 0 || (own && s->first > 0))         // views have typed storages only
        return pf_vm_bad(vm, "a tensor begins before its storage");
    PF_TRY(check_reach(vm, x, arg[1]->i));
    x->first = pf_tensor_count(&x->t) ? s->first + arg[1]->i : 0;
    PF_TRY(pf_vm_new(vm, v, PF_PY_TENSOR));
    (*v)->tensor = x;
    return PF_OK;
}

/* ---- calls of known constructors ---- */

typedef pf_err constructor(struct pf_vm *vm, pf_py **v, pf_py *args);

static pf_err
make_tensor(struct pf_vm *vm, pf_py **v, pf_py *args)
{
    return rebuild(vm, v, args, NULL);
}

/* (storage, offset, shape, stride, requires_grad, hooks, dtype, ...) */
static pf_err
make_tensor_v3(struct pf_vm *vm, pf_py **v, pf_py *args)
{
    if (args->list.n < 7)
        return pf_vm_bad(vm, "a tensor's description is malformed");
    return rebuild(vm, v, args, args->list.item[6]);
}

/* What stands first among the arguments: the data of a Parameter, the list of a typed list. */
static pf_err
make_first(struct pf_vm *vm, pf_py **v, pf_py *args)
{
    if (args->list.n < 1)
        return pf_vm_bad(vm, "a constructor lacks its argument");
    *v = args->list.item[0];
    return PF_OK;
}

/* (function, type, arguments, state): a tensor subclass, whose state is of no interest. */
static pf_err
make_subclass(struct pf_vm *vm, pf_py **v, pf_py *args)
{
    pf_py *const *arg = args->list.item;
    if (args->list.n < 3 || arg[0]->kind != PF_PY_GLOBAL || arg[2]->kind != PF_PY_TUPLE)
        return pf_vm_bad(vm, "a tensor's description is malformed");
    if (pf_py_text_is(arg[0]->global.name, "_rebuild_tensor_v2"))
        return make_tensor(vm, v, arg[2]);
    PF_TRY(pf_vm_new(vm, v, PF_PY_OBJECT));
    (*v)->object.type = arg[1]->kind == PF_PY_GLOBAL ? arg[1] : arg[0];
    return PF_OK;
}

/* dict(): empty, or from a list of pairs as Python 2 wrote OrderedDict. */
static pf_err
make_dict(struct pf_vm *vm, pf_py **v, pf_py *args)
{
    PF_TRY(pf_vm_new(vm, v, PF_PY_DICT));
    const pf_py *pairs = args->list.n ? args->list.item[args->list.n - 1] : NULL;
    if (!pairs || pairs->kind != PF_PY_LIST)
        return PF_OK;
    for (size_t i = 0; i < pairs->list.n; i++) {
        const pf_py *pair = pairs->list.item[i];
        if ((pair->kind != PF_PY_TUPLE && pair->kind != PF_PY_LIST) || pair->list.n != 2)
            return pf_vm_bad(vm, "a dictionary is made from something else than pairs");
        PF_TRY(pf_vm_append(vm, *v, pair->list.item, 2));
    }
    return PF_OK;
}

static pf_err
make_set(struct pf_vm *vm, pf_py **v, pf_py *args)
{
    PF_TRY(pf_vm_new(vm, v, PF_PY_SET));
    const pf_py *from = args->list.n ? args->list.item[0] : NULL;
    if (from && (from->kind == PF_PY_LIST || from->kind == PF_PY_TUPLE))
        return pf_vm_append(vm, *v, from->list.item, from->list.n);
    return PF_OK;
}

/* _codecs.encode(text, codec): how protocol 2 writes bytes. */
static pf_err
make_bytes(struct pf_vm *vm, pf_py **v, pf_py *args)
{
    PF_TRY(pf_vm_new(vm, v, PF_PY_BYTES));
    if (args->list.n && args->list.item[0]->kind == PF_PY_STR)
        (*v)->text = args->list.item[0]->text;
    return PF_OK;
}

static const struct {
    const char *module, *name;
    constructor *make;
} known[] = {
    {"torch._utils", "_rebuild_tensor", make_tensor},
    {"torch._utils", "_rebuild_tensor_v2", make_tensor},
    {"torch._utils", "_rebuild_tensor_v3", make_tensor_v3},
    {"torch._utils", "_rebuild_parameter", make_first},
    {"torch._utils", "_rebuild_parameter_with_state", make_first},
    {"torch._tensor", "_rebuild_from_type_v2", make_subclass},
    {"torch.jit._pickle", "build_intlist", make_first},
    {"torch.jit._pickle", "build_doublelist", make_first},
    {"torch.jit._pickle", "build_boollist", make_first},
    {"torch.jit._pickle", "build_tensorlist", make_first},
    {"torch.jit._pickle", "restore_type_tag", make_first},
    {"torch", "Size", make_first},
    {"collections", "OrderedDict", make_dict},
    {"collections", "defaultdict", make_dict},
    {"builtins", "dict", make_dict},
    {"__builtin__", "dict", make_dict},
    {"builtins", "set", make_set},
    {"builtins", "frozenset", make_set},
    {"__builtin__", "set", make_set},
    {"__builtin__", "frozenset", make_set},
    {"_codecs", "encode", make_bytes},
};

pf_err
pf_vm_call(struct pf_vm *vm, pf_py **v, const pf_py *what, pf_py *args)
{
    if (args->kind != PF_PY_TUPLE)
        return pf_vm_bad(vm, "the arguments of a call are not a tuple");
    if (what->kind != PF_PY_GLOBAL && what->kind != PF_PY_OBJECT)
        return pf_vm_bad(vm, "calls something that is not a class");
    if (what->kind == PF_PY_GLOBAL)
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (pf_py_text_is(what->global.module, known[i].module) &&
                pf_py_text_is(what->global.name, known[i].name))
                return known[i].make(vm, v, args);
    PF_TRY(pf_vm_new(vm, v, PF_PY_OBJECT));
    (*v)->object.type = what->kind == PF_PY_GLOBAL ? what : what->object.type;
    return PF_OK;
}
