/* threads.c - how many threads a tool works with, and how they wait (threads.h).
 *
 * libgomp's threads spin for milliseconds while they wait for the next loop.  Where other programs
 * run as well, a spinning thread holds the core that the loop needs: at a load of 12 on two cores
 * three steps of pf-sample took 107 s, and 13 s with OMP_WAIT_POLICY=passive.  libgomp reads that
 * variable before main and has no call for it; starting the program again with it costs 35 to
 * 150 ms of the loader.  But libgomp itself spins only a hundred turns, a microsecond, when it
 * manages more threads than there are processors (config/linux/wait.h, do_spin: throttled).  So a
 * second team, which sleeps for ever, makes it one thread too many.  If a libgomp has no such
 * rule, its threads spin as they always did. */
#include "common/threads.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <omp.h>

static void *
sleep_as_team(void *threads)
{
    volatile int seen = 0;              // or the compiler sees an empty region, and makes no team

#pragma omp parallel num_threads((int)(intptr_t)threads)
#pragma omp atomic
    seen++;
    while (pause())
        continue;                       // a signal's handler ran in this thread
    return NULL;
}

void
pf_threads_use(int n)
{
    pthread_t thread;

    if (n > 0)
        omp_set_num_threads(n);
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    const int spare = omp_get_num_procs() - omp_get_max_threads();
    const intptr_t team = spare > 0 ? spare + 2 : 2;    // with the working team's: processors + 1
    if (pthread_create(&thread, NULL, sleep_as_team, (void *)team) == 0)
        pthread_detach(thread);
}
