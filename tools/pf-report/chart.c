#include "tools/pf-report/chart.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "tools/pf-report/html.h"

/* Points that a curve of any length is drawn with: each is the mean of its share of the steps. */
enum { POINTS = 240, COLUMNS = 16 };

struct point {
    double step;
    double value[COLUMNS];      /* NAN where the column has no number */
    int n;                      /* lines in it */
};
struct curves {
    int columns;
    char name[COLUMNS][32];     /* the first is step */
    int lines;
    double first[COLUMNS], last[COLUMNS];
    int points;
    struct point point[POINTS];
};

/* Split a line at its commas; returns the number of fields, COLUMNS + 1 if there are too many. */
static int
split(char *line, char *field[COLUMNS])
{
    int n = 0;
    line[strcspn(line, "\r\n")] = '\0';
    for (char *p = line; p; n++) {
        char *comma = strchr(p, ',');
        if (n == COLUMNS)
            return COLUMNS + 1;
        if (comma)
            *comma++ = '\0';
        field[n] = p;
        p = comma;
    }
    return n;
}

static pf_err
read_names(struct curves *c, FILE *log)
{
    char line[1024], *field[COLUMNS];
    if (!fgets(line, sizeof line, log))
        return pf_fail(PF_EFORMAT, "is empty");
    c->columns = split(line, field);
    if (c->columns < 2 || c->columns > COLUMNS || strcmp(field[0], "step"))
        return pf_fail(PF_EFORMAT, "is no log of pf-neus: its first line does not begin with step");
    for (int i = 0; i < c->columns; i++)
        snprintf(c->name[i], sizeof c->name[i], "%s", field[i]);
    return PF_OK;
}

static void
add(struct curves *c, const double v[COLUMNS], int per_point)
{
    struct point *p = &c->point[c->lines / per_point];
    if (p->n == 0) {
        *p = (struct point){.step = v[0]};
        c->points++;
    }
    for (int i = 1; i < c->columns; i++)
        p->value[i] += (v[i] - p->value[i]) / (p->n + 1);       // the mean, as it grows
    p->n++;
    for (int i = 0; i < c->columns; i++) {
        c->last[i] = v[i];
        c->first[i] = c->lines ? c->first[i] : v[i];
    }
    c->lines++;
}

/* The log, whose lines are counted first.  A last line that is cut off, as a running pf-neus leaves
 * it, is passed over. */
static pf_err
read_log(struct curves *c, FILE *log)
{
    char line[1024], *field[COLUMNS];
    int lines = 0;
    PF_TRY(read_names(c, log));
    const long start = ftell(log);
    while (fgets(line, sizeof line, log) && strchr(line, '\n'))
        lines++;
    if (!lines)
        return pf_fail(PF_EFORMAT, "has no step yet");
    fseek(log, start, SEEK_SET);
    for (int i = 0; i < lines && fgets(line, sizeof line, log); i++) {
        double v[COLUMNS];
        if (split(line, field) != c->columns)
            return pf_fail(PF_EFORMAT, "line %d has not %d columns", i + 2, c->columns);
        for (int k = 0; k < c->columns; k++)
            if (!pf_parse_real(&v[k], field[k])) {
                if (k == 0)
                    return pf_fail(PF_EFORMAT, "line %d begins with no number", i + 2);
                v[k] = NAN;
            }
        add(c, v, (lines + POINTS - 1) / POINTS);
    }
    return PF_OK;
}

/* ---- drawing ---- */

enum { WIDTH = 640, HEIGHT = 240, LEFT = 56, RIGHT = 12, TOP = 12, BOTTOM = 36 };

struct axes {
    double x0, x1, y0, y1;      /* of y the logarithm, if logarithmic */
    bool logarithmic;
};

static double
scaled(const struct axes *a, double v)
{
    return a->logarithmic ? v > 0 ? log10(v) : NAN : v;
}

static double
x_of(const struct axes *a, double step)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (step - a->x0) / (a->x1 - a->x0);
}

static double
y_of(const struct axes *a, double v)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (v - a->y0) / (a->y1 - a->y0);
}

/* 1, 2 or 5 times a power of ten, so that about five of them are a range. */
static double
tick(double range)
{
    const double power = pow(10, floor(log10(range / 5))), m = range / 5 / power;
    return power * (m < 1.5 ? 1 : m < 3.5 ? 2 : m < 7.5 ? 5 : 10);
}

static void
find_range(struct axes *a, const struct curves *c, const int *column, int columns)
{
    a->x0 = c->point[0].step;
    a->x1 = fmax(c->last[0], a->x0 + 1);
    a->y0 = INFINITY;
    a->y1 = -INFINITY;
    for (int i = 0; i < c->points; i++)
        for (int k = 0; k < columns; k++) {
            const double v = scaled(a, c->point[i].value[column[k]]);
            a->y0 = v < a->y0 ? v : a->y0;
            a->y1 = v > a->y1 ? v : a->y1;
        }
    if (!isfinite(a->y0) || !isfinite(a->y1))
        a->y0 = 0, a->y1 = 1;
    const double unit = a->logarithmic ? 1 : tick(fmax(a->y1 - a->y0, 1e-6));
    a->y0 = unit * floor(a->y0 / unit);
    a->y1 = fmax(unit * ceil(a->y1 / unit), a->y0 + unit);
}

static void
draw_axes(FILE *to, const struct axes *a)
{
    const double xs = tick(a->x1 - a->x0), ys = a->logarithmic ? 1 : tick(a->y1 - a->y0);
    for (double y = a->y0; y < a->y1 + ys / 2; y += ys) {
        html(to, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>", LEFT, y_of(a, y), WIDTH - RIGHT);
        html(to, "<text class=\"y\" x=\"%d\" y=\"%.1f\">%g</text>\n", LEFT - 6, y_of(a, y) + 4,
             a->logarithmic ? pow(10, y) : fabs(y) < ys / 1e6 ? 0 : y);
    }
    for (double x = xs * ceil(a->x0 / xs); x < a->x1 + xs / 1e6; x += xs)
        html(to, "<text class=\"x\" x=\"%.1f\" y=\"%d\">%g</text>\n", x_of(a, x),
             HEIGHT - BOTTOM + 16, x);
    html(to, "<text class=\"x\" x=\"%d\" y=\"%d\">step</text>\n", (LEFT + WIDTH - RIGHT) / 2,
         HEIGHT - 4);
}

/* A line goes on behind a value that is none, anew. */
static void
draw_line(FILE *to, const struct axes *a, const struct curves *c, int column, int series)
{
    bool pen = false;
    html(to, "<path class=\"line s%d\" d=\"", series);
    for (int i = 0; i < c->points; i++) {
        const double v = scaled(a, c->point[i].value[column]);
        if (isfinite(v))
            html(to, "%s%.1f %.1f", pen ? "L" : "M", x_of(a, c->point[i].step), y_of(a, v));
        pen = isfinite(v);
    }
    fputs("\"/>\n", to);
}

static void
draw(FILE *to, const struct curves *c, const char *title, const char *const *names,
     bool logarithmic)
{
    struct axes a = {.logarithmic = logarithmic};
    int column[COLUMNS], columns = 0;
    for (; *names; names++)
        for (int i = 1; i < c->columns; i++)
            if (!strcmp(c->name[i], *names))
                column[columns++] = i;
    if (!columns)
        return;
    find_range(&a, c, column, columns);
    html(to, "<figure class=\"chart\"><figcaption>%s<ul class=\"legend\">", title);
    for (int k = 0; k < columns; k++)
        html(to, "<li class=\"s%d\">%s <b>%.4g</b></li>", k, c->name[column[k]],
             c->point[c->points - 1].value[column[k]]);
    html(to, "</ul></figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s, steps "
             "%g to %g:", WIDTH, HEIGHT, title, c->first[0], c->last[0]);
    for (int k = 0; k < columns; k++)
        html(to, " %s from %.4g to %.4g%s", c->name[column[k]], c->first[column[k]],
             c->last[column[k]], k + 1 < columns ? "," : "");
    fputs("\">\n", to);
    draw_axes(to, &a);
    for (int k = 0; k < columns; k++)
        draw_line(to, &a, c, column[k], k);
    fputs("</svg></figure>\n", to);
}

pf_err
chart_log(FILE *to, const char *path, const char *name)
{
    static const char *const losses[] = {"loss", "rgb", "mask", "eikonal", NULL};
    static const char *const psnr[] = {"psnr", NULL};
    FILE *log = fopen(path, "r");
    struct curves *c = calloc(1, sizeof *c);
    pf_err err = PF_OK;
    if (!log)
        err = pf_fail(PF_EIO, "cannot read %s: %s", name, strerror(errno));
    else if (!c)
        err = pf_fail(PF_ENOMEM, "no memory for %s", name);
    else if ((err = read_log(c, log)))
        pf_fail_in(err, "%s", name);
    if (!err) {
        draw(to, c, "Losses of training", losses, true);
        draw(to, c, "PSNR of the batch, dB", psnr, false);
    }
    if (log)
        fclose(log);
    free(c);
    return err;
}
