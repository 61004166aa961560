/* sandbox.c - Landlock for files and seccomp for everything else (sandbox.h).
 *
 * Landlock says where files may be made, written and removed, and which may be executed.  It holds
 * for the thread that asks for it and for those that this one makes, so there is no other yet.
 * seccomp has a list of system calls: the kernel answers others as if it had never heard of them,
 * for which libraries are prepared.  Neither can be taken off again. */
#include "common/sandbox.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>

#include "common/opt.h"
#include "common/threads.h"

/* Address and thread sanitizers trace the process at its end, and more. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { SANITIZED = 1 };
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE             /* of Linux 6.2 */
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

static pf_err
refused(const char *what)
{
    return pf_fail(PF_EIO, "the sandbox cannot be set up: %s: %s; --no-sandbox does without", what,
                   strerror(errno));
}

/* The system has none: that is an error for who asked for it alone. */
static pf_err
missing(const char *why)
{
    return pf_common.sandbox ? pf_fail(PF_EIO, "--sandbox: %s", why) : PF_OK;
}

/* Whether a GPU may be used. */
static bool
may_use_gpu(int needs)
{
#ifdef PF_WITH_CUDA
    return (needs & PF_SANDBOX_DEVICE) && strcmp(pf_common.device, "cpu") &&
           (!access("/proc/driver/nvidia", F_OK) || !access("/dev/dxg", F_OK));
#else
    (void)needs;
    return false;
#endif
}

/* ---- files ---- */

enum { FILE_RIGHTS = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE };
enum { FOLDER_RIGHTS = FILE_RIGHTS | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                       LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                       LANDLOCK_ACCESS_FS_MAKE_REG };
enum { WRITE_RIGHTS = FOLDER_RIGHTS | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                      LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                      LANDLOCK_ACCESS_FS_MAKE_SYM };

struct rules {
    int fd;
    uint64_t handled;           /* what this kernel can refuse */
};

/* Allow these rights on a file, or on all in and below a folder. */
static pf_err
allow(const struct rules *rules, const char *path, uint64_t rights)
{
    const struct landlock_path_beneath_attr rule = {
        .allowed_access = rights & rules->handled,
        .parent_fd = open(path, O_PATH | O_CLOEXEC),
    };
    if (rule.parent_fd < 0)
        return refused(path);
    /* EBADFD: a pipe, which is nowhere and cannot be refused either. */
    const bool failed = rule.allowed_access &&
                        syscall(SYS_landlock_add_rule, rules->fd, LANDLOCK_RULE_PATH_BENEATH, &rule,
                                0) && errno != EBADFD;
    const int why = errno;
    close(rule.parent_fd);
    errno = why;
    return failed ? refused(path) : PF_OK;
}

/* path becomes the folder that it is in. */
static void
go_up(char path[PATH_MAX])
{
    char *const slash = strrchr(path, '/');
    if (slash && slash > path)
        *slash = 0;
    else
        strcpy(path, slash ? "/" : ".");
}

/* The output's place: itself if it is a folder, a device or a FIFO, and otherwise the folder in
 * which it will be; of a pattern that in which all will be. */
static bool
find_place(char place[PATH_MAX], const char *name, struct stat *st)
{
    char start[PATH_MAX];
    const size_t fixed = strcspn(name, "%");
    if (snprintf(start, sizeof start, "%.*s", (int)fixed, name) >= PATH_MAX)
        return false;           /* it will be refused */
    if (name[fixed])
        go_up(start);
    if (!realpath(start, place))
        strcpy(place, start);
    while (stat(place, st) || S_ISREG(st->st_mode)) {
        if (!strcmp(place, ".") || !strcmp(place, "/"))
            return false;
        go_up(place);
    }
    return true;
}

static pf_err
allow_output(const struct rules *rules, const char *name)
{
    char place[PATH_MAX];
    struct stat st;
    if (!name || !strcmp(name, "-") || !find_place(place, name, &st))
        return PF_OK;
    return allow(rules, place, S_ISDIR(st.st_mode) ? FOLDER_RIGHTS : FILE_RIGHTS);
}

/* This program, and the loader with which the kernel starts it. */
static pf_err
allow_ourselves(const struct rules *rules)
{
    Dl_info loader;
    PF_TRY(allow(rules, "/proc/self/exe", LANDLOCK_ACCESS_FS_EXECUTE));
    if (!dladdr((void *)getauxval(AT_BASE), &loader))
        return PF_OK;           /* linked statically */
    return allow(rules, loader.dli_fname, LANDLOCK_ACCESS_FS_EXECUTE);
}

static pf_err
fill_rules(const struct rules *rules, int needs, const char *const *outputs, size_t n)
{
    if (needs & PF_SANDBOX_MESH)
        PF_TRY(allow_ourselves(rules));
    PF_TRY(allow(rules, "/dev/null", FILE_RIGHTS));
    for (size_t i = 0; i < n; i++)
        PF_TRY(allow_output(rules, outputs[i]));
    return allow_output(rules, getenv("PF_STAGES"));    // batch_record.h
}

/* Whether a library has started threads before main: a folder has as many links as folders in it,
 * and two. */
static bool
has_threads(void)
{
    struct stat st;
    return stat("/proc/self/task", &st) == 0 && st.st_nlink > 3;
}

static pf_err
restrict_files(int needs, const char *const *outputs, size_t n)
{
    const long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
                                 LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1)
        return missing("this kernel has no Landlock, or it is off");
    if (has_threads())
        return missing("a library has threads already");
    /* A driver writes its caches and devices where it likes. */
    struct rules rules = {.handled = LANDLOCK_ACCESS_FS_EXECUTE |
                                     (may_use_gpu(needs) ? 0 : WRITE_RIGHTS)};
    if (version < 3)
        rules.handled &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
    const struct landlock_ruleset_attr attr = {.handled_access_fs = rules.handled};
    rules.fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (rules.fd < 0)
        return refused("Landlock");
    pf_err err = fill_rules(&rules, needs, outputs, n);
    if (!err && syscall(SYS_landlock_restrict_self, rules.fd, 0))
        err = refused("Landlock");
    close(rules.fd);
    return err;
}

/* ---- system calls ----
 *
 * A filter in the kernel's small language, made here in an array: libseccomp, which would make it,
 * crashes where it gets no memory, or leaves calls out. */

#if defined __x86_64__
#define PROCESSOR AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define PROCESSOR AUDIT_ARCH_AARCH64
#else
#define PROCESSOR 0
#endif
enum { OTHER_TABLE = 1 << 30 };         /* from here on x86 has the calls of its third kind, x32 */

/* What may be asked with any arguments. */
static const int always[] = {
    SYS_read, SYS_readv, SYS_pread64, SYS_write, SYS_writev, SYS_pwrite64, SYS_lseek, SYS_openat,
    SYS_close, SYS_dup, SYS_dup3, SYS_fcntl, SYS_flock, SYS_fsync, SYS_fdatasync, SYS_ftruncate,
    SYS_truncate, SYS_fadvise64, SYS_ppoll, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_statfs,
    SYS_fstatfs, SYS_faccessat, SYS_faccessat2, SYS_readlinkat, SYS_getdents64, SYS_getcwd,
    SYS_renameat, SYS_renameat2, SYS_unlinkat, SYS_mkdirat,
    SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk, SYS_mincore, SYS_msync,
    SYS_futex, SYS_set_robust_list, SYS_rseq, SYS_sched_yield, SYS_sched_getaffinity,
    SYS_sched_setaffinity, SYS_gettid, SYS_exit, SYS_exit_group, SYS_getcpu, SYS_membarrier,
    SYS_nanosleep, SYS_clock_nanosleep, SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday,
    SYS_times, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack,
    SYS_restart_syscall, SYS_getpid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
    SYS_getrusage, SYS_sysinfo, SYS_uname, SYS_getrandom,
#ifdef SYS_open                 /* what younger processors never had */
    SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_getdents, SYS_rename, SYS_unlink,
    SYS_rmdir, SYS_mkdir, SYS_dup2, SYS_poll, SYS_pause, SYS_time, SYS_getrlimit,
#endif
};
/* Starting this program again, which takes a sandbox of its own. */
static const int for_meshes[] = {
    SYS_clone, SYS_execve, SYS_set_tid_address, SYS_wait4, SYS_memfd_create, SYS_prctl,
    SYS_seccomp, SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self,
#ifdef SYS_arch_prctl
    SYS_arch_prctl,
#endif
};
/* What no driver of a GPU needs. */
static const int never[] = {
    SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_io_uring_setup,
    SYS_bpf, SYS_perf_event_open, SYS_keyctl, SYS_mount,
};

/* A call whose argument is this number, or has this bit.  The kernel itself looks at no more than
 * the lower half of these arguments. */
struct condition {
    int call, argument;
    uint32_t value;
    bool bit;
};

struct filter {
    struct sock_filter step[512];
    unsigned short n;
    uint32_t answer;            /* to those on a list */
};

static void
add(struct filter *f, uint16_t code, uint32_t k, uint8_t if_true, uint8_t if_false)
{
    if (f->n == sizeof f->step / sizeof *f->step)
        pf_bug("a sandbox of more than %d steps", f->n);
    f->step[f->n++] = (struct sock_filter){code, if_true, if_false, k};
}

static void
load(struct filter *f, size_t offset)
{
    add(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void
answer(struct filter *f, uint32_t with)
{
    add(f, BPF_RET | BPF_K, with, 0, 0);
}

static void
add_call(struct filter *f, int call)
{
    add(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
    answer(f, f->answer);
}

static void
add_calls(struct filter *f, const int *calls, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add_call(f, calls[i]);
}
#define ADD_CALLS(f, calls) add_calls(f, calls, sizeof calls / sizeof *calls)

static void
add_condition(struct filter *f, const struct condition *c)
{
    const size_t half = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;
    add(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->call, 0, 4);
    load(f, offsetof(struct seccomp_data, args) + 8 * (size_t)c->argument + half);
    add(f, BPF_JMP | (c->bit ? BPF_JSET : BPF_JEQ) | BPF_K, c->value, 0, 1);
    answer(f, f->answer);
    load(f, offsetof(struct seccomp_data, nr));
}

static void
add_conditions(struct filter *f, const struct condition *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add_condition(f, &c[i]);
}
#define ADD_CONDITIONS(f, c) add_conditions(f, c, sizeof c / sizeof *c)

/* The lists, threads, and asking whether something is a terminal. */
static void
allow_calls(struct filter *f, int needs)
{
    const struct condition conditions[] = {
        {SYS_tgkill, 0, (uint32_t)getpid(), false},     // raise
        {SYS_prlimit64, 0, 0, false},                   // our own limits
        {SYS_prctl, 0, PR_SET_NAME, false},
        {SYS_ioctl, 1, TCGETS, false},
        {SYS_ioctl, 1, TIOCGWINSZ, false},
        {SYS_clone, 0, CLONE_THREAD, true},
    };
    f->answer = SECCOMP_RET_ALLOW;
    ADD_CALLS(f, always);
    if (needs & PF_SANDBOX_MESH)
        ADD_CALLS(f, for_meshes);
    ADD_CONDITIONS(f, conditions);
}

/* Beside a driver: no other program, and no network. */
static void
deny_calls(struct filter *f, int needs)
{
    static const struct condition conditions[] = {
        {SYS_socket, 0, AF_INET, false},
        {SYS_socket, 0, AF_INET6, false},
        {SYS_socket, 0, AF_PACKET, false},
        {SYS_socket, 0, AF_VSOCK, false},
        {SYS_ioctl, 1, TIOCSTI, false},                 // typing at a terminal
    };
    f->answer = SECCOMP_RET_ERRNO | ENOSYS;
    ADD_CALLS(f, never);
    if (!(needs & PF_SANDBOX_MESH))
        add_call(f, SYS_execve);
    ADD_CONDITIONS(f, conditions);
}

static pf_err
restrict_calls(int needs)
{
    static struct filter f;
    const bool gpu = may_use_gpu(needs);
    const uint32_t unheard_of = SECCOMP_RET_ERRNO | ENOSYS;
    f.n = 0;
    load(&f, offsetof(struct seccomp_data, arch));
    add(&f, BPF_JMP | BPF_JEQ | BPF_K, PROCESSOR, 1, 0);
    answer(&f, unheard_of);
    load(&f, offsetof(struct seccomp_data, nr));
    add(&f, BPF_JMP | BPF_JGE | BPF_K, OTHER_TABLE, 0, 1);
    answer(&f, unheard_of);
    (gpu ? deny_calls : allow_calls)(&f, needs);
    answer(&f, gpu ? SECCOMP_RET_ALLOW : unheard_of);
    const struct sock_fprog program = {f.n, f.step};
    if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
        return PF_OK;
    return errno == ENOSYS || errno == EINVAL ? missing("this kernel has no seccomp")
                                              : refused("seccomp");
}

/* ---- both ---- */

pf_err
pf_sandbox_enter(int needs, const char *const *outputs, size_t n)
{
    if (SANITIZED)
        return missing("this program was built with sanitizers, which need more of the system");
    if (!PROCESSOR)
        return missing("it does not know this processor");
    if (may_use_gpu(needs) && !access("/proc/driver/nvidia", F_OK) &&
        access("/dev/nvidia-uvm", F_OK))                // nvidia-modprobe makes it, as root
        return missing("the driver has yet to make its devices, by another program");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))         // what the kernel asks for
        return missing("this kernel has none");
    PF_TRY(restrict_files(needs, outputs, n));
    return restrict_calls(needs);
}

void
pf_sandbox_start(int needs, const char *const *outputs, size_t n)
{
    static bool started;
    if (started)
        return;
    started = true;
    if (!pf_common.no_sandbox)
        pf_must(pf_sandbox_enter(needs, outputs, n));
    pf_threads_use(pf_common.threads);
}
