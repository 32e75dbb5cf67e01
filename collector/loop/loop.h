/* The collector's loop: the page that everyone reads.
 *
 *   receive -> account -> decode -> map, weigh -> alert -> store -> COMMIT -> acknowledge
 *
 * One thread, one turn after the other. A turn gathers what waits, from all sensors, into one
 * transaction (so that a commit's fsync is paid once for many batches), writes what changed,
 * commits, and only then answers.
 *
 * Why nothing counts twice and nothing acknowledged is lost. What the collector holds in memory
 * (struct fold) changes only inside a turn, every change is queued by its core and written before
 * that turn's COMMIT, and each sensor's high-water mark is written with it. So between turns memory
 * equals the database (times to the microsecond, which is PostgreSQL's unit). When anything fails,
 * also a COMMIT of which nobody knows whether it happened, memory is thrown away and read again
 * from the database: whatever the database says then, its marks and its sums belong together. The
 * sensors are asked to say hello again, hear the mark that is true, and send what follows it. What
 * is sent again below the mark is skipped. Answers of a turn that failed are never sent. A COMMIT
 * in doubt that takes place only after that, and a second collector by mistake, are noticed by the
 * next store_begin, which then fails: the database is read again.
 *
 * A transaction that fails because of a value in it would fail for ever. So its events are tried
 * again apart, in ever smaller numbers, until one alone fails; that one is set aside, with what the
 * database said (collector/loop/doubt.h). When a transaction fails although no event was in it, or
 * although its one event was set aside, no event is to blame: it is tried again, with a pause.
 *
 * While the database is away the door stays open (pings are answered there), but what comes is not
 * taken: sensors keep it.
 *
 * loop.c is the turn. Its parts, in the order in which a turn meets them: loop_take.c (what comes),
 * loop_timers.c (what is due), loop_put.c (what changed), loop_trial.c (an event that the database
 * refuses), loop_tell.c (answers and orders), loop_load.c (memory out of the database). */
#pragma once

#include <stdatomic.h>

#include "collector/loop/doubt.h"
#include "collector/loop/fold.h"
#include "collector/loop/steady.h"
#include "collector/receive/receive.h"
#include "collector/store/store.h"
#include "shared/base/metrics.h"

/* A transaction takes what waits, but no longer than 20 ms, which is what an acknowledgement may
 * wait, and no more than so many messages. Batches of a quiet sensor are short: of 50 sensors 64
 * had been 1,700 events, too few for what a transaction costs by itself. */
#define LOOP_GROUP_MAX 256
#define LOOP_GROUP_NS  (20 * NS_PER_MS)
#define LOOP_PAUSE_MS  1000 /* between attempts while the database is away */

/* Batches that all sensors together may have under way: 256 MiB, when they are as long as sensors
 * make them. It is the collector's queue (docs/decisions/0019-one-poisoned-event.md). */
#define LOOP_WINDOW     16384
#define LOOP_CREDIT_MIN 4

/* A clock that differs from the steady one by more than this since the last look was set. */
#define LOOP_JUMP_NS ((int64_t)NS_PER_S)

struct loop_answer {
    char sensor[WIRE_NAME];
    struct wire_message message;
};

/* What a transaction took of one batch. */
struct loop_take {
    char sensor[WIRE_NAME];
    uint64_t epoch, from, count;
};

/* A batch that is taken, or taken on with, before the door is asked for the next message. */
struct loop_held {
    bool is_there;
    bool is_begun; /* some of its events were taken */
    char sensor[WIRE_NAME];
    struct wire_message message;
    uint8_t events[WIRE_MESSAGE_MAX];
};

struct loop {
    /* fixed; all borrowed */
    struct fold_conf conf;
    struct receive *receive;
    struct store *store;
    const struct expect *expect;
    struct counters *counters;
    int64_t (*wall)(void);  /* clock_wall_ns; tests set their own */
    uint64_t (*mono)(void); /* clock_mono_ns; likewise */

    struct fold fold;
    atomic_bool is_loaded; /* false: the database is away (read by /healthz, too) */
    bool is_expect_new;
    unsigned heard;  /* what others said in SQL and nobody looked at yet: a set of store_heard */
    bool has_failed; /* no commit since the last failure */
    bool is_away;    /* the last attempt to load failed, too */
    bool is_busy;    /* because another collector writes */
    int64_t ticked_at;
    int64_t forgot_at;                     /* old alerts */
    int64_t months_looked_at, months_wait; /* for what is too old to keep */
    struct steady clock;                   /* the time; wall itself is only looked at */

    uint64_t orders_refused; /* that were counted */
    uint64_t overlaps;       /* so were these */
    uint64_t clocks_off;     /* and these, and told */
    int64_t overlap_told_at, ahead_told_at;

    /* of the turn that is under way */
    bool in_transaction;
    uint64_t taken, repeated, malformed, poisoned, announced;
    struct { /* set aside of the batch under way; the first one's */
        unsigned count;
        uint64_t seq;
        size_t bytes;
        const char *reason; /* static, or err_text()'s: told before the next is asked for */
    } aside;
    struct loop_answer answers[LOOP_GROUP_MAX];
    unsigned answer_count;
    struct loop_take takes[LOOP_GROUP_MAX];
    unsigned take_count;
    struct doubt *doubt; /* its batch is alone in the transaction; NULL: no trial */

    struct doubts doubts; /* these outlive a failure */
    struct loop_held held;
};

/* Loads what the database knows. expect must stay where it is; its content may change between turns
 * (then loop_expect_changed). ERR_DATABASE, ERR_CONF (more rows there than may be held), -ENOMEM.
 */
int loop_init(struct loop *l, const struct fold_conf *conf, struct receive *receive,
              struct store *store, const struct expect *expect, struct counters *counters,
              int64_t (*wall)(void), uint64_t (*mono)(void), struct note *note);
void loop_clear(struct loop *l);

/* One turn: waits at most timeout_ms for a first message. Failures are handled inside. */
void loop_turn(struct loop *l, int timeout_ms);

/* Before a clean end: rows of the map that wait for their interval are written. What waits at the
 * door is not taken any more. */
void loop_end(struct loop *l);

/* A person says that the clock is right: nothing is in doubt any more. */
void loop_believe_clock(struct loop *l);

/* The policy was read again: the next turn looks at every row. */
void loop_expect_changed(struct loop *l);
/* The same of orders: from the next tick on. orders.max stays. */
void loop_orders_changed(struct loop *l, const struct order_conf *conf);

/* The rules of the alerts were read again; alerts.max stays. */
void loop_alerts_changed(struct loop *l, const struct alert_conf *conf, uint64_t keep_ns);
