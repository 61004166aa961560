/* text.h - words and numbers as people write them, on a command line or in a config file.
 *
 *     if (!pf_parse_int(&n, "12abc"))         // a number is read whole, or not at all
 *         near = pf_nearest(word, names, n_names); */
#ifndef PF_TEXT_H
#define PF_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What messages call the file of this name: "-" is stdin. */
const char *pf_file_title(const char *path);
/* What is behind the last dot of the file's name, a part of path; "" if it has none. */
const char *pf_name_ending(const char *path);
/* Bytes of the UTF-8 character at s, where left bytes are there, at least one; 0 if it is none. */
size_t pf_utf8_length(const char *s, size_t left);
/* Whether a terminal could take the character of n bytes at s, n as above, for a command: control
 * characters, C1's too, and what is not UTF-8. */
bool pf_is_control(const char *s, size_t n);
/* Put '?' in place of each byte of those: whatever a file or a name holds can be shown.  Returns
 * s. */
char *pf_text_clean(char *s);
/* Print text so cleaned; names and values come from strangers. */
void pf_text_print(FILE *to, const char *text);
/* The next line of a text, with its end, into *line of *room bytes, which grow and are the caller's
 * to free; n: its bytes.  PF_END after the last one; PF_EFORMAT for one of more than 1 MiB, as any
 * is where nothing ends (/dev/zero). */
pf_err pf_line(char **line, size_t *n, size_t *room, FILE *from) PF_MUST_USE;
/* A decimal number that fits, and nothing else in s; false otherwise. */
bool pf_parse_int(int64_t *v, const char *s);
/* The same for a real number; NaN and infinity are refused. */
bool pf_parse_real(double *v, const char *s);
/* "cuda" or "cuda:N": N; "cpu": PF_CPU; "auto": PF_AUTO; false for anything else. */
enum { PF_CPU = -1, PF_AUTO = -2 };
bool pf_parse_device(int *cuda, const char *s);
/* v as a person writes it, 9007199254740992 and 0.05, into buf, which is returned. */
enum { PF_NUMBER = 32 };
const char *pf_number_text(char buf[PF_NUMBER], double v);
/* Whether word is one of "a|b|c". */
bool pf_is_choice(const char *word, const char *choices);
/* Whether b is the first n letters of a, "-" and "_" being equal; false if b is NULL. */
bool pf_same_name(const char *a, const char *b, size_t n);
/* The string nearest to word by edit distance, "-" and "_" being equal; NULL if none is near. */
const char *pf_nearest(const char *word, const char *const *names, int n);

#ifdef __cplusplus
}
#endif
#endif
