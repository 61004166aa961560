/* fuzz_pickle.c - any bytes as a pickle: the values that it leaves, looked at to some depth. */
#include "common/unpickle.h"
#include "tests/fuzz/replay.h"

/* Values may contain one another in circles. */
static void
look(const pf_py *v, int depth)
{
    char what[600];
    if (depth > 4)
        return;
    if (!pf_py_describe(what, sizeof what, v)[0])
        abort();
    if (v->kind >= PF_PY_TUPLE && v->kind <= PF_PY_DICT)
        for (size_t i = 0; i < v->list.n && i < 16; i++)
            look(v->list.item[i], depth + 1);
    if (v->kind == PF_PY_OBJECT && v->object.state)
        look(v->object.state, depth + 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pf_pickle *p;
    size_t used = 0;
    if (pf_unpickle(&p, bytes, size, &used))
        return 0;
    if (used > size)
        abort();
    look(pf_pickle_root(p), 0);
    for (const pf_py *v = pf_pickle_storages(p); v; v = v->storage->next)
        if (v->storage->first < 0 || v->storage->view < 0)
            abort();
    pf_pickle_free(p);
    return 0;
}

REPLAY("tests/data/seeds/pickle", 300)
