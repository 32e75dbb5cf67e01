#include "collector/conf/lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lines_refuse(struct lines *l, size_t number, const char *why)
{
    l->refused++;
    if (l->first != 0)
        return;
    l->first = number;
    snprintf(l->why, sizeof l->why, "%s", why);
}

int lines_judge(const struct lines *l, const char *path, const char *what, struct note *note)
{
    if (l->refused > (l->taken + l->passed) / LINES_BAD_ONE_IN)
        return note_set(note, ERR_CONF, "%s:%zu: %s (%zu of %zu %ss are refused: too many)", path,
                        l->first, l->why, l->refused, l->refused + l->taken + l->passed, what);
    if (l->taken == 0)
        return note_set(note, ERR_CONF, "%s: nothing in it to take", path);
    return 0;
}

static int append(struct line_feed *f, const char *bytes, size_t len)
{
    if (f->len + len > LINE_MAX_BYTES)
        len = LINE_MAX_BYTES - f->len;
    if (f->room - f->len < len) {
        size_t room = 2 * f->room + len + 256;
        char *text = realloc(f->text, room);
        if (text == NULL)
            return -ENOMEM;
        f->text = text;
        f->room = room;
    }
    if (len > 0)
        memcpy(f->text + f->len, bytes, len);
    f->len += len;
    return 0;
}

static int whole(struct line_feed *f, const char *line, size_t len)
{
    if (len > 0 && line[len - 1] == '\r')
        len--;
    return f->each(f->arg, line, len, ++f->number);
}

int line_feed(struct line_feed *f, const char *bytes, size_t len)
{
    int err = 0;
    for (const char *end; err == 0 && len > 0;) {
        end = memchr(bytes, '\n', len);
        size_t n = end != NULL ? (size_t)(end - bytes) : len;
        if (end != NULL && f->len == 0) { /* by far the most common: in one piece */
            err = whole(f, bytes, n);
        } else {
            err = append(f, bytes, n);
            if (err == 0 && end != NULL) {
                err = whole(f, f->text, f->len);
                f->len = 0;
            }
        }
        n += end != NULL;
        bytes += n;
        len -= n;
    }
    return err;
}

int line_feed_end(struct line_feed *f)
{
    int err = f->len > 0 ? ERR_TRUNCATED : 0;
    free(f->text);
    f->text = NULL;
    f->len = f->room = 0;
    return err;
}
