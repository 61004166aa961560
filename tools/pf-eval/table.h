/* table.h - the results: a line for each pair, their mean and the worst of each column, as columns
 * separated by tabs or as JSON.
 *
 *     struct table t = {.what = "views", .column = columns, .columns = 4};
 *     PF_TRY(table_add(&t, name, truth, made, value));
 *     PF_TRY(table_print(&t, to, json));
 *     table_release(&t); */
#ifndef PF_TABLE_H
#define PF_TABLE_H
#include <stdbool.h>
#include <stdio.h>

#include "common/error.h"

enum { TABLE_COLUMNS = 16 };
struct column {
    const char *name;
    bool small_is_good;
    int decimals;
};
struct row;
struct table {
    const char *what;
    const struct column *column;
    int columns;
    struct row *row;            /* owned; zero to initialise */
    int rows, room;
};
/* Words are copied.  value [columns]; NAN: not measured. */
pf_err table_add(struct table *t, const char *name, const char *truth, const char *made,
                 const double *value) PF_MUST_USE;
pf_err table_print(const struct table *t, FILE *to, bool json) PF_MUST_USE;
void table_release(struct table *t);

#endif
