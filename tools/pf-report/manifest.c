#include "tools/pf-report/manifest.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/image.h"
#include "common/text.h"
#include "tools/pf-report/folder.h"
#include "tools/pf-report/history.h"
#include "tools/pf-report/html.h"

/* Each row is flat: {"photo": "a.png", "pf-neus seconds": 14.9, ...}.  So whatever a line says has
 * a column, and columns are all keys of all rows, in the order in which they come. */
struct manifest {
    char *folder;               /* where the manifest is */
    json_t *rows;               /* object name -> row */
    json_t *columns;            /* key -> true */
};

/* ---- reading ---- */

/* The value is taken.  Names that were cut off need not be UTF-8: hence without a check. */
static void
put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new_nocheck(object, key, value))
        pf_die("no memory for the manifest");
}

/* Seconds are summed up, of all else the largest counts. */
static void
merge_number(json_t *row, const char *key, const char *what, double v)
{
    const json_t *before = json_object_get(row, key);
    const double old = json_number_value(before);
    if (json_is_number(before))
        v = !strcmp(what, "seconds") ? old + v : fmax(old, v);
    put(row, key, json_real(v));
}

/* The numbers of a stage, "pf-neus seconds", and the object's own: those of all stages.  A tool may
 * have worked twice. */
static void
take_stage(json_t *row, json_t *totals, const json_t *stage)
{
    const char *tool = json_string_value(json_object_get(stage, "tool")), *key;
    const json_t *value;
    char name[200];
    json_object_foreach((json_t *)stage, key, value)
        if (json_is_number(value) && strcmp(key, "seed")) {
            snprintf(name, sizeof name, "%s %s", tool ? tool : "?", key);
            merge_number(row, name, key, json_number_value(value));
            merge_number(totals, key, key, json_number_value(value));
        }
}

/* The members of an object have a column each, "pf-neus memory"; of memory the object's own is the
 * most that a tool held. */
static void
take_members(json_t *row, json_t *totals, const char *what, const json_t *members)
{
    const char *key;
    const json_t *value;
    char name[200];
    json_object_foreach((json_t *)members, key, value) {
        snprintf(name, sizeof name, "%s %s", key, what);
        put(row, name, json_incref((json_t *)value));
        if (json_is_number(value) && !strcmp(what, "memory"))
            merge_number(totals, what, what, json_number_value(value));
    }
}

static void
flatten(json_t *row, json_t *totals, const json_t *line)
{
    const char *key;
    const json_t *value, *stage;
    size_t i;
    json_object_foreach((json_t *)line, key, value)
        if (!strcmp(key, "stages"))
            json_array_foreach((json_t *)value, i, stage)
                take_stage(row, totals, stage);
        else if (json_is_object(value))
            take_members(row, totals, key, value);
        else
            put(row, key, json_incref((json_t *)value));
}

static pf_err
read_line(struct manifest *m, const char *text, size_t n)
{
    json_error_t e;
    json_t *line = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    json_t *row = json_object(), *totals = json_object();
    const char *name = json_string_value(json_object_get(line, "object"));
    pf_err err = PF_OK;
    if (!line)
        err = pf_fail(PF_EFORMAT, "is not JSON: %s", e.text);
    else if (!name)
        err = pf_fail(PF_EFORMAT, "names no object");
    if (!err) {
        flatten(row, totals, line);
        if (json_object_update_missing(row, totals))
            pf_die("no memory for the manifest");
        put(m->rows, name, json_incref(row));
    }
    json_decref(row);
    json_decref(totals);
    json_decref(line);
    return err;
}

/* Totals and what a person looks for first come first; then keys as they come. */
static void
find_columns(struct manifest *m)
{
    static const char *const first[] = {"status", "error", "seconds"};
    const char *name, *key;
    json_t *row, *value;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        json_object_foreach(m->rows, name, row)
            if (json_object_get(row, first[i]))
                put(m->columns, first[i], json_true());
    json_object_foreach(m->rows, name, row)
        json_object_foreach(row, key, value)
            if (strcmp(key, "object") && !strchr(key, ' '))
                put(m->columns, key, json_true());
    json_object_foreach(m->rows, name, row)
        json_object_foreach(row, key, value)
            if (strcmp(key, "object"))
                put(m->columns, key, json_true());
}

static pf_err
read_manifest(struct manifest *m, const char *path)
{
    FILE *from = fopen(path, "r");
    char *line = NULL;
    size_t room = 0, n;
    pf_err err = PF_OK;
    int number = 1;
    if (!from)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    while (!(err = pf_line(&line, &n, &room, from)) && !(err = read_line(m, line, n)))
        number++;
    err = err == PF_END ? PF_OK : pf_fail_in(err, "%s:%d", path, number);
    free(line);
    fclose(from);
    if (!err && !json_object_size(m->rows))
        err = pf_fail(PF_EFORMAT, "%s is empty", path);
    find_columns(m);
    return err;
}

/* ---- writing ---- */

/* PF_END: it is not there. */
static pf_err
read_picture(pf_image *image, const char *path)
{
    return access(path, R_OK) ? PF_END : pf_image_read(image, path);
}

/* Read the photo, by the name that is given or by that in the manifest's folder. */
static pf_err
read_photo(pf_image *image, const struct manifest *m, const char *photo)
{
    char *beside = folder_join(m->folder, photo);
    pf_err err = read_picture(image, photo);
    if (err == PF_END)
        err = read_picture(image, beside);
    free(beside);
    return err;
}

/* A picture of the object's folder.  Names that lead out of it are none. */
static pf_err
read_result(pf_image *image, const struct manifest *m, const char *object, const char *file)
{
    if (strchr(object, '/') || *object == '.')
        return PF_END;
    char *folder = folder_join(m->folder, object), *path = folder_join(folder, file);
    const pf_err err = read_picture(image, path);
    free(path);
    free(folder);
    return err;
}

/* The first view of a sheet of D documents with N square views each, whose side divides both of its
 * sides: the greatest such side shows one view, or a few where N and D have a divisor in common. */
static pf_err
crop_first(pf_image *sheet)
{
    int a = sheet->width, b = sheet->height;
    pf_image view;
    while (b) {
        const int rest = a % b;
        a = b;
        b = rest;
    }
    PF_TRY(pf_image_new(&view, a, a, sheet->channels));
    const size_t row = (size_t)a * (size_t)sheet->channels;
    for (int y = 0; y < a; y++)
        memcpy(view.pixel + (size_t)y * row,
               sheet->pixel + (size_t)y * (size_t)sheet->width * (size_t)sheet->channels, row);
    pf_image_release(sheet);
    *sheet = view;
    return PF_OK;
}

/* A picture that is there and cannot be read is said in its place; only memory ends the report. */
static pf_err
or_say(FILE *to, pf_err err)
{
    if (err && err != PF_END && err != PF_ENOMEM)
        html(to, "<p class=\"problem\">%s.</p>\n", pf_error());
    return err == PF_ENOMEM ? err : PF_OK;
}

static pf_err
write_thumbnails(FILE *to, const struct manifest *m, const char *object, const json_t *row,
                 int side)
{
    const char *photo = json_string_value(json_object_get(row, "photo"));
    char alt[300];
    pf_image image = {0};
    pf_err err = photo ? read_photo(&image, m, photo) : PF_END;
    if (err) {
        PF_TRY(or_say(to, err));
        err = read_result(&image, m, object, "cutout.png");
    }
    if (!err) {
        snprintf(alt, sizeof alt, "Photo of %s", object);
        err = html_picture(to, &image, side, alt);
        pf_image_release(&image);
    }
    PF_TRY(or_say(to, err));
    err = read_result(&image, m, object, "0.png");
    if (!err) {
        snprintf(alt, sizeof alt, "First view of %s", object);
        if (!(err = crop_first(&image)))
            err = html_picture(to, &image, side, alt);
        pf_image_release(&image);
    }
    return or_say(to, err);
}

struct cell {                   /* of a table, made before it is written */
    const char *object;
    const json_t *row;
    char *text;                 /* owned */
    size_t size;
    bool good;                  /* false: there was no memory */
};

/* The thumbnails of all objects, on all cores: photos may be large.  One cell each, freed by the
 * caller; NULL if there is no memory. */
static struct cell *
make_thumbnails(const struct manifest *m, int side)
{
    const int n = (int)json_object_size(m->rows);
    struct cell *cell = calloc((size_t)n, sizeof *cell);
    const char *name;
    json_t *row;
    int i = 0;
    if (!cell)
        return NULL;
    json_object_foreach(m->rows, name, row)
        cell[i++] = (struct cell){.object = name, .row = row};
#pragma omp parallel for schedule(dynamic)
    for (i = 0; i < n; i++) {
        FILE *to = open_memstream(&cell[i].text, &cell[i].size);
        if (!to)
            continue;
        cell[i].good = !write_thumbnails(to, m, cell[i].object, cell[i].row, side);
        cell[i].good &= !fclose(to);
    }
    return cell;
}

/* Checksums are shortened: the whole is in the title. */
static bool
is_checksum(const char *text)
{
    size_t n = 0;
    while (isxdigit((unsigned char)text[n]))
        n++;
    return n >= 32 && !text[n];
}

static void
write_cell(FILE *to, const char *key, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text && is_checksum(text)) {
        html(to, "<td><code title=\"%s\">", text);
        html_text(to, text, 8);
        fputs("</code></td>", to);
    } else if (text && !strcmp(key, "status")) {
        html(to, "<td class=\"status\" data-status=\"%s\">%s</td>", text, text);
    } else {
        history_cell(to, key, value);
    }
}

static pf_err
write_rows(FILE *to, const struct manifest *m, int side)
{
    struct cell *const thumbnails = make_thumbnails(m, side);
    const char *key;
    json_t *unused;
    bool good = thumbnails;
    if (!thumbnails)
        return pf_fail(PF_ENOMEM, "no memory for the pictures of the batch");
    for (size_t i = 0; i < json_object_size(m->rows); i++) {
        const struct cell *c = thumbnails + i;
        fputs("<tr><td class=\"thumbnails\">", to);
        good &= c->good;
        if (c->text)
            fwrite(c->text, 1, c->size, to);
        html(to, "</td><th scope=\"row\">%s</th>", c->object);
        json_object_foreach(m->columns, key, unused)
            write_cell(to, key, json_object_get(c->row, key));
        fputs("</tr>\n", to);
        free(c->text);
    }
    free(thumbnails);
    return good ? PF_OK : pf_fail(PF_ENOMEM, "no memory for the pictures of the batch");
}

/* "12 objects: 10 done, 2 failed". */
static void
write_counts(FILE *to, const struct manifest *m)
{
    json_t *counts = json_object(), *row, *count;
    const char *name, *status, *separator = ": ";
    json_object_foreach(m->rows, name, row)
        if ((status = json_string_value(json_object_get(row, "status"))))
            put(counts, status,
                json_integer(1 + json_integer_value(json_object_get(counts, status))));
    html(to, "<p>%d objects", (int)json_object_size(m->rows));
    json_object_foreach(counts, status, count) {
        html(to, "%s%lld %s", separator, (long long)json_integer_value(count), status);
        separator = ", ";
    }
    fputs(".</p>\n", to);
    json_decref(counts);
}

static pf_err
write_batch(FILE *to, const struct manifest *m, const char *path, int number, int side)
{
    const char *key;
    json_t *unused;
    html(to, "<section id=\"object-%d\" aria-labelledby=\"name-%d\">\n<h2 id=\"name-%d\">Batch %s"
             "</h2>\n", number, number, number, path);
    write_counts(to, m);
    html(to, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"name-%d\">"
             "<table class=\"sortable batch\"><thead><tr><td></td><th scope=\"col\">object</th>",
         number);
    json_object_foreach(m->columns, key, unused) {
        fputs("<th scope=\"col\">", to);
        history_heading(to, key);
        fputs("</th>", to);
    }
    fputs("</tr></thead>\n<tbody>\n", to);
    PF_TRY(write_rows(to, m, side));
    fputs("</tbody></table></div>\n</section>\n", to);
    return PF_OK;
}

pf_err
manifest_write(FILE *to, const char *path, int number, int picture_size)
{
    const char *slash = strrchr(path, '/');
    struct manifest m = {.folder = slash ? strndup(path, (size_t)(slash - path + 1)) : strdup("."),
                         .rows = json_object(), .columns = json_object()};
    pf_err err = m.folder && m.rows && m.columns ? read_manifest(&m, path)
                                                 : pf_fail(PF_ENOMEM, "no memory for %s", path);
    if (!err)
        err = write_batch(to, &m, path, number, (picture_size + 5) / 6);
    free(m.folder);
    json_decref(m.rows);
    json_decref(m.columns);
    return err;
}
