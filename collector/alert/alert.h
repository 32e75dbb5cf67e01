/* Alerts: few, explained, and with an end. One row per matter, found again by its fingerprint.
 *
 *   pending -> firing -> resolved      hold-down before firing; acknowledged by a human in between
 *
 * Kind of this release: ingress_unexpected: genuine (critical) or mixed (warning) traffic where
 * the policy does not expect it; confidence is the posterior that it contains genuine traffic. A
 * spoofed newcomer raises nothing: that is the point.
 *
 * An alert ends as soon as its condition is gone (a test or the operator's policy says so; neither
 * flaps by itself), or when nothing was seen for resolve_after. A row whose state is `testing` says
 * nothing either way. What comes back after its end is a new alert of the same fingerprint. A
 * human's acknowledgement and suppression stand until then. Pure.
 *
 * The fingerprint is SipHash-2-4 twice (fixed keys 1,2 and 3,4), chained over the little-endian
 * 64-bit words of the text "kind prefix pop router interface vlan mac peer_as", its fields each
 * ended by a NUL, padded with NULs, and then over its length: h = siphash(key, h xor word). */
#pragma once

#include <stdbool.h>

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
    struct prefix prefix;
    char pop[32];
    struct ingress at;
    char summary[256];                           /* one sentence for a human */
    char expected[2048];                         /* JSON: the places that the policy names */
    char evidence[1024];                         /* JSON: rule, state, probabilities, tests */
    int64_t started_at, updated_at, resolved_at; /* wall ns; 0: not */
    char acknowledged_by[64];
    char sensor[64];        /* sensor that it is about; "": not about one */
    bool is_standing;       /* its condition holds at present */
    uint32_t flaps;         /* how often its condition went away lately */
    char suppressed_by[64]; /* "routing", "maintenance N", or who; "": it is not */
    char runbook[192];      /* the page that says what to do */
    uint64_t words;         /* of people, on this alert, that the collector has heard */
};

struct alert_conf {
    uint64_t hold_down_ns;     /* pending for so long before firing */
    uint64_t resolve_after_ns; /* no traffic for so long ends it, too */
    unsigned max_alerts;
    uint64_t seed; /* keys the hash table (not the fingerprint); main() draws it, tests set it */
};

struct alert;

int alert_new(const struct alert_conf *conf, struct alert **out);
void alert_free(struct alert *a);
int alert_load(struct alert *a, const struct alert_row *row); /* at start, those without an end */
void alert_next_id(struct alert *a, uint64_t next);           /* at start: first free alert_id */

/* The matter's fingerprint, 32 hexadecimal digits: the same for ever. */
void alert_fingerprint(const char *kind, const struct prefix *prefix, const char *pop,
                       const struct ingress *at, char out[static 33]);

/* A map row changed (or was loaded: then for every row, so that each alert knows when its traffic
 * was last seen); expected_json: the policy's places (may be NULL). 0 or ERR_FULL. */
int alert_row_changed(struct alert *a, const struct ingress_row *row, const char *expected_json,
                      int64_t now);

/* From now on silence is counted anew, as nobody listened before: at start, and when the clock
 * jumped; then nobody knows either how long an alert has been pending. */
void alert_listens(struct alert *a, int64_t now, bool has_jumped);

/* Hold-downs and ends. */
void alert_tick(struct alert *a, int64_t now);

/* Rows that changed since last taken; *announce: its state is new, tell it. */
bool alert_take(struct alert *a, struct alert_row *out, bool *announce);
