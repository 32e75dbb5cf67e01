/* Counters: one row each in counters.def. A struct counters belongs to one writing thread; others
 * read it relaxed at any time. No lock, no read-modify-write bus cycle on the writer's side. */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum counter {
#define COUNTER(program, name, help) COUNTER_##name,
#include "shared/base/counters.def"
#undef COUNTER
    COUNTER_COUNT
};

struct counters {
    alignas(64) _Atomic uint64_t value[COUNTER_COUNT];
};

/* Writer only. */
static inline void counter_add(struct counters *c, enum counter which, uint64_t n)
{
    uint64_t now = atomic_load_explicit(&c->value[which], memory_order_relaxed);
    atomic_store_explicit(&c->value[which], now + n, memory_order_relaxed);
}

/* Writer only: for counts that somebody else keeps (a kernel's statistics). */
static inline void counter_set(struct counters *c, enum counter which, uint64_t value)
{
    atomic_store_explicit(&c->value[which], value, memory_order_relaxed);
}

static inline uint64_t counter_get(const struct counters *c, enum counter which)
{
    return atomic_load_explicit(&c->value[which], memory_order_relaxed);
}

const char *counter_name(enum counter which);
const char *counter_help(enum counter which);

/* Does that program ("penstock-sensor") count this? */
bool counter_is_of(enum counter which, const char *program);

/* Writes the program's counters, summed over n sets, in Prometheus' text format: a zero shall mean
 * that nothing happened, not that nobody counts. sets is borrowed. */
void metrics_print(FILE *out, const char *program, const struct counters *const *sets, size_t n);
