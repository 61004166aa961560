/* table.c - see table.h. */
#include "tools/pf-eval/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/text.h"

struct row {
    char *name, *truth, *made;
    double value[TABLE_COLUMNS];
};

pf_err
table_add(struct table *t, const char *name, const char *truth, const char *made,
          const double *value)
{
    if (t->rows == t->room) {
        const int room = 2 * t->room + 16;
        struct row *const more = realloc(t->row, (size_t)room * sizeof *more);
        if (!more)
            return pf_fail(PF_ENOMEM, "no memory for %d rows", room);
        t->row = more;
        t->room = room;
    }
    struct row *const r = &t->row[t->rows++];
    *r = (struct row){strdup(name), strdup(truth), strdup(made), {0}};
    memcpy(r->value, value, (size_t)t->columns * sizeof *value);
    return r->name && r->truth && r->made ? PF_OK : pf_fail(PF_ENOMEM, "no memory for a name");
}

void
table_release(struct table *t)
{
    for (int i = 0; i < t->rows; i++) {
        free(t->row[i].name);
        free(t->row[i].truth);
        free(t->row[i].made);
    }
    free(t->row);
    t->row = NULL;
    t->rows = t->room = 0;
}

/* Of the rows in which it was measured; NAN: of none. */
static double
mean_of(const struct table *t, int column)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < t->rows; i++)
        if (!isnan(t->row[i].value[column])) {
            sum += t->row[i].value[column];
            n++;
        }
    return n ? sum / n : NAN;
}

static double
worst_of(const struct table *t, int column)
{
    double worst = NAN;
    for (int i = 0; i < t->rows; i++)
        worst = t->column[column].small_is_good ? fmax(worst, t->row[i].value[column])
                                                : fmin(worst, t->row[i].value[column]);
    return worst;
}

/* ---- text ---- */

static void
print_value(FILE *to, const struct column *c, double v)
{
    isnan(v) ? fputs("\tnan", to) : fprintf(to, "\t%.*f", c->decimals, v);
}

static void
print_text(const struct table *t, FILE *to)
{
    fputs("pair", to);
    for (int k = 0; k < t->columns; k++)
        fprintf(to, "\t%s", t->column[k].name);
    for (int i = 0; i < t->rows; i++) {
        putc('\n', to);
        pf_text_print(to, t->row[i].name);
        for (int k = 0; k < t->columns; k++)
            print_value(to, &t->column[k], t->row[i].value[k]);
    }
    fputs("\nmean", to);
    for (int k = 0; k < t->columns; k++)
        print_value(to, &t->column[k], mean_of(t, k));
    fputs("\nworst", to);
    for (int k = 0; k < t->columns; k++)
        print_value(to, &t->column[k], worst_of(t, k));
    putc('\n', to);
}

/* ---- JSON ---- */

/* JSON has no infinity, and no NaN. */
static void
set(json_t *object, const struct column *c, double v)
{
    json_object_set_new(object, c->name, isfinite(v) ? json_real(v) : json_null());
}

/* Names of files need not be UTF-8; one that is not is null. */
static json_t *
text(const char *s)
{
    json_t *const j = json_string(s);
    return j ? j : json_null();
}

static json_t *
to_json(const struct table *t)
{
    json_t *const pairs = json_array(), *const mean = json_object(), *const worst = json_object();
    for (int i = 0; i < t->rows; i++) {
        json_t *const r = json_object();
        json_object_set_new(r, "pair", text(t->row[i].name));
        json_object_set_new(r, "true", text(t->row[i].truth));
        json_object_set_new(r, "made", text(t->row[i].made));
        for (int k = 0; k < t->columns; k++)
            set(r, &t->column[k], t->row[i].value[k]);
        json_array_append_new(pairs, r);
    }
    for (int k = 0; k < t->columns; k++) {
        set(mean, &t->column[k], mean_of(t, k));
        set(worst, &t->column[k], worst_of(t, k));
    }
    return json_pack("{s:s, s:o, s:o, s:o}", "what", t->what, "pairs", pairs, "mean", mean,
                     "worst", worst);
}

pf_err
table_print(const struct table *t, FILE *to, bool json)
{
    if (!json) {
        print_text(t, to);
        return PF_OK;
    }
    json_t *const root = to_json(t);
    char *const line = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    if (!line)
        return pf_fail(PF_ENOMEM, "no memory for a table of %d rows", t->rows);
    fprintf(to, "%s\n", line);
    free(line);
    return PF_OK;
}
