/* What the tests of the ingress map share: prefixes, places and tallies in few words. */
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "collector/ingress/ingress.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"

#define T0     INT64_C(1700000000000000000)
#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)

static inline struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static inline struct ingress_map *map_of(const struct ingress_conf *conf)
{
    struct ingress_map *m = NULL;
    assert_int_equal(ingress_map_new(conf, &m), 0);
    return m;
}

/* An hour's memory, joins at once, 16 KiB are a trickle. */
static inline struct ingress_conf usual_conf(void)
{
    return (struct ingress_conf){.half_life_ns = 3600 * NS_PER_S,
                                 .recent_ns = 60 * NS_PER_S,
                                 .max_rows = 4096,
                                 .trickle = 16384,
                                 .seed = 7};
}

static inline struct ingress place_at(const char *interface)
{
    struct ingress at = {.peer_as = 64500};
    snprintf(at.router, sizeof at.router, "r1");
    snprintf(at.interface, sizeof at.interface, "%s", interface);
    return at;
}

/* The third byte counts: 10.0.N.0/24. */
static inline struct prefix net(unsigned n)
{
    struct addr a = {.family = ADDR_V4, .bytes = {10, (uint8_t)(n >> 8), (uint8_t)n}};
    return prefix_of(&a, 24);
}

static inline struct ingress_row *fold_at(struct ingress_map *m, const struct prefix *p,
                                          const char *pop, const char *interface, uint64_t bytes,
                                          int64_t at)
{
    struct event_tally t = {.started_at = at - 10 * SECOND,
                            .ended_at = at,
                            .prefix = *p,
                            .ingress = place_at(interface),
                            .packets = bytes / 1000 + 1,
                            .bytes = bytes};
    struct ingress_row *row = NULL;
    bool is_new;
    assert_int_equal(ingress_map_tally(m, pop, &t, &row, &is_new), 0);
    return row;
}

static inline struct ingress_row *row_at(struct ingress_map *m, const char *text, const char *pop,
                                         const char *interface)
{
    struct prefix p = prefix(text);
    struct ingress at = place_at(interface);
    return ingress_map_find(m, &p, pop, &at);
}
