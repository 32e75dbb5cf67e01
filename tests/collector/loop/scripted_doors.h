/* A database of the test's own, behind the interface of store.h; with it the network.
 *
 * The database has what is committed and a copy under work: begin copies, commit replaces,
 * rollback drops. It can fail at the n-th call from now, and can lose the connection just after a
 * COMMIT took place, or some time before, so that the collector cannot know. It can refuse values.
 */
#pragma once

#include "collector/loop/loop.h"
#include "collector/store/store.h"
#include "tests/collector/loop/scripted_net.h"

enum {
    DB_SENSORS = 8,
    DB_EPOCHS = 256,
    DB_GAPS = 64,
    DB_SAID = 16,
    DB_ROWS = 256,
    DB_ALERTS = 64,
    DB_ORDERS = 64,
    DB_EVENTS = 20000
};

struct db_event {
    char sensor[WIRE_NAME];
    uint64_t epoch, seq;
    uint8_t type;
};

struct db_malformed {
    uint64_t seq;
    size_t len;
    char reason[64];
    uint8_t bytes[512];
};

struct db {
    struct sensor_row sensors[DB_SENSORS];
    struct epoch_row epochs[DB_EPOCHS];
    struct gap_row gaps[DB_GAPS];
    struct ingress_row rows[DB_ROWS];
    struct alert_row alerts[DB_ALERTS];
    struct order_row orders[DB_ORDERS];
    struct db_event events[DB_EVENTS];
    struct db_malformed malformed[DB_GAPS];
    struct expect_row said[DB_SAID];
    size_t sensor_count, epoch_count, gap_count, row_count, alert_count, order_count, event_count,
        malformed_count, said_count;
    unsigned announced, turns, changes;
};

extern struct db db;        /* committed */
extern unsigned db_commits; /* since reset */
extern int db_fail_at;      /* the n-th call from now fails; 0: none */
extern bool db_is_away;     /* everything fails */
extern bool db_is_taken;    /* loads fail: another collector writes */
extern bool db_lose_commit; /* the next COMMIT takes place, and says that it failed */
extern bool db_late_commit; /* the next COMMIT says that it failed; db_late() lets it take place */
/* Commits with such an event are refused (ERR_DATA); NULL: none. */
extern bool (*db_refuses)(const char *sensor, const struct event *e);
extern bool db_refuses_alerts, db_refuses_aside; /* such rows */
extern unsigned db_heard;                        /* what others said: a set of store_heard */
extern bool db_is_session_lost;                  /* while nothing was to be written */

extern unsigned db_months_looked_at; /* so often store_forget was called */

extern struct alert_window db_window; /* of maintenance; id 0: none */
/* Of the next doors_loop; set by doors_reset. */
extern struct order_conf doors_orders;
extern uint32_t doors_judge_slice;

void doors_reset(void);
void db_late(void);

/* The loop under test: between these doors, with clocks of the test's own. As
 * loop_init. */
int doors_loop(struct loop *l, const struct expect *policy, struct counters *counters,
               int64_t (*wall)(void), uint64_t (*mono)(void));
