/* Outputs: a file is there when it is complete, or not at all. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/output.h"
#include "tests/check.h"

static char folder[32], path[64];       /* a new folder for each test, and FOLDER/x */

static int
make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/pf-output-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/x", folder);
    return 0;
}

/* Fails if a test left anything but x. */
static int
remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* How many names there are in the folder. */
static int
names(void)
{
    DIR *d = opendir(folder);
    int n = 0;
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void
write_x(const char *text)
{
    pf_output *o;
    assert_ok(pf_output_open(&o, path));
    fputs(text, pf_output_file(o));
    assert_ok(pf_output_close(o));
}

static void
expect_x(const char *text)
{
    char is[64] = "";
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(is, 1, sizeof is - 1, f) == strlen(text));
    fclose(f);
    assert_string_equal(is, text);
}

/* How a child ends that does this with a half-written x; what it says goes nowhere. */
static int
end_of_child(void (*act)(pf_output *half))
{
    int status;
    fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        pf_output *o;
        if (!freopen("/dev/null", "w", stderr) || pf_output_open(&o, path))
            _exit(99);
        fputs("half of", pf_output_file(o));
        fflush(pf_output_file(o));
        if (names() == 0)
            _exit(98);
        act(o);
        _exit(97);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void
hang_up(pf_output *o)
{
    raise(SIGHUP);
    _exit(pf_output_close(o) == PF_OK ? 0 : 96);
}

/* Before all other tests: the first output that a program opens decides about its signals. */
static void
test_ignored_signal_stays_ignored(void **state)
{
    (void)state;
    signal(SIGHUP, SIG_IGN);                            // as nohup(1) does
    const int status = end_of_child(hang_up);
    signal(SIGHUP, SIG_DFL);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    expect_x("half of");
}

static void
test_output_appears_when_closed(void **state)
{
    pf_output *o;
    struct stat half, whole;
    (void)state;
    assert_ok(pf_output_open(&o, path));
    fputs("hello", pf_output_file(o));
    assert_int_not_equal(access(path, F_OK), 0);
    /* It grows in the same folder, so that a rename puts it in place. */
    assert_memory_equal(pf_output_path(o), path, strlen(path));
    assert_int_equal(stat(pf_output_path(o), &half), 0);
    assert_int_equal(names(), 1);
    assert_ok(pf_output_close(o));
    assert_int_equal(stat(path, &whole), 0);
    assert_true(half.st_ino == whole.st_ino);
    assert_int_equal(names(), 1);
    expect_x("hello");
}

static void
test_abandoned_output_leaves_the_old_one(void **state)
{
    pf_output *o;
    (void)state;
    write_x("old");
    assert_ok(pf_output_open(&o, path));
    fputs("new", pf_output_file(o));
    pf_output_abandon(o);
    pf_output_abandon(NULL);
    expect_x("old");
    assert_int_equal(names(), 1);
    write_x("new");
    expect_x("new");
}

static void
die(pf_output *o)
{
    (void)o;
    pf_die("no luck");
}

static void
terminate(pf_output *o)
{
    (void)o;
    raise(SIGTERM);
}

static void
interrupt(pf_output *o)
{
    (void)o;
    raise(SIGINT);
}

static void
test_nothing_is_left_of_a_program_that_ends(void **state)
{
    int status = end_of_child(die);
    (void)state;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_int_equal(names(), 0);
    status = end_of_child(terminate);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(names(), 0);
    write_x("old");
    status = end_of_child(interrupt);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    assert_int_equal(names(), 1);
    expect_x("old");
}

static void
test_full_disk_is_reported(void **state)
{
    static char zero[1 << 16];
    pf_output *o;
    (void)state;
    assert_ok(pf_output_open(&o, "/dev/full"));
    assert_string_equal(pf_output_path(o), "/dev/full");        // in place
    fwrite(zero, 1, sizeof zero, pf_output_file(o));
    assert_fails(pf_output_close(o), PF_EIO, "cannot write /dev/full");
    assert_ok(pf_output_open(&o, "/dev/full"));
    fputs("less than a buffer", pf_output_file(o));
    assert_fails(pf_output_close(o), PF_EIO, "cannot write /dev/full: No space left");
    assert_int_equal(access("/dev/full", W_OK), 0);
}

static void
test_failed_rename_leaves_nothing(void **state)
{
    pf_output *o;
    (void)state;
    assert_ok(pf_output_open(&o, path));
    fputs("hello", pf_output_file(o));
    assert_int_equal(mkdir(path, 0777), 0);
    assert_fails(pf_output_close(o), PF_EIO, "cannot rename");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(names(), 0);
}

static void
test_places_that_cannot_be_are_refused(void **state)
{
    char deep[80], long_name[5000];
    pf_output *o;
    (void)state;
    snprintf(deep, sizeof deep, "%s/none/x", folder);
    assert_fails(pf_output_open(&o, deep), PF_EIO, "none/x: No such file");
    assert_fails(pf_output_open(&o, folder), PF_EIO, "is a directory");
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    assert_fails(pf_output_open(&o, long_name), PF_EIO, "xxx");
    assert_int_equal(names(), 0);
}

static void
test_link_stays_and_its_file_is_replaced(void **state)
{
    char link[80];
    struct stat st;
    pf_output *o;
    (void)state;
    write_x("old");
    snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(symlink("x", link), 0);
    assert_ok(pf_output_open(&o, link));
    fputs("new", pf_output_file(o));
    assert_ok(pf_output_close(o));
    assert_true(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
    expect_x("new");
    assert_int_equal(unlink(link), 0);
}

/* Also of one name: each has its own file until the last to be closed stays. */
static void
test_many_at_once(void **state)
{
    enum { MAX = 64 };
    pf_output *o[MAX], *more;
    (void)state;
    for (int i = 0; i < MAX; i++)
        assert_ok(pf_output_open(&o[i], path));
    assert_int_equal(names(), MAX);
    assert_fails(pf_output_open(&more, path), PF_EIO, "more than 64 files");
    for (int i = 0; i < MAX; i++) {
        fprintf(pf_output_file(o[i]), "%d", i);
        assert_ok(pf_output_close(o[i]));
    }
    expect_x("63");
    assert_ok(pf_output_open(&more, path));             // and there is room again
    pf_output_abandon(more);
    assert_int_equal(names(), 1);
}

static void
test_terminal_is_refused(void **state)
{
    const int keep = dup(STDOUT_FILENO), master = posix_openpt(O_RDWR | O_NOCTTY);
    (void)state;
    if (master < 0 || grantpt(master) || unlockpt(master))
        skip();
    const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (slave < 0)
        skip();
    pf_output *o;
    fflush(stdout);
    dup2(slave, STDOUT_FILENO);
    const pf_err err = pf_output_open(&o, "-");
    dup2(keep, STDOUT_FILENO);
    close(slave);
    close(master);
    close(keep);
    assert_fails(err, PF_EIO, "standard output is a terminal");
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, make_folder, remove_folder)

static void
test_one_file_has_many_names(void **state)
{
    char here[4096], whole[4200];
    (void)state;
    assert_non_null(getcwd(here, sizeof here));
    snprintf(whole, sizeof whole, "%s/not-there", here);
    assert_true(pf_output_same("not-there", "./not-there"));
    assert_true(pf_output_same("not-there", whole));
    assert_true(pf_output_same("/etc/passwd", "/etc/../etc/passwd"));
    assert_false(pf_output_same("not-there", "nor-there"));
    assert_false(pf_output_same("/dev/null", "/dev/null"));
    assert_false(pf_output_same("/nonexistent/a", "/nonexistent/a"));   // cannot be written
}

static void
test_a_failed_write_has_its_reason(void **state)
{
    FILE *full = fopen("/dev/full", "w");
    static char large[1 << 16];
    (void)state;
    assert_non_null(full);
    fputs("a line", full);
    assert_fails(pf_output_flush(full, "the line"), PF_EIO, "cannot write the line: No space left");
    fwrite(large, 1, sizeof large, full);       // past the buffer: nothing is left to flush
    assert_fails(pf_output_flush(full, "it"), PF_EIO, "cannot write it: No space left on device");
    fclose(full);
    assert_non_null(full = fopen("/dev/null", "w"));
    fputs("a line", full);
    assert_ok(pf_output_flush(full, "the line"));
    fclose(full);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_file_has_many_names),
        cmocka_unit_test(test_a_failed_write_has_its_reason),
        TEST(test_ignored_signal_stays_ignored),
        TEST(test_output_appears_when_closed),
        TEST(test_abandoned_output_leaves_the_old_one),
        TEST(test_nothing_is_left_of_a_program_that_ends),
        TEST(test_full_disk_is_reported),
        TEST(test_failed_rename_leaves_nothing),
        TEST(test_places_that_cannot_be_are_refused),
        TEST(test_link_stays_and_its_file_is_replaced),
        TEST(test_many_at_once),
        TEST(test_terminal_is_refused),
    };
    signal(SIGINT, SIG_DFL);            // a shell's job in the background ignores it
    return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
