/* unpickle.c - a pickle is a program for a small stack machine.  This one pushes inert values.
 * One file, though long: a function of a few lines for each opcode, and the table of them. */
#include "common/unpickle.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/budget.h"
#include "common/bytes.h"
#include "common/unpickle_vm.h"

/* What a hostile pickle can make us spend: its budget (budget.h), and whatever its size no more
 * than this.  The largest real ones (1768 weights and their optimiser) use a twentieth of it. */
enum {
    MAX_MEMORY = 1 << 27,       /* bytes of values, stack and memo; steps */
    MAX_STACK = 1 << 20,        /* values on the stack */
    MAX_MARKS = 1000,           /* containers inside each other; Python stops there too */
    MAX_NAME = 1000,            /* bytes of the name of a module or class */
    MEMO_SLACK = 1 << 16,       /* how far a memo number may be ahead of a gapless count */
};

struct chunk {
    struct chunk *next;
    size_t used, size;
    alignas(16) char bytes[];
};
struct pf_pickle {
    struct chunk *chunks;
    uint64_t memory, work;      /* left of both */
    pf_py *root;
    const pf_py *storages;
};

struct pf_vm {
    pf_pickle *out;
    const unsigned char *start, *p, *end;
    pf_py **stack;
    size_t depth, room;
    size_t mark[MAX_MARKS];
    int marks;
    pf_py **memo;
    size_t memo_room, puts;
};

pf_err
pf_vm_bad(const struct pf_vm *vm, const char *what)
{
    pf_fail(PF_EFORMAT, "byte %zu of the pickle: %s", (size_t)(vm->p - vm->start), what);
    return PF_EFORMAT;          // a constant: the compiler sees that this is never PF_OK
}

static pf_err
no_memory(void)
{
    pf_fail(PF_ENOMEM, "the pickle needs more memory than is allowed");
    return PF_ENOMEM;
}

/* Zeroed memory that lives as long as the pickle. */
pf_err
pf_vm_take(struct pf_vm *vm, void *pointer, size_t bytes)
{
    pf_pickle *out = vm->out;
    struct chunk *c = out->chunks;
    bytes = (bytes + 15) / 16 * 16;
    if (!c || c->size - c->used < bytes) {
        const size_t size = bytes > 1 << 16 ? bytes : 1 << 16;
        if (!pf_budget_take(&out->memory, size) || !(c = calloc(1, sizeof *c + size)))
            return no_memory();
        c->size = size;
        c->next = out->chunks;
        out->chunks = c;
    }
    void *p = c->bytes + c->used;
    c->used += bytes;
    memcpy(pointer, &p, sizeof p);
    return PF_OK;
}

pf_err
pf_vm_new(struct pf_vm *vm, pf_py **v, enum pf_py_kind kind)
{
    PF_TRY(pf_vm_take(vm, v, sizeof **v));
    (*v)->kind = kind;
    return PF_OK;
}

/* Make room for one more pointer in a malloc'ed array. */
static pf_err
grow(struct pf_vm *vm, pf_py ***array, size_t *room, size_t need)
{
    if (need < *room)
        return PF_OK;
    const size_t size = need < 512 ? 1024 : 2 * need;
    if (!pf_budget_take(&vm->out->memory, (size - *room) * sizeof **array))
        return no_memory();
    pf_py **bigger = realloc(*array, size * sizeof *bigger);
    if (!bigger)
        return no_memory();
    memset(bigger + *room, 0, (size - *room) * sizeof *bigger);
    *array = bigger;
    *room = size;
    return PF_OK;
}

/* ---- the stack ---- */

static pf_err
push(struct pf_vm *vm, pf_py *v)
{
    if (vm->depth >= MAX_STACK)
        return pf_vm_bad(vm, "too many values on the stack");
    PF_TRY(grow(vm, &vm->stack, &vm->room, vm->depth));
    vm->stack[vm->depth++] = v;
    return PF_OK;
}

static pf_err
push_new(struct pf_vm *vm, enum pf_py_kind kind)
{
    pf_py *v;
    PF_TRY(pf_vm_new(vm, &v, kind));
    return push(vm, v);
}

static pf_err
push_int(struct pf_vm *vm, enum pf_py_kind kind, int64_t i)
{
    PF_TRY(push_new(vm, kind));
    vm->stack[vm->depth - 1]->i = i;
    return PF_OK;
}

static size_t
floor_of(const struct pf_vm *vm)
{
    return vm->marks ? vm->mark[vm->marks - 1] : 0;
}

static pf_err
pop(struct pf_vm *vm, pf_py **v)
{
    if (vm->depth <= floor_of(vm))
        return pf_vm_bad(vm, "takes a value from an empty stack");
    *v = vm->stack[--vm->depth];
    return PF_OK;
}

/* The value on top, which stays there. */
static pf_err
top(struct pf_vm *vm, pf_py **v)
{
    PF_TRY(pop(vm, v));
    vm->depth++;
    return PF_OK;
}

static pf_err
push_mark(struct pf_vm *vm)
{
    if (vm->marks >= MAX_MARKS)
        return pf_vm_bad(vm, "containers are nested too deep");
    vm->mark[vm->marks++] = vm->depth;
    return PF_OK;
}

/* The values above the last mark leave the stack; they stay at *item until the next push. */
static pf_err
pop_mark(struct pf_vm *vm, pf_py ***item, size_t *n)
{
    static pf_py *none;
    if (!vm->marks)
        return pf_vm_bad(vm, "there is no mark on the stack");
    const size_t mark = vm->mark[--vm->marks];
    *n = vm->depth - mark;
    *item = vm->stack ? vm->stack + mark : &none;
    vm->depth = mark;
    return PF_OK;
}

/* ---- reading ---- */

static pf_err
skip(struct pf_vm *vm, uint64_t n, const unsigned char **bytes)
{
    if (n > (uint64_t)(vm->end - vm->p))
        return pf_vm_bad(vm, "ends in the middle of an instruction");
    *bytes = vm->p;
    vm->p += n;
    return PF_OK;
}

static pf_err
read_number(struct pf_vm *vm, int bytes, uint64_t *v)
{
    const unsigned char *p;
    PF_TRY(skip(vm, (uint64_t)bytes, &p));
    *v = pf_little(p, bytes);
    return PF_OK;
}

static pf_err
push_text(struct pf_vm *vm, enum pf_py_kind kind, int length_bytes)
{
    uint64_t n;
    const unsigned char *p;
    PF_TRY(read_number(vm, length_bytes, &n));
    PF_TRY(skip(vm, n, &p));
    PF_TRY(push_new(vm, kind));
    vm->stack[vm->depth - 1]->text = (struct pf_py_text){(const char *)p, n};
    return PF_OK;
}

/* LONG1, LONG4: two's complement of any length. */
static pf_err
push_long(struct pf_vm *vm, int length_bytes)
{
    PF_TRY(push_text(vm, PF_PY_BIG_INT, length_bytes));
    pf_py *v = vm->stack[vm->depth - 1];
    const struct pf_py_text text = v->text;
    uint64_t i = 0;
    if (text.length > 8)
        return PF_OK;
    if (text.length && (signed char)text.s[text.length - 1] < 0)
        i = UINT64_MAX;
    for (size_t k = text.length; k-- > 0;)
        i = i << 8 | (unsigned char)text.s[k];
    v->kind = PF_PY_INT;
    v->i = (int64_t)i;
    return PF_OK;
}

static pf_err
push_float(struct pf_vm *vm)
{
    const unsigned char *p;
    uint64_t bits = 0;
    PF_TRY(skip(vm, 8, &p));
    for (int i = 0; i < 8; i++)                 // the one big-endian number of the format
        bits = bits << 8 | p[i];
    PF_TRY(push_new(vm, PF_PY_FLOAT));
    memcpy(&vm->stack[vm->depth - 1]->real, &bits, sizeof bits);
    return PF_OK;
}

static pf_err
read_line(struct pf_vm *vm, struct pf_py_text *line)
{
    const unsigned char *p, *end = memchr(vm->p, '\n', (size_t)(vm->end - vm->p));
    if (!end)
        return pf_vm_bad(vm, "ends in the middle of an instruction");
    *line = (struct pf_py_text){(const char *)vm->p, (size_t)(end - vm->p)};
    return skip(vm, line->length + 1, &p);
}

/* ---- containers ---- */

pf_err
pf_vm_append(struct pf_vm *vm, pf_py *list, pf_py *const *item, size_t n)
{
    if (n > list->list.room - list->list.n) {
        const size_t room = (list->list.n + n) * (list->list.n ? 2 : 1);
        pf_py **bigger;
        PF_TRY(pf_vm_take(vm, &bigger, room * sizeof *bigger));
        if (list->list.n)
            memcpy(bigger, list->list.item, list->list.n * sizeof *bigger);
        list->list.item = bigger;
        list->list.room = room;
    }
    if (n)
        memcpy(list->list.item + list->list.n, item, n * sizeof *item);
    list->list.n += n;
    return PF_OK;
}

/* A container of the n topmost values, which it replaces. */
static pf_err
push_list(struct pf_vm *vm, enum pf_py_kind kind, pf_py *const *item, size_t n)
{
    pf_py *v;
    if (kind == PF_PY_DICT && n % 2)
        return pf_vm_bad(vm, "a dictionary has a key without a value");
    PF_TRY(pf_vm_new(vm, &v, kind));
    PF_TRY(pf_vm_append(vm, v, item, n));
    return push(vm, v);
}

static pf_err
push_marked(struct pf_vm *vm, enum pf_py_kind kind)
{
    pf_py **item;
    size_t n;
    PF_TRY(pop_mark(vm, &item, &n));
    return push_list(vm, kind, item, n);
}

static pf_err
push_tuple(struct pf_vm *vm, size_t n)
{
    if (vm->depth - floor_of(vm) < n)
        return pf_vm_bad(vm, "takes a value from an empty stack");
    vm->depth -= n;
    return push_list(vm, PF_PY_TUPLE, vm->stack + vm->depth, n);
}

/* Add to the container below them; a placeholder swallows what it is given. */
static pf_err
add(struct pf_vm *vm, enum pf_py_kind kind, pf_py *const *item, size_t n)
{
    pf_py *to;
    PF_TRY(top(vm, &to));
    if (to->kind == PF_PY_OBJECT)
        return PF_OK;
    if (to->kind != kind)
        return pf_vm_bad(vm, "adds to something that is not such a container");
    if (kind == PF_PY_DICT && n % 2)
        return pf_vm_bad(vm, "a dictionary has a key without a value");
    return pf_vm_append(vm, to, item, n);
}

static pf_err
add_marked(struct pf_vm *vm, enum pf_py_kind kind)
{
    pf_py **item;
    size_t n;
    PF_TRY(pop_mark(vm, &item, &n));
    return add(vm, kind, item, n);
}

/* The n topmost values: one for APPEND, key and value for SETITEM. */
static pf_err
add_top(struct pf_vm *vm, enum pf_py_kind kind, size_t n)
{
    if (vm->depth - floor_of(vm) < n)
        return pf_vm_bad(vm, "takes a value from an empty stack");
    vm->depth -= n;
    return add(vm, kind, vm->stack + vm->depth, n);
}

/* ---- memo ---- */

static pf_err
put(struct pf_vm *vm, uint64_t i)
{
    pf_py *v;
    PF_TRY(top(vm, &v));
    if (i > vm->puts + MEMO_SLACK)
        return pf_vm_bad(vm, "a memo number is far ahead of those before it");
    PF_TRY(grow(vm, &vm->memo, &vm->memo_room, i));
    vm->memo[i] = v;
    vm->puts++;
    return PF_OK;
}

static pf_err
put_numbered(struct pf_vm *vm, int bytes)
{
    uint64_t i;
    PF_TRY(read_number(vm, bytes, &i));
    return put(vm, i);
}

static pf_err
get_numbered(struct pf_vm *vm, int bytes)
{
    uint64_t i;
    PF_TRY(read_number(vm, bytes, &i));
    if (i >= vm->memo_room || !vm->memo[i])
        return pf_vm_bad(vm, "asks for a value that was never remembered");
    return push(vm, vm->memo[i]);
}

/* ---- names and calls ---- */

/* A name may be remembered and looked at again and again: its length counts each time. */
static pf_err
push_global(struct pf_vm *vm, struct pf_py_text module, struct pf_py_text name)
{
    if (module.length > MAX_NAME || name.length > MAX_NAME)
        return pf_vm_bad(vm, "the name of a class is too long");
    if (!pf_budget_take(&vm->out->work, module.length + name.length))
        return pf_vm_bad(vm, "names classes more often than its size allows");
    PF_TRY(push_new(vm, PF_PY_GLOBAL));
    pf_py *g = vm->stack[vm->depth - 1];
    g->global.module = module;
    g->global.name = name;
    return pf_vm_check_global(g);
}

static pf_err
push_line_global(struct pf_vm *vm)
{
    struct pf_py_text module, name;
    PF_TRY(read_line(vm, &module));
    PF_TRY(read_line(vm, &name));
    return push_global(vm, module, name);
}

static pf_err
push_stack_global(struct pf_vm *vm)
{
    pf_py *module, *name;
    PF_TRY(pop(vm, &name));
    PF_TRY(pop(vm, &module));
    if (module->kind != PF_PY_STR || name->kind != PF_PY_STR)
        return pf_vm_bad(vm, "the name of a global is not text");
    return push_global(vm, module->text, name->text);
}

/* BINPERSID: the only things outside the pickle that it may refer to are storages. */
static pf_err
push_storage(struct pf_vm *vm)
{
    pf_py *id, *v;
    PF_TRY(pop(vm, &id));
    PF_TRY(pf_vm_storage(vm, &v, id));
    v->storage->next = vm->out->storages;
    vm->out->storages = v;
    return push(vm, v);
}

static pf_err
push_call(struct pf_vm *vm, const pf_py *what, pf_py *args)
{
    pf_py *v;
    PF_TRY(pf_vm_call(vm, &v, what, args));
    return push(vm, v);
}

/* REDUCE and NEWOBJ: class, arguments; NEWOBJ_EX has keywords on top. */
static pf_err
call_top(struct pf_vm *vm, bool keywords)
{
    pf_py *what, *args;
    if (keywords)
        PF_TRY(pop(vm, &args));
    PF_TRY(pop(vm, &args));
    PF_TRY(pop(vm, &what));
    return push_call(vm, what, args);
}

/* OBJ: mark, class, arguments.  INST: mark, arguments, and the class as text. */
static pf_err
call_marked(struct pf_vm *vm, bool named)
{
    pf_py **item;
    size_t n;
    if (named)
        PF_TRY(push_line_global(vm));
    PF_TRY(pop_mark(vm, &item, &n));
    if (n == 0)
        return pf_vm_bad(vm, "calls nothing");
    pf_py *what = named ? item[n - 1] : item[0];
    PF_TRY(push_list(vm, PF_PY_TUPLE, named ? item : item + 1, n - 1));
    return push_call(vm, what, vm->stack[--vm->depth]);
}

/* BUILD: a placeholder keeps its state; the attributes of anything else are of no interest. */
static pf_err
build(struct pf_vm *vm)
{
    pf_py *state, *object;
    PF_TRY(pop(vm, &state));
    PF_TRY(top(vm, &object));
    if (object->kind == PF_PY_OBJECT)
        object->object.state = state;
    return PF_OK;
}

/* ---- the instructions ---- */

static pf_err
read_frame(struct pf_vm *vm)
{
    uint64_t n;
    PF_TRY(read_number(vm, 8, &n));
    if (n > (uint64_t)(vm->end - vm->p))
        return pf_vm_bad(vm, "a frame is longer than the pickle");
    return PF_OK;
}

static pf_err
read_protocol(struct pf_vm *vm)
{
    uint64_t version;
    PF_TRY(read_number(vm, 1, &version));
    if (version < 2 || version > 5)
        return pf_vm_bad(vm, "its protocol is not one of 2 to 5");
    return PF_OK;
}

static pf_err
push_signed(struct pf_vm *vm)
{
    uint64_t v;
    PF_TRY(read_number(vm, 4, &v));
    return push_int(vm, PF_PY_INT, (int32_t)(uint32_t)v);
}

static pf_err
push_unsigned(struct pf_vm *vm, int bytes)
{
    uint64_t v;
    PF_TRY(read_number(vm, bytes, &v));
    return push_int(vm, PF_PY_INT, (int64_t)v);
}

static pf_err
drop_top(struct pf_vm *vm)
{
    pf_py *v;
    if (vm->marks && vm->depth == floor_of(vm)) {       // POP may take a mark, too
        vm->marks--;
        return PF_OK;
    }
    return pop(vm, &v);
}

static pf_err
push_again(struct pf_vm *vm)
{
    pf_py *v;
    PF_TRY(top(vm, &v));
    return push(vm, v);
}

static pf_err
drop_marked(struct pf_vm *vm)
{
    pf_py **item;
    size_t n;
    return pop_mark(vm, &item, &n);
}

static pf_err
step(struct pf_vm *vm, unsigned char op)
{
    switch (op) {
    case 0x80: return read_protocol(vm);
    case 0x95: return read_frame(vm);
    case '(':  return push_mark(vm);
    case '0':  return drop_top(vm);
    case '1':  return drop_marked(vm);
    case '2':  return push_again(vm);
    case 'N':  return push_new(vm, PF_PY_NONE);
    case 0x88: return push_int(vm, PF_PY_BOOL, 1);
    case 0x89: return push_int(vm, PF_PY_BOOL, 0);
    case 'J':  return push_signed(vm);
    case 'K':  return push_unsigned(vm, 1);
    case 'M':  return push_unsigned(vm, 2);
    case 0x8a: return push_long(vm, 1);
    case 0x8b: return push_long(vm, 4);
    case 'G':  return push_float(vm);
    case 0x8c: return push_text(vm, PF_PY_STR, 1);
    case 'X':  return push_text(vm, PF_PY_STR, 4);
    case 0x8d: return push_text(vm, PF_PY_STR, 8);
    case 'U':  return push_text(vm, PF_PY_STR, 1);
    case 'T':  return push_text(vm, PF_PY_STR, 4);
    case 'C':  return push_text(vm, PF_PY_BYTES, 1);
    case 'B':  return push_text(vm, PF_PY_BYTES, 4);
    case 0x8e: return push_text(vm, PF_PY_BYTES, 8);
    case 0x96: return push_text(vm, PF_PY_BYTES, 8);
    case ')':  return push_new(vm, PF_PY_TUPLE);
    case 0x85: return push_tuple(vm, 1);
    case 0x86: return push_tuple(vm, 2);
    case 0x87: return push_tuple(vm, 3);
    case 't':  return push_marked(vm, PF_PY_TUPLE);
    case ']':  return push_new(vm, PF_PY_LIST);
    case 'l':  return push_marked(vm, PF_PY_LIST);
    case 'a':  return add_top(vm, PF_PY_LIST, 1);
    case 'e':  return add_marked(vm, PF_PY_LIST);
    case '}':  return push_new(vm, PF_PY_DICT);
    case 'd':  return push_marked(vm, PF_PY_DICT);
    case 's':  return add_top(vm, PF_PY_DICT, 2);
    case 'u':  return add_marked(vm, PF_PY_DICT);
    case 0x8f: return push_new(vm, PF_PY_SET);
    case 0x90: return add_marked(vm, PF_PY_SET);
    case 0x91: return push_marked(vm, PF_PY_SET);
    case 'q':  return put_numbered(vm, 1);
    case 'r':  return put_numbered(vm, 4);
    case 0x94: return put(vm, vm->puts);
    case 'h':  return get_numbered(vm, 1);
    case 'j':  return get_numbered(vm, 4);
    case 'c':  return push_line_global(vm);
    case 0x93: return push_stack_global(vm);
    case 'R':  return call_top(vm, false);
    case 0x81: return call_top(vm, false);
    case 0x92: return call_top(vm, true);
    case 'o':  return call_marked(vm, false);
    case 'i':  return call_marked(vm, true);
    case 'b':  return build(vm);
    case 'Q':  return push_storage(vm);
    default:   return pf_vm_bad(vm, "an instruction that is not known here");
    }
}

static pf_err
run(struct pf_vm *vm)
{
    if (vm->end - vm->p < 2 || vm->p[0] != 0x80)
        return pf_vm_bad(vm, "this is not a pickle of protocol 2 or later");
    while (vm->p < vm->end) {
        const unsigned char op = *vm->p++;
        if (op == '.')
            return pop(vm, &vm->out->root);
        PF_TRY(step(vm, op));
    }
    return pf_vm_bad(vm, "ends before its last instruction");
}

pf_err
pf_unpickle(pf_pickle **p, const void *bytes, size_t size, size_t *used)
{
    struct pf_vm vm = {.start = bytes, .p = bytes, .end = (const unsigned char *)bytes + size};
    *p = vm.out = calloc(1, sizeof *vm.out);
    if (!vm.out)
        return no_memory();
    const uint64_t budget = pf_budget(size);
    vm.out->memory = vm.out->work = budget < MAX_MEMORY ? budget : MAX_MEMORY;
    const pf_err err = run(&vm);
    free(vm.stack);
    free(vm.memo);
    if (used)
        *used = (size_t)(vm.p - vm.start);
    if (err) {
        pf_pickle_free(*p);
        *p = NULL;
    }
    return err;
}

void
pf_pickle_free(pf_pickle *p)
{
    if (!p)
        return;
    for (struct chunk *c = p->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(p);
}

const pf_py *
pf_pickle_root(const pf_pickle *p)
{
    return p->root;
}

const pf_py *
pf_pickle_storages(const pf_pickle *p)
{
    return p->storages;
}

bool
pf_py_is(const pf_py *v, const char *text)
{
    return v->kind == PF_PY_STR && pf_py_text_is(v->text, text);
}

const pf_py *
pf_py_get(const pf_py *dict, const char *key)
{
    if (dict->kind != PF_PY_DICT)
        return NULL;
    for (size_t i = dict->list.n; i >= 2; i -= 2)       // what was set last counts
        if (pf_py_is(dict->list.item[i - 2], key))
            return dict->list.item[i - 1];
    return NULL;
}

const char *
pf_py_describe(char *buf, size_t size, const pf_py *v)
{
    static const char *const names[] = {
        [PF_PY_NONE] = "None", [PF_PY_BOOL] = "bool", [PF_PY_INT] = "int", [PF_PY_BIG_INT] = "int",
        [PF_PY_FLOAT] = "float", [PF_PY_STR] = "str", [PF_PY_BYTES] = "bytes",
        [PF_PY_TUPLE] = "tuple", [PF_PY_LIST] = "list", [PF_PY_SET] = "set", [PF_PY_DICT] = "dict",
        [PF_PY_GLOBAL] = "class", [PF_PY_OBJECT] = "object of class",
        [PF_PY_STORAGE] = "storage", [PF_PY_TENSOR] = "tensor",
    };
    char name[500];
    if (v->kind == PF_PY_GLOBAL || v->kind == PF_PY_OBJECT)
        snprintf(buf, size, "%s %s", names[v->kind],
                 pf_py_global_name(name, sizeof name,
                                   v->kind == PF_PY_OBJECT ? v->object.type : v));
    else if (v->kind >= PF_PY_TUPLE && v->kind <= PF_PY_DICT)
        snprintf(buf, size, "%s of %zu", names[v->kind],
                 v->list.n / (v->kind == PF_PY_DICT ? 2 : 1));
    else
        snprintf(buf, size, "%s", names[v->kind]);
    return buf;
}
