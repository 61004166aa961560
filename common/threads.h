/* threads.h - how many threads a tool works with, and how they wait. */
#ifndef PF_THREADS_H
#define PF_THREADS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Use n threads for every loop from here on (0: as many as OMP_NUM_THREADS or the machine says),
 * and let them sleep between loops instead of spin, unless OMP_WAIT_POLICY or GOMP_SPINCOUNT is
 * set.
 * Called once, before the first parallel loop. */
void pf_threads_use(int n);

#ifdef __cplusplus
}
#endif
#endif
