/* march_cases.h - how the surface runs through a cell, for each of the 256 ways its corners lie.
 *
 * Corner c of a cell stands at (c & 1, c >> 1 & 1, c >> 2).  An edge goes from its lower corner one
 * step along its axis; its number is corner + 8 axis. */
#ifndef PF_MARCH_CASES_H
#define PF_MARCH_CASES_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { PF_CELL_TRIANGLES = 5 };

struct pf_march_case {
    int triangles;
    uint8_t edge[PF_CELL_TRIANGLES][3];         /* counter-clockwise seen from outside */
};
/* Case m has exactly the corners of its bits inside. */
void pf_march_cases(struct pf_march_case table[256]);

#ifdef __cplusplus
}
#endif
#endif
