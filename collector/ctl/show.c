#include "collector/ctl/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "collector/ctl/json.h"

#define COLUMNS_MAX 32

/* ---- a table ---- */

/* Copies at most SHOW_TEXT - 1 bytes, whole characters only. */
static void copy_clean(const char *value, char text[static SHOW_TEXT])
{
    size_t n = 0;
    for (; value[n] != '\0' && n < SHOW_TEXT - 1; n++)
        text[n] = (unsigned char)value[n] < 0x20 || value[n] == 0x7f ? '?' : value[n];
    while (value[n] != '\0' && n > 0 && ((unsigned char)value[n] & 0xc0) == 0x80)
        n--;
    text[n] = '\0';
}

const char *show_text(enum look_kind kind, const char *value, char text[static SHOW_TEXT])
{
    if (value == NULL)
        return strcpy(text, "-");
    if (kind == LOOK_BOOLEAN)
        return strcpy(text, value[0] == 't' ? "yes" : "no");
    if (kind == LOOK_REAL)
        snprintf(text, SHOW_TEXT, "%.3f", strtod(value, NULL));
    else
        copy_clean(value, text);
    if (kind == LOOK_TIME && strlen(text) > 19)
        strcpy(text + 19, "Z");
    return text;
}

/* Characters, not bytes: UTF-8's continuation bytes take no room. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static int terminal_width(void)
{
    struct winsize size = {0};
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 1 << 20;
    return size.ws_col;
}

struct table {
    unsigned count;
    int column[COLUMNS_MAX]; /* in the rows; -1: not there */
    int width[COLUMNS_MAX];
    bool is_right[COLUMNS_MAX];
    int room; /* of a line */
};

static int find_column(const struct look_rows *rows, const char *name)
{
    for (unsigned i = 0; i < look_columns(rows); i++)
        if (strcmp(look_name(rows, i), name) == 0)
            return (int)i;
    return -1;
}

static const char *cell(const struct table *t, const struct look_rows *rows, unsigned row,
                        unsigned i, char text[static SHOW_TEXT])
{
    if (t->column[i] < 0)
        return strcpy(text, "-");
    unsigned column = (unsigned)t->column[i];
    return show_text(look_kind_of(rows, column), look_value(rows, row, column), text);
}

static bool is_number(enum look_kind kind)
{
    return kind == LOOK_NUMBER || kind == LOOK_REAL;
}

static void measure(struct table *t, const struct look_rows *rows, const struct show *columns,
                    unsigned count)
{
    char text[SHOW_TEXT];
    t->count = count < COLUMNS_MAX ? count : COLUMNS_MAX;
    t->room = terminal_width();
    for (unsigned i = 0; i < t->count; i++) {
        t->column[i] = find_column(rows, columns[i].name);
        t->width[i] = width_of(columns[i].head);
        t->is_right[i] = t->column[i] >= 0 && is_number(look_kind_of(rows, (unsigned)t->column[i]));
        for (unsigned row = 0; row < look_count(rows); row++) {
            int width = width_of(cell(t, rows, row, i, text));
            if (width > t->width[i])
                t->width[i] = width;
        }
    }
}

static void put_characters(const char *text, int count)
{
    while (*text != '\0' && (count > 0 || ((unsigned char)*text & 0xc0) == 0x80)) {
        count -= ((unsigned char)*text & 0xc0) != 0x80;
        putchar(*text++);
    }
}

/* Puts one cell of a line that has so much room left; returns what is left behind it. */
static int put_cell(const struct table *t, unsigned i, const char *text, int left)
{
    int pad = t->width[i] - width_of(text), before = t->is_right[i] ? pad : 0;
    bool is_last = i + 1 == t->count;
    if (left <= before)
        return 0;
    printf("%*s", before, "");
    put_characters(text, left - before);
    left -= before + width_of(text);
    pad = (t->is_right[i] ? 0 : pad) + 2;
    if (is_last || left <= pad)
        return 0;
    printf("%*s", pad, "");
    return left - pad;
}

void show_table(const struct look_rows *rows, const struct show *columns, unsigned count)
{
    struct table t = {0};
    char text[SHOW_TEXT];
    measure(&t, rows, columns, count);
    int left = t.room;
    for (unsigned i = 0; i < t.count; i++)
        left = put_cell(&t, i, columns[i].head, left);
    putchar('\n');
    for (unsigned row = 0; row < look_count(rows); row++) {
        left = t.room;
        for (unsigned i = 0; i < t.count && left > 0; i++)
            left = put_cell(&t, i, cell(&t, rows, row, i, text), left);
        putchar('\n');
    }
}

/* ---- JSON ---- */

/* PostgreSQL's NaN and Infinity are no JSON. */
static void json_number(const char *value, size_t len)
{
    bool is_number = len > 0 && strchr("-0123456789", value[0]) != NULL &&
                     !(len > 1 && value[0] == '-' && value[1] == 'I');
    if (is_number)
        printf("%.*s", (int)len, value);
    else
        printf("null");
}

static void json_numbers(const char *value)
{
    const char *at = value + (value[0] == '{');
    putchar('[');
    while (*at != '\0' && *at != '}') {
        size_t len = strcspn(at, ",}");
        json_number(at, len);
        at += len;
        if (*at == ',')
            putchar(*at++);
    }
    putchar(']');
}

/* "2026-11-22 11:49:02.5+00" to RFC 3339: "2026-11-22T11:49:02.5Z". */
static void json_time(const char *value)
{
    char text[64];
    snprintf(text, sizeof text, "%s", value);
    size_t len = strlen(text);
    if (len > 13 && text[10] == ' ' && strcmp(text + len - 3, "+00") == 0) {
        text[10] = 'T';
        memcpy(text + len - 3, "Z", 2);
    }
    json_text(text);
}

void show_json_value(const struct look_rows *rows, unsigned row, unsigned column)
{
    const char *value = look_value(rows, row, column);
    enum look_kind kind = look_kind_of(rows, column);
    if (value == NULL)
        printf("null");
    else if (is_number(kind))
        json_number(value, strlen(value));
    else if (kind == LOOK_BOOLEAN)
        printf("%s", value[0] == 't' ? "true" : "false");
    else if (kind == LOOK_JSON)
        printf("%s", value);
    else if (kind == LOOK_NUMBERS)
        json_numbers(value);
    else if (kind == LOOK_TIME)
        json_time(value);
    else
        json_text(value);
}

void show_json_row(const struct look_rows *rows, unsigned row)
{
    for (unsigned i = 0; i < look_columns(rows); i++) {
        printf("%c", i == 0 ? '{' : ',');
        json_text(look_name(rows, i));
        putchar(':');
        show_json_value(rows, row, i);
    }
    putchar('}');
}

void show_json(const struct look_rows *rows)
{
    if (rows == NULL) {
        printf("null");
        return;
    }
    putchar('[');
    for (unsigned row = 0; row < look_count(rows); row++) {
        if (row > 0)
            printf(",\n ");
        show_json_row(rows, row);
    }
    putchar(']');
}

void show_told(const struct look_rows *rows, unsigned limit, bool json, const char *none)
{
    if (look_count(rows) == 0 && !json)
        fprintf(stderr, "penstockctl: %s\n", none);
    if (limit > 0 && look_count(rows) == limit)
        fprintf(stderr, "penstockctl: the first %u rows; there may be more (--limit)\n", limit);
}

void show_rows(const struct look_rows *rows, const struct show *columns, unsigned count, bool json)
{
    if (!json) {
        show_table(rows, columns, count);
        return;
    }
    show_json(rows);
    putchar('\n');
}
