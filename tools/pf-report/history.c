#include "tools/pf-report/history.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/pf-report/html.h"

static bool
ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* Strings as they are, all else as JSON. */
static void
write_value(FILE *to, const json_t *value)
{
    char *text;
    if (json_is_string(value)) {
        html_text(to, json_string_value(value), json_string_length(value));
        return;
    }
    text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    html(to, "%s", text ? text : "");
    free(text);
}

void
history_cell(FILE *to, const char *key, const json_t *value)
{
    if (!json_is_number(value)) {
        fputs("<td>", to);
        if (value && !json_is_null(value))
            write_value(to, value);
        fputs("</td>", to);
        return;
    }
    const double v = json_number_value(value);
    html(to, "<td class=\"number\" data-value=\"%.12g\">", v);
    if (ends_with(key, "bytes"))
        html_bytes(to, v);
    else if (ends_with(key, "memory"))
        html(to, "%.0f MB", v);
    else if (ends_with(key, "seconds"))
        html(to, v < 9.995 ? "%.2f s" : "%.1f s", v);
    else
        html(to, json_is_integer(value) ? "%.12g" : "%.6g", v);
    fputs("</td>", to);
}

void
history_heading(FILE *to, const char *key)
{
    for (; *key; key++)
        if (*key == '_')
            putc(' ', to);
        else
            html_text(to, key, 1);
}

/* Keys that have their own columns. */
static bool
is_known(const char *key)
{
    static const char *const known[] = {"tool", "version", "seed", "options"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(key, known[i]))
            return true;
    return false;
}

static void
write_options(FILE *to, const json_t *options)
{
    const char *key;
    const json_t *value;
    fputs("<td class=\"options\">", to);
    json_object_foreach((json_t *)options, key, value) {
        html(to, "<code>--%s ", key);
        write_value(to, value);
        fputs("</code> ", to);
    }
    fputs("</td>", to);
}

static void
write_entry(FILE *to, size_t number, const json_t *entry, const json_t *others)
{
    const json_t *unused;
    const char *key;
    html(to, "<tr><td class=\"number\">%lld</td>", (long long)number + 1);
    history_cell(to, "tool", json_object_get(entry, "tool"));
    history_cell(to, "version", json_object_get(entry, "version"));
    history_cell(to, "seed", json_object_get(entry, "seed"));
    json_object_foreach((json_t *)others, key, unused)
        history_cell(to, key, json_object_get(entry, key));
    write_options(to, json_object_get(entry, "options"));
    fputs("</tr>\n", to);
}

static void
write_head(FILE *to, const char *object, const json_t *others)
{
    const json_t *unused;
    const char *key;
    html(to, "<h3>History</h3>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
             "aria-label=\"Stages of %s\"><table class=\"sortable\"><thead><tr>"
             "<th scope=\"col\">#</th><th scope=\"col\">stage</th><th scope=\"col\">version</th>"
             "<th scope=\"col\">seed</th>", object);
    json_object_foreach((json_t *)others, key, unused) {
        fputs("<th scope=\"col\">", to);
        history_heading(to, key);
        fputs("</th>", to);
    }
    fputs("<th scope=\"col\">options</th></tr></thead>\n<tbody>\n", to);
}

pf_err
history_write(FILE *to, const char *history, const char *object)
{
    json_t *all = json_loads(history, JSON_REJECT_DUPLICATES, NULL), *others = json_object();
    const json_t *entry, *value;
    const char *key;
    size_t i;
    if (!json_is_array(all)) {
        json_decref(all);
        json_decref(others);
        return pf_fail(PF_EFORMAT, "the history of %s is not a JSON array", object);
    }
    json_array_foreach(all, i, entry)
        json_object_foreach((json_t *)entry, key, value)
            if (!is_known(key) && json_object_set_new(others, key, json_true()))
                pf_die("no memory for the history of %s", object);
    write_head(to, object, others);
    json_array_foreach(all, i, entry)
        write_entry(to, i, entry, others);
    fputs("</tbody></table></div>\n", to);
    json_decref(all);
    json_decref(others);
    return PF_OK;
}
