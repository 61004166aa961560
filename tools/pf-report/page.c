#include "tools/pf-report/page.h"

#include "common/opt.h"
#include "tools/pf-report/html.h"

/* The files beside this one, as ld -r -b binary names their bytes (Makefile). */
#define EMBEDDED(name)                                         \
    extern const char _binary_tools_pf_report_##name##_start[], \
        _binary_tools_pf_report_##name##_end[]
#define PUT_EMBEDDED(to, name)                                        \
    fwrite(_binary_tools_pf_report_##name##_start, 1,                 \
           (size_t)(_binary_tools_pf_report_##name##_end -            \
                    _binary_tools_pf_report_##name##_start),          \
           to)
EMBEDDED(report_css);
EMBEDDED(table_js);
EMBEDDED(viewer_js);

/* The policy forbids every request, so that even a mistake of ours could not make one. */
void
page_begin(FILE *to, const char *title)
{
    html(to,
         "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
         "img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
         "base-uri 'none'; form-action 'none'\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=\"color-scheme\" content=\"light dark\">\n"
         "<meta name=\"generator\" content=\"pf-report %s\">\n"
         "<link rel=\"icon\" href=\"data:,\">\n<title>%s</title>\n<style>\n",
         PF_VERSION, title);
    PUT_EMBEDDED(to, report_css);
    html(to,
         "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the content</a>\n"
         "<header><h1>%s</h1></header>\n<main id=\"main\" tabindex=\"-1\">\n",
         title);
}

void
page_end(FILE *to)
{
    html(to, "</main>\n<footer>pf-report %s</footer>\n<script>\n", PF_VERSION);
    PUT_EMBEDDED(to, table_js);
    PUT_EMBEDDED(to, viewer_js);
    fputs("</script>\n</body>\n</html>\n", to);
}
