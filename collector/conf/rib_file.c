#include "collector/conf/rib_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collector/conf/child.h"
#include "collector/conf/rib_line.h"
#include "shared/base/clock.h"

struct reading {
    const struct rib_conf *conf;
    struct rib_builder *builder;
    struct lines *lines;
    struct line_feed feed;
};

static int take_line(void *arg, const char *line, size_t len, size_t number)
{
    struct reading *r = arg;
    struct rib_entry entry;
    const char *why;
    int answer = rib_line_parse(line, len, r->conf->own_as, &entry, &why);
    if (answer < 0) {
        lines_refuse(r->lines, number, why);
        return 0;
    }
    if (answer == RIB_LINE_NOTHING) {
        r->lines->passed++;
        return 0;
    }
    r->lines->taken++;
    return rib_builder_add(r->builder, &entry);
}

static int take_bytes(void *arg, const char *bytes, size_t len)
{
    struct reading *r = arg;
    return line_feed(&r->feed, bytes, len);
}

/* bgpdump's own word for a file that ends within a record. */
#define CUT_OFF "incomplete"

static int read_mrt(struct reading *r, const atomic_bool *stop, struct note *note)
{
    const char *const argv[] = {"bgpdump", "-v", "-m", "--", r->conf->path, NULL};
    char said[CHILD_SAID];
    int err = child_read(argv, r->conf->timeout_ns, stop, CUT_OFF, take_bytes, r, said, note);
    if (err == 0 && strstr(said, CUT_OFF) != NULL)
        err = note_set(note, ERR_CONF, "the file ends within a record: %s", said);
    else if (err == 0 && r->lines->taken + r->lines->refused == 0)
        err = note_set(note, ERR_CONF, "bgpdump finds no route in it%s%s",
                       said[0] != '\0' ? ": " : "", said);
    return err;
}

static int read_text(struct reading *r, FILE *file, const atomic_bool *stop, struct note *note)
{
    char bytes[65536];
    int err = 0;
    uint64_t until = clock_mono_ns() + r->conf->timeout_ns;
    for (size_t len; err == 0 && (len = fread(bytes, 1, sizeof bytes, file)) > 0;) {
        err = take_bytes(r, bytes, len);
        if (err == 0 && clock_mono_ns() >= until)
            err = note_set(note, ERR_CONF, "reading it takes longer than it may");
        if (err == 0 && stop != NULL && atomic_load(stop))
            err = ERR_END;
    }
    return err == 0 && ferror(file) ? note_set(note, ERR_CONF, "cannot read it") : err;
}

/* bgpdump goes by the name. */
static bool is_misnamed(const char *path, const char *start)
{
    const char *suffix = start[0] == 0x1f && (unsigned char)start[1] == 0x8b ? ".gz"
                         : memcmp(start, "BZh", 3) == 0                      ? ".bz2"
                                                                             : "";
    size_t len = strlen(path), n = strlen(suffix);
    return len < n || strcmp(path + len - n, suffix) != 0;
}

static bool starts_as_text(const char *start, size_t len)
{
    return len >= 6 && (memcmp(start, "TABLE_", 6) == 0 || memcmp(start, "BGP4MP", 6) == 0);
}

bool rib_is_text(const char *path)
{
    char start[6];
    FILE *file = fopen(path, "re");
    size_t len = file == NULL ? 0 : fread(start, 1, sizeof start, file);
    if (file != NULL)
        fclose(file);
    return starts_as_text(start, len);
}

static int read_file(struct reading *r, const atomic_bool *stop, struct note *note)
{
    char start[6] = "";
    FILE *file = fopen(r->conf->path, "re");
    if (file == NULL)
        return note_set(note, ERR_CONF, "cannot read: %s", strerror(errno));
    size_t len = fread(start, 1, sizeof start, file);
    bool is_text = starts_as_text(start, len);
    rewind(file);
    int err = is_misnamed(r->conf->path, start)
                  ? note_set(note, ERR_CONF, "compressed, but not named .gz or .bz2")
              : len == 0 ? note_set(note, ERR_CONF, "empty, or no file")
              : is_text  ? read_text(r, file, stop, note)
                         : read_mrt(r, stop, note);
    fclose(file);
    int end = line_feed_end(&r->feed);
    if (err == 0 && end < 0)
        err = note_set(note, ERR_CONF, "the file ends within a line");
    return err;
}

static int explain(const struct rib_conf *conf, int err, struct note *note)
{
    struct note why = *note;
    if (err == ERR_FULL)
        return note_set(note, ERR_CONF,
                        "%s: more than %llu paths; policy.max_paths can be made larger", conf->path,
                        (unsigned long long)conf->max_paths);
    return note_set(note, err, "%s: %s", conf->path,
                    why.text[0] != '\0' ? why.text : err_text(err));
}

int rib_load(const struct rib_conf *conf, const atomic_bool *stop, struct rib **out,
             struct lines *lines, struct note *note)
{
    struct reading r = {.conf = conf, .lines = lines};
    r.feed = (struct line_feed){.each = take_line, .arg = &r};
    *out = NULL;
    *lines = (struct lines){0};
    int err = rib_builder_new(conf->max_paths, &r.builder);
    if (err == 0)
        err = read_file(&r, stop, note);
    if (err < 0) {
        err = explain(conf, err, note);
    } else {
        err = lines_judge(lines, conf->path, "line", note);
        if (err == 0)
            err = rib_builder_finish(r.builder, out);
    }
    rib_builder_free(r.builder);
    return err;
}
