#include "tools/pf-report/html.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

void
html_text(FILE *to, const char *text, size_t n)
{
    while (n) {
        const size_t size = pf_utf8_length(text, n);
        const bool space = *text == '\n' || *text == '\t';
        switch (pf_is_control(text, size) && !space ? 0 : *text) {
        case 0: fputs("\xef\xbf\xbd", to); break;
        case '&': fputs("&amp;", to); break;
        case '<': fputs("&lt;", to); break;
        case '>': fputs("&gt;", to); break;
        case '"': fputs("&quot;", to); break;
        case '\'': fputs("&#39;", to); break;
        default: fwrite(text, 1, size, to);
        }
        text += size ? size : 1;
        n -= size ? size : 1;
    }
}

void
html(FILE *to, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    for (const char *p = fmt; *p;) {
        const size_t plain = strcspn(p, "%");
        char spec[16];
        fwrite(p, 1, plain, to);
        p += plain;
        if (!*p)
            break;
        const size_t length = strspn(p + 1, "0123456789.+-l'");
        const char conversion = p[length + 1];
        if (length + 3 > sizeof spec || !conversion)
            pf_bug("html: format \"%s\"", fmt);
        snprintf(spec, sizeof spec, "%.*s", (int)length + 2, p);
        p += length + 2;
        if (conversion == 's') {
            const char *text = va_arg(ap, const char *);
            html_text(to, text, strlen(text));
        } else if (conversion == 'd' && strchr(spec, 'l')) {
            fprintf(to, spec, va_arg(ap, long long));
        } else if (conversion == 'd') {
            fprintf(to, spec, va_arg(ap, int));
        } else if (conversion == 'f' || conversion == 'g') {
            fprintf(to, spec, va_arg(ap, double));
        } else if (conversion == '%') {
            putc('%', to);
        } else {
            pf_bug("html: %s in \"%s\"", spec, fmt);
        }
    }
    va_end(ap);
}

void
html_base64(FILE *to, const void *bytes, size_t size)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = bytes;
    char line[4096];
    size_t filled = 0;
    for (size_t i = 0; i < size; i += 3) {
        const size_t left = size - i;
        const unsigned v = (unsigned)p[i] << 16 | (left > 1 ? (unsigned)p[i + 1] << 8 : 0) |
                           (left > 2 ? p[i + 2] : 0);
        line[filled++] = digit[v >> 18];
        line[filled++] = digit[v >> 12 & 63];
        line[filled++] = left > 1 ? digit[v >> 6 & 63] : '=';
        line[filled++] = left > 2 ? digit[v & 63] : '=';
        if (filled == sizeof line || left <= 3) {
            fwrite(line, 1, filled, to);
            filled = 0;
        }
    }
}

void
html_bytes(FILE *to, double bytes)
{
    static const char *const unit[] = {"bytes", "kB", "MB", "GB", "TB"};
    int u = 0;
    for (; u < 4 && bytes >= 999.5; u++)
        bytes /= 1000;
    fprintf(to, u && bytes < 9.95 ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
}

/* image, or a copy of it whose longer side is side, which is then put into small. */
static pf_err
shrink(const pf_image **shown, pf_image *small, const pf_image *image, int side)
{
    const int longer = image->width > image->height ? image->width : image->height;
    *shown = image;
    if (longer <= side)
        return PF_OK;
    const double scale = (double)side / longer;
    const int width = (int)lround(image->width * scale);
    const int height = (int)lround(image->height * scale);
    *shown = small;
    return pf_image_resize_by(small, image, width ? width : 1, height ? height : 1, PF_LANCZOS);
}

pf_err
html_picture(FILE *to, const pf_image *image, int side, const char *alt)
{
    pf_image small = {0};
    const pf_image *shown;
    char *png = NULL;
    size_t size = 0;
    pf_err err = shrink(&shown, &small, image, side);
    FILE *memory = err ? NULL : open_memstream(&png, &size);
    if (!err && !memory)
        err = pf_fail(PF_ENOMEM, "no memory for a picture");
    if (memory) {
        err = pf_image_write_png(shown, memory);
        if (fclose(memory) && !err)
            err = pf_fail(PF_ENOMEM, "no memory for a picture");
    }
    if (!err) {
        html(to, "<img alt=\"%s\" width=\"%d\" height=\"%d\" loading=\"lazy\" src=\"", alt,
             shown->width, shown->height);
        fputs("data:image/png;base64,", to);
        html_base64(to, png, size);
        fputs("\">", to);
    }
    free(png);
    pf_image_release(&small);
    return err;
}
