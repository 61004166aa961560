/* fault.c - lets every allocation and system call of a tool's run fail, one at a time, and looks at
 * what becomes of it.
 *
 *     fault -t                whether a process can be traced here
 *     fault [-p POINTS] [-k KIND,...] [-n NAME] [-m MAPPED] [-s WORDS] MALLOC_SO OUTPUT TOOL ARG...
 *     fault -g FOLDER [-p POINTS] [-k KIND,...] [-n NAME] OUTPUT TOOL ARG...
 *
 * TOOL writes OUTPUT, the one file that it makes in OUTPUT's folder, which holds nothing else.  A
 * run without faults counts the points of each kind and keeps its output; then each point, or
 * POINTS of them, fails in a run of its own.  MAPPED is a file that TOOL maps: it loses its bytes
 * then.  That is survived if the tool ends with status 1 and one line more on stderr at most,
 * or with 0 and the same output; if OUTPUT is not there or is the same; and if nothing else is in
 * the folder.  An output that is another may also hold WORDS, by which it says that something in it
 * is missing.  Where nothing is really wrong (a read that gives less, a signal between two reads)
 * it has to end with 0.
 *
 * System calls are counted and changed by ptrace(2), so that those of the C library are seen, too;
 * allocations by malloc.c.  Both begin when the tool asks for SIGBUS (common/output.c).  With -g it
 * is the calls of CUDA instead, from the first one on, by the CUDA half in FOLDER (cuda.c).  Prints
 * one line a kind, NAME KIND tried survived, and the points that were not; exits with 1 if there
 * are any. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef __x86_64__
int
main(void)
{
    return 1;                   /* -t: no */
}
#else

enum { SECONDS = 60, MAX_SAID = 1 << 16 };

/* What is done to a call: it fails with an error, gives one byte, or is followed by something; what
 * is done to one of CUDA is cuda.c's. */
enum act { FAIL, SHORT, TERMINATE, SHRINK, CUDA };
static const struct kind {
    const char *name;
    long call[4];               /* -1 ends them; none: malloc.c's or cuda.c's */
    enum act act;
    int error;
    bool harmless;              /* the tool has to go on */
} kinds[] = {
    {"malloc", {-1}, FAIL, ENOMEM, false},
    {"mmap", {SYS_mmap, -1}, FAIL, ENOMEM, false},
    {"open", {SYS_openat, SYS_open, -1}, FAIL, EMFILE, false},
    {"read", {SYS_read, -1}, FAIL, EIO, false},
    {"read-interrupted", {SYS_read, -1}, FAIL, EINTR, false},
    {"read-short", {SYS_read, -1}, SHORT, 0, true},
    {"write", {SYS_write, SYS_writev, -1}, FAIL, ENOSPC, false},
    {"write-short", {SYS_write, -1}, SHORT, 0, true},
    {"fsync", {SYS_fsync, -1}, FAIL, EIO, false},
    {"rename", {SYS_rename, SYS_renameat, SYS_renameat2, -1}, FAIL, EIO, false},
    {"thread", {SYS_clone, SYS_clone3, -1}, FAIL, EAGAIN, false},
    {"stat", {SYS_newfstatat, SYS_fstat, SYS_statx, -1}, FAIL, EIO, false},
    {"terminated", {SYS_openat, SYS_write, SYS_rename, -1}, TERMINATE, 0, false},
    {"mapped-shrinks", {SYS_mmap, -1}, SHRINK, 0, false},
    {"cuda-memory", {-1}, CUDA, 0, false},
    {"cuda-launch", {-1}, CUDA, 0, false},
    {"cuda-copy", {-1}, CUDA, 0, false},
    {"cuda-other", {-1}, CUDA, 0, false},
    {"cuda-lost", {-1}, CUDA, 0, false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const char *malloc_so, *output, *name, *mapped, *says, *cuda_half;
static char folder[4096], said_path[64] = "/tmp/pf-fault-XXXXXX", count_path[80];
static char **tool;

struct run {
    int status;                 /* of waitpid */
    long calls;                 /* of the kind; -1: nobody counted */
    bool late;                  /* it took too long */
    char said[MAX_SAID];
    int lines;
};

static void
give_up(const char *what)
{
    fprintf(stderr, "fault: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- one run ---- */

/* The loader finds the half of cuda.c before that of the tool.  It is loaded in the tool's sandbox,
 * where nothing can be opened for writing, so the file of its count is open already. */
static void
use_cuda_half(const struct kind *k, long point)
{
    char text[8192];
    const int count = open(count_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const char *const others = getenv("LD_LIBRARY_PATH");
    snprintf(text, sizeof text, "%s%s%s", cuda_half, others ? ":" : "", others ? others : "");
    setenv("LD_LIBRARY_PATH", text, 1);
    snprintf(text, sizeof text, "%s %ld", k->name + strlen("cuda-"), point);
    setenv("PF_FAULT_CUDA", text, 1);
    snprintf(text, sizeof text, "%d", count);
    setenv("PF_FAULT_COUNT", text, 1);
}

static void
become_tool(const struct kind *k, long point)
{
    char number[32];
    const int nothing = open("/dev/null", O_RDONLY), said = open(said_path, O_WRONLY | O_TRUNC);
    dup2(nothing, STDIN_FILENO);
    dup2(said, STDERR_FILENO);
    dup2(said, STDOUT_FILENO);
    setenv("OMP_NUM_THREADS", "2", 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    if (k->act == CUDA) {
        use_cuda_half(k, point);
    } else if (k->call[0] < 0) {
        snprintf(number, sizeof number, "%ld", point);
        setenv("LD_PRELOAD", malloc_so, 1);
        setenv("PF_FAULT_MALLOC", number, 1);
        setenv("PF_FAULT_COUNT", count_path, 1);
    } else if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) {
        _exit(125);
    }
    execv(tool[0], tool);
    _exit(126);
}

static bool
is_of(const struct kind *k, const struct user_regs_struct *r)
{
    for (int i = 0; k->call[i] >= 0; i++)
        if ((long)r->orig_rax == k->call[i])
            return k->act != SHRINK || ((int)r->r8 >= 0 && !(r->rdx & PROT_EXEC));
    return false;
}

/* If it is the one that may shrink, the file that was mapped loses its bytes. */
static void
shrink(pid_t thread, int fd)
{
    char path[64];
    struct stat is, wanted;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)thread, fd);
    if (stat(path, &is) || stat(mapped, &wanted) || is.st_ino != wanted.st_ino)
        return;
    if (truncate(mapped, 0))
        give_up(mapped);
}

/* A thread is about to make a call, or comes back from it. */
struct tracer {
    const struct kind *kind;
    long point, calls;
    bool counting;
    pid_t changed;              /* the thread whose call it is, until it is back */
};

static void
enter(struct tracer *t, pid_t thread, struct user_regs_struct *r)
{
    if (r->orig_rax == SYS_rt_sigaction && r->rdi == SIGBUS)
        t->counting = true;
    if (!t->counting || !is_of(t->kind, r) || ++t->calls != t->point)
        return;
    t->changed = thread;
    if (t->kind->act == FAIL)
        r->orig_rax = (unsigned long long)-1;           /* no call */
    if (t->kind->act == SHORT && r->rdx > 1)
        r->rdx = 1;
    ptrace(PTRACE_SETREGS, thread, NULL, r);
}

static void
leave(struct tracer *t, pid_t thread, struct user_regs_struct *r)
{
    if (t->changed != thread)
        return;
    t->changed = 0;
    if (t->kind->act == FAIL) {
        r->rax = (unsigned long long)-t->kind->error;
        ptrace(PTRACE_SETREGS, thread, NULL, r);
    }
    if (t->kind->act == TERMINATE)
        kill(thread, SIGTERM);
    if (t->kind->act == SHRINK)
        shrink(thread, (int)r->r8);
}

/* Threads of a process enter and leave calls in turn; the kernel says which it is. */
static void
stop(struct tracer *t, pid_t thread)
{
    struct __ptrace_syscall_info info;
    struct user_regs_struct r;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0 ||
        ptrace(PTRACE_GETREGS, thread, NULL, &r))
        return;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
        enter(t, thread, &r);
    else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
        leave(t, thread, &r);
}

static int
trace(struct tracer *t, pid_t child)
{
    const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    int status, ended = 0;
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, NULL, options);
    ptrace(PTRACE_SYSCALL, child, NULL, 0);
    for (pid_t thread; (thread = waitpid(-1, &status, __WALL)) > 0;) {
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (thread == child)
                ended = status;
            continue;
        }
        long sig = WSTOPSIG(status);
        if (sig == (SIGTRAP | 0x80))
            stop(t, thread);
        if (sig == (SIGTRAP | 0x80) || sig == SIGTRAP || sig == SIGSTOP)
            sig = 0;
        ptrace(PTRACE_SYSCALL, thread, NULL, sig);
    }
    return ended;
}

static volatile pid_t running;

static void
on_alarm(int sig)
{
    (void)sig;
    kill(running, SIGKILL);
}

static void
read_said(struct run *run)
{
    FILE *const f = fopen(said_path, "r");
    run->said[f ? fread(run->said, 1, MAX_SAID - 1, f) : 0] = 0;
    run->lines = 0;             /* but for those of libgomp and x264 */
    for (char *line = run->said, *end; (end = strchr(line, '\n')); line = end + 1)
        run->lines += end > line && strncmp(line, "x264 [", 6);
    if (f)
        fclose(f);
}

static struct run
run_tool(const struct kind *k, long point)
{
    static struct run run;
    struct tracer t = {.kind = k, .point = point};
    run.late = false;
    unlink(count_path);
    const pid_t child = fork();
    if (child < 0)
        give_up("fork");
    if (child == 0)
        become_tool(k, point);
    running = child;
    const time_t start = time(NULL);
    alarm(SECONDS);
    if (k->call[0] < 0) {
        waitpid(child, &run.status, 0);
        FILE *const f = fopen(count_path, "r");
        if (!f || fscanf(f, "%ld", &t.calls) != 1)
            t.calls = -1;
        if (f)
            fclose(f);
    } else {
        run.status = trace(&t, child);
    }
    alarm(0);
    run.late = time(NULL) - start >= SECONDS;
    run.calls = t.calls;
    read_said(&run);
    return run;
}

/* ---- what became of it ---- */

static uint64_t
hash_of(const char *path)
{
    uint64_t h = 1469598103934665603u;
    FILE *const f = fopen(path, "r");
    if (!f)
        return 0;
    for (int c; (c = getc(f)) != EOF;)
        h = (h ^ (uint64_t)c) * 1099511628211u;
    fclose(f);
    return h;
}

/* Whether the output says itself that it is not all. */
static bool
output_says(void)
{
    static char bytes[1 << 22];
    FILE *const f = says ? fopen(output, "r") : NULL;
    const size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
    if (f)
        fclose(f);
    return n && memmem(bytes, n, says, strlen(says));
}

/* Whether there is something besides the output; it is removed for the next run. */
static bool
has_litter(void)
{
    bool litter = false;
    DIR *const d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d));) {
        char path[8192];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] == '.' || !strcmp(path, output))
            continue;
        litter = true;
        unlink(path);
    }
    if (d)
        closedir(d);
    return litter;
}

/* NULL if the fault was survived. */
static const char *
judge(const struct kind *k, const struct run *run, const struct run *good, uint64_t whole)
{
    static char why[200];
    const uint64_t is = hash_of(output);
    const bool same = !is || is == whole || output_says();
    const bool litter = has_litter();
    unlink(output);
    if (run->late)
        return "it hangs";
    if (!same)
        return "the output is another";
    if (k->act == TERMINATE && !litter && WIFSIGNALED(run->status) &&
        WTERMSIG(run->status) == SIGTERM)
        return NULL;
    if (WIFSIGNALED(run->status)) {
        snprintf(why, sizeof why, "signal %d: %.100s", WTERMSIG(run->status), run->said);
        return why;
    }
    if (litter)
        return "a temporary file is left";
    const int status = WEXITSTATUS(run->status);
    if (status == 0 && !is)
        return "status 0, and no output";
    if (status == 0)
        return NULL;
    if (k->harmless || status != 1 || run->lines < 1 || run->lines > good->lines + 1) {
        snprintf(why, sizeof why, "status %d, %d lines: %.100s", status, run->lines, run->said);
        return why;
    }
    return NULL;
}

/* The mapped file's bytes: kept, and put back. */
static void
restore(void)
{
    static char bytes[1 << 20];
    static size_t size;
    FILE *const f = fopen(mapped, size ? "w" : "r");
    if (!f)
        give_up(mapped);
    if (!size)
        size = fread(bytes, 1, sizeof bytes, f);
    else if (fwrite(bytes, 1, size, f) != size)
        give_up(mapped);
    fclose(f);
}

/* The points of a kind, or so many of them; how many were not survived. */
static long
try_kind(const struct kind *k, long points)
{
    static struct run good;
    long tried = 0, bad = 0;
    unlink(output);
    has_litter();
    good = run_tool(k, 0);
    const uint64_t whole = hash_of(output);
    if (!WIFEXITED(good.status) || WEXITSTATUS(good.status) || !whole) {
        printf("%s %s: the run without faults fails: %s\n", name, k->name, good.said);
        return 1;
    }
    unlink(output);
    if (good.calls < 0) {
        printf("%s %s: nobody counted: the tool did not load what fails\n", name, k->name);
        return 1;
    }
    const long every = points && good.calls > points ? good.calls / points : 1;
    for (long point = 1; point <= good.calls; point += every, tried++) {
        const struct run run = run_tool(k, point);
        const char *const why = judge(k, &run, &good, whole);
        if (k->act == SHRINK)
            restore();
        if (!why)
            continue;
        bad++;
        printf("# %s %s %ld: %.*s\n", name, k->name, point, (int)strcspn(why, "\n"), why);
    }
    printf("%-16s %-16s %5ld points %5ld tried %5ld survived\n", name, k->name, good.calls, tried,
           tried - bad);
    fflush(stdout);
    return bad;
}

/* Whether this machine lets a process be traced. */
static bool
can_trace(void)
{
    int status;
    const pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
            _exit(1);
        raise(SIGSTOP);
        _exit(0);
    }
    struct __ptrace_syscall_info info;
    const bool good = child > 0 && waitpid(child, &status, 0) == child && WIFSTOPPED(status) &&
                      ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) > 0;
    if (child > 0 && WIFSTOPPED(status)) {
        ptrace(PTRACE_DETACH, child, NULL, NULL);
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    }
    return good;
}

static bool
is_listed(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (!strncmp(p, word, n) && (p[n] == ',' || !p[n]))
            return true;
    return !list;
}

int
main(int argc, char *argv[])
{
    long points = 0, bad = 0;
    const char *list = NULL;
    int option;
    while ((option = getopt(argc, argv, "+p:k:n:m:s:g:t")) != -1) {
        if (option == 'p')
            points = atol(optarg);
        else if (option == 't')
            return !can_trace();
        else if (option == 'g')
            cuda_half = optarg;
        else if (option == 'm')
            mapped = optarg;
        else if (option == 's')
            says = optarg;
        else if (option == 'k')
            list = optarg;
        else if (option == 'n')
            name = optarg;
        else
            return 2;
    }
    if (argc - optind < (cuda_half ? 2 : 3) || points < 0)
        return 2;
    if (!cuda_half)
        malloc_so = argv[optind++];
    output = argv[optind];
    tool = argv + optind + 1;
    name = name ? name : strrchr(tool[0], '/') ? strrchr(tool[0], '/') + 1 : tool[0];
    const char *const slash = strrchr(output, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - output) : 1,
             slash ? output : ".");
    const int fd = mkstemp(said_path);
    if (fd < 0)
        give_up(said_path);
    close(fd);
    snprintf(count_path, sizeof count_path, "%s.n", said_path);
    signal(SIGALRM, on_alarm);
    if (mapped)
        restore();
    for (int i = 0; i < KINDS; i++)
        if (is_listed(list, kinds[i].name) && (mapped || kinds[i].act != SHRINK) &&
            (kinds[i].act == CUDA) == (cuda_half != NULL))
            bad += try_kind(&kinds[i], points);
    unlink(said_path);
    unlink(count_path);
    return bad > 0;
}
#endif
