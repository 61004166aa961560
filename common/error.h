/* error.h - how every library function fails: a code and one sentence for a person.
 *
 *     if (C % G)
 *         return pf_fail(PF_ESHAPE, "group_norm: %d channels do not divide into %d groups", C, G);
 *
 * Libraries return pf_err and never print or exit.  Tools say pf_must(call): on an error it prints
 * "pf-sample: <sentence>" and exits with 1, after removing any output file that is not complete. */
#ifndef PF_ERROR_H
#define PF_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pf_err {
    PF_OK = 0,
    PF_END = 1,         /* no more documents; not a failure */
    PF_EIO = -1,        /* the system refused: open, read, write, full disk */
    PF_EFORMAT = -2,    /* the bytes are not what they claim to be */
    PF_ESHAPE = -3,     /* a tensor or a picture has the wrong shape or type */
    PF_ENOMEM = -4,
    PF_EDEV = -5,       /* the accelerator failed */
    PF_EARG = -6,       /* an argument or a setting cannot be: no such device, out of range */
} pf_err;

#define PF_MUST_USE __attribute__((warn_unused_result))
#define PF_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Remember the sentence (per thread, at most 1000 characters, no final full stop); returns err. */
pf_err pf_fail(pf_err err, const char *fmt, ...) PF_PRINTF(2, 3);
/* Put "<context>: " in front of the remembered sentence and return err: names the file or tensor
 * that a lower layer could not know. */
pf_err pf_fail_in(pf_err err, const char *fmt, ...) PF_PRINTF(2, 3);
/* The sentence of the last pf_fail of this thread; "" if none.  Borrowed until the next one. */
const char *pf_error(void);

#define PF_TRY(call)                   \
    do {                               \
        const pf_err pf_e_ = (call);   \
        if (pf_e_ != PF_OK)            \
            return pf_e_;              \
    } while (0)

/* Our own mistake, never the user's: print and abort(). */
#define pf_bug(...) pf_bug_at(__FILE__, __LINE__, __VA_ARGS__)
void pf_bug_at(const char *file, int line, const char *fmt, ...) PF_PRINTF(3, 4)
    __attribute__((noreturn));

/* For tools only.  The program's name for messages is set by pf_start (opt.h). */
void pf_set_program(const char *name);
const char *pf_program(void);
void pf_must(pf_err err);                                   /* anything but PF_OK exits with 1 */
void pf_die(const char *fmt, ...) PF_PRINTF(1, 2) __attribute__((noreturn));    /* exit 1 */
void pf_warn(const char *fmt, ...) PF_PRINTF(1, 2);
/* What both do before they call exit, each once: wait for threads that what exit tears down would
 * fail.  One thread asks for it. */
void pf_before_end(void (*wait)(void));

#ifdef __cplusplus
}
#endif
#endif
