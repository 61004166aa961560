/* pairs.c - see pairs.h. */
#include "tools/pf-eval/pairs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

/* Keeps line, which was allocated. */
static pf_err
add(struct pairs *list, char *line)
{
    if (list->pairs == list->room) {
        const int room = 2 * list->room + 16;
        struct pair *const pairs = realloc(list->pair, (size_t)room * sizeof *pairs);
        list->pair = pairs ? pairs : list->pair;
        char **const lines = pairs ? realloc(list->line, (size_t)room * sizeof *lines) : NULL;
        list->line = lines ? lines : list->line;
        if (!lines) {
            free(line);
            return pf_fail(PF_ENOMEM, "no memory for %d pairs", room);
        }
        list->room = room;
    }
    struct pair *const p = &list->pair[list->pairs];
    char *rest = line;
    p->truth = strsep(&rest, "\t");
    p->made = strsep(&rest, "\t");
    p->name = strsep(&rest, "\t");
    list->line[list->pairs++] = line;
    if (!p->made || rest || !*p->truth || !*p->made || (p->name && !*p->name))
        return pf_fail(PF_EFORMAT, "expected two names of files and perhaps a name of the pair, "
                       "with tabs between them");
    return PF_OK;
}

pf_err
pairs_read(struct pairs *list, const char *path)
{
    const char *const title = pf_file_title(path);
    FILE *const f = strcmp(path, "-") ? fopen(path, "r") : stdin;
    char *line = NULL;
    size_t room = 0, n;
    pf_err err = PF_OK, end = PF_OK;
    int number;
    *list = (struct pairs){0};
    if (!f)
        return pf_fail(PF_EIO, "cannot read %s: %s", path, strerror(errno));
    for (number = 1; !err && !(end = pf_line(&line, &n, &room, f)); number++) {
        line[strcspn(line, "\r\n")] = 0;
        if (!*line || *line == '#')
            continue;
        err = add(list, line);
        line = NULL;
        room = 0;
        if (err)
            pf_fail_in(err, "%s:%d", title, number);
    }
    free(line);
    if (!err && end != PF_END)
        err = pf_fail_in(end, "%s:%d", title, number);
    if (!err && !list->pairs)
        err = pf_fail(PF_EFORMAT, "%s holds no pairs", title);
    if (f != stdin)
        fclose(f);
    return err;
}

void
pairs_release(struct pairs *list)
{
    for (int i = 0; i < list->pairs; i++)
        free(list->line[i]);
    free(list->line);
    free(list->pair);
    *list = (struct pairs){0};
}
