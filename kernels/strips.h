/* strips.h - the order of a pair's tokens in masks.
 *
 * In memory token 2 * pixel + view is the view-th half of a pixel's channels (cameras.md, 5).  A
 * mask with its rows and columns in that order shows bits of the own view in every word.
 *
 * Maps of 32 pixels a side and more are in strips: all of view 0, then all of view 1; in each,
 * strips of 8 columns from left to right, row by row.  Half of the words are all ones then, and 64
 * neighbours are 8 x 8 pixels, whose epipolar lines meet the same few pieces of the other picture:
 * attention leaves out what nobody sees.  Smaller maps keep the order of memory: their lines meet
 * every piece, and picking rows cost more than it saved (SPEED.md). */
#ifndef PF_STRIPS_H
#define PF_STRIPS_H
#include <stdbool.h>

#include "common/hd.h"

enum { PF_STRIP = 8, PF_STRIPS_FROM = 32 };

static inline PF_HD bool
pf_in_strips(int side)
{
    return side >= PF_STRIPS_FROM && side % PF_STRIP == 0;
}

/* The token at a place of the order, and back. */
static inline PF_HD int
pf_strip_token(int place, int side)
{
    const int strip = PF_STRIP * side, half = side * side, view = place >= half,
              p = view ? place - half : place;
    const int row = p % strip / PF_STRIP, column = p / strip * PF_STRIP + p % PF_STRIP;
    return pf_in_strips(side) ? 2 * (row * side + column) + view : place;
}

static inline PF_HD int
pf_strip_place(int token, int side)
{
    const int pixel = token / 2, row = pixel / side, column = pixel % side;
    const int p = column / PF_STRIP * PF_STRIP * side + row * PF_STRIP + column % PF_STRIP;
    return pf_in_strips(side) ? token % 2 * side * side + p : token;
}

#endif
