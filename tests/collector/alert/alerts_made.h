/* Alerts under test, and the rows of a map that raise them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collector/alert/alert.h"

#define HOLD    100
#define RESOLVE 1000
#define WINDOW  5000 /* of flaps */
#define SETTLES 3000
#define GAP     700
#define PATH    800

static inline struct alert_conf made_conf(void)
{
    return (struct alert_conf){.hold_down_ns = HOLD,
                               .resolve_after_ns = RESOLVE,
                               .max_alerts = 16,
                               .seed = 3,
                               .flap_window_ns = WINDOW,
                               .moved_settles_ns = SETTLES,
                               .gap_ends_ns = GAP,
                               .path_ends_ns = PATH,
                               .half_life_ns = 1000000000,
                               .rules = {.is_routing_heard = true,
                                         .spoofing_rate = 1000,
                                         .spoofing_prefixes = 1,
                                         .path_segments = 100,
                                         .path_gaps = 0.02,
                                         .path_out_of_order = 0.05,
                                         .path_duplicates = 0.02}};
}

static inline struct alert *made_of(const struct alert_conf *conf)
{
    struct alert *a = NULL;
    assert_int_equal(alert_new(conf, &a), 0);
    return a;
}

static inline struct alert *made(void)
{
    struct alert_conf conf = made_conf();
    return made_of(&conf);
}

static inline struct ingress_row made_row(const char *pop, enum ingress_state state,
                                          enum expected expected)
{
    struct ingress_row r = {.state = state,
                            .has_evidence = true,
                            .genuine_probability = 0.99,
                            .tests = 1,
                            .expected = expected,
                            .at = {.router = "r1", .interface = "if0", .peer_as = 64501},
                            .last_seen = 10};
    snprintf(r.pop, sizeof r.pop, "%s", pop);
    snprintf(r.expected_by, sizeof r.expected_by, "%s",
             expected == EXPECTED_UNKNOWN ? "" : "policy");
    assert_int_equal(prefix_parse("203.0.113.0/24", &r.prefix), 0);
    return r;
}

/* The row as it is at now, seen just then. */
static inline void seen(struct alert *a, struct ingress_row *row, int64_t now)
{
    row->last_seen = now;
    assert_int_equal(alert_row_changed(a, row, NULL, now), 0);
}

/* Takes what waits; the last of that kind in *out. How many were announced. */
static inline unsigned take_all(struct alert *a, const char *kind, struct alert_row *out)
{
    struct alert_row row;
    bool announce;
    unsigned n = 0;
    while (alert_take(a, &row, &announce)) {
        if (strcmp(row.kind, kind) != 0)
            continue;
        *out = row;
        n += announce;
    }
    return n;
}

#define assert_state(row, wanted) assert_string_equal(alert_state_word[(row).state], wanted)
