/* text.c - words and numbers as people write them. */
#include "common/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *
pf_file_title(const char *path)
{
    return strcmp(path, "-") == 0 ? "stdin" : path;
}

size_t
pf_utf8_length(const char *text, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *const s = (const unsigned char *)text;
    const size_t n = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3
                     : (s[0] & 0xf8) == 0xf0 ? 4 : 0;
    if (n == 1)
        return 1;
    if (n == 0 || n > left)
        return 0;
    uint32_t c = s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    return n;
}

bool
pf_is_control(const char *text, size_t n)
{
    const unsigned char *const s = (const unsigned char *)text;
    return n == 0 || s[0] < ' ' || s[0] == 0x7f || (n == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

char *
pf_text_clean(char *s)
{
    const char *const end = s + strlen(s);
    for (char *p = s; p < end;) {
        const size_t n = pf_utf8_length(p, (size_t)(end - p));
        if (pf_is_control(p, n))
            memset(p, '?', n ? n : 1);
        p += n ? n : 1;
    }
    return s;
}

void
pf_text_print(FILE *to, const char *text)
{
    const char *const end = text + strlen(text);
    for (size_t n; text < end; text += n ? n : 1) {
        n = pf_utf8_length(text, (size_t)(end - text));
        if (pf_is_control(text, n))
            putc('?', to);
        else
            fwrite(text, 1, n, to);
    }
}

/* Room for one byte more and the zero at the end. */
static bool
has_room(char **line, size_t n, size_t *room)
{
    if (n + 2 <= *room)
        return true;
    const size_t more = 2 * *room + 128;
    char *const longer = realloc(*line, more);
    if (longer) {
        *line = longer;
        *room = more;
    }
    return longer;
}

pf_err
pf_line(char **line, size_t *n, size_t *room, FILE *from)
{
    enum { MOST = 1 << 20 };
    int c = 0;
    for (*n = 0; c != '\n' && (c = getc(from)) != EOF; (*line)[(*n)++] = (char)c) {
        if (*n == MOST)
            return pf_fail(PF_EFORMAT, "a line has more than %d bytes", MOST);
        if (!has_room(line, *n, room))
            return pf_fail(PF_ENOMEM, "no memory for a line");
    }
    if (ferror(from))
        return pf_fail(PF_EIO, "cannot read: %s", strerror(errno));
    if (!*n)
        return PF_END;
    (*line)[*n] = 0;
    return PF_OK;
}

bool
pf_parse_int(int64_t *v, const char *s)
{
    char *end;

    errno = 0;
    *v = strtoll(s, &end, 10);
    return *s && (*s == '-' || *s == '+' || (*s >= '0' && *s <= '9')) && !*end && !errno;
}

bool
pf_parse_real(double *v, const char *s)
{
    char *end;

    errno = 0;
    *v = strtod(s, &end);
    return *s && strchr("+-.0123456789", *s) && !*end && isfinite(*v);
}

const char *
pf_name_ending(const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    return dot ? dot + 1 : "";
}

bool
pf_parse_device(int *cuda, const char *s)
{
    int64_t n = 0;

    *cuda = !strcmp(s, "auto") ? PF_AUTO : !strcmp(s, "cpu") ? PF_CPU : 0;
    if (*cuda || !strcmp(s, "cuda"))
        return true;
    if (strncmp(s, "cuda:", 5) || s[5] < '0' || s[5] > '9' || !pf_parse_int(&n, s + 5) || n > 1024)
        return false;
    *cuda = (int)n;
    return true;
}

const char *
pf_number_text(char buf[PF_NUMBER], double v)
{
    snprintf(buf, PF_NUMBER, fabs(v) < 1e16 && v == floor(v) ? "%.0f" : "%g", v);
    return buf;
}

bool
pf_is_choice(const char *word, const char *choices)
{
    const size_t n = strlen(word);

    for (const char *p = choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (strncmp(p, word, n) == 0 && (p[n] == '|' || !p[n]))
            return n > 0;
    return false;
}

static int
plain(int c)
{
    return c == '_' ? '-' : c;
}

bool
pf_same_name(const char *a, const char *b, size_t n)
{
    if (!b || strlen(b) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (plain(a[i]) != plain(b[i]))
            return false;
    return true;
}

/* Levenshtein distance of short words. */
static int
distance(const char *a, const char *b)
{
    enum { LONGEST = 40 };
    int row[LONGEST + 1];
    const int n = (int)strnlen(b, LONGEST);

    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; *a && i <= LONGEST; a++, i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int change = corner + (plain(*a) != plain(b[j - 1]));
            corner = row[j];
            row[j] = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = row[j] < change ? row[j] : change;
        }
    }
    return row[n];
}

const char *
pf_nearest(const char *word, const char *const *names, int n)
{
    const char *best = NULL;
    int least = (int)strlen(word) / 2 + 1;

    for (int i = 0; i < n; i++) {
        const int d = distance(word, names[i]);
        if (d < least) {
            least = d;
            best = names[i];
        }
    }
    return best;
}
