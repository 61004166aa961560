/* onnx.c - see onnx.h.
 *
 * An ONNX file is a protobuf message: fields of a number and a wire type, of which those that hold
 * messages, text or packed numbers begin with their length.  The few that matter here are read by
 * hand.  libprotobuf-c would need the schema, and makes objects and copies of all that a file
 * holds; walking over it leaves the weights where they are mapped, and visits nothing that is not
 * needed.  Messages are entered five deep (model, graph, node, attribute, tensor) by functions that
 * do not call themselves, so that nesting in a file costs nothing: a subgraph is stepped over. */
#include "common/onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/safetensors.h"

/* ---- protobuf ---- */

struct bytes {
    const unsigned char *at;
    size_t n;
};

enum wire { VARINT = 0, FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };

struct field {
    uint64_t number, value;             /* value: of a varint */
    enum wire wire;
    struct bytes bytes;                 /* of the others */
};

/* 7 bits a byte, the lowest first; false if it has no end, or more than 64 bits. */
static bool
take_varint(uint64_t *v, struct bytes *from)
{
    *v = 0;
    for (size_t i = 0; i < 10 && i < from->n; i++) {
        const unsigned char byte = from->at[i];
        *v |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            from->at += i + 1;
            from->n -= i + 1;
            return i < 9 || byte < 2;
        }
    }
    return false;
}

/* The next field of a message; PF_END behind the last. */
static pf_err
next_field(struct field *f, struct bytes *message)
{
    uint64_t key, n = 0;
    *f = (struct field){0};
    if (message->n == 0)
        return PF_END;
    if (!take_varint(&key, message) || key >> 3 == 0)
        return pf_fail(PF_EFORMAT, "is damaged: a field of its protobuf has no number");
    f->number = key >> 3;
    f->wire = (enum wire)(key & 7);
    switch (f->wire) {
    case VARINT:
        return take_varint(&f->value, message)
                   ? PF_OK
                   : pf_fail(PF_EFORMAT, "is damaged: a number of its protobuf has no end");
    case FIXED64: n = 8; break;
    case FIXED32: n = 4; break;
    case LENGTH:
        if (take_varint(&n, message))
            break;
        return pf_fail(PF_EFORMAT, "is damaged: a length of its protobuf has no end");
    default:
        return pf_fail(PF_EFORMAT, "is damaged: a field of its protobuf is of wire type %d",
                       (int)f->wire);
    }
    if (n > message->n)
        return pf_fail(PF_EFORMAT, "is damaged or cut short: a field of its protobuf has %llu "
                       "bytes, but %zu are left", (unsigned long long)n, message->n);
    f->bytes = (struct bytes){message->at, (size_t)n};
    message->at += n;
    message->n -= (size_t)n;
    return PF_OK;
}

/* err: what the last next_field said. */
static pf_err
at_end(pf_err err)
{
    return err == PF_END ? PF_OK : err;
}

static bool
is(struct bytes b, const char *text)
{
    return b.n == strlen(text) && memcmp(b.at, text, b.n) == 0;
}

static int
compare(struct bytes a, struct bytes b)
{
    const int c = memcmp(a.at, b.at, a.n < b.n ? a.n : b.n);
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* ---- the schema: numbers of the fields that matter ---- */

enum { MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_SPARSE = 15 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_TENSOR = 5 };
enum {
    TENSOR_DIM = 1, TENSOR_TYPE = 2, TENSOR_FLOATS = 4, TENSOR_INT32S = 5, TENSOR_INT64S = 7,
    TENSOR_NAME = 8, TENSOR_RAW = 9, TENSOR_DOUBLES = 10, TENSOR_UINT64S = 11, TENSOR_LOCATION = 14,
};

/* By ONNX's number of the type; field: where the numbers are that are not raw. */
static const struct type {
    const char *name;                   /* of one that is not known here */
    pf_dtype dtype;
    unsigned field;
    bool varints;
} types[] = {
    [1] = {NULL, PF_F32, TENSOR_FLOATS, false},
    [2] = {NULL, PF_U8, TENSOR_INT32S, true},
    [3] = {NULL, PF_I8, TENSOR_INT32S, true},
    [4] = {NULL, PF_U16, TENSOR_INT32S, true},
    [5] = {NULL, PF_I16, TENSOR_INT32S, true},
    [6] = {NULL, PF_I32, TENSOR_INT32S, true},
    [7] = {NULL, PF_I64, TENSOR_INT64S, true},
    [8] = {.name = "STRING"},
    [9] = {NULL, PF_BOOL, TENSOR_INT32S, true},
    [10] = {NULL, PF_F16, TENSOR_INT32S, true},
    [11] = {NULL, PF_F64, TENSOR_DOUBLES, false},
    [12] = {NULL, PF_U32, TENSOR_UINT64S, true},
    [13] = {NULL, PF_U64, TENSOR_UINT64S, true},
    [14] = {.name = "COMPLEX64"},
    [15] = {.name = "COMPLEX128"},
    [16] = {NULL, PF_BF16, TENSOR_INT32S, true},
    [17] = {.name = "FLOAT8E4M3FN"},
    [18] = {.name = "FLOAT8E4M3FNUZ"},
    [19] = {.name = "FLOAT8E5M2"},
    [20] = {.name = "FLOAT8E5M2FNUZ"},
    [21] = {.name = "UINT4"},
    [22] = {.name = "INT4"},
    [23] = {.name = "FLOAT4E2M1"},
};
enum { TYPES = sizeof types / sizeof *types };

/* ---- tensors ---- */

struct message {                        /* a tensor's, as it stands in the file */
    struct bytes name, data;
    uint64_t type, field, location;     /* field: which one the data are, 0: there are none */
    int ndim;
    int64_t dim[PF_MAX_DIMS];
    bool in_pieces;
};

static pf_err
take_dims(struct message *m, const struct field *f)
{
    struct bytes packed = f->bytes;
    uint64_t v = f->value;
    while (f->wire == VARINT || packed.n) {
        if (f->wire != VARINT && !take_varint(&v, &packed))
            return pf_fail(PF_EFORMAT, "is damaged: a size of a tensor has no end");
        if (m->ndim == PF_MAX_DIMS)
            return pf_fail(PF_EFORMAT, "has a tensor of more than %d axes", (int)PF_MAX_DIMS);
        m->dim[m->ndim++] = (int64_t)v;
        if (f->wire == VARINT)
            break;
    }
    return PF_OK;
}

static pf_err
read_message(struct message *m, struct bytes from)
{
    struct field f;
    pf_err err;
    *m = (struct message){0};
    while (!(err = next_field(&f, &from))) {
        if (f.number == TENSOR_DIM)
            PF_TRY(take_dims(m, &f));
        if (f.number == TENSOR_TYPE)
            m->type = f.value;
        if (f.number == TENSOR_LOCATION)
            m->location = f.value;
        if (f.number == TENSOR_NAME)
            m->name = f.bytes;
        if (f.number == TENSOR_FLOATS || f.number == TENSOR_INT32S || f.number == TENSOR_INT64S ||
            f.number == TENSOR_RAW || f.number == TENSOR_DOUBLES || f.number == TENSOR_UINT64S) {
            m->in_pieces |= m->field || f.wire != LENGTH;
            m->field = f.number;
            m->data = f.bytes;
        }
    }
    return at_end(err);
}

/* Whether the data are as many as the shape says. */
static pf_err
check_data(const struct pf_onnx_tensor *t, const struct message *m)
{
    size_t bytes;
    if (!pf_st_shape_ok(t->t.dtype, t->t.ndim, t->t.dim) ||
        pf_shape_bytes(&bytes, t->t.dtype, t->t.ndim, t->t.dim))
        return pf_fail(PF_EFORMAT, "tensor %s: its shape is too large or has a negative size",
                       t->name);
    if (m->in_pieces)
        return pf_fail(PF_EFORMAT, "tensor %s: its numbers come in pieces", t->name);
    if (m->field && m->field != TENSOR_RAW && m->field != types[m->type].field)
        return pf_fail(PF_EFORMAT, "tensor %s: its numbers are not of its type, %s", t->name,
                       pf_dtype_name(t->t.dtype));
    if (!t->varints && m->data.n != bytes)
        return pf_fail(PF_EFORMAT, "tensor %s: has %zu bytes of data, its shape needs %zu", t->name,
                       m->data.n, bytes);
    struct bytes left = m->data;
    size_t n = 0;
    for (uint64_t v; t->varints && left.n; n++)
        if (!take_varint(&v, &left))
            return pf_fail(PF_EFORMAT, "tensor %s: a number has no end", t->name);
    if (t->varints && n != (size_t)pf_tensor_count(&t->t))
        return pf_fail(PF_EFORMAT, "tensor %s: has %zu numbers, its shape needs %lld", t->name, n,
                       (long long)pf_tensor_count(&t->t));
    return PF_OK;
}

/* Fill in t, which has its name, from a tensor's message. */
static pf_err
read_tensor(struct pf_onnx_tensor *t, struct bytes from)
{
    struct message m;
    PF_TRY(read_message(&m, from));
    if (m.location != 0)
        return pf_fail(PF_EFORMAT, "tensor %s: its data lie in another file, which is not read: "
                       "save the model as one file", t->name);
    if (m.type >= TYPES || (!types[m.type].field && !types[m.type].name))
        t->unknown = "UNDEFINED";
    else
        t->unknown = types[m.type].name;
    if (t->unknown)
        return PF_OK;
    t->t.dtype = types[m.type].dtype;
    t->t.ndim = m.ndim;
    memcpy(t->t.dim, m.dim, sizeof m.dim);
    t->varints = m.field && m.field != TENSOR_RAW && types[m.type].varints;
    t->data = m.data.at;
    t->size = m.data.n;
    return check_data(t, &m);
}

pf_err
pf_onnx_unpack(void *to, pf_dtype dtype, int64_t n, const unsigned char *data, size_t size)
{
    const size_t item = pf_dtype_size(dtype);
    struct bytes left = {data, size};
    uint64_t v;
    for (int64_t i = 0; i < n; i++) {
        if (!take_varint(&v, &left))
            return pf_fail(PF_EFORMAT, "its numbers are not those that were there");
        for (size_t k = 0; k < item; k++)
            ((unsigned char *)to)[(size_t)i * item + k] = (unsigned char)(v >> 8 * k);
    }
    return PF_OK;
}

/* ---- the graph ---- */

enum {
    INPUTS = 5,                         /* of a node, those that matter */
    MAX_ENTRIES = 1 << 18,              /* a tensor may take 12 bytes of a file, and 600 here */
};

struct node {
    struct bytes name, op, input[INPUTS], output, value;
    size_t inputs, outputs;
};

/* What has a name in the graph and may be a weight. */
struct entry {
    struct bytes name, tensor;          /* tensor: its message; at NULL where it is not known yet */
    struct bytes source;                /* what this is only another name for */
    bool initializer;
    char *renamed;                      /* or NULL: name */
    bool taken;                         /* by a node that has parameters */
};

struct graph {
    struct bytes bytes;
    struct entry *entry;                /* sorted by name once all are there */
    size_t entries, room;
    int convs, norms;                   /* that were counted for want of a name */
};

static pf_err
no_memory(void)
{
    return pf_fail(PF_ENOMEM, "out of memory for the list of tensors");
}

static pf_err
add_entry(struct graph *g, struct entry e)
{
    if (g->entries == MAX_ENTRIES)
        return pf_fail(PF_EFORMAT, "has more than %d tensors", (int)MAX_ENTRIES);
    if (g->entries == g->room) {
        const size_t room = 2 * g->room + 64;
        struct entry *const bigger = realloc(g->entry, room * sizeof *bigger);
        if (!bigger)
            return no_memory();
        g->entry = bigger;
        g->room = room;
    }
    g->entry[g->entries++] = e;
    return PF_OK;
}

/* The tensor of an attribute called "value". */
static pf_err
read_attribute(struct bytes *value, struct bytes from)
{
    struct bytes name = {0}, tensor = {0};
    struct field f;
    pf_err err;
    while (!(err = next_field(&f, &from))) {
        if (f.number == ATTRIBUTE_NAME)
            name = f.bytes;
        if (f.number == ATTRIBUTE_TENSOR)
            tensor = f.bytes;
    }
    if (is(name, "value"))
        *value = tensor;
    return at_end(err);
}

static pf_err
read_node(struct node *n, struct bytes from)
{
    struct field f;
    pf_err err;
    *n = (struct node){0};
    while (!(err = next_field(&f, &from))) {
        if (f.number == NODE_NAME)
            n->name = f.bytes;
        if (f.number == NODE_OP)
            n->op = f.bytes;
        if (f.number == NODE_INPUT && n->inputs++ < INPUTS)
            n->input[n->inputs - 1] = f.bytes;
        if (f.number == NODE_OUTPUT && n->outputs++ == 0)
            n->output = f.bytes;
        if (f.number == NODE_ATTRIBUTE)
            PF_TRY(read_attribute(&n->value, f.bytes));
    }
    return at_end(err);
}

/* A half's weights may be made floats before they are used: the values are the same. */
static bool
is_alias(const struct node *n)
{
    return is(n->op, "Identity") || is(n->op, "Cast");
}

static pf_err
refuse_quantised(const struct node *n)
{
    static const char *const ops[] = {"ConvInteger", "MatMulInteger", "QLinearConv",
                                      "QLinearMatMul", "DequantizeLinear",
                                      "DynamicQuantizeLinear"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (is(n->op, ops[i]))
            return pf_fail(PF_EFORMAT, "is a quantised model (%s), which is not read: take the one "
                           "in F32 or F16", ops[i]);
    return PF_OK;
}

static pf_err
list_node(struct graph *g, struct bytes from)
{
    struct node n;
    PF_TRY(read_node(&n, from));
    PF_TRY(refuse_quantised(&n));
    if (!pf_st_name_ok((const char *)n.output.at, n.output.n))
        return PF_OK;
    if (is(n.op, "Constant") && n.value.at)
        return add_entry(g, (struct entry){.name = n.output, .tensor = n.value});
    if (is_alias(&n) && n.input[0].n)
        return add_entry(g, (struct entry){.name = n.output, .source = n.input[0]});
    return PF_OK;
}

static pf_err
list_initializer(struct graph *g, struct bytes from)
{
    struct message m;
    PF_TRY(read_message(&m, from));
    if (!pf_st_name_ok((const char *)m.name.at, m.name.n))
        return pf_fail(PF_EFORMAT, "a tensor's name is empty, too long, not UTF-8 or has control "
                       "characters");
    return add_entry(g, (struct entry){.name = m.name, .tensor = from, .initializer = true});
}

static int
by_name(const void *a, const void *b)
{
    return compare(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static pf_err
list(struct graph *g)
{
    struct bytes left = g->bytes;
    struct field f;
    pf_err err;
    while (!(err = next_field(&f, &left))) {
        if (f.number == GRAPH_NODE)
            PF_TRY(list_node(g, f.bytes));
        if (f.number == GRAPH_INITIALIZER)
            PF_TRY(list_initializer(g, f.bytes));
        if (f.number == GRAPH_SPARSE)
            return pf_fail(PF_EFORMAT, "has sparse tensors, which are not read");
    }
    PF_TRY(at_end(err));
    if (g->entries)
        qsort(g->entry, g->entries, sizeof *g->entry, by_name);
    for (size_t i = 1; i < g->entries; i++)
        if (by_name(&g->entry[i - 1], &g->entry[i]) == 0)
            return pf_fail(PF_EFORMAT, "a tensor's name is given twice: %.*s",
                           (int)(g->entry[i].name.n < 200 ? g->entry[i].name.n : 200),
                           (const char *)g->entry[i].name.at);
    return PF_OK;
}

static struct entry *
find(const struct graph *g, struct bytes name)
{
    const struct entry wanted = {.name = name};
    return name.n && g->entries
               ? bsearch(&wanted, g->entry, g->entries, sizeof wanted, by_name) : NULL;
}

/* ---- names ---- */

/* What the inputs of a node are, from the second on; how their names end. */
static const char *const roles[INPUTS] = {NULL, ".weight", ".bias", ".running_mean",
                                          ".running_var"};

static bool
ends_with(struct bytes name, const char *end)
{
    const size_t n = strlen(end);
    return name.n > n && memcmp(name.at + name.n - n, end, n) == 0;
}

/* Whether an exporter made the name up: onnx::Conv_1896, 1896. */
static bool
is_number(struct bytes name)
{
    if (name.n > 6 && memcmp(name.at, "onnx::", 6) == 0)
        return true;
    for (size_t i = 0; i < name.n; i++)
        if (name.at[i] < '0' || name.at[i] > '9')
            return false;
    return name.n > 0;
}

/* The module of the node /a/b/Conv, "a.b"; false if the node's name is no path.  A child of a list
 * is /a/a.0 in a path, and is a.0 for its author. */
static bool
module_of(char module[PF_ST_NAME_MAX], const struct node *n)
{
    size_t length = 0, part = 0, last = 0;      /* of the text; where the last parts of it begin */
    if (n->name.n < 2 || n->name.n >= PF_ST_NAME_MAX || n->name.at[0] != '/')
        return false;
    for (size_t i = 1; i <= n->name.n; i++) {
        if (i < n->name.n && n->name.at[i] != '/') {
            module[length++] = (char)n->name.at[i];
            continue;
        }
        const size_t before = part - last;      /* with its dot */
        if (part > last && length - part > before &&
            !memcmp(module + last, module + part, before)) {
            memmove(module + last, module + part, length - part);
            length -= before;
            part = last;
        }
        if (i == n->name.n)
            break;
        last = part;
        module[length++] = '.';
        part = length;
    }
    /* the last part is the operator's, which may be numbered: Conv_1 */
    if (part < 2 || length - part < n->op.n || memcmp(module + part, n->op.at, n->op.n) != 0)
        return false;
    module[part - 1] = 0;
    return true;
}

/* Put the name of input i of a node into text; false: e's own. */
static bool
name_input(char text[PF_ST_NAME_MAX + 20], const struct node *n, int i, const struct entry *e,
           const char *what, int number)
{
    char module[PF_ST_NAME_MAX];
    if (ends_with(e->name, roles[i]))
        return false;
    if (module_of(module, n))
        snprintf(text, PF_ST_NAME_MAX + 20, "%s%s", module, roles[i]);
    else if (!e->initializer || is_number(e->name))
        snprintf(text, PF_ST_NAME_MAX + 20, "%s.%d%s", what, number, roles[i]);
    else
        return false;
    return true;
}

/* Name the inputs of a node that has parameters; *count: of nodes like it that have no names. */
static pf_err
name_inputs(struct graph *g, const struct node *n, int inputs, const char *what, int *count)
{
    char text[PF_ST_NAME_MAX + 20], module[PF_ST_NAME_MAX];
    bool counted = false;
    for (int i = 1; i < inputs; i++) {
        struct entry *const e = find(g, n->input[i]);
        if (!e || !e->tensor.at || e->taken)
            continue;
        e->taken = true;
        if (!name_input(text, n, i, e, what, *count))
            continue;
        counted |= !module_of(module, n);
        if (!(e->renamed = strdup(text)))
            return no_memory();
    }
    *count += counted;
    return PF_OK;
}

/* Nodes stand in the order of execution, so that what an alias stands for is known when it comes;
 * what is not known then is no weight. */
static pf_err
visit_node(struct graph *g, struct bytes from)
{
    struct node n;
    PF_TRY(read_node(&n, from));
    if (is_alias(&n)) {
        struct entry *const e = find(g, n.output), *const source = find(g, n.input[0]);
        if (e && source && !e->initializer)
            e->tensor = source->tensor;
        return PF_OK;
    }
    if (is(n.op, "Conv") || is(n.op, "ConvTranspose"))
        return name_inputs(g, &n, 3, "conv", &g->convs);
    if (is(n.op, "BatchNormalization"))
        return name_inputs(g, &n, 5, "norm", &g->norms);
    return PF_OK;
}

static pf_err
visit_nodes(struct graph *g)
{
    struct bytes left = g->bytes;
    struct field f;
    pf_err err;
    while (!(err = next_field(&f, &left)))
        if (f.number == GRAPH_NODE)
            PF_TRY(visit_node(g, f.bytes));
    return at_end(err);
}

/* ---- all of it ---- */

static pf_err
add_tensor(struct pf_onnx *o, struct entry *e)
{
    struct pf_onnx_tensor *const t = &o->tensor[o->tensors];
    *t = (struct pf_onnx_tensor){
        .name = e->renamed ? e->renamed : strndup((const char *)e->name.at, e->name.n)};
    if (!t->name)
        return no_memory();
    e->renamed = NULL;
    o->tensors++;
    if (!pf_st_name_ok(t->name, strlen(t->name)))
        return pf_fail(PF_EFORMAT, "a tensor's name is too long, not UTF-8 or has control "
                       "characters");
    return read_tensor(t, e->tensor);
}

/* The weights among the entries: all initialisers, and what else a node takes for parameters. */
static pf_err
add_tensors(struct pf_onnx *o, struct graph *g)
{
    if (!(o->tensor = calloc(g->entries + 1, sizeof *o->tensor)))
        return no_memory();
    for (size_t i = 0; i < g->entries; i++)
        if (g->entry[i].initializer || g->entry[i].taken)
            PF_TRY(add_tensor(o, &g->entry[i]));
    return PF_OK;
}

/* A model says last which operators it needs: where that is missing, it was cut short. */
static pf_err
find_graph(struct bytes *graph, struct bytes model)
{
    struct field f;
    pf_err err;
    bool opset = false;
    while (!(err = next_field(&f, &model))) {
        if (f.number == MODEL_GRAPH && graph->at)
            return pf_fail(PF_EFORMAT, "has two graphs");
        if (f.number == MODEL_GRAPH)
            *graph = f.bytes;
        opset |= f.number == MODEL_OPSET;
    }
    PF_TRY(at_end(err));
    if (!opset)
        return pf_fail(PF_EFORMAT, "is an ONNX model without its list of operators: it is cut "
                       "short");
    return graph->n ? PF_OK : pf_fail(PF_EFORMAT, "is an ONNX model without a graph");
}

bool
pf_onnx_is(const unsigned char *bytes, size_t size)
{
    static const unsigned char next[] = {0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42};
    return size > 3 && bytes[0] == 0x08 && bytes[1] > 0 && bytes[1] < 0x40 &&
           memchr(next, bytes[2], sizeof next);
}

pf_err
pf_onnx_parse(struct pf_onnx *o, const unsigned char *bytes, size_t size)
{
    struct graph g = {0};
    *o = (struct pf_onnx){0};
    pf_err err = find_graph(&g.bytes, (struct bytes){bytes, size});
    if (!err)
        err = list(&g);
    if (!err)
        err = visit_nodes(&g);
    if (!err)
        err = add_tensors(o, &g);
    for (size_t i = 0; i < g.entries; i++)
        free(g.entry[i].renamed);
    free(g.entry);
    if (err)
        pf_onnx_release(o);
    return err;
}

void
pf_onnx_release(struct pf_onnx *o)
{
    for (int i = 0; i < o->tensors; i++)
        free(o->tensor[i].name);
    free(o->tensor);
    *o = (struct pf_onnx){0};
}
