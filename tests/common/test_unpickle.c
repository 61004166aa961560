/* The unpickler, a few instructions at a time.  Hostile files are in test_checkpoint.c. */
#include "common/unpickle.h"
#include "tests/check.h"

static pf_pickle *last;

/* The value that the pickle of this text makes, good until the next call; protocol 2. */
static const pf_py *
value(const char *body, size_t size)
{
    static char bytes[2000];
    pf_pickle_free(last);
    memcpy(bytes, "\x80\x02", 2);
    memcpy(bytes + 2, body, size);
    bytes[2 + size] = '.';
    assert_ok(pf_unpickle(&last, bytes, size + 3, NULL));
    return pf_pickle_root(last);
}
#define VALUE(body) value(body, sizeof body - 1)

static pf_err
refuse(const char *body, size_t size)
{
    pf_pickle *p;
    const pf_err err = pf_unpickle(&p, body, size, NULL);
    pf_pickle_free(p);
    return err;
}
#define REFUSE(body) refuse("\x80\x02" body, sizeof body + 1)

static int
release(void **state)
{
    (void)state;
    pf_pickle_free(last);
    last = NULL;
    return 0;
}

static void
test_numbers(void **state)
{
    (void)state;
    assert_int_equal(VALUE("K\xff")->i, 255);
    assert_int_equal(VALUE("M\x01\x02")->i, 513);
    assert_int_equal(VALUE("J\xfb\xff\xff\xff")->i, -5);
    assert_int_equal(VALUE("\x8a\x00")->i, 0);
    assert_int_equal(VALUE("\x8a\x01\xff")->i, -1);
    assert_int_equal(VALUE("\x8a\x02\xff\x00")->i, 255);
    assert_int_equal(VALUE("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80")->i, INT64_MIN);
    assert_int_equal(VALUE("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x40")->kind, PF_PY_BIG_INT);
    assert_true(VALUE("G\xbf\xf8\x00\x00\x00\x00\x00\x00")->real == -1.5);
    assert_int_equal(VALUE("\x88")->kind, PF_PY_BOOL);
    assert_int_equal(VALUE("N")->kind, PF_PY_NONE);
}

static void
test_containers(void **state)
{
    char buf[100];
    const pf_py *v = VALUE("}(U\x01" "aK\x01U\x01" "b](K\x02K\x03" "eu");
    (void)state;
    assert_string_equal(pf_py_describe(buf, sizeof buf, v), "dict of 2");
    assert_int_equal(pf_py_get(v, "a")->i, 1);
    assert_int_equal(pf_py_get(v, "b")->list.item[1]->i, 3);
    assert_null(pf_py_get(v, "c"));
    assert_string_equal(pf_py_describe(buf, sizeof buf, VALUE("K\x01K\x02\x86")), "tuple of 2");
    v = VALUE("c__builtin__\nset\n](K\x01" "e\x85R");
    assert_string_equal(pf_py_describe(buf, sizeof buf, v), "set of 1");
    assert_string_equal(pf_py_describe(buf, sizeof buf, VALUE("(K\x01K\x02l")), "list of 2");
    v = VALUE("ccollections\nOrderedDict\n](U\x01" "aK\x07\x86" "e\x85R");
    assert_int_equal(v->list.item[1]->i, 7);
    assert_int_equal(VALUE("ctorch\nSize\nK\x03K\x04\x86\x85R")->list.n, 2);
    assert_int_equal(VALUE("c_codecs\nencode\nU\x01xU\x06latin1\x86R")->kind, PF_PY_BYTES);
}

/* What is remembered is the same value, not a copy. */
static void
test_memo_shares(void **state)
{
    const pf_py *v = VALUE("]q\x00K\x01" "ah\x00\x86");
    (void)state;
    assert_ptr_equal(v->list.item[0], v->list.item[1]);
}

static void
test_value_may_contain_itself(void **state)
{
    const pf_py *v = VALUE("]q\x00h\x00" "a");
    (void)state;
    assert_ptr_equal(v->list.item[0], v);
}

static void
test_unknown_classes_are_inert(void **state)
{
    char buf[200];
    const pf_py *v = VALUE("cmy.module\nThing\n)\x81}U\x01xK\x05sb");
    (void)state;
    assert_string_equal(pf_py_describe(buf, sizeof buf, v), "object of class my.module.Thing");
    assert_int_equal(pf_py_get(v->object.state, "x")->i, 5);
    assert_string_equal(pf_py_describe(buf, sizeof buf, VALUE("cmy.module\nf\nK\x01\x85R")),
                        "object of class my.module.f");
    assert_string_equal(pf_py_describe(buf, sizeof buf, VALUE("cmy.module\nThing\n")),
                        "class my.module.Thing");
    assert_int_equal(VALUE("cmy\nDict\n)\x81(U\x01xK\x05u")->kind, PF_PY_OBJECT);
    assert_int_equal(VALUE("(K\x01imy\nThing\n")->kind, PF_PY_OBJECT);
    assert_int_equal(VALUE("(cmy\nThing\nK\x01o")->kind, PF_PY_OBJECT);
}

static void
test_means_to_run_code_are_refused_by_name(void **state)
{
    static const char *const refused[] = {
        "os\nsystem", "posix\nsystem", "nt\nsystem", "os.path\njoin",
        "builtins\neval", "builtins\nexec", "__builtin__\ngetattr", "builtins\nopen",
        "builtins\n__import__", "subprocess\nPopen", "sys\nmodules", "importlib\nimport_module",
        "runpy\nrun_path", "socket\nsocket", "pickle\nloads", "shutil\nrmtree",
        "ctypes\nCDLL", "multiprocessing.util\nf", "operator\nattrgetter", "types\nCodeType",
        "torch\nos.system", "a.b\nC.subprocess.run", "builtins\nset.x",
    };
    static const char *const harmless[] = {
        "builtins\nset", "__builtin__\nobject", "types\nSimpleNamespace", "torch\nfloat16",
        "osgeo\nos", "my.os\nsystem", "pytorch_lightning.utilities.types\nX", "__main__\nConfig",
        "argparse\nNamespace", "pathlib\nPosixPath", "functools\npartial",
    };
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char body[200], want[200];
        const int n = snprintf(body, sizeof body, "\x80\x02" "c%s\n.", refused[i]);
        snprintf(want, sizeof want, "refused: the pickle names %s", refused[i]);
        *strchr(want, '\n') = '.';
        assert_fails(refuse(body, (size_t)n), PF_EFORMAT, want);
    }
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
        char body[200];
        const int n = snprintf(body, sizeof body, "c%s\n", harmless[i]);
        assert_int_equal(value(body, (size_t)n)->kind, PF_PY_GLOBAL);
    }
}

static void
test_tensor_has_strides_and_storage(void **state)
{
    const pf_py *v = VALUE("ctorch._utils\n_rebuild_tensor_v2\n"
                           "((U\x07storagectorch\nHalfStorage\nU\x01" "5U\x03" "cpuK\x0ctQ"
                           "K\x02K\x02K\x03\x86K\x01K\x02\x86\x89NtR");
    (void)state;
    assert_int_equal(v->kind, PF_PY_TENSOR);
    assert_true(pf_tensor_is(&v->tensor->t, PF_F16, 2, (int64_t[]){2, 3}));
    assert_int_equal(v->tensor->first, 2);
    assert_int_equal(v->tensor->stride[1], 2);
    assert_int_equal(v->tensor->storage->storage->count, 12);
    assert_ptr_equal(pf_pickle_storages(last), v->tensor->storage);
}

static void
test_complex_tensor_is_a_placeholder(void **state)
{
    char buf[100];
    const pf_py *v = VALUE("ctorch._utils\n_rebuild_tensor_v2\n"
                           "((U\x07storagectorch\nComplexFloatStorage\n"
                           "U\x01" "5U\x03" "cpuK\x0ctQK\x00))\x89NtR");
    (void)state;
    assert_string_equal(pf_py_describe(buf, sizeof buf, v),
                        "object of class torch.ComplexFloatStorage");
}

static void
test_malformed_pickles_are_refused(void **state)
{
    (void)state;
    assert_fails(refuse("", 0), PF_EFORMAT, "not a pickle");
    assert_fails(refuse("\x80\x06N.", 4), PF_EFORMAT, "protocol");
    assert_fails(REFUSE("."), PF_EFORMAT, "empty stack");
    assert_fails(REFUSE("t."), PF_EFORMAT, "no mark");
    assert_fails(REFUSE("K\x01K\x02" "a."), PF_EFORMAT, "not such a container");
    assert_fails(REFUSE("(K\x01" "d."), PF_EFORMAT, "key without a value");
    assert_fails(REFUSE("cmy\nf\nK\x01R."), PF_EFORMAT, "not a tuple");
    assert_fails(REFUSE("K\x01K\x01\x93."), PF_EFORMAT, "not text");
    assert_fails(REFUSE("cmy"), PF_EFORMAT, "middle of an instruction");
    assert_fails(REFUSE("ctorch._utils\n_rebuild_parameter\n)R."), PF_EFORMAT,
                 "lacks its argument");
}

/* How many bytes a pickle takes, so that the next one is found behind it. */
static void
test_used_stops_behind_the_pickle(void **state)
{
    pf_pickle *p;
    size_t used;
    (void)state;
    assert_ok(pf_unpickle(&p, "\x80\x02K\x05.rest", 9, &used));
    assert_int_equal(used, 5);
    pf_pickle_free(p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_memo_shares),
        cmocka_unit_test(test_value_may_contain_itself),
        cmocka_unit_test(test_unknown_classes_are_inert),
        cmocka_unit_test(test_means_to_run_code_are_refused_by_name),
        cmocka_unit_test(test_tensor_has_strides_and_storage),
        cmocka_unit_test(test_complex_tensor_is_a_placeholder),
        cmocka_unit_test(test_malformed_pickles_are_refused),
        cmocka_unit_test(test_used_stops_behind_the_pickle),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
