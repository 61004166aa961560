/* start.c - a tool in a build for every x86-64 (make ARCH=generic): starts the program of the same
 * name that was made for the best level that this processor has, ../lib/posefusion/LEVEL/NAME, seen
 * from the folder of this one.  Nothing but the processor chooses; to have another, start it from
 * there. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The Makefile's LEVELS. */
static const char *
best_level(void)
{
    if (__builtin_cpu_supports("x86-64-v4"))
        return "x86-64-v4";
    return __builtin_cpu_supports("x86-64-v3") ? "x86-64-v3" : "x86-64";
}

int
main(int argc, char **argv)
{
    char self[PATH_MAX], program[PATH_MAX + 64];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    (void)argc;
    if (n < 0) {
        fprintf(stderr, "%s: /proc/self/exe: %s\n", argv[0], strerror(errno));
        return 1;
    }
    self[n] = 0;
    char *const name = strrchr(self, '/');
    *name = 0;
    snprintf(program, sizeof program, "%s/../lib/posefusion/%s/%s", self, best_level(), name + 1);
    execv(program, argv);
    fprintf(stderr, "%s: %s: %s\n", name + 1, program, strerror(errno));
    return 1;
}
