/* json.h - what jansson leaves to its callers.
 *
 *     bool bad = json_object_set_new(object, "step", json_integer(step)) != 0;
 *     char *text = bad ? NULL : pf_json_text(object, JSON_COMPACT); */
#ifndef PF_JSON_H
#define PF_JSON_H
#include <jansson.h>

/* For pf_start: let jansson end the program where there is no memory.  It would abort, or leave out
 * a key. */
void pf_json_or_die(void);
/* The value as text, which the caller frees; NULL: it is NULL, or there is no memory.  (json_dumps
 * leaves out a key for which there is none.) */
char *pf_json_text(const json_t *value, size_t flags);

#endif
