/* strips.h - the order of a pair's tokens in masks: of two maps of side x side pixels, all of view
 * 0, then all of view 1; in each, strips of 8 columns from left to right, row by row.
 *
 * In memory token 2 * pixel + view is the view-th half of a pixel's channels (cameras.md, 5).  A
 * mask with its rows and columns in that order shows bits of the own view in every word.  In strips
 * half of the words are all ones, and 64 neighbours are 8 x 8 pixels, whose epipolar lines meet the
 * same few pieces of the other picture: attention leaves out what nobody sees. */
#ifndef PF_STRIPS_H
#define PF_STRIPS_H
#include "common/hd.h"

static inline PF_HD int
pf_strip_width(int side)
{
    return side % 8 ? side : 8;
}

/* The token at a place of the order, and back. */
static inline PF_HD int
pf_strip_token(int place, int side)
{
    const int width = pf_strip_width(side), strip = width * side, half = side * side;
    const int view = place >= half, p = view ? place - half : place;
    const int row = p % strip / width, column = p / strip * width + p % width;
    return 2 * (row * side + column) + view;
}

static inline PF_HD int
pf_strip_place(int token, int side)
{
    const int width = pf_strip_width(side), pixel = token / 2;
    const int row = pixel / side, column = pixel % side;
    return token % 2 * side * side + column / width * width * side + row * width + column % width;
}

#endif
