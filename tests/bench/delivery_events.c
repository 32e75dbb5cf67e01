#include "tests/bench/delivery_events.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/hash.h"

enum { PREFIXES = 1000, DROPS_OF_A_TEST = 100, MIX = 64, MIX_DROPS = 16 };

/* As tests of the sensor do: some 100 us between two events. */
#define STEP_NS ((int64_t)(100 * NS_PER_US))

static struct addr random_addr(struct prf *prf, uint64_t net)
{
    uint64_t bits = prf_next(prf);
    uint8_t bytes[4] = {(uint8_t)net, (uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16)};
    return addr_v4(bytes);
}

static void make_drop(struct event *e, size_t i, struct prf *prf)
{
    struct event_drop *d = &e->drop;
    struct prf of_test = prf_init(i / DROPS_OF_A_TEST, 2);
    e->type = EVENT_drop;
    for (size_t at = 0; at < sizeof d->test_id; at += sizeof(uint64_t)) {
        uint64_t word = prf_next(&of_test);
        memcpy(d->test_id + at, &word, sizeof word);
    }
    d->src = random_addr(prf, 10);
    d->dst = random_addr(prf, 198);
    d->src_port = 1024 + prf_next(prf) % 64512;
    d->dst_port = 443;
    d->seq = prf_next(prf) & UINT32_MAX;
    d->length = 1448;
    d->dropped_at = e->at - (int64_t)(prf_next(prf) % (2 * NS_PER_S));
    d->outcome = prf_next(prf) % 4 == 0 ? DROP_UNANSWERED : DROP_RETRANSMITTED;
    d->answered_after =
        d->outcome == DROP_RETRANSMITTED ? prf_next(prf) % (300 * NS_PER_MS) : SPAN_NONE;
}

static void make_tally(struct event *e, size_t i, struct prf *prf)
{
    struct event_tally *t = &e->tally;
    uint8_t net[4] = {10, (uint8_t)(i % PREFIXES >> 8), (uint8_t)(i % PREFIXES), 0};
    struct addr a = addr_v4(net);
    e->type = EVENT_tally;
    t->ended_at = e->at;
    t->started_at = e->at - (int64_t)(10 * NS_PER_S);
    t->prefix = prefix_of(&a, 24);
    snprintf(t->ingress.router, sizeof t->ingress.router, "edge1");
    snprintf(t->ingress.interface, sizeof t->ingress.interface, "xe-0/0/%zu", i % 4);
    t->ingress.vlan = 100 + i % 4;
    memcpy(t->ingress.mac, (const uint8_t[6]){2, 0, 0, 0, 1, (uint8_t)(i % 4)}, 6);
    t->ingress.peer_as = 64500 + i % 4;
    t->packets = 1 + prf_next(prf) % 100000;
    t->bytes = t->packets * (64 + prf_next(prf) % 1400);
    t->flows = 1 + prf_next(prf) % 1000;
}

static void make_status(struct event *e, struct prf *prf)
{
    struct event_sensor_status *s = &e->sensor_status;
    e->type = EVENT_sensor_status;
    s->ended_at = e->at;
    s->started_at = e->at - (int64_t)(10 * NS_PER_S);
    s->packets = s->forwarded = prf_next(prf) % 10000000;
    s->bytes = s->packets * 800;
    s->dropped = prf_next(prf) % 100;
}

bool delivery_events(const char *kind, struct event events[static DELIVERY_EVENTS])
{
    bool drops = strcmp(kind, "drop") == 0, tallies = strcmp(kind, "tally") == 0;
    if (!drops && !tallies && strcmp(kind, "mixed") != 0)
        return false;
    struct prf prf = prf_init(5, 1);
    memset(events, 0, DELIVERY_EVENTS * sizeof *events);
    for (size_t i = 0; i < DELIVERY_EVENTS; i++) {
        struct event *e = &events[i];
        e->at = (int64_t)i * STEP_NS;
        if (drops || (!tallies && i % MIX < MIX_DROPS))
            make_drop(e, i, &prf);
        else if (tallies || i % MIX < MIX - 1)
            make_tally(e, i, &prf);
        else
            make_status(e, &prf);
    }
    return true;
}

uint32_t delivery_batch(const struct event events[static DELIVERY_EVENTS], size_t *first,
                        uint8_t out[static WIRE_BATCH_BYTES + WIRE_EVENT_MAX], size_t *len)
{
    uint32_t count = 0;
    int64_t now = clock_wall_ns();
    for (*len = 0; *len < WIRE_BATCH_BYTES && count < WIRE_BATCH_EVENTS; count++) {
        struct event e = events[*first];
        event_shift(&e, now);
        int used = wire_event_encode(&e, out + *len, WIRE_EVENT_MAX);
        if (used < 0)
            return 0;
        *len += (size_t)used;
        *first = (*first + 1) % DELIVERY_EVENTS;
    }
    return count;
}
