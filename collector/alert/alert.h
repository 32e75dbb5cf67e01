/* Alerts: few, explained, and with an end. One row per matter, found again by its fingerprint.
 *
 *   pending -> firing -> resolved      hold-down before firing
 *              acknowledged            a person has seen it
 *              suppressed              a person, a maintenance window, or routing says: no matter
 *
 * Kinds, and when each holds, stand in one table: collector/alert/rule.c. Of the kinds that tell of
 * one map entry the most specific one holds alone (hijack_suspected, policy_violation,
 * ingress_moved, ingress_unexpected, in this order): one matter, one alert.
 *
 * An alert ends as soon as its condition is gone; or when nothing was seen for resolve_after; or
 * after a time by itself (sensor_gap, path_anomaly; ingress_moved becomes the new normal). An entry
 * whose state is `testing`, `inconclusive` or (its proof grew old) `unverified` says nothing. What
 * comes back after its end is a new alert of the same fingerprint. But a matter that ended
 * flap_count times within flap_window does not end again: the alert stays as it is, untold, while
 * is_standing says whether its condition holds, and ends when that stayed away for flap_window. The
 * kinds that tell of one map entry are one matter there: where they take turns each is told once
 * more at most, all stay, and the one that stands says what holds now.
 * People's words stand until the end. Pure.
 *
 * The fingerprint is SipHash-2-4 twice (fixed keys 1,2 and 3,4), chained over the little-endian
 * 64-bit words of the text "kind prefix pop router interface vlan mac peer_as", its fields each
 * ended by a NUL, padded with NULs, and then over its length: h = siphash(key, h xor word). Of an
 * alert about a sensor its name is a ninth field. */
#pragma once

#include <stdbool.h>

#include "collector/alert/rule.h"
#include "collector/ingress/ingress.h"

enum alert_state {
    ALERT_PENDING,
    ALERT_FIRING,
    ALERT_ACKNOWLEDGED,
    ALERT_RESOLVED,
    ALERT_SUPPRESSED
};
extern const char *const alert_state_word[];

struct alert_row {
    uint64_t alert_id;    /* given by the core, increasing; unique in the database */
    char fingerprint[33]; /* hex; the same matter has the same one, for ever */
    char kind[32];
    char severity[16]; /* info warning critical */
    double confidence; /* [0, 1] */
    enum alert_state state;
    struct prefix prefix; /* family 0: not about one */
    char pop[32];
    struct ingress at;
    char summary[512];                           /* one sentence for a human */
    char expected[2048];                         /* JSON: the places that the policy names */
    char evidence[3072];                         /* JSON object: the rule, and what it saw */
    int64_t started_at, updated_at, resolved_at; /* wall ns; 0: not */
    char acknowledged_by[64];                    /* also who suppressed it */
    char sensor[64];                             /* sensor that it is about; "": not about one */
    bool is_standing;                            /* its condition holds at present */
    uint32_t flaps;         /* how often its matter went away within flap_window */
    char suppressed_by[64]; /* "routing", "maintenance N", or who; "": it is not */
    char runbook[192];      /* the page that says what to do */
    uint64_t words;         /* of people, on this alert, that the collector has heard */
};

struct alert_conf {
    uint64_t hold_down_ns;     /* pending for so long before firing; kinds may have their own */
    uint64_t resolve_after_ns; /* no traffic for so long ends it, too */
    unsigned max_alerts;
    uint64_t seed; /* keys the hash tables (not the fingerprint); main() draws it, tests set it */
    struct alert_rules rules;
    unsigned flap_count; /* 0: every end is an end */
    uint64_t flap_window_ns;
    uint64_t moved_settles_ns; /* ingress_moved ends: the new normal; 0: never by itself */
    uint64_t gap_ends_ns;      /* sensor_gap ends so long after the last gap */
    uint64_t path_ends_ns;     /* path_anomaly ends so long after the last test that said so */
    uint64_t half_life_ns;     /* of map entries' weights: map.half_life; 0: they never age */
    char runbook_base[128];    /* before KIND.md; "": docs/alerts/ */
};

struct alert;

int alert_new(const struct alert_conf *conf, struct alert **out);
void alert_free(struct alert *a);
/* What may change while it runs: all of conf but max_alerts and seed. */
void alert_configure(struct alert *a, const struct alert_conf *conf);

/* ---- at start ---- */

int alert_load(struct alert *a, const struct alert_row *row); /* those without an end */
void alert_next_id(struct alert *a, uint64_t next);           /* first free alert_id */
/* Ends in the past, oldest first, so that flaps are still known: of each its kind, prefix, place,
 * sensor and resolved_at. */
void alert_load_end(struct alert *a, const struct alert_row *ended);

/* The matter's fingerprint, 32 hexadecimal digits: the same for ever. */
void alert_fingerprint(const char *kind, const struct prefix *prefix, const char *pop,
                       const struct ingress *at, char out[static 33]);
/* The same of a matter that is about a sensor. */
void alert_fingerprint_sensor(const char *kind, const char *pop, const char *sensor,
                              char out[static 33]);

/* ---- what happens; each 0 or ERR_FULL ---- */

/* A map row changed (or was loaded: then for every row, so that each alert knows when its traffic
 * was last seen), or ended (is_gone). answer: what the expectation says beyond the row; NULL:
 * nothing. */
int alert_row_changed(struct alert *a, const struct ingress_row *row,
                      const struct alert_answer *answer, int64_t now);

/* The map told of a change: before the rows that changed with it. When the genuine bulk of a prefix
 * moved, ingress_moved is raised once the row of `to` is genuine; it ends when the bulk moves on or
 * back. At a place that the bulk left nothing new is raised by its last traffic. */
void alert_moved(struct alert *a, const struct ingress_change *change, int64_t now);

/* An active test ended: its id goes into the evidence of what it proves. order_id 0: none. */
void alert_test_ended(struct alert *a, const char *pop, const struct event_test_ended *t,
                      uint64_t order_id);

/* A passive test's sums. */
int alert_passive_total(struct alert *a, const char *pop, const struct event_passive_total *t,
                        int64_t now);

struct alert_sensor {
    const char *name, *pop;
    bool is_silent;
    int64_t last_seen;
};
int alert_sensor(struct alert *a, const struct alert_sensor *sensor, int64_t now);

struct alert_gap {
    const char *sensor, *pop, *reason;
    uint64_t epoch, from_seq, to_seq; /* to_seq 0: not known */
};
int alert_gap(struct alert *a, const struct alert_gap *gap, int64_t now);

/* ---- what people say ---- */

/* The state that stands in the database for this alert, after so many words; by: acknowledged_by.
 * An alert that is not known, and words that were heard, change nothing. */
void alert_word(struct alert *a, uint64_t alert_id, enum alert_state said, const char *by,
                uint64_t words, int64_t now);

/* Maintenance: alerts that match everything that is given are suppressed. */
struct alert_window {
    uint64_t id;
    int64_t from, to;                                              /* wall ns */
    char kind[32], pop[32], router[32], interface[32], sensor[64]; /* "": any */
    uint64_t peer_as;                                              /* 0: any */
    struct prefix prefix;                                          /* family 0: any */
};
/* In place of all before, as many as there are. Copied. -ENOMEM: those before stay. */
int alert_windows(struct alert *a, const struct alert_window *windows, size_t count);

/* ---- time ---- */

/* From now on silence is counted anew, as nobody listened before: at start, and when the clock
 * jumped; then nobody knows either how long an alert has been pending. */
void alert_listens(struct alert *a, int64_t now, bool has_jumped);

/* The clock is in doubt; so late it would be else. 0: it is not. Windows of maintenance count that
 * are in force at either time. */
void alert_doubt_clock(struct alert *a, int64_t undoubted);

/* Hold-downs, ends, windows, and how much spoofed traffic each link delivers. */
void alert_tick(struct alert *a, int64_t now);

/* ---- what is to be told ---- */

/* Rows that changed since last taken; *announce: its state is new, tell it. */
bool alert_take(struct alert *a, struct alert_row *out, bool *announce);

/* Is there an alert without an end on that entry of the map? Such an entry must stay as it is. */
bool alert_holds(const struct alert *a, const struct prefix *prefix, const char *pop,
                 const struct ingress *at);

/* Calls each for the alerts without an end that are about an entry of the map; it may change them.
 */
void alert_each_entry(const struct alert *a, void (*each)(void *arg, const struct alert_row *row),
                      void *arg);

struct alert_counts {
    uint32_t live;
    uint64_t spoofed_refused,
        moves_refused; /* no room for one more proven-spoofed entry, or move */
};
struct alert_counts alert_counts(const struct alert *a);
