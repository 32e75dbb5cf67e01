/* The roster: which sensors there are, what each has delivered, what is missing, who is silent.
 * Decides for every batch which of its events are new, so that each counts once. Pure.
 *
 * A sensor numbers its events within an epoch: the life of a spool, which restarts of the sensor
 * do not end. Per sensor and epoch the roster keeps a mark: the number of the last event that was
 * taken. A hello says which epoch the sensor is in, and that one's mark goes on, whether it is new,
 * the latest, or an older one (a clock set back, a disk restored, a second sensor of that name). So
 * no epoch is refused, and none counts twice.
 *
 * EPOCHS_MAX marks are kept per sensor. Beyond them the one that was heard of longest ago is
 * forgotten: a sensor that came back with that spool would be taken anew. Only who makes more than
 * that many spools, and then finds the first again, gets there.
 *
 * An epoch is open until its goodbye (sensor_stopped) is its last event. What becomes of an open
 * epoch when the sensor begins one that nobody knows: the rest of it is noted as a gap of unknown
 * end, for its spool is gone. */
#pragma once

#include <stdbool.h>

#include "shared/base/err.h"
#include "shared/wire/wire.h"

/* More names than this are refused: in plain mode anybody may invent one, and each would stand in
 * the database for ever. What the database has is always taken. */
#define ROSTER_MAX 4096
#define EPOCHS_MAX 64

enum sensor_state { SENSOR_UP, SENSOR_SILENT, SENSOR_STOPPED }; /* SQL: up, silent, stopped */

struct sensor_row {
    char name[WIRE_NAME];
    char pop[WIRE_NAME];
    char version[WIRE_NAME];
    int64_t first_seen, last_seen; /* wall ns */
    uint64_t epoch, last_seq;      /* epoch of its latest hello, and that one's mark */
    enum sensor_state state;
};

struct epoch_row {
    char sensor[WIRE_NAME];
    uint64_t epoch, last_seq;      /* the mark: last event of that epoch that was taken */
    int64_t first_seen, last_seen; /* wall ns */
    bool is_open;                  /* no goodbye yet, and no gap noted for its rest */
    bool is_forgotten;             /* to be deleted; else written */
};

struct gap_row {
    char sensor[WIRE_NAME];
    uint64_t epoch;
    uint64_t from_seq, to_seq; /* to_seq 0: unknown */
    char reason[128];
    int64_t at;
};

struct roster_conf {
    uint64_t silent_after_ns;
    uint64_t seed; /* keys the hash table; main() draws it, tests set it */
};

struct roster;

int roster_new(const struct roster_conf *conf, struct roster **out);
void roster_free(struct roster *r);

/* At start: what the database knows. First all sensors, then their epochs, those that were heard of
 * longest ago first; an epoch of a sensor that is not there is passed over. Where a sensor's row
 * and that of its epoch differ, the mark that is further holds: a collector from before there were
 * epochs, which went on while the schema was brought to them, has moved the sensor's alone.
 * -ENOMEM. */
int roster_load(struct roster *r, const struct sensor_row *row);
int roster_load_epoch(struct roster *r, const struct epoch_row *row);

/* From now on silence is counted anew: at start and when the clock jumped, for in the time between
 * nobody listened, or nobody knows how long it was. */
void roster_listens(struct roster *r, int64_t now);

/* A hello. Notes what is lost; m->reason says why in the sensor's words, if it has any. On 0,
 * *last_seq is what to say in welcome. -ENOMEM. ERR_FULL: a name more than ROSTER_MAX. */
int roster_hello(struct roster *r, const char *sensor, const struct wire_message *m, int64_t now,
                 uint64_t *last_seq);

/* What to take of a batch: `count` events after the first `skip`. */
struct roster_share {
    uint32_t skip, count;
};

enum roster_answer { ROSTER_TAKE, ROSTER_REPEAT, ROSTER_AGAIN };

/* What roster_batch would answer. */
enum roster_answer roster_ask(struct roster *r, const char *sensor, const struct wire_message *m);

/* A batch, of which at most `room` (> 0) new events shall be taken. TAKE: those in *share, to which
 * the mark moves; REPEAT: all are known, acknowledge; AGAIN: not in order, or not of the epoch of
 * the sensor's latest hello: ask for one. Numbers that it says are missing before it (m->after) are
 * noted as lost. One of enum roster_answer, or -ENOMEM. */
int roster_batch(struct roster *r, const char *sensor, const struct wire_message *m, uint32_t room,
                 int64_t now, struct roster_share *share);

/* An event of this sensor that was taken (sensor_started, sensor_stopped, gap matter here). -ENOMEM
 */
int roster_event(struct roster *r, const char *sensor, const struct event *e, int64_t now);

void roster_tick(struct roster *r, int64_t now);

/* Rows that changed since they were last taken; each once. */
bool roster_take_sensor(struct roster *r, struct sensor_row *out);
bool roster_take_epoch(struct roster *r, struct epoch_row *out);
bool roster_take_gap(struct roster *r, struct gap_row *out);

/* A sensor whose running tests are lost: it restarted, stopped, fell silent or lost events (the end
 * of a test may be among them). Each once, until it begins a test again. Ask after every hello,
 * event and tick: the next event may begin a test that is not lost. */
bool roster_take_lost(struct roster *r, char sensor[static WIRE_NAME]);

/* NULL if unknown; borrowed until the next call. Costs the same however many there are, and next to
 * nothing for the sensor that was asked for last: it is asked for every event. */
const struct sensor_row *roster_find(struct roster *r, const char *sensor);

/* Calls each for every sensor. */
void roster_each(const struct roster *r, void (*each)(void *arg, const struct sensor_row *row),
                 void *arg);

/* Sensors that are up. */
size_t roster_up(const struct roster *r);
