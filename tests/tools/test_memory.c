/* A stream takes no more memory the longer it is: what each tool held at most, over a few objects
 * and over many. */
#include <sys/resource.h>

#include "tests/tools/program.h"

enum { S = 64, FEW = 20, MANY = 120 };

/* One view of an object from the side: some 30 kB, so that MANY that were kept would show. */
static void
put_view(pf_doc *doc)
{
    static float pose[12] = {1, 0, 0, 0, 0, 0, -1, 0, 0, 1, 0, 1.5f};
    static float lens[9] = {70, 0, 32, 0, 70, 32, 0, 0, 1};
    static uint8_t image[S * S * 3];
    static float alpha[S * S];
    for (int i = 0; i < S * S; i++) {
        alpha[i] = i % S > 2;
        image[3 * i] = (uint8_t)i;
    }
    const pf_tensor t[] = {PF_VIEW(pose, PF_F32, 1, 3, 4), PF_VIEW(lens, PF_F32, 1, 3, 3),
                           PF_VIEW(image, PF_U8, 1, S, S, 3), PF_VIEW(alpha, PF_F32, 1, S, S)};
    static const char *const names[] = {"views.pose", "views.intrinsics", "views.image",
                                        "views.alpha"};
    for (int i = 0; i < 4; i++)
        assert_ok(pf_doc_put(doc, names[i], &t[i]));
    assert_ok(pf_doc_set_meta(doc, "pf.kind", "views"));
}

static void
write_objects(const char *path, int n)
{
    FILE *f = fopen(path, "wb");
    pf_doc doc = {0};
    char name[24];
    assert_non_null(f);
    put_view(&doc);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "object-%d", i);
        assert_ok(pf_doc_set_meta(&doc, "pf.object", name));
        assert_ok(pf_doc_set_position(&doc, i, n));
        assert_ok(pf_doc_write(&doc, f));
    }
    pf_doc_release(&doc);
    assert_int_equal(fclose(f), 0);
}

/* What a tool held at most, in kB. */
static long
memory_of(char *const argv[])
{
    struct rusage used;
    int status;
    const pid_t pid = vfork();
    if (pid == 0) {
        execvp(argv[0], argv);
        _exit(127);
    }
    assert_int_equal(wait4(pid, &status, 0, &used), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("%s failed", argv[0]);
    return used.ru_maxrss;
}

static long
size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (long)st.st_size;
}

/* Run a line of words over few.IN and many.IN to few.OUT and many.OUT.  What the second run holds
 * more is nothing beside what it read more; pages of libraries come and go by some 200 kB. */
static void
compare(const char *line, const char *in, const char *out)
{
    static const char *const sizes[] = {"few", "many"};
    long kb[2], bytes[2];
    for (int i = 0; i < 2; i++) {
        char words[512], *argv[32], *at = words, *word;
        int n = 0;
        snprintf(words, sizeof words, "%s -o %s%s %s.%s", line, sizes[i], out, sizes[i], in);
        while ((word = strsep(&at, " ")))
            argv[n++] = word;
        argv[n] = NULL;
        bytes[i] = size_of(argv[n - 1]);
        kb[i] = memory_of(argv);
    }
    if ((kb[1] - kb[0]) * 1024 > (bytes[1] - bytes[0]) / 4)
        fail_msg("%s: %ld kB over %d objects of %ld bytes, %ld kB over %d of %ld", line, kb[0], FEW,
                 bytes[0], kb[1], MANY, bytes[1]);
}

static void
test_memory_does_not_grow_with_the_stream(void **state)
{
    (void)state;
    if (getenv("PF_SAN") && *getenv("PF_SAN"))
        skip();                 // a sanitizer keeps what was freed
    setenv("OMP_NUM_THREADS", "1", 1);
    unsetenv("GLIBC_TUNABLES"); // with those of tests/run memory that is free stays
    write_objects("few.views", FEW);
    write_objects("many.views", MANY);
    write_text("small.yaml", "neus: {field: hash, log2_table: 8, levels: 4, batch_rays: 24,\n"
               "       occupancy_resolution: 16}\n");
    compare("pf-mask -q --method alpha", "views", ".masked");
    compare("pf-neus -q -d cpu -c small.yaml --steps 0", "masked", ".field");
    compare("pf-extract-mesh -q -d cpu --resolution 16", "field", "/%o.stl");
    compare("pf-stream cat -q", "field", ".joined");
    compare("pf-stream cat -q", "field", "/%o.pf");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_does_not_grow_with_the_stream),
    };
    return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
