/* output.c - files that appear only when they are complete (output.h). */
#include "common/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_OUTPUTS = 64 };       /* as many threads may have one each */

struct pf_output {
    FILE *file;
    char *path, *temporary;     /* temporary NULL: written in place */
    int slot;                   /* in unfinished[], with a temporary */
    int lock;                   /* a descriptor of the temporary's, or -1 */
};

/* What to remove when the program ends early.  A signal handler reads it, so it is plain storage
 * that is filled before the file exists and cleared after it is gone. */
static char unfinished[MAX_OUTPUTS][PATH_MAX];
static volatile sig_atomic_t unfinished_used[MAX_OUTPUTS];
/* Whoever looks for a free place, or for a name: several threads may open files. */
static pthread_mutex_t choosing = PTHREAD_MUTEX_INITIALIZER;

/* Any thread may end the program, by a signal that it gets or by exit, as libgomp's do where they
 * have no memory, while another makes a file.  Who ends waits for it, and then none is made. */
static atomic_int making;
static atomic_bool ending;

static void
remove_unfinished(void)
{
    atomic_store(&ending, true);
    while (atomic_load(&making))
        sched_yield();
    for (int i = 0; i < MAX_OUTPUTS; i++)
        if (unfinished_used[i])
            unlink(unfinished[i]);
}

static void
on_signal(int sig)
{
    remove_unfinished();
    signal(sig, SIG_DFL);
    raise(sig);
}

/* End with the sentence "PROGRAM: <who><why>".  Only what a signal handler may call. */
static void
end_saying(const char *who, const char *why)
{
    const char *const part[] = {pf_program(), ": ", who, why, "\n"};
    bool said = true;

    remove_unfinished();
    for (size_t i = 0; i < sizeof part / sizeof *part && said; i++)
        said = write(STDERR_FILENO, part[i], strlen(part[i])) >= 0;
    _exit(1);
}

/* A page of a mapped file that is not there any more. */
static void
on_bus(int sig, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_code != BUS_ADRERR)
        on_signal(sig);         /* our own mistake */
    end_saying("a file", " became shorter while it was read, or its disk failed");
}

static const char *volatile library;

const char *
pf_output_blame(const char *name)
{
    const char *const was = library;
    library = name;
    return was;
}

/* Aborted or crashed.  What is ours stays a crash; of abort, pf_bug's does not come here. */
static void
on_crash(int sig)
{
    if (library)
        end_saying(library, " crashed, as it does where memory is short");
    if (sig == SIGABRT)
        end_saying("a library", " gave up, as some do where memory is short");
    on_signal(sig);
}

void
pf_output_watch(void)
{
    static bool watching;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT, SIGXCPU};
    static const int crashes[] = {SIGABRT, SIGSEGV, SIGILL, SIGFPE};
    struct sigaction bus = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};

    if (watching)
        return;
    watching = true;
    atexit(remove_unfinished);
    sigaction(SIGBUS, &bus, NULL);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) {
        struct sigaction old;
        if (sigaction(crashes[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            signal(crashes[i], on_crash);       /* a sanitizer's stays, who says more */
    }
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction old;
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            signal(signals[i], on_signal);      /* nohup's ignored SIGHUP stays ignored */
    }
}

/* ---- what killed runs left ----
 *
 * A run that is killed at once cannot remove its temporary file; the next run of the same output
 * does.  A file whose writer lives is told from it by its lock: the writer holds it (flock), and
 * the kernel lets go of it with the process, however that ends.  A number of a process would say
 * nothing here: another container, or another host that shares the folder, has other processes
 * under the same numbers.  Locks are the server's over NFS, so hosts see each other's; where locks
 * do not work nothing is ever removed.  (An NFS mounted with local_lock or nolock hides them: two
 * hosts must not write the same output there at the same time.) */

static void
remove_if_dead(int folder, const char *name)
{
    const int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(folder, name, 0);
    close(fd);
}

static bool
is_temporary_of(const char *base, const char *name)
{
    const size_t n = strlen(base);
    int end = 0;
    if (strncmp(name, base, n) != 0)
        return false;
    sscanf(name + n, ".%*[0-9]-%*[0-9].tmp%n", &end);
    return end && !name[n + (size_t)end];
}

static void
remove_dead(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char *folder = strndup(path, (size_t)(base - path));
    DIR *dir = folder ? opendir(*folder ? folder : ".") : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (is_temporary_of(base, e->d_name))
            remove_if_dead(dirfd(dir), e->d_name);
    if (dir)
        closedir(dir);
    free(folder);
}

/* Lock a new file; false if another run's remove_dead was there between its making and this. */
static bool
claim(int fd)
{
    struct stat st;
    while (flock(fd, LOCK_EX) && errno == EINTR)
        ;
    return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

/* ---- open and close ---- */

/* A new file of the name in unfinished[slot], or -1. */
static int
make_file(int slot)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);     /* or this thread would wait for itself */
    atomic_fetch_add(&making, 1);
    const bool late = atomic_load(&ending);
    const int fd = late ? -1 : open(unfinished[slot], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    const int why = errno;
    unfinished_used[slot] = fd >= 0;
    atomic_fetch_sub(&making, 1);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    while (late)
        pause();
    errno = why;
    return fd;
}

/* Make, lock and open a new file beside o->path. */
static pf_err
open_temporary(pf_output *o)
{
    static int serial;          /* no name comes twice: remove_dead may still be at the old file */
    int fd = -1;

    pf_output_watch();
    for (o->slot = 0; o->slot < MAX_OUTPUTS && unfinished_used[o->slot]; o->slot++)
        ;
    if (o->slot == MAX_OUTPUTS)
        return pf_fail(PF_EIO, "%s: more than %d files open for writing", o->path, MAX_OUTPUTS);
    remove_dead(o->path);
    for (int try = 0; try < 100 && fd < 0; try++) {
        char *name = unfinished[o->slot];
        if (snprintf(name, PATH_MAX, "%s.%ld-%d.tmp", o->path, (long)getpid(), serial++) >=
            PATH_MAX)
            return pf_fail(PF_EIO, "%s: the name is too long", o->path);
        fd = make_file(o->slot);
        if (fd >= 0 && claim(fd))
            break;
        if (fd >= 0) {
            unlink(name);       /* if it is there still, and only fstat failed */
            close(fd);
            fd = -1;
            errno = EEXIST;
        }
        unfinished_used[o->slot] = 0;
        if (errno != EEXIST)
            break;
    }
    if (fd < 0)
        return pf_fail(PF_EIO, "cannot write %s: %s", o->path, strerror(errno));
    o->temporary = strdup(unfinished[o->slot]);
    o->lock = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    o->file = o->temporary && o->lock >= 0 ? fdopen(fd, "wb") : NULL;
    if (o->file)
        return PF_OK;
    close(fd);
    if (!o->temporary) {                        /* then nobody else knows of it */
        unlink(unfinished[o->slot]);
        unfinished_used[o->slot] = 0;
    }
    return pf_fail(PF_ENOMEM, "no memory");
}

pf_err
pf_output_open(pf_output **out, const char *path)
{
    pf_output *o = calloc(1, sizeof *o);
    struct stat st;
    pf_err err = PF_OK;

    if (!o)
        return pf_fail(PF_ENOMEM, "no memory");
    o->lock = -1;
    if (strcmp(path, "-") == 0) {
        o->path = strdup("standard output");
        o->file = stdout;
        if (isatty(STDOUT_FILENO))
            err = pf_fail(PF_EIO, "standard output is a terminal; give -o FILE or a pipe");
    } else {
        /* Through a symbolic link the file is replaced, not the link. */
        char *real = realpath(path, NULL);
        o->path = real ? real : strdup(path);
        if (o->path && stat(o->path, &st) == 0 && !S_ISREG(st.st_mode)) {
            if (S_ISDIR(st.st_mode))
                err = pf_fail(PF_EIO, "%s is a directory", path);
            else if (!(o->file = fopen(o->path, "wb")))
                err = pf_fail(PF_EIO, "cannot write %s: %s", path, strerror(errno));
        } else if (o->path) {
            pthread_mutex_lock(&choosing);
            err = open_temporary(o);
            pthread_mutex_unlock(&choosing);
        }
    }
    if (!err && !o->path)
        err = pf_fail(PF_ENOMEM, "no memory");
    if (err) {
        if (o->file == stdout)
            o->file = NULL;
        pf_output_abandon(o);
        return err;
    }
    *out = o;
    return PF_OK;
}

pf_err
pf_output_try(const char *path)
{
    struct stat st;
    pf_output *o;

    /* A fifo or a device is not opened twice: who reads it would see its end. */
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return access(path, W_OK) ? pf_fail(PF_EIO, "cannot write %s: %s", path, strerror(errno))
                                  : PF_OK;
    PF_TRY(pf_output_open(&o, path));
    pf_output_abandon(o);
    return PF_OK;
}

/* The name without links and dots; of a file that is not there yet those of its folder. */
static bool
resolve(char real[PATH_MAX], const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char folder[PATH_MAX];
    struct stat st;

    if (realpath(path, real))
        return stat(real, &st) != 0 || S_ISREG(st.st_mode);
    snprintf(folder, sizeof folder, "%.*s", (int)(base - path), path);
    if (!realpath(*folder ? folder : ".", real))
        return false;
    const size_t n = strlen(real);
    return snprintf(real + n, PATH_MAX - n, "/%s", base) < (int)(PATH_MAX - n);
}

bool
pf_output_same(const char *a, const char *b)
{
    char first[PATH_MAX], second[PATH_MAX];
    return resolve(first, a) && resolve(second, b) && strcmp(first, second) == 0;
}

pf_err
pf_output_folder(const char *path)
{
    char file[PATH_MAX];

    if (mkdir(path, 0777) && errno != EEXIST)
        return pf_fail(PF_EIO, "cannot make the folder %s: %s", path, strerror(errno));
    if (snprintf(file, sizeof file, "%s/try", path) >= (int)sizeof file)
        return pf_fail(PF_EIO, "%s: the name is too long", path);
    return pf_output_try(file);
}

FILE *
pf_output_file(pf_output *o)
{
    return o->file;
}

const char *
pf_output_path(pf_output *o)
{
    return o->temporary ? o->temporary : o->path;
}

static void
forget(pf_output *o)
{
    if (o->temporary)
        unfinished_used[o->slot] = 0;
    if (o->lock >= 0)
        close(o->lock);         /* after the rename: until then the file counts as a living one's */
    free(o->temporary);
    free(o->path);
    free(o);
}

pf_err
pf_output_flush(FILE *file, const char *name)
{
    /* Where an earlier write failed and nothing is left to write now, errno is still its. */
    if (fflush(file) == 0 && !ferror(file))
        return PF_OK;
    return pf_fail(PF_EIO, "cannot write %s: %s", name, strerror(errno));
}

/* A rename is on the disk when its folder is.  Where a folder cannot be opened or synced, as on
 * some file systems, the kernel is left to it. */
static pf_err
sync_folder(const pf_output *o)
{
    const char *const slash = strrchr(o->path, '/');
    char folder[PATH_MAX] = ".";

    if (slash)
        snprintf(folder, sizeof folder, "%.*s", (int)(slash == o->path ? 1 : slash - o->path),
                 o->path);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return PF_OK;
    const bool failed = fsync(fd) && (errno == EIO || errno == ENOSPC || errno == EDQUOT);
    const int why = errno;
    close(fd);
    return failed ? pf_fail(PF_EIO, "%s is written, but may not survive a crash: %s", o->path,
                            strerror(why)) : PF_OK;
}

pf_err
pf_output_close(pf_output *o)
{
    const bool own = o->file != stdout;
    pf_err err = pf_output_flush(o->file, o->path);

    if (!err && o->temporary && fsync(fileno(o->file)) && errno != EINVAL && errno != EROFS)
        err = pf_fail(PF_EIO, "cannot write %s: %s", o->path, strerror(errno));
    if (own && fclose(o->file) && !err)
        err = pf_fail(PF_EIO, "cannot write %s: %s", o->path, strerror(errno));
    if (!err && o->temporary && rename(o->temporary, o->path))
        err = pf_fail(PF_EIO, "cannot rename %s to %s: %s", o->temporary, o->path, strerror(errno));
    if (err && o->temporary)
        unlink(o->temporary);
    if (!err && o->temporary)
        err = sync_folder(o);
    forget(o);
    return err;
}

void
pf_output_abandon(pf_output *o)
{
    if (!o)
        return;
    if (o->file && o->file != stdout)
        fclose(o->file);
    if (o->temporary)
        unlink(o->temporary);
    forget(o);
}
