#include "shared/conf/conf_table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/addr.h"
#include "shared/conf/conf_value.h"
#include "shared/conf/yaml_tree.h"

#define PATH_TEXT 160

/* Where the walk stands: which rows apply, whose struct they fill, and how to name it. */
struct scope {
    struct conf *conf;
    const struct conf_row *rows;
    size_t row_count;
    void *base;
    const char *shown;   /* put before keys in sentences: "ingress[2]." */
    unsigned *lines;     /* per row: where it was given; 0: not yet */
    const char *setting; /* "key=value" of the command line; NULL: the file */
};

/* ---- sentences ---- */

static void say(struct conf *c, const char *sentence)
{
    c->wrong++;
    if (c->note == NULL)
        return;
    size_t room = sizeof c->note->text - c->said, len = strlen(sentence);
    if (c->said > 0 && len + 1 >= room)
        return; /* only whole sentences, but always the first */
    c->said += (size_t)snprintf(c->note->text + c->said, room, "%s%.*s", c->said > 0 ? "\n" : "",
                                (int)(room - 1), sentence);
    if (c->said >= sizeof c->note->text)
        c->said = sizeof c->note->text - 1;
}

static void complain(struct conf *c, unsigned line, const char *setting, const char *what)
    __attribute__((nonnull(1, 4)));

static void complain(struct conf *c, unsigned line, const char *setting, const char *what)
{
    char text[1000];
    if (setting != NULL)
        snprintf(text, sizeof text, "--set: %s", what);
    else if (line > 0)
        snprintf(text, sizeof text, "%s:%u: %s", c->file, line, what);
    else if (c->file != NULL)
        snprintf(text, sizeof text, "%s: %s", c->file, what);
    else
        snprintf(text, sizeof text, "%s", what);
    say(c, text);
}

static void wrong_at(const struct scope *s, unsigned line, const char *path, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));

static void wrong_at(const struct scope *s, unsigned line, const char *path, const char *format,
                     ...)
{
    char what[700], text[900];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(text, sizeof text, "%s%s: %s", s->shown, path, what);
    complain(s->conf, line, s->setting, text);
}

/* What was found, safe to print: quoted, cut, without control characters. */
static const char *shown_value(const struct yaml_node *n, char out[static 80])
{
    if (n->kind != YAML_SCALAR)
        return n->kind == YAML_MAP ? "a map" : "a list";
    if (n->text[0] == '\0')
        return "nothing";
    size_t len = 0;
    out[len++] = '"';
    for (const char *p = n->text; *p != '\0' && len < 68; p++)
        out[len++] = (unsigned char)*p < ' ' || *p == 0x7f ? '?' : *p;
    if (len == 68) {
        while (((unsigned char)out[len - 1] & 0xc0) == 0x80)
            len--; /* not in the middle of a character */
        memcpy(out + len - 1, "...", 3);
        len += 2;
    }
    memcpy(out + len, "\"", 2);
    return out;
}

static bool is_enough(const struct conf *c)
{
    return c->wrong >= CONF_WRONG_MAX;
}

/* ---- which key was meant? ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, over texts cut at 63. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], la = least(strlen(a), 63), lb = least(strlen(b), 63);
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t above = row[j];
            row[j] = least(least(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[lb];
}

static const char *last_word(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot != NULL ? dot + 1 : path;
}

/* A row's key cut to as many words as path has: "penny" for "peny", "penny.mode" for "penny.mod".
 */
static void cut_like(const char *key, const char *path, char out[static PATH_TEXT])
{
    snprintf(out, PATH_TEXT, "%s", key);
    char *end = out;
    for (const char *p = path; (p = strchr(p, '.')) != NULL; p++)
        if (*(end += strcspn(end, ".")) == '.')
            end++;
    end[strcspn(end, ".")] = '\0';
}

/* Writes ", did you mean x?" or nothing. */
static const char *guess(const struct scope *s, const char *path, char out[static 200])
{
    size_t best = strlen(path) / 3 + 1;
    out[0] = '\0';
    for (size_t i = 0; i < s->row_count; i++) {
        char candidate[PATH_TEXT];
        cut_like(s->rows[i].key, path, candidate);
        size_t d = distance(path, candidate);
        if (strcmp(last_word(path), last_word(s->rows[i].key)) == 0 && d > 1) {
            d = 1; /* the right word in the wrong section */
            snprintf(candidate, sizeof candidate, "%s", s->rows[i].key);
        }
        if (d < best) {
            best = d;
            snprintf(out, 200, "; did you mean %s?", candidate);
        }
    }
    return out;
}

/* ---- values ---- */

static void write_count(const struct conf_row *row, void *base, size_t count)
{
    conf_unsigned_write((char *)base + row->count_offset, row->count_size, count);
}

static void put_defaults(struct conf *c, const struct conf_row *rows, size_t n, void *base)
{
    for (size_t i = 0; i < n; i++) {
        if (conf_is_list(rows[i].type) || rows[i].value == NULL)
            continue;
        if (conf_value_parse(&rows[i], rows[i].value, base) != 0) {
            char text[300];
            snprintf(text, sizeof text, "%s: the default \"%.100s\" is wrong", rows[i].key,
                     rows[i].value);
            complain(c, 0, NULL, text);
        }
    }
}

static void wrong_value(const struct scope *s, const struct conf_row *row, const char *path,
                        const struct yaml_node *n)
{
    char expect[CONF_EXPECT_TEXT], found[80];
    wrong_at(s, n->line, path, "expected %s, got %s", conf_value_expect(row, expect),
             row->is_secret ? "what is not shown here" : shown_value(n, found));
}

static void walk_map(const struct scope *s, const struct yaml_node *map, const char *section);

static bool has_key(const struct scope *s, const char *key)
{
    for (size_t i = 0; i < s->row_count; i++)
        if (strcmp(s->rows[i].key, key) == 0)
            return s->lines[i] != 0;
    return false;
}

static void complain_if_missing(const struct scope *s, const struct yaml_node *n,
                                const struct conf_row *row)
{
    if (row->is_required)
        wrong_at(s, n->line, row->key, "missing; every entry must say it");
    else if (row->with != NULL && has_key(s, row->with))
        wrong_at(s, n->line, row->key, "missing; an entry with %s must say it", row->with);
    else if (row->unless != NULL && !has_key(s, row->unless))
        wrong_at(s, n->line, row->key, "missing; every entry must say it, or %s", row->unless);
}

static void read_record(const struct scope *s, const struct conf_row *row,
                        const struct yaml_node *n, size_t index, void *base)
{
    char shown[PATH_TEXT];
    unsigned lines[CONF_ROWS_MAX] = {0};
    if (row->key[0] != '\0')
        snprintf(shown, sizeof shown, "%s%s[%zu].", s->shown, row->key, index + 1);
    else
        snprintf(shown, sizeof shown, "[%zu].", index + 1);
    struct scope inner = {s->conf, row->rows, row->row_count, base, shown, lines, s->setting};
    memset(base, 0, row->item_size);
    put_defaults(s->conf, row->rows, row->row_count, base);
    walk_map(&inner, n, "");
    for (size_t i = 0; i < row->row_count; i++)
        if (lines[i] == 0)
            complain_if_missing(&inner, n, &row->rows[i]);
}

static void read_prefix(const struct scope *s, const struct conf_row *row,
                        const struct yaml_node *n, size_t index)
{
    const struct conf_row one = {.key = row->key, .type = CONF_PREFIX};
    char path[PATH_TEXT];
    struct prefix p, *list = (struct prefix *)(void *)((char *)s->base + row->offset);
    snprintf(path, sizeof path, "%s[%zu]", row->key, index + 1);
    if (n->kind != YAML_SCALAR || conf_value_parse(&one, n->text, &p) != 0) {
        wrong_value(s, row, path, n);
        p = (struct prefix){0};
    }
    for (size_t i = 0; i < index && p.addr.family != 0; i++)
        if (prefix_equal(&list[i], &p))
            wrong_at(s, n->line, path, "%s stands twice in the list", n->text);
    list[index] = p;
}

static void read_text(const struct scope *s, const struct conf_row *row, const struct yaml_node *n,
                      size_t index)
{
    const struct conf_row one = {.key = row->key,
                                 .type = CONF_TEXT,
                                 .offset = row->offset + index * row->item_size,
                                 .size = row->item_size};
    char path[PATH_TEXT];
    snprintf(path, sizeof path, "%s[%zu]", row->key, index + 1);
    if (n->kind != YAML_SCALAR || conf_value_parse(&one, n->text, s->base) != 0)
        wrong_value(s, row, path, n);
}

static void read_item(const struct scope *s, const struct conf_row *row, const struct yaml_node *n,
                      size_t index)
{
    char *base = (char *)s->base + row->offset + index * row->item_size;
    if (row->type == CONF_PREFIXES)
        read_prefix(s, row, n, index);
    else if (row->type == CONF_TEXTS)
        read_text(s, row, n, index);
    else if (n->kind != YAML_MAP) {
        char path[PATH_TEXT];
        snprintf(path, sizeof path, "%s[%zu]", row->key, index + 1);
        wrong_value(s, row, path, n);
    } else
        read_record(s, row, n, index, base);
}

/* A list replaces what stood there; it never adds to it. */
static void read_list(const struct scope *s, const struct conf_row *row, const struct yaml_node *n)
{
    size_t count = 0, most = row->size / row->item_size;
    if (row->max > 0 && row->max < (double)most)
        most = (size_t)row->max;
    char found[80];
    if (n->kind != YAML_LIST) {
        wrong_at(s, n->line, row->key, "expected a list, got %s", shown_value(n, found));
        return;
    }
    for (const struct yaml_node *item = n->first; item != NULL && !is_enough(s->conf);
         item = item->next) {
        if (count == most) {
            wrong_at(s, item->line, row->key, "expected at most %zu entries, here is one more",
                     most);
            break;
        }
        read_item(s, row, item, count++);
    }
    if (count < (size_t)row->min)
        wrong_at(s, n->line, row->key, "expected at least %.0f entries, got %zu", row->min, count);
    write_count(row, s->base, count);
}

static void read_value(const struct scope *s, const struct conf_row *row, const struct yaml_node *n)
{
    unsigned before = s->conf->wrong;
    if (conf_is_list(row->type))
        read_list(s, row, n);
    else if (n->kind != YAML_SCALAR || conf_value_parse(row, n->text, s->base) != 0)
        wrong_value(s, row, row->key, n);
    if (s->rows == s->conf->table->rows && s->lines != NULL)
        s->conf->from[row - s->rows].is_wrong = s->conf->wrong != before;
}

/* ---- the walk ---- */

static const struct conf_row *find_row(const struct scope *s, const char *path)
{
    for (size_t i = 0; i < s->row_count; i++)
        if (strcmp(s->rows[i].key, path) == 0)
            return &s->rows[i];
    return NULL;
}

static bool is_section(const struct scope *s, const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < s->row_count; i++)
        if (strncmp(s->rows[i].key, path, len) == 0 && s->rows[i].key[len] == '.')
            return true;
    return false;
}

static bool has_secret(const struct scope *s, const char *section)
{
    size_t len = strlen(section);
    for (size_t i = 0; i < s->row_count; i++)
        if (s->rows[i].is_secret && strncmp(s->rows[i].key, section, len) == 0)
            return true;
    return false;
}

static bool was_before(const struct yaml_node *map, const struct yaml_node *n, unsigned *line)
{
    for (const struct yaml_node *o = map->first; o != n; o = o->next)
        if (strcmp(o->name, n->name) == 0) {
            *line = o->line;
            return true;
        }
    return false;
}

static void walk_section(const struct scope *s, const struct yaml_node *map,
                         const struct yaml_node *n, const char *path)
{
    char found[80];
    unsigned line;
    if (was_before(map, n, &line))
        wrong_at(s, n->line, path, "given twice, first in line %u", line);
    else if (n->kind == YAML_MAP)
        walk_map(s, n, path);
    else if (n->kind == YAML_LIST || n->text[0] != '\0')
        wrong_at(s, n->line, path, "expected a map of its keys, got %s",
                 has_secret(s, path) ? "what is not shown here" : shown_value(n, found));
}

static void wrong_key(const struct scope *s, const struct yaml_node *n, const char *path)
{
    char hint[200], found[80], full[2 * PATH_TEXT], text[500];
    const struct yaml_node key = {.kind = YAML_SCALAR, .text = full};
    snprintf(full, sizeof full, "%s%s", s->shown, path);
    snprintf(text, sizeof text, "unknown key %s%s", shown_value(&key, found), guess(s, path, hint));
    complain(s->conf, n->line, s->setting, text);
}

static void walk_key(const struct scope *s, const struct yaml_node *map, const struct yaml_node *n,
                     const char *section)
{
    char path[PATH_TEXT];
    const struct conf_row *row = NULL;
    int len =
        snprintf(path, sizeof path, "%s%s%s", section, section[0] != '\0' ? "." : "", n->name);
    if (len < (int)sizeof path)
        row = find_row(s, path);
    if (row == NULL && len < (int)sizeof path && is_section(s, path)) {
        walk_section(s, map, n, path);
        return;
    }
    if (row == NULL) {
        wrong_key(s, n, path);
        return;
    }
    unsigned *line = &s->lines[row - s->rows];
    if (*line != 0) {
        wrong_at(s, n->line, path, "given twice, first in line %u", *line);
        return;
    }
    *line = n->line;
    read_value(s, row, n);
}

static void walk_map(const struct scope *s, const struct yaml_node *map, const char *section)
{
    for (const struct yaml_node *n = map->first; n != NULL && !is_enough(s->conf); n = n->next)
        walk_key(s, map, n, section);
}

/* ---- the ways in ---- */

void conf_begin(struct conf *c, const struct conf_table *table, void *base, struct note *note)
{
    *c = (struct conf){.table = table, .base = base, .note = note};
    note_set(note, 0, "%s", "");
    put_defaults(c, table->rows, table->row_count, base);
}

/* Reads text into a tree and says what is no YAML. False: nothing to walk. */
static bool read_tree(struct conf *c, struct yaml_tree *t, const char *setting, const char *text,
                      size_t len)
{
    char what[sizeof t->problem + PATH_TEXT];
    int key = setting != NULL ? (int)strcspn(setting, "=") : 0;
    int err = yaml_tree_read(t, text, len);
    snprintf(what, sizeof what, "%.*s%s%s", key, setting != NULL ? setting : "",
             key > 0 ? ": " : "", err == ERR_CONF ? t->problem : err_text(err));
    if (err != 0)
        complain(c, t->line, setting, what);
    return err == 0 && t->root != NULL;
}

static void complain_of(struct conf *c, const struct yaml_node *n, const char *expected)
{
    char text[200], found[80];
    snprintf(text, sizeof text, "expected %s, got %s", expected, shown_value(n, found));
    complain(c, n->line, NULL, text);
}

void conf_text(struct conf *c, const char *name, const char *text, size_t len)
{
    unsigned lines[CONF_ROWS_MAX] = {0};
    const struct scope s = {c, c->table->rows, c->table->row_count, c->base, "", lines, NULL};
    struct yaml_tree t;
    unsigned before = c->wrong;
    c->file = name;
    bool is_read = read_tree(c, &t, NULL, text, len);
    if (is_read) {
        if (t.root->kind == YAML_MAP)
            walk_map(&s, t.root, "");
        else if (t.root->kind == YAML_LIST || t.root->text[0] != '\0')
            complain_of(c, t.root, "a map of sections");
    }
    c->is_unread = !is_read && c->wrong > before;
    yaml_tree_clear(&t);
    for (size_t i = 0; i < c->table->row_count; i++)
        c->from[i].line = lines[i];
}

static int read_all(FILE *f, char **out, size_t *len)
{
    size_t room = 64 * 1024, used = 0;
    char *text = malloc(room);
    while (text != NULL) {
        used += fread(text + used, 1, room - used, f);
        if (used < room || used > CONF_FILE_MAX)
            break;
        char *more = realloc(text, room * 2);
        if (more == NULL)
            free(text);
        text = more;
        room *= 2;
    }
    int err = text == NULL ? -ENOMEM : ferror(f) ? -EIO : used > CONF_FILE_MAX ? ERR_TOO_LONG : 0;
    if (err != 0)
        free(text);
    *out = err == 0 ? text : NULL;
    *len = used;
    return err;
}

/* The whole file in memory, or a sentence. */
static char *read_file(struct conf *c, const char *path, size_t *len)
{
    char *text = NULL;
    FILE *f = fopen(path, "re");
    c->file = path;
    int err = f != NULL ? read_all(f, &text, len) : -errno;
    if (f != NULL)
        fclose(f);
    if (err == ERR_TOO_LONG)
        complain(c, 0, NULL, "the file is longer than 16 MiB");
    else if (err != 0) {
        char what[200];
        snprintf(what, sizeof what, "cannot read: %s", err_text(err));
        complain(c, 0, NULL, what);
    }
    return text;
}

void conf_file(struct conf *c, const char *path)
{
    size_t len = 0;
    char *text = read_file(c, path, &len);
    if (text != NULL)
        conf_text(c, path, text, len);
    else
        c->is_unread = true;
    free(text);
}

/* Scalars are taken as they are, so that * and : need no second quoting after the shell's. */
static void set_value(struct scope *s, const struct conf_row *row, const char *value)
{
    const struct yaml_node plain = {.kind = YAML_SCALAR, .text = value};
    bool is_yaml = conf_is_list(row->type) || value[0] == '"' || value[0] == '\'';
    struct yaml_tree t = {0};
    if (!is_yaml)
        read_value(s, row, &plain);
    else if (read_tree(s->conf, &t, s->setting, value, strlen(value)))
        read_value(s, row, t.root);
    else if (t.problem[0] == '\0')
        read_value(s, row, &plain);
    yaml_tree_clear(&t);
}

void conf_set(struct conf *c, const char *setting)
{
    char key[PATH_TEXT], text[500];
    unsigned lines[CONF_ROWS_MAX] = {0};
    struct scope s = {c, c->table->rows, c->table->row_count, c->base, "", lines, setting};
    const char *equals = strchr(setting, '=');
    if (equals == NULL || equals == setting || equals - setting >= PATH_TEXT) {
        /* not beyond a colon: the value may stand there, and in it a password */
        int shown = (int)strcspn(setting, ":");
        snprintf(text, sizeof text, "expected KEY=VALUE, got \"%.*s\"", shown < 100 ? shown : 100,
                 setting);
        complain(c, 0, setting, text);
        return;
    }
    memcpy(key, setting, (size_t)(equals - setting));
    key[equals - setting] = '\0';
    const struct conf_row *row = find_row(&s, key);
    if (row != NULL) {
        set_value(&s, row, equals + 1);
        c->from[row - s.rows].setting = setting;
    } else if (is_section(&s, key)) {
        wrong_at(&s, 0, key, "is a section; set one of its keys");
    } else {
        const struct yaml_node n = {.kind = YAML_SCALAR, .text = ""};
        wrong_key(&s, &n, key);
    }
}

bool conf_is_given(const struct conf *c, const char *key)
{
    for (size_t i = 0; i < c->table->row_count; i++)
        if (strcmp(c->table->rows[i].key, key) == 0)
            return c->from[i].line != 0 || c->from[i].setting != NULL;
    return false;
}

void conf_wrong(struct conf *c, const char *key, const char *format, ...)
{
    char what[700], text[900];
    unsigned line = 0;
    const char *setting = NULL;
    if (c->is_unread)
        return;
    for (size_t i = 0; i < c->table->row_count; i++) {
        if (strcmp(c->table->rows[i].key, key) != 0)
            continue;
        if (c->from[i].is_wrong)
            return;
        line = c->from[i].line, setting = c->from[i].setting;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(text, sizeof text, "%s: %s", key, what);
    complain(c, line, setting, text);
}

int conf_end(struct conf *c)
{
    return c->wrong > 0 ? ERR_CONF : 0;
}

/* ---- files that are one list ---- */

static void list_item(struct conf *c, const struct conf_row *row, const struct yaml_node *n,
                      size_t index, int (*each)(void *arg, const void *record, struct note *why),
                      void *arg)
{
    const struct scope s = {c, row, 1, c->base, "", NULL, NULL};
    if (n->kind != YAML_MAP) {
        complain_of(c, n, "a map");
        return;
    }
    unsigned before = c->wrong;
    read_record(&s, row, n, index, c->base);
    if (c->wrong != before)
        return;
    struct note why = {0};
    int err = each(arg, c->base, &why);
    if (err < 0)
        complain(c, n->line, NULL, why.text[0] != '\0' ? why.text : err_text(err));
}

int conf_list_text(const char *name, const char *text, size_t len, const struct conf_table *table,
                   void *record, size_t record_size,
                   int (*each)(void *arg, const void *record, struct note *why), void *arg,
                   struct note *note)
{
    const struct conf_row row = {.key = "",
                                 .type = CONF_RECORDS,
                                 .item_size = record_size,
                                 .rows = table->rows,
                                 .row_count = table->row_count};
    struct conf c = {.table = table, .base = record, .note = note, .file = name};
    struct yaml_tree t;
    size_t index = 0;
    note_set(note, 0, "%s", "");
    if (read_tree(&c, &t, NULL, text, len)) {
        if (t.root->kind == YAML_LIST)
            for (const struct yaml_node *n = t.root->first; n != NULL && !is_enough(&c);
                 n = n->next)
                list_item(&c, &row, n, index++, each, arg);
        else if (t.root->kind == YAML_MAP || t.root->text[0] != '\0')
            complain_of(&c, t.root, "a list of maps");
    }
    yaml_tree_clear(&t);
    return conf_end(&c);
}

int conf_list(const char *path, const struct conf_table *table, void *record, size_t record_size,
              int (*each)(void *arg, const void *record, struct note *why), void *arg,
              struct note *note)
{
    struct conf c = {.table = table, .note = note};
    size_t len = 0;
    char *text = read_file(&c, path, &len);
    if (text == NULL)
        return ERR_CONF;
    int err = conf_list_text(path, text, len, table, record, record_size, each, arg, note);
    free(text);
    return err;
}
