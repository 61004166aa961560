/* page.h - the frame of the report: head, style and scripts, all in the one file. */
#ifndef PF_REPORT_PAGE_H
#define PF_REPORT_PAGE_H
#include <stdio.h>

void page_begin(FILE *to, const char *title);
void page_end(FILE *to);

#endif
