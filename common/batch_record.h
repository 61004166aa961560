/* batch_record.h - what each object cost a tool, for a manifest: where PF_STAGES names a file, a
 * line of JSON is appended for each document that is done, by one write, so that the tools of a
 * pipe may share it:
 *
 *     {"object":"mug","tool":"pf-neus","seconds":1.203,"memory":55.2}
 *
 * seconds: of work alone, not those in which the tool waited for input or for whoever reads its
 * output; memory: the most that the process held so far, in MB. */
#ifndef PF_BATCH_RECORD_H
#define PF_BATCH_RECORD_H
#include <stdbool.h>

#include "common/error.h"

struct pf_record {              /* zero to initialise */
    const char *path;           /* NULL: nobody asks */
    bool begun;                 /* the start of the program is no object's */
    double since, worked;       /* when work went on, and the seconds before that */
    char notes[100];            /* further members of the next line */
};

/* PF_EIO where there is a name but no file can be written.  Work begins. */
pf_err pf_record_open(struct pf_record *r) PF_MUST_USE;
void pf_record_wait(struct pf_record *r);       /* the work rests */
void pf_record_go(struct pf_record *r);         /* and goes on */
/* One more member of the next line, whose value is this text of JSON. */
void pf_record_note(struct pf_record *r, const char *name, const char *json);
/* The line of an object, NULL: none, for there is nothing to be said of it.  The next begins. */
pf_err pf_record_put(struct pf_record *r, const char *object) PF_MUST_USE;

#endif
