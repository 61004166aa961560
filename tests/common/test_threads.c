/* Threads that wait for the next loop sleep, whatever the loops are. */
#include "tests/check.h"

#include <time.h>
#include <unistd.h>

#include <omp.h>

#include "common/threads.h"

static double
cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* 60 tiny loops, 5 ms apart: 0.3 s of waiting for each thread.  Spinning, one other thread takes
 * 0.1 to 0.3 s of a processor for them (300,000 turns each time), asleep a few milliseconds. */
static void
test_waiting_threads_sleep(void **state)
{
    static volatile int counts[1024];

    (void)state;
    pf_threads_use(0);
    usleep(20000);                      // the team that sleeps for ever is there
    if (omp_get_max_threads() == 1)
        omp_set_num_threads(2);
    const double before = cpu_seconds();
    for (int i = 0; i < 60; i++) {
#pragma omp parallel
        counts[omp_get_thread_num()]++;
        usleep(5000);
    }
    assert_true(cpu_seconds() - before < 0.06);
}

static void
test_number_of_threads(void **state)
{
    int n = 0;

    (void)state;
    pf_threads_use(3);
#pragma omp parallel
#pragma omp single
    n = omp_get_num_threads();
    assert_int_equal(n, 3);
    pf_threads_use(0);
    assert_int_equal(omp_get_max_threads(), 3);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waiting_threads_sleep),
        cmocka_unit_test(test_number_of_threads),
    };

    // The policy that tests/run sets was read before main: start again without it.
    if (argc && (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))) {
        unsetenv("OMP_WAIT_POLICY");
        unsetenv("GOMP_SPINCOUNT");
        execv("/proc/self/exe", argv);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
