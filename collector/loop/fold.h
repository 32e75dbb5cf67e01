/* What the collector holds in memory: the cores side by side, and how an event moves them. No door
 * is used here except for reading the store once, at load. */
#pragma once

#include "collector/alert/alert.h"
#include "collector/evidence/evidence.h"
#include "collector/expect/expect.h"
#include "collector/ingress/ingress.h"
#include "collector/loop/cells.h"
#include "collector/order/order.h"
#include "collector/roster/roster.h"
#include "collector/store/store.h"
#include "shared/base/clock.h"

/* A sensor whose events are so far ahead has a wrong clock, or this one is behind. */
#define FOLD_AHEAD_NS ((int64_t)(60 * NS_PER_S))

struct fold_conf {
    struct roster_conf roster;
    struct ingress_conf ingress;
    struct evidence_conf evidence;
    struct alert_conf alert;
    uint64_t alert_keep_ns; /* alerts that ended are deleted when they are so old; 0: never */
    struct order_conf order;
    struct store_keep keep; /* how long events stay in the database */
    uint32_t judge_slice;   /* rows judged in a turn; 0: FOLD_EXPECT_SLICE */
};

struct fold {
    struct evidence_conf evidence;
    const struct expect *expect; /* borrowed */
    struct roster *roster;
    struct ingress_map *map;
    struct cells cells; /* how the map's counters get to the database */
    struct alert *alert;
    /* fold_expect.c */
    struct expect_list entries, learned; /* what stands in SQL */
    unsigned learned_new;                /* at the end of learned, not taken yet */
    uint64_t learned_refused;            /* no room (policy.max_learned) */
    bool is_judging;  /* a source changed, and not every row was looked at since */
    bool is_starting; /* nor since the load: sums over all rows say nothing yet */
    bool has_come_round;
    uint32_t judge_slice, judge_from, judge_cursor, learn_cursor;
    struct orders *orders;
    bool is_clock_doubted;
    uint32_t evidence_cursor; /* how far fold_evidence.c has come round the map */
    struct {
        uint64_t events;
        int64_t by;
        char sensor[WIRE_NAME];
    } ahead; /* stamped more than FOLD_AHEAD_NS after now: how many, and the last */
    /* no room: not in the map, no alert, no such sensor */
    uint64_t map_refused, alerts_refused, sensors_refused;
};

/* New cores, filled from the database; conf->order is borrowed. On failure f is cleared. */
int fold_load(struct fold *f, const struct fold_conf *conf, const struct expect *expect,
              struct store *store, int64_t now, struct note *note);
void fold_clear(struct fold *f);

/* Can the map and the database take this event? NULL, or why not. */
const char *fold_why_not(const struct event *e);

/* A hello: as roster_hello. */
int fold_hello(struct fold *f, const char *sensor, const struct wire_message *m, int64_t now,
               uint64_t *last_seq);
/* A batch, before its events: as roster_batch. */
int fold_batch(struct fold *f, const char *sensor, const struct wire_message *m, uint32_t room,
               int64_t now, struct roster_share *share);

/* The clock jumped to now. What is held says no more than "by now"; silence and hold-downs are
 * counted anew, for nobody knows how long it really was. */
void fold_clock_jumped(struct fold *f, int64_t now);

/* Is the clock in doubt, and ahead? Then nothing ages, is learned or is forgotten by it, and the
 * map stands as it is; windows of maintenance count that are in force by either clock. undoubted:
 * what the time would be. */
void fold_doubt_clock(struct fold *f, bool is_doubted, int64_t undoubted);

/* Silence, hold-downs and ends; those of alerts once every row was judged since the load. */
void fold_tick(struct fold *f, int64_t now);

/* One event that was taken: roster, map, evidence; times after now are taken for now. -ENOMEM. */
int fold_event(struct fold *f, const char *sensor, const struct event *e, int64_t now);

/* A row that changed, on its way to the database: does it matter to an alert? */
void fold_row(struct fold *f, const struct ingress_row *row, int64_t now);

/* What all sources say about that row's prefix at its place: also what the row has no field for (is
 * it outside its peer's cone?). */
struct expect_answer fold_judge(const struct fold *f, const struct ingress_row *row);

/* fold_orders.c. The orders that the database knows; what it says of open ones now (people's words
 * among it); what a message of a sensor says about orders. */
int fold_load_orders(struct fold *f, const struct order_conf *conf, struct store *store,
                     int64_t now, struct note *note);
int fold_told_orders(struct fold *f, struct store *store, int64_t now, struct note *note);
void fold_heard(struct fold *f, const char *sensor, const struct wire_message *m, int64_t now);

/* Looks at the expectation and the alert of a row. */
void fold_expect_row(struct fold *f, struct ingress_row *row, int64_t now);

/* ---- alerts (fold_alerts.c) ---- */

/* What the map tells of its changes: before the rows that changed with it. */
void fold_change(struct fold *f, const struct ingress_change *change, int64_t now);
/* A sensor's row that changed, a gap that was noted: on their way to the database. */
void fold_sensor(struct fold *f, const struct sensor_row *row, int64_t now);
void fold_gap(struct fold *f, const struct gap_row *row, int64_t now);
void fold_sensors_all(struct fold *f, int64_t now);
/* A test or a passive test's sums, of a sensor at pop. */
void fold_alert_event(struct fold *f, const char *pop, const struct event *e, int64_t now);
/* An alert that changed, on its way to the database. */
void fold_alert(struct fold *f, const struct alert_row *row);
/* Alerts without an end, and those that ended of late. */
int fold_load_alerts(struct fold *f, struct store *store, int64_t now, struct note *note);
/* What people said of alerts, and the windows of maintenance: read again. */
int fold_alert_words(struct fold *f, struct store *store, int64_t now, struct note *note);
