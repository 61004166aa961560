/* march_cases.h - how the surface runs through a cell, for each of the 256 ways its corners lie.
 *
 * Corner c of a cell stands at (c & 1, c >> 1 & 1, c >> 2).  Edge e goes from its corner
 * pf_march_edge[e].corner one step along its axis. */
#ifndef PF_MARCH_CASES_H
#define PF_MARCH_CASES_H
#include <stdint.h>

enum { PF_CELL_EDGES = 12, PF_CELL_TRIANGLES = 5 };

struct pf_march_edge {
    int corner, axis;
};
extern const struct pf_march_edge pf_march_edge[PF_CELL_EDGES];

struct pf_march_case {
    int triangles;
    uint8_t edge[PF_CELL_TRIANGLES][3];         /* counter-clockwise seen from outside */
};
/* Case m has exactly the corners of its bits inside. */
void pf_march_cases(struct pf_march_case table[256]);

#endif
