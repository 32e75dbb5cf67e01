/* The collector's orders at the sensor: which prefixes are to be tested for it, for how long, and
 * when each is over. Pure: steady time is an argument.
 *
 *   order -> WATCHED: its prefix stands in the list that control_watch gives
 *         -> LEAVING: it does no longer, and its tests are about to end
 *         -> over:    order_ended is said, once; its number is remembered
 *
 * An order is a lease. It counts from `stamp`, this sensor's own clock as the collector heard it
 * last, not from when the order came: so it ends no later than the collector reckons, however long
 * the order was on its way (docs/decisions/0026-a-lease-per-order.md). Stamps stand on a scale that
 * begins at a number drawn by chance, so that one that a former process said is none of ours.
 *
 * Nothing is ended twice: an order that is sent again is known by its number, also when it is over.
 * A list that was given is in force only once control_watched said so; until then, and while a test
 * of it has no end, an order that leaves is not over. One whose list cannot come into force at
 * every queue is refused, for a test of some queues only is not what was ordered. Prefixes of the
 * configuration are never disturbed: an order for one that overlaps them, or another order, is
 * refused.
 *
 * A hold is the reverse: for so long, by the same clock, prefixes of the configuration that overlap
 * it are not tested, because somebody else's test has them. Nothing is said of it; their tests end.
 *
 * Limits: CONTROL_ORDERS_MAX orders, CONTROL_HOLDS_MAX holds, CONTROL_KNOWN_MAX numbers,
 * CONTROL_TESTS_MAX running tests per order (of more than that the ends are not waited for). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/wire/wire.h"

#define CONTROL_ORDERS_MAX 64
#define CONTROL_KNOWN_MAX  256
#define CONTROL_HOLDS_MAX  64
#define CONTROL_DROPS_MAX  10000 /* of an order, per queue; penny.budget takes no more either */
#define CONTROL_TESTS_MAX  64
#define CONTROL_NEVER_MAX  256

struct control_conf {
    bool enabled;              /* control.enabled: false: takes no orders */
    const char *why_not;       /* why no order can be run here, in words; NULL: it can. Borrowed */
    unsigned max_orders;       /* at once, CONTROL_ORDERS_MAX at most */
    unsigned min_v4, min_v6;   /* shortest prefix that may be ordered */
    uint64_t max_lease_ns;     /* however long the collector's is */
    const struct prefix *home; /* watched by configuration; copied */
    size_t home_count;
    struct prefix never[CONTROL_NEVER_MAX]; /* nothing that overlaps them is tested */
    size_t never_count;
};

struct control;

/* seed: by chance; tells this process from others. -ENOMEM. */
int control_new(const struct control_conf *conf, uint64_t seed, uint64_t now, struct control **out);
void control_free(struct control *c); /* NULL is fine */

/* The prefix of conf's `never` that overlaps that one; NULL. */
const struct prefix *control_never(const struct control_conf *conf, const struct prefix *p);

/* What a hello says: 0 when orders are not taken, else this process's number. */
uint64_t control_number(const struct control *c);
/* What hello and batch say: now, on our scale. */
uint64_t control_stamp(const struct control *c, uint64_t now);

/* The configuration's prefixes have changed. Orders that overlap them now end (already_watched).
 * -ENOMEM: nothing was changed. */
int control_home(struct control *c, const struct prefix *prefixes, size_t n, uint64_t now);

/* An order, a stop or a hold came. Others are ignored. */
void control_message(struct control *c, const struct wire_message *m, uint64_t now);

/* An event on its way to the collector: a test of an ordered prefix gets its order_id. */
void control_event(struct control *c, struct event *e, uint64_t now);

/* Leases and waits; call at least ten times a second. */
void control_tick(struct control *c, uint64_t now);

/* The sensor ends: all tests have. Every order is over (stopped). */
void control_finish(struct control *c);

/* Next order_ended, if any; `at` is the caller's to set. */
bool control_take(struct control *c, struct event *out);

/* A prefix to watch. Whoever watches must let go at until_ns by himself, too. */
struct control_watch {
    struct prefix prefix;
    uint64_t until_ns; /* by the clock of control's caller */
    uint64_t drops;    /* most that may be withheld for it, over all queues */
};

/* Its part of one of so many queues, which share nothing: all parts together are no more than
 * w->drops. 0: this queue does not watch for it. */
uint32_t control_share(const struct control_watch *w, unsigned queue, unsigned queues);

/* Of the configuration's prefixes those that no hold touches now. How many; room: of out. */
size_t control_home_free(const struct control *c, struct prefix *out, size_t room);

/* What is to be watched besides the configuration's: how many stand in out. *version: of this list
 * and of control_home_free's; it changes when they do. */
size_t control_watch(const struct control *c, struct control_watch out[static CONTROL_ORDERS_MAX],
                     uint64_t *version);
/* That list, or a later one, is in force at every queue. */
void control_watched(struct control *c, uint64_t version, uint64_t now);
/* That list cannot come into force at every queue: the orders that are new in it are refused. They
 * are over when a list without them is in force. */
void control_not_watched(struct control *c, uint64_t version, uint64_t now);
