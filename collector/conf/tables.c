#include "collector/conf/tables.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "collector/conf/vrps_file.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define LOOK_NS  NS_PER_S
#define REST_NS  ((int64_t)(3 * NS_PER_S)) /* coarser than any file system's clock that we know */
#define AGAIN_NS ((int64_t)(3600 * NS_PER_S)) /* VRPs expire */

/* A table that has lost more than half of what it had is one that nobody has filled yet: a router
 * that has just started writes what it has, and "no path" for all the rest would be an alert for
 * each prefix. Small ones may come and go. */
#define SHRINKS_AT 1000

/* A file that does not rest for so many looks is waited for no longer at the start. */
#define LOOKS_MAX 5

/* Enough to tell a file from what it was. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    int64_t changed_at;
};

enum which { RIB, VRPS, FILES };
static const char *const word[FILES] = {"rib", "vrps"};
static const char *const refused[FILES] = {"event=rib_refused", "event=vrps_refused"};
static const char *const lines_refused[FILES] = {"event=rib_lines_refused",
                                                 "event=vrps_lines_refused"};
static const char *const shrunk[FILES] = {"event=rib_shrunk", "event=vrps_shrunk"};
static const char *const away[FILES] = {"event=rib_away", "event=vrps_away"};

struct file {
    enum which which;
    struct stamp seen;    /* at the last look */
    struct stamp settled; /* as it was read, or refused, last */
    int64_t settled_at;
    int64_t shrunk_at; /* first refused for having shrunk; 0: it was not */
    bool is_meant;     /* a person asked for it: however small it is */
    bool is_seen, is_settled;
    bool is_away;   /* said already */
    unsigned looks; /* so far */
    /* while it is read; the thread's own until is_done */
    bool is_reading;
    pthread_t thread;
    struct rib_conf rib; /* path and all; of VRPs only the path */
    int64_t now;
    atomic_bool is_done;
    const atomic_bool *stop;
    int err;
    void *table;
    struct lines lines;
    struct note note;
};

struct tables {
    struct tables_conf conf;
    struct file files[FILES];
    void *table[FILES]; /* those in use */
    int64_t written_at[FILES];
    bool is_rib_stale;
    atomic_bool stop;
    uint64_t looked_at;
};

static void table_free(enum which which, void *table)
{
    if (which == RIB)
        rib_free(table);
    else
        vrps_free(table);
}

static size_t size_of(enum which which, const void *table)
{
    if (table == NULL)
        return 0;
    return which == RIB ? rib_prefixes(table) : vrps_count(table);
}

static const char *path_of(const struct tables *t, enum which which)
{
    return which == RIB ? t->conf.rib.path : t->conf.vrps;
}

int tables_open(const struct tables_conf *conf, struct tables **out)
{
    struct tables *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < FILES; i++) {
        t->files[i].which = (enum which)i;
        t->files[i].stop = &t->stop;
    }
    t->conf = *conf;
    *out = t;
    return 0;
}

static void end_reading(struct file *f)
{
    pthread_join(f->thread, NULL);
    f->is_reading = false;
}

void tables_close(struct tables *t)
{
    if (t == NULL)
        return;
    atomic_store(&t->stop, true);
    for (unsigned i = 0; i < FILES; i++) {
        struct file *f = &t->files[i];
        if (f->is_reading) {
            end_reading(f);
            table_free(f->which, f->table);
        }
        table_free(f->which, t->table[i]);
    }
    free(t);
}

void tables_again(struct tables *t, const struct tables_conf *conf)
{
    t->conf = *conf;
    for (unsigned i = 0; i < FILES; i++) {
        t->files[i].is_settled = t->files[i].is_away = false;
        t->files[i].is_meant = true;
    }
    t->looked_at = 0;
}

/* ---- reading, in a thread ---- */

static void read_file(struct file *f)
{
    if (f->which == RIB) {
        struct rib *rib = NULL;
        f->err = rib_load(&f->rib, f->stop, &rib, &f->lines, &f->note);
        f->table = rib;
    } else {
        struct vrps *vrps = NULL;
        f->err = vrps_load(f->rib.path, f->now, &vrps, &f->lines, &f->note);
        f->table = vrps;
    }
}

static void *read_apart(void *arg)
{
    struct file *f = arg;
    read_file(f);
    atomic_store(&f->is_done, true);
    return NULL;
}

static void start(struct tables *t, struct file *f, int64_t now)
{
    f->rib = t->conf.rib;
    memcpy(f->rib.path, path_of(t, f->which), sizeof f->rib.path);
    f->now = now;
    f->settled = f->seen;
    f->note.text[0] = '\0';
    f->table = NULL;
    atomic_store(&f->is_done, false);
    f->is_reading = pthread_create(&f->thread, NULL, read_apart, f) == 0;
}

static bool stamp_of(const char *path, struct stamp *out)
{
    struct stat is;
    if (stat(path, &is) < 0)
        return false;
    *out = (struct stamp){.device = is.st_dev,
                          .inode = is.st_ino,
                          .size = is.st_size,
                          .changed_at =
                              (int64_t)is.st_mtim.tv_sec * (int64_t)NS_PER_S + is.st_mtim.tv_nsec};
    return true;
}

static bool stamp_equal(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed_at == b->changed_at;
}

/* ---- what became of it ---- */

static void tell(const struct file *f)
{
    char reason[sizeof f->note.text], why[sizeof f->lines.why];
    if (f->err < 0) {
        log_error("%s reason=\"%s\" hint=\"what was read before stays\"", refused[f->which],
                  log_quotable(f->note.text, reason, sizeof reason));
        return;
    }
    if (f->which == RIB)
        log_info("event=rib_read prefixes=%zu sets_of_paths=%zu lines=%zu refused=%zu",
                 rib_prefixes(f->table), rib_sets(f->table), f->lines.taken, f->lines.refused);
    else
        log_info("event=vrps_read payloads=%zu expired=%zu refused=%zu", vrps_count(f->table),
                 f->lines.passed, f->lines.refused);
    if (f->lines.refused > 0)
        log_warn("%s count=%zu first=%zu reason=\"%s\"", lines_refused[f->which], f->lines.refused,
                 f->lines.first, log_quotable(f->lines.why, why, sizeof why));
}

/* What it has lost may come back within the hour; after that it is how it is. */
static bool has_shrunk(struct tables *t, struct file *f, int64_t now)
{
    size_t had = size_of(f->which, t->table[f->which]), has = size_of(f->which, f->table);
    bool is_small = !f->is_meant && had >= SHRINKS_AT && has < had / 2;
    if (!is_small || (f->shrunk_at != 0 && now - f->shrunk_at > AGAIN_NS)) {
        f->shrunk_at = 0;
        return false;
    }
    if (f->shrunk_at == 0 || now < f->shrunk_at)
        f->shrunk_at = now;
    log_error("%s had=%zu has=%zu hint=\"what was read before stays for an hour, or until SIGHUP\"",
              shrunk[f->which], had, has);
    return true;
}

/* True: the table is to be used. */
static bool finish(struct tables *t, struct file *f, int64_t now)
{
    struct stamp is;
    end_reading(f);
    bool is_same = strcmp(f->rib.path, path_of(t, f->which)) == 0 && stamp_of(f->rib.path, &is) &&
                   stamp_equal(&is, &f->settled);
    if (!is_same) { /* it is being written, or another one is wanted by now */
        table_free(f->which, f->table);
        f->is_seen = false;
        return false;
    }
    f->is_settled = true;
    f->settled_at = now;
    if (f->err == 0 && has_shrunk(t, f, now)) {
        table_free(f->which, f->table);
        return false;
    }
    tell(f);
    f->is_meant &= f->err < 0;
    return f->err == 0;
}

static void look_at(struct tables *t, struct file *f, int64_t now)
{
    struct stamp is;
    f->looks++;
    if (!stamp_of(path_of(t, f->which), &is)) {
        if (!f->is_away)
            log_error("%s path=\"%s\" reason=\"%s\" hint=\"what was read before stays\"",
                      away[f->which], path_of(t, f->which), err_text(-errno));
        f->is_away = true;
        f->is_seen = false;
        return;
    }
    f->is_away = false;
    bool rests = (f->is_seen && stamp_equal(&is, &f->seen)) || now - is.changed_at > REST_NS;
    f->seen = is;
    f->is_seen = true;
    bool is_old = (f->which == VRPS && now - f->settled_at > AGAIN_NS) ||
                  (f->shrunk_at != 0 && now - f->shrunk_at > AGAIN_NS);
    if (rests && (!f->is_settled || is_old || !stamp_equal(&is, &f->settled)))
        start(t, f, now);
}

static void use(struct tables *t, enum which which, void *table, struct expect *expect)
{
    if (which == RIB)
        expect->rib = table;
    else
        expect->vrps = table;
    table_free(which, t->table[which]);
    t->table[which] = table;
    t->written_at[which] = table == NULL ? 0 : t->files[which].settled.changed_at;
}

struct tables_use tables_in_use(const struct tables *t)
{
    return (struct tables_use){.rib_prefixes = size_of(RIB, t->table[RIB]),
                               .vrps = size_of(VRPS, t->table[VRPS]),
                               .is_rib_stale = t->is_rib_stale,
                               .rib_written_at = t->written_at[RIB],
                               .vrps_written_at = t->written_at[VRPS]};
}

/* A file that nobody writes any more: what it has is believed, what it lacks may be new. */
static bool rib_ages(struct tables *t, int64_t now, struct expect *expect)
{
    int64_t written_at = t->written_at[RIB], age = now - written_at;
    uint64_t most = t->conf.rib_max_age_ns;
    bool is_stale = written_at != 0 && most != 0 && age > 0 && (uint64_t)age > most;
    bool is_new = is_stale != t->is_rib_stale;
    if (is_new && is_stale)
        log_warn("event=rib_stale written_s_ago=%" PRId64
                 " path=\"%s\" hint=\"nobody writes it: that "
                 "it has no path counts no more (policy.rib_max_age)\"",
                 age / (int64_t)NS_PER_S, t->conf.rib.path);
    t->is_rib_stale = expect->is_rib_stale = is_stale;
    expect->rib_written_at = written_at;
    return is_new;
}

bool tables_look(struct tables *t, uint64_t mono_ns, int64_t now, struct expect *expect)
{
    bool is_new = false, is_due = t->looked_at == 0 || mono_ns - t->looked_at >= LOOK_NS;
    for (unsigned i = 0; i < FILES; i++) {
        struct file *f = &t->files[i];
        if (f->is_reading) {
            if (atomic_load(&f->is_done) && finish(t, f, now)) {
                use(t, f->which, f->table, expect);
                is_new = true;
            }
        } else if (path_of(t, f->which)[0] == '\0') {
            is_new |= t->table[i] != NULL;
            use(t, f->which, NULL, expect);
        } else if (is_due) {
            look_at(t, f, now);
        }
    }
    if (is_due)
        t->looked_at = mono_ns;
    return rib_ages(t, now, expect) || is_new;
}

bool tables_are_read(const struct tables *t)
{
    for (unsigned i = 0; i < FILES; i++) {
        const struct file *f = &t->files[i];
        bool is_given_up = f->looks > LOOKS_MAX && !f->is_reading;
        if (path_of(t, (enum which)i)[0] != '\0' && !f->is_settled && !f->is_away && !is_given_up)
            return false;
    }
    return true;
}

int tables_check(const struct tables_conf *conf, int64_t now, struct note *note)
{
    struct tables t = {.conf = *conf};
    int err = 0;
    for (unsigned i = 0; err == 0 && i < FILES; i++) {
        struct file f = {.which = (enum which)i, .rib = conf->rib, .now = now};
        memcpy(f.rib.path, path_of(&t, f.which), sizeof f.rib.path);
        if (f.rib.path[0] == '\0')
            continue;
        read_file(&f);
        err = f.err;
        if (err < 0)
            note_set(note, err, "policy.%s: %s", word[i], f.note.text);
        table_free(f.which, f.table);
    }
    return err;
}
