/* batch_record.c - what each object cost (batch_record.h). */
#include "common/batch_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "common/progress.h"

static pf_err
append(const char *path, const char *line)
{
    const size_t size = strlen(line);
    const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    const ssize_t n = file < 0 ? -1 : write(file, line, size);
    pf_err err = PF_OK;
    if (n < 0)
        err = pf_fail(PF_EIO, "PF_STAGES: %s: %s", path, strerror(errno));
    else if ((size_t)n < size)
        err = pf_fail(PF_EIO, "PF_STAGES: %s: a line was cut off", path);
    if (file >= 0)
        close(file);
    return err;
}

pf_err
pf_record_open(struct pf_record *r)
{
    const char *const path = getenv("PF_STAGES");
    *r = (struct pf_record){.path = path && *path ? path : NULL, .since = pf_seconds()};
    return r->path ? append(r->path, "") : PF_OK;
}

void
pf_record_wait(struct pf_record *r)
{
    if (r->begun)
        r->worked += pf_seconds() - r->since;
    r->begun = true;
}

void
pf_record_go(struct pf_record *r)
{
    r->since = pf_seconds();
}

void
pf_record_note(struct pf_record *r, const char *name, const char *json)
{
    const size_t n = strlen(r->notes);
    snprintf(r->notes + n, sizeof r->notes - n, ",\"%s\":%s", name, json);
}

/* The most that the process held, in MB.  (What getrusage says counts the program before exec.) */
static double
memory(void)
{
    FILE *const f = fopen("/proc/self/status", "re");
    char line[256];
    double kilobytes = 0;
    while (f && fgets(line, sizeof line, f) && sscanf(line, "VmHWM: %lf kB", &kilobytes) != 1)
        ;
    if (f)
        fclose(f);
    return kilobytes / 1024;
}

static pf_err
put_line(const struct pf_record *r, const char *object)
{
    json_t *const name = json_string(object);
    char *const text = pf_json_text(name, JSON_ENCODE_ANY), *line = NULL;
    pf_err err;
    json_decref(name);
    if (!text || asprintf(&line, "{\"object\":%s,\"tool\":\"%s\",\"seconds\":%.3f,"
                          "\"memory\":%.1f%s}\n", text, pf_program(), r->worked, memory(),
                          r->notes) < 0)
        err = pf_fail(PF_ENOMEM, "no memory for a line of PF_STAGES");
    else
        err = append(r->path, line);
    free(text);
    free(line);
    return err;
}

pf_err
pf_record_put(struct pf_record *r, const char *object)
{
    r->begun = true;
    pf_record_wait(r);
    const pf_err err = r->path && object ? put_line(r, object) : PF_OK;
    r->worked = 0;
    r->notes[0] = '\0';
    pf_record_go(r);
    return err;
}
