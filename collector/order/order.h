/* The planner of orders: which prefix is tested next, where, and is it over? Pure: time is an
 * argument, wall-clock ns; the caller sends messages and stores rows.
 *
 * Candidates are what tallies show: a prefix at a sensor with enough traffic and no verdict that
 * counts. They come in by order_seen and are a bounded table, in which what matters most stays.
 * Orders are rows (SQL table test_order), whoever asked:
 *
 *   proposed -> requested -> running -> ended, failed or cancelled
 *
 * One invariant above all: no two sensors are ever told to withhold segments of overlapping
 * prefixes at the same time. An order that runs has a lease, of which the row tells the end
 * (lease_until, with a margin for clocks that run unevenly). While a row has one, no other order
 * that overlaps it begins, whatever the row's state is; it loses it only by order_ended, or when
 * its time is over. That the sensor keeps the lease, however late an order reaches it, is because
 * it counts from the sensor's own clock as this side heard it last (the stamp;
 * sensor/control/control.h, docs/decisions/0026-a-lease-per-order.md). A test that a sensor runs by
 * its own configuration keeps others away, too; one that begins where another sensor has an
 * overlapping prefix is held: its sensor is told to leave it alone for as long as the other may go
 * on.
 *
 * A running order is sent again every resend_ns, so nothing depends on a message; a closed one that
 * still has a lease is stopped again and again. Rows are handed out when they changed; messages
 * only for rows that were: who stores first and sends then may forget everything at any time and
 * load.
 *
 * Who waits costs nothing while nothing happens: a request stands in the queue of what it waits
 * for (a lease, a sensor, a limit), and when that ends, who stands there longest is looked at, and
 * the next as long as each begins or goes elsewhere. All are looked at again after a while, too.
 * A tick looks at LOOKS of them at most (plan.c).
 *
 * What overlaps a prefix of order_conf's `never` is not tested, whoever asked: an order for a wider
 * one would withhold of it, too.
 *
 * Limits: max_orders rows here (open, or closed not long ago), a table of candidates, and those of
 * order_conf. What finds no room is counted. An order for which segments may have been withheld in
 * the last hour never makes room for another: when all are such, no more begin. */
#pragma once

#include "collector/ingress/ingress.h"
#include "shared/wire/wire.h"

#define ORDERS_NEVER_MAX 1024

enum order_mode { ORDERS_AUTO, ORDERS_APPROVE, ORDERS_OFF };

enum order_status {
    STATUS_PROPOSED,
    STATUS_REQUESTED,
    STATUS_RUNNING,
    STATUS_ENDED,
    STATUS_FAILED,
    STATUS_CANCELLED
};
extern const char *const order_status_word[];

struct order_conf {
    enum order_mode mode;
    unsigned max_per_sensor, max_concurrent; /* running at once */
    unsigned max_drops;                      /* per order, where it does not say itself */
    unsigned drops_per_prefix_hour;          /* sum of max_drops of the orders of an hour */
    double min_rate;                         /* packets/s of a candidate */
    unsigned min_v4, min_v6;                 /* shortest prefix that is tested as one */
    uint64_t lease_ns, margin_ns, wait_ns;
    uint64_t cool_down_ns;    /* between two orders of a prefix at a PoP */
    uint64_t unverifiable_ns; /* after which a prefix without TCP data is tried again */
    uint64_t expire_ns;       /* a request that waited so long is given up */
    uint64_t resend_ns;
    unsigned max_orders;
    struct prefix never[ORDERS_NEVER_MAX]; /* nothing that overlaps them is tested */
    size_t never_count;
};

/* The row of SQL table test_order. */
struct order_row {
    uint64_t order_id; /* 0: not stored yet; the database numbers it */
    struct prefix prefix;
    char pop[32], sensor[WIRE_NAME]; /* "": not said yet */
    char requested_by[64], reason[160];
    enum order_status state;
    int64_t requested_at, started_at, ended_at; /* 0: not yet */
    uint8_t test_id[16];
    int verdict; /* VERDICT_*; -1: none */
    char result[24], detail[96];
    uint64_t max_drops; /* 0: order_conf's */
    uint64_t drops, packets, data;
    int64_t lease_until; /* 0: nothing is withheld for it */
    uint64_t process;    /* of its sensor, as its hello said; 0: not known */
};

struct orders;

/* conf is borrowed: it may change between calls (its max_orders may not). -ENOMEM. */
int orders_new(const struct order_conf *conf, struct orders **out);
/* After conf changed: what waits for a limit is looked at again, and what must never be tested now
 * is over. */
void orders_conf_changed(struct orders *o);
void orders_free(struct orders *o); /* NULL is fine */

/* At start: what is not over, and what was over not long ago; those with a lease first. What finds
 * no room stays behind in the database; if segments of this hour may have been withheld for it,
 * nothing begins for as long as they count. ERR_FULL: it has a lease, so it must not. */
int orders_load(struct orders *o, const struct order_row *row, int64_t now);
/* What the database has now of an order that is not over: a new one, a word of a person (approved,
 * cancelled), or nothing new. Of a new one only what people may say is believed. ERR_FULL. */
int orders_told(struct orders *o, const struct order_row *row, int64_t now);
/* Once: there is room now for orders that had found none. */
bool orders_are_behind(struct orders *o);

/* The clock jumped by so much: leases last as long as before. */
void orders_clock_jumped(struct orders *o, int64_t by);

/* ---- what is heard ---- */

/* A hello, or (hello false) a batch: m's stamp; of a hello also orders. */
void orders_heard(struct orders *o, const char *sensor, const char *pop,
                  const struct wire_message *m, int64_t now);
/* A tally of that sensor, and the row that it was folded into. */
void orders_seen(struct orders *o, const char *sensor, const struct ingress_row *row,
                 const struct event_tally *t, int64_t now);
/* test_started, test_ended, order_ended, sensor_stopped; others are ignored. */
void orders_event(struct orders *o, const char *sensor, const struct event *e, int64_t now);

/* Begins, ends and proposes. */
void orders_tick(struct orders *o, int64_t now);

/* ---- what follows ---- */

/* Rows that changed. One without a number must be given one at once, by orders_number. *slot: this
 * row's, for that. */
bool orders_take(struct orders *o, struct order_row *out, unsigned *slot);
void orders_number(struct orders *o, unsigned slot, uint64_t order_id);
/* That row could not be written now, for somebody holds it: it comes again after a tick, and until
 * then nothing is sent for it. */
void orders_put_off(struct orders *o, unsigned slot);

/* After what was taken is committed: next message, and the sensor it is for. */
bool orders_send(struct orders *o, int64_t now, char sensor[static WIRE_NAME],
                 struct wire_message *out);

/* A test that a sensor began by its own configuration while another had a prefix that overlaps it.
 */
struct test_overlap {
    struct prefix prefix;
    char sensor[WIRE_NAME], other[WIRE_NAME];
};

/* A sensor whose clock runs apart from ours by more than margin_ns in a lease: it gets no order. */
struct clock_off {
    char sensor[WIRE_NAME];
    int64_t ahead; /* in a lease's time; behind: negative */
};

struct orders_stats {
    uint64_t refused;  /* no room for a row */
    uint64_t overlaps; /* so often; the last: */
    struct test_overlap overlap;
    uint64_t clocks_off; /* so often one began to be; the last: */
    struct clock_off clock_off;
    unsigned running, proposed; /* now */
    uint64_t steps;             /* of looking things up, since the start: what it all costs */
};
void orders_stats(const struct orders *o, struct orders_stats *out);
