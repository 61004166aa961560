#include "tools/pf-stream/table.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

enum { SLOWEST = 5 };           /* objects that are named as such */

/* ---- reading ---- */

static pf_err
take_line(json_t *last, const char *text, size_t size, const char *path, int number)
{
    json_error_t error;
    json_t *const line = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    const char *const object = json_string_value(json_object_get(line, "object"));
    if (!object || !json_is_string(json_object_get(line, "status"))) {
        json_decref(line);
        return pf_fail(PF_EFORMAT, "%s:%d: is no line of a manifest: %s", pf_file_title(path),
                       number, line ? "object and status are missing" : error.text);
    }
    if (json_object_set_new_nocheck(last, object, line))
        return pf_fail(PF_ENOMEM, "no memory for %d lines", number);
    return PF_OK;
}

pf_err
table_read(json_t *last, const char *path)
{
    const bool standard = !strcmp(path, "-");
    FILE *const in = standard ? stdin : fopen(path, "r");
    char *text = NULL;
    size_t room = 0, n;
    pf_err err = PF_OK, end = PF_OK;
    int number;
    if (!in)
        return pf_fail(PF_EIO, "%s: %s", path, strerror(errno));
    for (number = 1; !err && !(end = pf_line(&text, &n, &room, in)); number++)
        err = take_line(last, text, n, path, number);
    if (!err && end != PF_END)
        err = pf_fail_in(end, "%s:%d", pf_file_title(path), number);
    free(text);
    if (!standard)
        fclose(in);
    return err;
}

/* ---- figures ---- */

struct figures {
    int n;
    double sum, min, max;
};

static void
add(struct figures *f, const json_t *value)
{
    if (!json_is_number(value))
        return;
    const double v = json_number_value(value);
    f->min = f->n ? fmin(f->min, v) : v;
    f->max = f->n ? fmax(f->max, v) : v;
    f->sum += v;
    f->n++;
}

static void
print_figures(FILE *to, const char *name, const struct figures *f)
{
    if (f->n)
        fprintf(to, "%-22s %10.6g %10.6g %10.6g %8d\n", name, f->sum / f->n, f->min, f->max, f->n);
}

static bool
has_status(const json_t *line, const char *status)
{
    return !strcmp(json_string_value(json_object_get(line, "status")), status);
}

/* A row for each number that the lines of finished objects have. */
static void
print_scores(FILE *to, json_t *last)
{
    static const char *const scores[] = {"psnr", "coverage", "faces", "seconds"};
    const char *object;
    json_t *line;
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
        struct figures f = {0};
        json_object_foreach(last, object, line)
            add(&f, has_status(line, "done") ? json_object_get(line, scores[i]) : NULL);
        print_figures(to, scores[i], &f);
    }
}

/* The numbers of one object's stages, by tool. */
static json_t *
by_tool(const json_t *line, const char *what)
{
    json_t *const numbers = json_object(), *stage;
    size_t i;
    json_array_foreach(json_object_get(line, "stages"), i, stage) {
        const char *const tool = json_string_value(json_object_get(stage, "tool"));
        json_t *const number = json_object_get(stage, what);
        if (tool && number)
            json_object_set(numbers, tool, number);
    }
    return numbers;
}

/* A row for each tool of which the lines tell seconds or memory. */
static void
print_tools(FILE *to, json_t *last, const char *what)
{
    json_t *const tools = json_object(), *line, *none;
    const char *object, *tool;
    char name[80];
    json_object_foreach(last, object, line) {
        json_t *const numbers = by_tool(line, what);
        json_object_update(tools, numbers);
        json_decref(numbers);
    }
    json_object_foreach(tools, tool, none) {
        struct figures f = {0};
        json_object_foreach(last, object, line) {
            json_t *const numbers = by_tool(line, what);
            add(&f, json_object_get(numbers, tool));
            json_decref(numbers);
        }
        snprintf(name, sizeof name, "%s %s", tool, what);
        print_figures(to, pf_text_clean(name), &f);
    }
    json_decref(tools);
}

static int
slower(const void *a, const void *b)
{
    const double s = json_number_value(json_object_get(*(json_t *const *)a, "seconds"));
    const double t = json_number_value(json_object_get(*(json_t *const *)b, "seconds"));
    return (s < t) - (s > t);
}

static pf_err
print_slowest(FILE *to, json_t *last)
{
    const size_t n = json_object_size(last);
    json_t **const all = malloc((n + 1) * sizeof(*all)), *line;
    const char *object;
    size_t timed = 0;
    if (!all)
        return pf_fail(PF_ENOMEM, "no memory for %zu objects", n);
    json_object_foreach(last, object, line)
        if (json_is_number(json_object_get(line, "seconds")))
            all[timed++] = line;
    qsort(all, timed, sizeof *all, slower);
    for (size_t i = 0; i < timed && i < SLOWEST; i++) {
        fprintf(to, "%s%10.1f s  ", i ? "" : "\nslowest\n",
                json_number_value(json_object_get(all[i], "seconds")));
        pf_text_print(to, json_string_value(json_object_get(all[i], "object")));
        putc('\n', to);
    }
    free(all);
    return PF_OK;
}

static void
print_failures(FILE *to, json_t *last)
{
    const char *object, *title = "\nfailed\n";
    json_t *line;
    json_object_foreach(last, object, line) {
        if (!has_status(line, "failed"))
            continue;
        const char *const why = json_string_value(json_object_get(line, "error"));
        fprintf(to, "%s  ", title);
        title = "";
        pf_text_print(to, object);
        fputs(": ", to);
        pf_text_print(to, why ? why : "nobody knows why");
        putc('\n', to);
    }
}

pf_err
table_print(FILE *to, json_t *last)
{
    json_t *line;
    const char *object;
    int done = 0, failed = 0, watertight = 0, closed = 0;
    json_object_foreach(last, object, line) {
        const json_t *const whole = json_object_get(line, "watertight");
        done += has_status(line, "done");
        failed += has_status(line, "failed");
        watertight += json_is_boolean(whole);
        closed += json_is_true(whole);
    }
    fprintf(to, "%d objects: %d done, %d failed\n", (int)json_object_size(last), done, failed);
    if (watertight)
        fprintf(to, "%d of %d meshes are watertight\n", closed, watertight);
    if (done)
        fprintf(to, "\n%-22s %10s %10s %10s %8s\n", "", "mean", "min", "max", "objects");
    print_scores(to, last);
    print_tools(to, last, "seconds");
    print_tools(to, last, "memory");
    PF_TRY(print_slowest(to, last));
    print_failures(to, last);
    return PF_OK;
}
