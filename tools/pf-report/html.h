/* html.h - text into a page so that nothing from a file can become markup.
 *
 *     html(to, "<td title=\"%s\">%.1f s</td>", name, seconds);         // name is escaped
 *     html_base64(to, bytes, size);
 *
 * Strings get into a page in no other way: what a file says is never part of a script, and of a tag
 * only as the value of an attribute in double quotes. */
#ifndef PF_REPORT_HTML_H
#define PF_REPORT_HTML_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"
#include "common/image.h"

/* fprintf with %s escaped, for text and for attributes in double quotes; else %d, %lld, %f and %g,
 * with flags, width and precision. */
void html(FILE *to, const char *fmt, ...) PF_PRINTF(2, 3);
/* The first n bytes of text, escaped.  What is not UTF-8, and control characters, is U+FFFD. */
void html_text(FILE *to, const char *text, size_t n);
void html_base64(FILE *to, const void *bytes, size_t size);
/* A size for people, as "1.2 MB". */
void html_bytes(FILE *to, double bytes);
/* An img of the picture, no longer than side pixels; alt says what it shows. */
pf_err html_picture(FILE *to, const pf_image *image, int side, const char *alt) PF_MUST_USE;

#endif
