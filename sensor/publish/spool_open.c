#include "sensor/publish/spool_inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/publish/spool_look.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

void spool_close_env(struct spool *s)
{
    if (s->env == NULL)
        return;
    spool_stop_reading(s);
    if (s->at != NULL)
        mdb_cursor_close(s->at);
    if (s->read != NULL)
        mdb_txn_abort(s->read);
    mdb_env_close(s->env);
    s->env = NULL;
    s->at = NULL;
    s->read = NULL;
}

static void begin_books(struct books *b, const char *sensor)
{
    struct spool_meta *m = &b->meta;
    memset(m, 0, sizeof *m);
    m->format = SPOOL_FORMAT;
    m->epoch = (uint64_t)MAX(clock_wall_ns(), 1);
    m->next = m->unsent = 1;
    snprintf(m->sensor, sizeof m->sensor, "%s", sensor);
}

/* A spool that was never committed to gets its first books. */
static int read_books(struct spool *s, const char *sensor)
{
    struct spool_key key = spool_key(0);
    MDB_val k = spool_key_val(&key), v;
    struct work w;
    int rc = spool_work_begin(s, &w);
    if (rc != 0)
        return rc;
    rc = mdb_get(w.txn, s->dbi, &k, &v);
    if (rc == 0 && v.mv_size == sizeof w.books.meta) {
        memcpy(&w.books.meta, v.mv_data, sizeof w.books.meta);
        if (w.books.meta.check != spool_meta_check(&w.books.meta))
            rc = MDB_CORRUPTED;
    } else if (rc == MDB_NOTFOUND && sensor != NULL) {
        begin_books(&w.books, sensor);
        rc = spool_put_meta(&w);
    } else if (rc == 0) {
        rc = MDB_CORRUPTED;
    }
    if (rc == 0)
        rc = spool_records_bytes(&w, &w.books.stats.bytes);
    return spool_work_end(&w, rc);
}

static int open_database(struct spool *s)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, NULL, 0, &s->dbi);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = mdb_txn_commit(txn);
    if (rc == 0)
        rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->read);
    if (rc == 0)
        rc = mdb_cursor_open(s->read, s->dbi, &s->at);
    if (rc == 0)
        mdb_txn_reset(s->read);
    return rc;
}

int spool_open_env(struct spool *s)
{
    MDB_stat st;
    int dead, rc = mdb_env_create(&s->env);
    if (rc != 0) {
        s->env = NULL;
        return rc;
    }
    rc = mdb_env_set_mapsize(s->env, s->limit);
    /* MDB_NOTLS: the reading transaction is the thread's that uses it, not the opener's */
    if (rc == 0)
        rc = mdb_env_open(s->env, s->place.folder,
                          MDB_NOTLS | (s->place.is_own ? MDB_NOSYNC | MDB_NOLOCK : 0), 0600);
    if (rc == 0)
        rc = mdb_reader_check(s->env, &dead);
    if (rc == 0)
        rc = mdb_env_stat(s->env, &st);
    if (rc == 0)
        rc = mdb_env_get_fd(s->env, &s->fd);
    if (rc == 0)
        rc = open_database(s);
    if (rc == 0) {
        s->page = st.ms_psize;
        rc = read_books(s, NULL);
    }
    if (rc != 0 && rc != MDB_NOTFOUND)
        spool_close_env(s);
    return rc;
}

static int wrong_sensor(const struct spool_conf *conf, const char *other, struct note *note)
{
    return note_set(note, ERR_CONF,
                    "sensor.state_dir: %s/spool belongs to sensor \"%s\", this one is \"%s\": name "
                    "another folder; or, if that sensor got a new name, let it deliver under the "
                    "old one first, then move %s/spool away",
                    conf->state_dir, other, conf->sensor, conf->state_dir);
}

/* What stands there already: sound and ours, or set aside. */
static int inspect(struct spool *s, const struct spool_conf *conf, struct note *note)
{
    struct spool_summary seen;
    struct note why = {0};
    if (s->place.is_own || !spool_place_has_data(&s->place))
        return 0;
    int err = spool_look(conf->state_dir, &seen, &why);
    if (err == ERR_FORMAT) {
        s->broken = "the sensor's spool was damaged and is set aside";
        return spool_place_set_aside(&s->place, conf->state_dir, why.text, note);
    }
    if (err != 0)
        return note_set(note, err, "sensor.state_dir: the spool in %s: %s", s->place.folder,
                        why.text);
    if (!seen.exists)
        return 0;
    if (strcmp(seen.sensor, conf->sensor) != 0)
        return wrong_sensor(conf, seen.sensor, note);
    memcpy(s->books.held, seen.events, sizeof s->books.held);
    if (spool_sum(seen.events) > 0)
        log_info("event=spool epoch=%" PRIu64 " first_seq=%" PRIu64 " next_seq=%" PRIu64
                 " events=%" PRIu64,
                 seen.epoch, seen.first, seen.next, spool_sum(seen.events));
    return 0;
}

static int open_files(struct spool *s, const struct spool_conf *conf, struct note *note)
{
    int rc = spool_open_env(s);
    if (rc == MDB_NOTFOUND)
        rc = read_books(s, conf->sensor);
    if (rc != 0)
        return note_set(note, spool_error_of(rc),
                        "sensor.state_dir: the spool in %s cannot be opened: %s", s->place.folder,
                        mdb_strerror(rc));
    int err = spool_place_settle(&s->place, conf->state_dir);
    if (err != 0)
        return note_set(note, err, "sensor.state_dir: %s cannot be made durable: %s",
                        s->place.folder, strerror(-err));
    if (spool_place_reserve(s->fd, SPOOL_MIN, &s->allocated) == -ENOSPC)
        return note_set(note, -ENOSPC,
                        "sensor.state_dir: the disk of %s has no room for a spool: it takes %u MiB "
                        "at least",
                        conf->state_dir[0] != '\0' ? conf->state_dir : "/tmp",
                        (unsigned)(SPOOL_MIN >> 20));
    s->acked = s->books.meta.acked;
    s->opened_at = s->books.meta.next;
    spool_begin_alone(s);
    return 0;
}

int spool_open(const struct spool_conf *conf, struct spool **out, struct note *note)
{
    *out = NULL;
    struct spool *s = calloc(1, sizeof *s);
    struct batch *batch = calloc(BATCHES, sizeof *batch);
    if (s == NULL || batch == NULL) {
        free(s);
        free(batch);
        return note_set(note, -ENOMEM, "no memory for the spool");
    }
    s->batch = batch;
    s->limit = MAX(conf->limit, SPOOL_MIN) >> 20 << 20; /* whole pages */
    s->broken = "";
    s->gives_up = conf->state_dir[0] != '\0';
    int err = spool_place_open(conf->state_dir, conf->sensor, &s->place, note);
    if (err == 0)
        err = inspect(s, conf, note);
    if (err == 0)
        err = open_files(s, conf, note);
    if (err != 0) {
        spool_close(s);
        return err;
    }
    *out = s;
    return 0;
}

void spool_close(struct spool *s)
{
    if (s == NULL)
        return;
    spool_close_env(s);
    spool_place_close(&s->place);
    free(s->batch);
    free(s);
}
