#include "tests/sim/tap.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_NS (SECOND_NS / 10)

void tap_conf(struct penny_conf *conf)
{
    *conf = (struct penny_conf){.mode = PENNY_ACTIVE,
                                .prefix_count = 2,
                                .drop_probability = 0.05,
                                .max_drops = 12,
                                .budget = 60,
                                .flow_budget = 60,
                                .drops_per_s = 1000,
                                .timeout_ns = 3 * SECOND_NS,
                                .timeout_min_ns = 3 * SECOND_NS / 2,
                                .gap_ns = SECOND_NS / 2,
                                .open_blocks = 5,
                                .alpha = 1e-4,
                                .miss_max = 0.05,
                                .reordering_max = 0.5,
                                .max_duration_ns = 120 * SECOND_NS,
                                .retest_after_ns = 3600 * SECOND_NS,
                                .max_flows = 512,
                                .max_tests = 1,
                                .flow_idle_ns = 30 * SECOND_NS};
    prefix_parse("203.0.113.0/24", &conf->prefixes[0]);
    prefix_parse("2001:db8:77::/48", &conf->prefixes[1]);
}

void tap_open(struct tap *t, const struct penny_conf *conf, bool is_v6, uint64_t seed,
              struct outcome *out)
{
    static const struct ingress_table ingress = {.count = 1};
    *t = (struct tap){.conf = conf, .is_v6 = is_v6, .out = out};
    *out = (struct outcome){.word = TAP_NONE, .gap_ms = UINT32_MAX, .truth = -1};
    if (penny_new(conf, &ingress, seed, &t->penny) != 0)
        abort();
}

static float share(const uint64_t counts[2])
{
    uint64_t all = counts[0] + counts[1];
    return all > 0 ? (float)((double)counts[1] / (double)all) : -1;
}

/* What holds for every test, whatever the word. */
static bool tap_check(const struct tap *t, const struct event_test_ended *e)
{
    bool is_budget_kept = e->drops <= t->conf->budget && t->withheld <= 2 * t->conf->budget;
    bool is_fraction = e->genuine_low <= e->genuine_fraction &&
                       e->genuine_fraction <= e->genuine_high && e->genuine_low >= 0 &&
                       e->genuine_high <= 1;
    bool is_probability = e->genuine_probability >= 0 && e->genuine_probability <= 1;
    bool is_counted = e->drops == e->retransmitted + e->unanswered + e->invalid;
    bool is_gap_kept =
        t->out->gap_ms == UINT32_MAX || t->out->gap_ms >= t->conf->gap_ns / (SECOND_NS / 1000);
    return is_budget_kept && is_fraction && is_probability && is_counted && is_gap_kept;
}

static void ended(struct tap *t, const struct event_test_ended *e)
{
    struct outcome *o = t->out;
    t->has_ended = true;
    o->word = e->verdict;
    o->is_broken = !tap_check(t, e);
    o->drops = (uint16_t)(e->retransmitted + e->unanswered);
    o->withheld = (uint16_t)t->withheld;
    o->took_ms = (uint32_t)((e->ended_at - e->started_at) / 1000000);
    o->fraction = (float)e->genuine_fraction;
    o->low = (float)e->genuine_low;
    o->high = (float)e->genuine_high;
    o->truth = share(t->fresh);
    o->truth_drops = share(t->fresh_drops);
    snprintf(o->reason, sizeof o->reason, "%.*s", TAP_REASON - 1, e->reason);
}

static void take_events(struct tap *t)
{
    struct event e;
    while (penny_take(t->penny, &e))
        if (e.type == EVENT_test_ended && !t->has_ended)
            ended(t, &e.test_ended);
}

void tap_close(struct tap *t, uint64_t now_ns)
{
    penny_finish(t->penny, now_ns);
    take_events(t);
    penny_free(t->penny);
    t->penny = NULL;
}

static void address(const struct tap *t, const struct tap_flow *f, struct packet *p)
{
    uint8_t v4[4] = {203, 0, 113, (uint8_t)(1 + f->number / 60000)};
    uint8_t v6[16] = {0x20, 1, 0x0d, 0xb8, 0, 0x77, [15] = (uint8_t)(1 + f->number / 60000)};
    p->src = t->is_v6 ? addr_v6(v6) : addr_v4(v4);
    p->dst = t->is_v6 ? addr_v6("\x20\x01\x0d\xb8\0\x99\0\0\0\0\0\0\0\0\0\x09")
                      : addr_v4("\xc6\x33\x64\x09");
    p->src_port = (uint16_t)(1024 + f->number % 60000);
    p->dst_port = 443;
}

static void note_drop(struct tap *t, struct tap_flow *f, bool is_fresh, uint64_t now_ns)
{
    t->withheld++;
    if (!is_fresh) {
        t->out->repeats_withheld++;
        return;
    }
    t->fresh_drops[f->is_genuine]++;
    uint64_t gap_ms = (now_ns - f->dropped_ns) / (SECOND_NS / 1000);
    if (f->was_dropped && gap_ms < t->out->gap_ms)
        t->out->gap_ms = (uint32_t)gap_ms;
    f->was_dropped = true;
    f->dropped_ns = now_ns;
}

bool tap_packet(struct tap *t, struct tap_flow *f, uint32_t seq, uint32_t len, uint8_t flags,
                uint64_t now_ns)
{
    tap_advance(t, now_ns);
    if (t->has_ended)
        return false;
    struct packet p = {.protocol = IPPROTO_TCP,
                       .tcp_flags = flags,
                       .seq = seq,
                       .ack = 1,
                       .tcp_window = 501,
                       .payload_len = len,
                       .frame_len = 54 + len};
    address(t, f, &p);
    bool is_fresh = len > 1 && (!f->has_top || (int32_t)(seq + len - f->top) > 0);
    bool is_withheld = penny_packet(t->penny, &p, now_ns) == FRAME_DROP;
    if (is_fresh) {
        f->top = seq + len;
        f->has_top = true;
        t->fresh[f->is_genuine]++;
    }
    if (is_withheld)
        note_drop(t, f, is_fresh, now_ns);
    take_events(t);
    return is_withheld;
}

void tap_advance(struct tap *t, uint64_t now_ns)
{
    if (t->ticked_ns == 0)
        t->ticked_ns = now_ns / TICK_NS * TICK_NS;
    while (!t->has_ended && t->ticked_ns + TICK_NS <= now_ns) {
        t->ticked_ns += TICK_NS;
        penny_tick(t->penny, t->ticked_ns);
        take_events(t);
    }
}
