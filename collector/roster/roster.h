/* The roster: which sensors there are, what each has delivered, what is missing, who is silent.
 * Decides for every batch which of its events are new, so that each counts once. Pure. */
#pragma once

#include <stdbool.h>

#include "shared/base/err.h"
#include "shared/wire/wire.h"

/* More names than this are refused: in plain mode anybody may invent one, each would stand in the
 * database for ever, and every event searches the list. What the database has is always taken. */
#define ROSTER_MAX 4096

enum sensor_state { SENSOR_UP, SENSOR_SILENT, SENSOR_STOPPED }; /* SQL: up, silent, stopped */

struct sensor_row {
    char name[WIRE_NAME];
    char pop[WIRE_NAME];
    char version[WIRE_NAME];
    int64_t first_seen, last_seen; /* wall ns */
    uint64_t epoch, last_seq;      /* high-water mark: last event taken */
    enum sensor_state state;
};

struct gap_row {
    char sensor[WIRE_NAME];
    uint64_t epoch;
    uint64_t from_seq, to_seq; /* to_seq 0: unknown (the epoch ended without a goodbye) */
    char reason[64];
    int64_t at;
};

struct roster_conf {
    uint64_t silent_after_ns;
};

struct roster;

int roster_new(const struct roster_conf *conf, struct roster **out);
void roster_free(struct roster *r);

/* At start: what the database knows. */
int roster_load(struct roster *r, const struct sensor_row *row);

/* A hello. Notes a new epoch or a gap. On 0, *last_seq is what to say in welcome. -ENOMEM.
 * ERR_FULL: a name more than ROSTER_MAX.
 * ERR_BUSY: its epoch is older than one that is known (a clock set back, or a second sensor of that
 * name): taking it could count twice, so it must be refused where a human sees it. */
int roster_hello(struct roster *r, const char *sensor, const struct wire_message *m, int64_t now,
                 uint64_t *last_seq);

enum roster_answer { ROSTER_TAKE, ROSTER_REPEAT, ROSTER_AGAIN };

/* A batch: TAKE: take events from index *skip on; REPEAT: all are known, acknowledge; AGAIN: not in
 * order or unknown epoch, ask for hello. Moves the high-water mark on TAKE. */
enum roster_answer roster_batch(struct roster *r, const char *sensor, const struct wire_message *m,
                                int64_t now, uint32_t *skip);

/* An event of this sensor that was taken (sensor_started, sensor_stopped, gap matter here). */
void roster_event(struct roster *r, const char *sensor, const struct event *e, int64_t now);

void roster_tick(struct roster *r, int64_t now);

/* Rows that changed since they were last taken; each once. */
bool roster_take_sensor(struct roster *r, struct sensor_row *out);
bool roster_take_gap(struct roster *r, struct gap_row *out);

/* A sensor whose running tests are lost: it restarted, stopped, fell silent or lost events (the end
 * of a test may be among them). Each once, until it begins a test again. Ask after every hello,
 * event and tick: the next event may begin a test that is not lost. */
bool roster_take_lost(struct roster *r, char sensor[static WIRE_NAME]);

/* NULL if unknown; borrowed until the next call. */
const struct sensor_row *roster_find(const struct roster *r, const char *sensor);
