/* decoder.c - preloaded into a tool: a decoder that has been taken over.  Where it is called first,
 * it tries what a sandbox forbids, and writes "allowed WHAT" for all that goes, and then "tried N",
 * to the descriptor $PF_DECODER.  $PF_ELSEWHERE is a folder with a file "file", in which the tool
 * has nothing to do. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int report, tried;
static char new[4096], old[4096];       /* names elsewhere */

static void
say(const char *word, const char *what)
{
    dprintf(report, "%s %s\n", word, what);
}

static void
result(const char *what, bool done)
{
    tried++;
    if (done)
        say("allowed", what);
}

static bool
opens(const char *path, int flags)
{
    const int fd = open(path, flags, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool
has_socket(int family)
{
    const int fd = socket(family, SOCK_STREAM, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int
ends_with(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Running a program: in a child, or in its place where there is none. */
static void
try_programs(void)
{
    static char *const argv[] = {"true", NULL};
    const pid_t child = fork();
    if (child <= 0) {
        execve("/bin/true", argv, NULL);
        syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0);
        if (child == 0)
            _exit(1);
    }
    result("to start a program", child > 0 && ends_with(child) == 0);
}

static void
try_files(void)
{
    result("to make a file", opens(new, O_WRONLY | O_CREAT));
    result("to write a file", opens(old, O_WRONLY));
    result("to append to a file", opens(old, O_RDWR | O_APPEND));
    result("to empty a file", opens(old, O_RDONLY | O_TRUNC));
    result("to truncate a file", truncate(old, 0) == 0);
    result("to change a file's mode", chmod(old, 0777) == 0);
    result("to change a file's time", utimensat(AT_FDCWD, old, NULL, 0) == 0);
    unlink(new);
    result("to link a file", link(old, new) == 0);
    unlink(new);
    result("to make a symbolic link", symlink(old, new) == 0);
    unlink(new);
    result("to make a folder", mkdir(new, 0700) == 0);
    rmdir(new);
    result("to rename a file", rename(old, new) == 0);
    rename(new, old);
    result("to remove a file", unlink(old) == 0);
    opens(old, O_WRONLY | O_CREAT);
}

static void *
in_a_thread(void *done)
{
    *(bool *)done = opens(new, O_WRONLY | O_CREAT) || has_socket(AF_INET);
    unlink(new);
    return NULL;
}

static void
try_others(void)
{
    bool done = false;
    pthread_t thread;
    char byte;
    const struct iovec here = {&byte, 1}, there = {&report, 1};
    result("the network", has_socket(AF_INET) || has_socket(AF_INET6));
    result("sockets of this machine", has_socket(AF_UNIX));
    result("signals to others", kill(getppid(), 0) == 0);
    result("to be traced", ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    result("another's memory", process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1);
    result("another user's name", unshare(CLONE_NEWUSER) == 0);
    if (pthread_create(&thread, NULL, in_a_thread, &done) == 0)
        pthread_join(thread, NULL);
    result("all that in a new thread", done);
}

/* Once in a process. */
static void
take_over(void)
{
    static bool taken;
    const char *const fd = getenv("PF_DECODER"), *const elsewhere = getenv("PF_ELSEWHERE");
    char number[16];
    if (taken || !fd || !elsewhere)
        return;
    taken = true;
    report = atoi(fd);
    snprintf(new, sizeof new, "%s/new", elsewhere);
    snprintf(old, sizeof old, "%s/file", elsewhere);
    try_programs();
    try_files();
    try_others();
    snprintf(number, sizeof number, "%d", tried);
    say("tried", number);
}

/* The function of this name that the tool would have called. */
static void *
real(const char *name)
{
    take_over();
    return dlsym(RTLD_NEXT, name);
}

/* The decoders, whose arguments are words that are handed on. */
typedef void *call(void *, void *, void *, void *, void *, void *);
#define TAKEN(name)                                             \
    void *name(void *a, void *b, void *c, void *d, void *e, void *f); \
    void *                                                      \
    name(void *a, void *b, void *c, void *d, void *e, void *f)  \
    {                                                           \
        call *there;                                            \
        void *const p = real(#name);                            \
        memcpy(&there, &p, sizeof there);                       \
        return there(a, b, c, d, e, f);                         \
    }
TAKEN(png_create_read_struct)
TAKEN(jpeg_read_header)
TAKEN(WebPDecode)
TAKEN(json_loadb)
TAKEN(aiImportFileEx)
TAKEN(avcodec_send_frame)
