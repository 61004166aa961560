/* program.h - for tests that run the tools as programs, those of $BIN (build/bin), in a scratch
 * folder of the test's own:
 *
 *     RUNS("pf-stream pack -q -o views.pf transforms.json");
 *     FAILS(1, "no such frame", "pf-stream pack -q -o views.pf broken.json");
 *     ...
 *     return cmocka_run_group_tests(tests, enter_scratch, leave_scratch); */
#ifndef PF_TEST_PROGRAM_H
#define PF_TEST_PROGRAM_H
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/stream.h"
#include "tests/check.h"

static char scratch[64] = "/tmp/pf-test-XXXXXX";

/* Make the folder, enter it, and let PATH begin with the tools. */
static inline int
enter_scratch(void **state)
{
    (void)state;
    static char path[16384];
    char here[4096];
    const char *bin = getenv("BIN");
    assert_non_null(getcwd(here, sizeof here));
    if (bin)
        snprintf(path, sizeof path, "%s:%s", bin, getenv("PATH"));
    else
        snprintf(path, sizeof path, "%s/build/bin:%s", here, getenv("PATH"));
    setenv("PATH", path, 1);
    assert_non_null(mkdtemp(scratch));
    setenv("OMP_WAIT_POLICY", "passive", 0);
    return chdir(scratch);
}

static inline int
leave_scratch(void **state)
{
    char line[128];
    (void)state;
    snprintf(line, sizeof line, "rm -r %s", scratch);
    return chdir("/") || system(line);
}

/* Run a line of shell; its exit status.  What it said on stderr goes to said. */
static inline int
run(char said[4096], const char *fmt, ...)
{
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(line, sizeof line - 8, fmt, ap);
    va_end(ap);
    assert_in_range(n, 1, sizeof line - 9);
    strcat(line, " 2>err");
    const int status = system(line);
    FILE *f = fopen("err", "r");
    assert_non_null(f);
    said[fread(said, 1, 4095, f)] = 0;
    fclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Exits with 0 and says these words; "" for nothing at all. */
#define SAYS(words, ...)                                                                \
    do {                                                                                \
        char said_[4096];                                                               \
        const int status_ = run(said_, __VA_ARGS__);                                    \
        if (status_ || !strstr(said_, words) || !*(words) != !*said_)                   \
            fail_msg("exit %d, expected \"%s\": %s", status_, words, said_);            \
    } while (0)
#define RUNS(...) SAYS("", __VA_ARGS__)
/* Exits with status and one line that contains the words. */
#define FAILS(status, words, ...)                                                       \
    do {                                                                                \
        char said_[4096];                                                               \
        const int status_ = run(said_, __VA_ARGS__);                                    \
        const char *end_ = strchr(said_, '\n');                                         \
        if (status_ != (status) || !strstr(said_, words) || !end_ || end_[1])           \
            fail_msg("exit %d, expected %d and \"%s\": %s", status_, status, words, said_);     \
    } while (0)

/* The first document of a file. */
static inline void
read_document(pf_doc *doc, const char *path)
{
    pf_stream *s;
    assert_ok(pf_stream_open(&s, path));
    assert_ok(pf_stream_read(s, doc));
    pf_stream_close(s);
}

static inline void
write_document(pf_doc *doc, const char *path)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_ok(pf_doc_write(doc, f));
    assert_int_equal(fclose(f), 0);
}

static inline void
write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

#endif
