/* Configuration as a table of rows.
 *
 * A row says everything about one key: its path, type, place in the program's struct, default,
 * range, unit and what it is for. Reading, checking, --set and --explain all walk the same table,
 * so a key cannot be read but not documented, or documented but not read. The manner is Knot's
 * (src/knot/conf/schema.c); the file is YAML, and this folder is the only one that sees libyaml.
 *
 *     conf_begin(&c, &table, &keys, note);      defaults
 *     conf_file(&c, path);                      then the file
 *     conf_set(&c, "penny.max_drops=8");        then what the command line says
 *     if (...) conf_wrong(&c, "penny.mode", …); then what hangs together
 *     return conf_end(&c);
 *
 * Errors do not stop the reading: the note collects one sentence per line, as many as fit, so that
 * --check shows them all. Each says file, line, key, what was expected and what was found. A key
 * that no row has, and a key given twice, are errors: a misspelt key must not silently mean its
 * default. Of YAML we take maps, lists and scalars; anchors, aliases, tags and several documents
 * are refused. Words such as on, off, yes are plain text until their row gives them a meaning.
 *
 * Limits: CONF_FILE_MAX bytes, CONF_DEPTH levels. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shared/base/err.h"

#define CONF_FILE_MAX  (16u << 20) /* an expectation of 100,000 prefixes is about 10 MB */
#define CONF_DEPTH     12
#define CONF_ROWS_MAX  160
#define CONF_WRONG_MAX 20 /* after so many mistakes reading ends */

enum conf_type {
    CONF_TEXT,     /* char[size] */
    CONF_BOOL,     /* bool */
    CONF_UNSIGNED, /* unsigned integer of size 2, 4 or 8 */
    CONF_REAL,     /* double */
    CONF_DURATION, /* uint64_t, ns; written 60s, 500ms, 10m, 1h */
    CONF_SIZE,     /* uint64_t, bytes; written 64MiB, 512KiB, 4096 */
    CONF_WORD,     /* enum (4 bytes): index into words */
    CONF_MAC,      /* uint8_t[6] */
    CONF_PREFIX,   /* struct prefix */
    CONF_PREFIXES, /* struct prefix[], each at most once */
    CONF_TEXTS,    /* char[][item_size] */
    CONF_RECORDS,  /* struct[]: a list of maps, each read by its own rows */
};

struct conf_row {
    const char *key; /* "penny.max_drops"; in a record's rows "vlan" */
    enum conf_type type;
    size_t offset, size;       /* of the member, in bytes: CONF_AT() */
    const char *value;         /* default, as it would be written; NULL: the type's zero */
    double min, max;           /* numbers, durations in ns, sizes in bytes: both included */
    const char *zero;          /* a word that stands for 0 ("all"); NULL: none */
    const char *const *words;  /* CONF_WORD: allowed words, ended by NULL */
    const char *unit;          /* "segments"; NULL: none */
    const char *help;          /* one sentence */
    const char *example;       /* what --explain shows where the default alone would not do */
    bool is_required;          /* records only: every record must have it */
    const char *with, *unless; /* the same: those that have `with`, those that lack `unless` */
    bool is_secret;            /* what stands there is not shown in messages */
    /* lists only */
    size_t item_size;                /* bytes of an element: CONF_LIST() */
    size_t count_offset, count_size; /* the unsigned member that counts the elements */
    const struct conf_row *rows;     /* CONF_RECORDS */
    size_t row_count;
};

#define CONF_AT(type, member) \
    .offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)
#define CONF_LIST(type, member, count)                                     \
    CONF_AT(type, member), .item_size = sizeof(((type *)NULL)->member[0]), \
                           .count_offset = offsetof(type, count),          \
                           .count_size = sizeof(((type *)NULL)->count)

struct conf_table {
    const char *title; /* first line of --explain */
    const struct conf_row *rows;
    size_t row_count; /* at most CONF_ROWS_MAX */
};

/* One reading. All strings borrowed until conf_end. */
struct conf {
    const struct conf_table *table;
    void *base;
    struct note *note; /* may be NULL */
    size_t said;       /* bytes of the note in use */
    unsigned wrong;    /* mistakes so far */
    const char *file;  /* NULL: none was read */
    bool is_unread;    /* it could not be read, or is no YAML: what it says is not known */
    struct {
        unsigned line;       /* in file; 0: not there */
        const char *setting; /* "key=value" that overrode it */
        bool is_wrong;       /* its value was refused: the default stands */
    } from[CONF_ROWS_MAX];
};

/* Writes every row's default into base (which the caller has zeroed). */
void conf_begin(struct conf *c, const struct conf_table *table, void *base, struct note *note);

/* Reads a file; conf_text: the same from memory, name stands for the file in sentences. */
void conf_file(struct conf *c, const char *path);
void conf_text(struct conf *c, const char *name, const char *text, size_t len);

/* One "key=value" of the command line. Scalars are taken as they are, lists in YAML's flow syntax:
 * penny.prefixes=[10.0.0.0/8]. */
void conf_set(struct conf *c, const char *setting);

/* Was the key given, by file or by setting? */
bool conf_is_given(const struct conf *c, const char *key);

/* A mistake of the caller's own finding, with file and line of the key where it was given. Says
 * nothing when the key's value was refused already, or the file could not be read: what stands
 * there is not what was meant. */
void conf_wrong(struct conf *c, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* 0, or ERR_CONF when anything was wrong. */
int conf_end(struct conf *c);

/* Reads a file that is one list of maps (the operator's policy): each map is read into record
 * (zeroed and given its defaults before), then each() is called; its error (a negative number, with
 * a sentence in why) is reported with the map's line. 0 or ERR_CONF. */
int conf_list(const char *path, const struct conf_table *table, void *record, size_t record_size,
              int (*each)(void *arg, const void *record, struct note *why), void *arg,
              struct note *note);
int conf_list_text(const char *name, const char *text, size_t len, const struct conf_table *table,
                   void *record, size_t record_size,
                   int (*each)(void *arg, const void *record, struct note *why), void *arg,
                   struct note *note);

/* The table as commented YAML: every key with what it is for, range, unit and default. What it
 * prints can be loaded. */
void conf_explain(const struct conf_table *table, FILE *out);
