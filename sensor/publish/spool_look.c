#include "sensor/publish/spool_look.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sensor/publish/spool_meta.h"
#include "shared/base/clock.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* An open spool, for reading. */
struct look {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
};

static int damaged(struct note *note, const char *what, uint64_t where)
{
    return note_set(note, ERR_FORMAT, "%s (at %" PRIu64 ")", what, where);
}

/* What LMDB says: its own errors mean damage, and so does a disk that cannot be read. */
static int lmdb_error(struct note *note, int rc)
{
    int err = rc > 0 && rc != EIO && rc != EINVAL ? -rc : ERR_FORMAT;
    return note_set(note, err, "%s", mdb_strerror(rc));
}

/* ---- opening ---- */

static void look_close(struct look *l)
{
    if (l->txn != NULL)
        mdb_txn_abort(l->txn);
    if (l->env != NULL)
        mdb_env_close(l->env);
    *l = (struct look){0};
}

/* Without LMDB's lock file nobody has the spool open; one that we made would be ours, and shut out
 * the sensor's user. */
static bool is_unlocked(const char *folder)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.4000s/lock.mdb", folder);
    return access(path, F_OK) != 0;
}

/* is_alone: nobody writes meanwhile (the sensor that asks has the lock), so that LMDB's own lock
 * file, which may be damaged too, is left alone. */
static int look_open(struct look *l, const char *folder, bool is_alone, struct note *note)
{
    is_alone |= is_unlocked(folder);
    *l = (struct look){0};
    int rc = mdb_env_create(&l->env);
    if (rc == 0)
        rc = mdb_env_open(l->env, folder, MDB_RDONLY | MDB_NOTLS | (is_alone ? MDB_NOLOCK : 0),
                          0600);
    if (rc == 0)
        rc = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &l->txn);
    if (rc == 0)
        rc = mdb_dbi_open(l->txn, NULL, 0, &l->dbi);
    return rc == 0 ? 0 : lmdb_error(note, rc);
}

/* ---- looking ---- */

/* Pages that the file must have are there; the rest of LMDB counts on it. */
static int look_at_length(struct look *l, const char *folder, struct spool_summary *out,
                          struct note *note)
{
    char path[PATH_MAX];
    struct stat file;
    MDB_stat st;
    MDB_envinfo info;
    snprintf(path, sizeof path, "%.4000s/data.mdb", folder);
    int rc = mdb_env_stat(l->env, &st);
    if (rc == 0)
        rc = mdb_env_info(l->env, &info);
    if (rc != 0)
        return lmdb_error(note, rc);
    if (stat(path, &file) != 0) /* after what a writer may have changed meanwhile */
        return note_set(note, -errno, "%s: %s", path, strerror(errno));
    out->file = (uint64_t)file.st_size;
    out->used = (st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages) * st.ms_psize;
    if (st.ms_psize < 256 || st.ms_psize > 65536 || (st.ms_psize & (st.ms_psize - 1)) != 0)
        return damaged(note, "impossible page size", st.ms_psize);
    if (info.me_last_pgno >= out->file / st.ms_psize)
        return damaged(note, "the file is cut short", out->file);
    return 0;
}

static int look_at_meta(const MDB_val *v, struct spool_meta *m, struct spool_summary *out,
                        struct note *note)
{
    memset(m, 0, sizeof *m);
    if (v->mv_size < sizeof m->format)
        return damaged(note, "what the spool knows of itself is cut short", v->mv_size);
    memcpy(&m->format, v->mv_data, sizeof m->format);
    if (m->format > SPOOL_FORMAT)
        return note_set(note, ERR_VERSION,
                        "it has format %" PRIu32 ", this program knows %d: use the newer release "
                        "until it is empty",
                        m->format, SPOOL_FORMAT);
    if (v->mv_size != sizeof *m)
        return damaged(note, "what the spool knows of itself has the wrong length", v->mv_size);
    memcpy(m, v->mv_data, sizeof *m);
    if (m->check != spool_meta_check(m))
        return damaged(note, "what the spool knows of itself fails its checksum", 0);
    if (m->acked >= m->next || m->unsent > m->next || m->base > m->acked || m->is_alone > 1 ||
        m->sensor[sizeof m->sensor - 1] != '\0')
        return damaged(note, "what the spool knows of itself contradicts itself", 0);
    out->exists = true;
    out->format = m->format;
    memcpy(out->sensor, m->sensor, sizeof out->sensor);
    out->epoch = m->epoch;
    out->base = m->base;
    out->acked = m->acked - m->base;
    out->next = out->first = m->next - m->base;
    out->holes = m->next - 1 - m->acked; /* less what is there */
    return 0;
}

/* When the record's first event happened. */
static int64_t time_of(const struct record *r)
{
    struct event e;
    size_t used;
    return wire_event_decode(r->events, r->len, &e, &used) == 0 ? e.at : 0;
}

static void add_up(const struct record *r, const struct spool_meta *m, struct spool_summary *out)
{
    if (out->records++ == 0) {
        struct record run;
        if (record_run(r, m->acked + 1, &run))
            out->first = run.first - m->base;
        out->oldest_at = time_of(r);
    }
    for (uint32_t i = 0; i < r->count; i++) {
        enum event_class class;
        uint32_t len = record_event(r, i, &class);
        if (class == CLASS_GONE)
            continue;
        out->events[class]++;
        out->bytes[class] += len;
        out->holes -= r->first + i > m->acked;
    }
}

/* A walk over all entries. */
struct walk {
    struct spool_meta meta;
    uint64_t end; /* position after the last record */
    struct spool_summary *out;
};

static int look_at_record(struct walk *w, uint64_t position, const MDB_val *v, struct note *note)
{
    struct record r;
    if (position < MAX(w->end, 1))
        return damaged(note, "records are out of order", position);
    if (record_read(position, v->mv_data, v->mv_size, &r) != 0)
        return damaged(note, "a record has the wrong form", position);
    if (!record_is_sound(&r, v->mv_data))
        return damaged(note, "a record fails its checksum", position);
    w->end = r.first + r.count;
    if (w->end > w->meta.next)
        return damaged(note, "a record that was never committed", position);
    if (w->end - 1 <= w->meta.acked) /* only not deleted yet */
        return 0;
    add_up(&r, &w->meta, w->out);
    return 0;
}

static int look_at_entry(struct walk *w, const MDB_val *k, const MDB_val *v, struct note *note)
{
    uint64_t position;
    if (!spool_key_read(k, &position))
        return damaged(note, "a key has the wrong length", k->mv_size);
    if (w->out->exists)
        return look_at_record(w, position, v, note);
    return position == 0 ? look_at_meta(v, &w->meta, w->out, note)
                         : damaged(note, "records, and nothing about them", position);
}

static int look_at_entries(struct look *l, struct spool_summary *out, struct note *note)
{
    struct walk w = {.out = out};
    MDB_cursor *at;
    MDB_val k, v;
    int err = 0, rc = mdb_cursor_open(l->txn, l->dbi, &at);
    if (rc != 0)
        return lmdb_error(note, rc);
    while (err == 0 && (rc = mdb_cursor_get(at, &k, &v, MDB_NEXT)) == 0)
        err = look_at_entry(&w, &k, &v, note);
    mdb_cursor_close(at);
    if (err == 0 && rc != 0 && rc != MDB_NOTFOUND)
        return lmdb_error(note, rc);
    return err;
}

/* Pages that LMDB may write to next: each within the file, none named twice. */
static int look_at_free_list(const MDB_val *v, uint64_t pages, uint8_t *seen, uint64_t *count,
                             struct note *note)
{
    size_t n, page;
    const uint8_t *list = v->mv_data;
    if (v->mv_size < sizeof n)
        return damaged(note, "a list of free pages is cut short", v->mv_size);
    memcpy(&n, list, sizeof n);
    if (n > v->mv_size / sizeof n - 1)
        return damaged(note, "a list of free pages is longer than it can be", n);
    for (size_t i = 1; i <= n; i++) {
        memcpy(&page, list + i * sizeof page, sizeof page);
        if (page < 2 || page >= pages || (seen[page / 8] & 1 << page % 8) != 0)
            return damaged(note, "a free page that cannot be one", page);
        seen[page / 8] |= (uint8_t)(1 << page % 8);
    }
    *count += n;
    return 0;
}

static int look_at_free(struct look *l, struct note *note)
{
    const MDB_dbi free_pages = 0; /* as LMDB's own mdb_stat does */
    MDB_cursor *at;
    MDB_val k, v;
    MDB_stat st[2];
    MDB_envinfo info;
    int err = 0, rc = mdb_cursor_open(l->txn, free_pages, &at);
    if (rc != 0)
        return lmdb_error(note, rc);
    if (mdb_env_info(l->env, &info) != 0 || mdb_stat(l->txn, free_pages, &st[0]) != 0 ||
        mdb_stat(l->txn, l->dbi, &st[1]) != 0)
        return damaged(note, "LMDB cannot say how long it is", 0);
    uint64_t pages = info.me_last_pgno + 1, count = 2;
    uint8_t *seen = calloc(pages / 8 + 1, 1);
    if (seen == NULL)
        err = note_set(note, -ENOMEM, "no memory");
    while (err == 0 && (rc = mdb_cursor_get(at, &k, &v, MDB_NEXT)) == 0)
        err = look_at_free_list(&v, pages, seen, &count, note);
    for (int i = 0; i < 2; i++)
        count += st[i].ms_branch_pages + st[i].ms_leaf_pages + st[i].ms_overflow_pages;
    if (err == 0 && count > pages)
        err = damaged(note, "more pages are free and in use than there are", count);
    free(seen);
    mdb_cursor_close(at);
    return err;
}

static int look_at_all(const char *folder, bool is_alone, struct spool_summary *out,
                       struct note *note)
{
    struct look l;
    *out = (struct spool_summary){.exists = false};
    int err = look_open(&l, folder, is_alone, note);
    if (err == 0)
        err = look_at_length(&l, folder, out, note);
    /* beside a writer the list of free pages is another's: no lock keeps it still */
    if (err == 0 && is_alone)
        err = look_at_free(&l, note);
    if (err == 0)
        err = look_at_entries(&l, out, note);
    look_close(&l);
    return err;
}

/* ---- in a child ---- */

struct answer {
    int err;
    struct spool_summary summary;
    struct note note;
};

/* By which a damaged spool ends who reads it. */
static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

static void child(int fd, const char *folder, bool is_alone)
{
    static struct answer a;
    /* not the lock of who asks: should that be killed meanwhile, the next one must not wait for us
     */
    close_range(3, (unsigned)fd - 1, 0);
    close_range((unsigned)fd + 1, ~0u, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* a crash here is an answer, no accident */
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        signal(crashes[i], SIG_DFL);
    a.err = look_at_all(folder, is_alone, &a.summary, &a.note);
    ssize_t written = write(fd, &a, sizeof a); /* less than a pipe holds: at once, or not at all */
    _exit(written == sizeof a ? 0 : 1);
}

static bool hear(int fd, struct answer *a)
{
    size_t have = 0;
    while (have < sizeof *a) {
        ssize_t n = read(fd, (char *)a + have, sizeof *a - have);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        have += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* The child said nothing. Another's signal (memory was short, say) tells nothing about the spool:
 * it must not be set aside for it. */
static int silent(int status, struct note *note)
{
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        if (signal == crashes[i])
            return damaged(note, "reading it crashes, signal", (uint64_t)signal);
    return note_set(note, -ECANCELED,
                    "the process that looked at it was ended by signal %d before it could say "
                    "anything: start again",
                    signal);
}

static int look_in_child(const char *folder, bool is_alone, struct spool_summary *out,
                         struct note *note)
{
    struct answer a;
    int pipe_fd[2], status = 0;
    if (pipe2(pipe_fd, O_CLOEXEC) != 0)
        return note_set(note, -errno, "no pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        child(pipe_fd[1], folder, is_alone);
    int failed = errno;
    close(pipe_fd[1]);
    bool is_heard = pid > 0 && hear(pipe_fd[0], &a);
    close(pipe_fd[0]);
    if (pid < 0)
        return note_set(note, -failed, "no process to look at it: %s", strerror(failed));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!is_heard)
        return silent(status, note);
    *out = a.summary;
    return a.err == 0 ? 0 : note_set(note, a.err, "%s", a.note.text);
}

int spool_look(const char *state_dir, struct spool_summary *out, struct note *note)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%.4000s/spool", state_dir);
    return look_in_child(folder, true, out, note);
}

/* ---- the command ---- */

static const char *const class_names[CLASS_COUNT] = {"tallies", "windows and flows", "status",
                                                     "tests and drops"};

static void print_age(int64_t at)
{
    char text[TIME_TEXT];
    double age = (double)(clock_wall_ns() - at) / 1e9;
    if (at != 0)
        printf("oldest      %s, %.0f s ago\n", time_format(at, text), age > 0 ? age : 0);
}

static int show(const char *folder, struct note *note)
{
    struct spool_summary s;
    uint64_t events = 0;
    int err = look_in_child(folder, false, &s, note);
    if (err != 0)
        return err;
    if (!s.exists) {
        printf("%s: nothing was ever committed\n", folder);
        return 0;
    }
    for (int c = 0; c < CLASS_COUNT; c++)
        events += s.events[c];
    printf("spool       %s\nsensor      %s\nepoch       %" PRIu64 "\n", folder, s.sensor, s.epoch);
    printf("first_seq   %" PRIu64 "\nnext_seq    %" PRIu64 "\n", s.first, s.next);
    printf("held        %" PRIu64 " events in %" PRIu64 " batches\n", events, s.records);
    printf("given up    %" PRIu64 " numbers since the last acknowledged, %" PRIu64 "\n", s.holes,
           s.acked);
    print_age(s.oldest_at);
    printf("disk        %" PRIu64 " bytes in use, file of %" PRIu64 "\n\n", s.used, s.file);
    printf("%-20s %12s %14s\n", "events", "count", "bytes");
    for (int c = 0; c < CLASS_COUNT; c++)
        printf("%-20s %12" PRIu64 " %14" PRIu64 "\n", class_names[c], s.events[c], s.bytes[c]);
    return 0;
}

static int check(const char *folder, struct note *note)
{
    struct spool_summary s;
    uint64_t events = 0;
    int err = look_in_child(folder, false, &s, note);
    for (int c = 0; err == 0 && c < CLASS_COUNT; c++)
        events += s.events[c];
    if (err == 0)
        printf("%s is sound: %" PRIu64 " events of sensor %s, epoch %" PRIu64 "\n", folder, events,
               s.sensor, s.epoch);
    return err;
}

/* False: some event cannot be read. */
static bool print_record(const struct record *r, uint64_t epoch, uint64_t base)
{
    size_t used, at = 0, len;
    bool is_readable = true;
    for (uint32_t i = 0; i < r->count; i++, at += len) {
        struct event e;
        enum event_class class;
        len = record_event(r, i, &class);
        if (class == CLASS_GONE)
            continue;
        int err = wire_event_decode(r->events + at, len, &e, &used);
        e.epoch = epoch;
        e.seq = r->first + i - base;
        if (err == 0)
            event_print(stdout, &e);
        is_readable &= err == 0;
    }
    return is_readable;
}

/* The next record at or after a position, copied: 1, 0, or an error. The transaction is short, for
 * while one lasts no page that it sees can be used again: who pages through an export must not fill
 * up the spool. */
static int copy_next(struct look *l, uint64_t position, uint8_t *copy, struct record *r,
                     struct note *note)
{
    struct spool_key key = spool_key(position);
    MDB_val k = spool_key_val(&key), v;
    MDB_cursor *at;
    uint64_t first;
    int rc = mdb_txn_renew(l->txn);
    if (rc != 0)
        return lmdb_error(note, rc);
    rc = mdb_cursor_open(l->txn, l->dbi, &at);
    if (rc == 0) {
        rc = mdb_cursor_get(at, &k, &v, MDB_SET_RANGE);
        mdb_cursor_close(at);
    }
    int got = rc == MDB_NOTFOUND ? 0 : rc == 0 ? 1 : lmdb_error(note, rc);
    if (got == 1 && v.mv_size <= RECORD_MAX)
        memcpy(copy, v.mv_data, v.mv_size);
    mdb_txn_reset(l->txn);
    if (got == 1 && (!spool_key_read(&k, &first) || v.mv_size > RECORD_MAX ||
                     record_read(first, copy, v.mv_size, r) != 0 || !record_is_sound(r, copy)))
        return damaged(note, "a record", position);
    return got;
}

static int export_all(const char *folder, const struct spool_summary *s, struct note *note)
{
    static uint8_t copy[RECORD_MAX];
    struct look l;
    struct record r;
    bool is_readable = true;
    uint64_t position = s->base + s->first;
    int got = look_open(&l, folder, false, note);
    if (got == 0) {
        mdb_txn_reset(l.txn);
        while ((got = copy_next(&l, position, copy, &r, note)) == 1 && !ferror(stdout)) {
            is_readable &= print_record(&r, s->epoch, s->base);
            position = r.first + r.count;
        }
    }
    look_close(&l);
    if (got >= 0 && !is_readable)
        return note_set(note, ERR_FORMAT, "some events cannot be read by this release");
    return got < 0 ? got : 0;
}

/* In this process: the child has found the spool sound. */
static int export(const char *folder, struct note *note)
{
    struct spool_summary s;
    int err = look_in_child(folder, false, &s, note);
    if (err == 0 && s.exists)
        err = export_all(folder, &s, note);
    if (err == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        err = note_set(note, ERR_TRUNCATED, "standard output could not be written");
    return err;
}

int spool_command(const char *what, const char *state_dir)
{
    static const struct {
        const char *word;
        int (*run)(const char *folder, struct note *note);
    } commands[] = {{"show", show}, {"check", check}, {"export", export}};
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%.4000s/spool", state_dir);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct note note = {0};
        if (strcmp(what, commands[i].word) != 0)
            continue;
        int err = commands[i].run(folder, &note);
        if (err != 0)
            fprintf(stderr, "penstock-sensor: %s: %s\n", folder, note.text);
        return err == 0 ? 0 : 1;
    }
    fprintf(stderr, "penstock-sensor: --spool: expected show, check or export, got \"%s\"\n", what);
    return 2;
}
