#include "tests/integration/delivery/numbered.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"

static struct prefix prefix_number(uint64_t n)
{
    const uint8_t bytes[4] = {10, 0, (uint8_t)n, 0};
    struct addr a = addr_v4(bytes);
    return prefix_of(&a, 24);
}

static struct addr address_number(uint8_t first, uint64_t n)
{
    const uint8_t bytes[4] = {first, 0, (uint8_t)n, 1};
    return addr_v4(bytes);
}

static struct ingress place(void)
{
    struct ingress at = {.vlan = 7, .peer_as = 64500};
    snprintf(at.router, sizeof at.router, "r1");
    snprintf(at.interface, sizeof at.interface, "xe-0/0/0");
    return at;
}

static void test_number(uint64_t began, uint8_t id[static 16])
{
    memset(id, 0, 16);
    for (int i = 15; i > 7; i--, began >>= 8)
        id[i] = (uint8_t)began;
}

static void make_scan_window(uint64_t v, int64_t at, struct event_scan_window *w)
{
    w->started_at = at - (int64_t)NS_PER_S;
    w->ended_at = at;
    w->total_entropy = 1;
    w->bin_entropy.count = 4;
    w->probes = v;
}

static void make_status(uint64_t v, int64_t at, struct event_sensor_status *s)
{
    s->started_at = at - (int64_t)NS_PER_S;
    s->ended_at = at;
    s->packets = v;
}

static void make_test_started(uint64_t v, int64_t at, struct event_test_started *t)
{
    test_number(v, t->test_id);
    t->prefix = prefix_number(v / 100 % NUMBERED_TESTED);
    t->ingress = place();
    snprintf(t->rule, sizeof t->rule, "begun");
    t->started_at = at;
}

static void make_drop(uint64_t v, int64_t at, struct event_drop *d)
{
    test_number(v - v % 100 + 10, d->test_id);
    d->src = address_number(10, v / 100 % NUMBERED_TESTED);
    d->dst = address_number(198, 1);
    d->src_port = 4000;
    d->dst_port = 80;
    d->seq = v;
    d->length = 100;
    d->dropped_at = at;
    d->outcome = DROP_RETRANSMITTED;
    d->answered_after = NS_PER_MS;
}

static void make_test_ended(uint64_t v, int64_t at, struct event_test_ended *t)
{
    test_number(v - 10, t->test_id);
    t->prefix = prefix_number(v / 100 % NUMBERED_TESTED);
    t->ingress = place();
    snprintf(t->rule, sizeof t->rule, "ended");
    t->started_at = at - (int64_t)NS_PER_S;
    t->ended_at = at;
    t->verdict = v / 100 % NUMBERED_TESTED == 0 ? VERDICT_SPOOFED : VERDICT_GENUINE;
    t->genuine_probability = t->verdict == VERDICT_GENUINE;
    t->flows = v;
    t->drops = t->retransmitted = 5;
}

static void make_tally(uint64_t v, int64_t at, struct event_tally *t)
{
    t->started_at = at - (int64_t)NS_PER_S;
    t->ended_at = at;
    t->prefix = prefix_number(v % NUMBERED_PREFIXES);
    t->ingress = place();
    t->packets = 1 + v % 7;
    t->bytes = t->packets * 100;
    t->flows = v;
}

void numbered_event(uint64_t v, int64_t at, struct event *e)
{
    uint64_t turn = v % 100;
    memset(e, 0, sizeof *e);
    e->at = at;
    if (turn == 0) {
        e->type = EVENT_scan_window;
        make_scan_window(v, at, &e->scan_window);
    } else if (turn == 1) {
        e->type = EVENT_sensor_status;
        make_status(v, at, &e->sensor_status);
    } else if (turn == 10) {
        e->type = EVENT_test_started;
        make_test_started(v, at, &e->test_started);
    } else if (turn > 10 && turn <= 15) {
        e->type = EVENT_drop;
        make_drop(v, at, &e->drop);
    } else if (turn == 20) {
        e->type = EVENT_test_ended;
        make_test_ended(v, at, &e->test_ended);
    } else {
        e->type = EVENT_tally;
        make_tally(v, at, &e->tally);
    }
}
