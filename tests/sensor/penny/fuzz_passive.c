/* Input: records of six bytes (flow and flags, step of time, sequence number, length): packets and
 * time for passive mode. Whatever they are, nothing is withheld, each flow's numbers hang together,
 * and the sums are those of the flows. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/penny/penny.h"

#define RECORD 6
#define MS     UINT64_C(1000000)
#define SECOND (1000 * MS)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth)
{
    if (!truth)
        abort();
}

static struct event_passive_total seen; /* of the flows that were told since the last sums */

static void check_flow(const struct event_passive_flow *f)
{
    must(f->gaps_late + f->gaps_open <= f->gaps && f->gaps_forgotten <= f->gaps_open);
    must(f->in_order + f->out_of_order + f->duplicates <= f->data);
    must(f->data <= f->in_order + f->out_of_order + f->duplicates + f->gaps);
    must(f->coverage >= 0 && f->coverage <= 1 && f->started_at <= f->ended_at);
    must(!f->syn_only || f->data + f->pure_ack + f->keep_alives == 0);
    seen.flows++;
    seen.data += f->data;
    seen.bytes += f->bytes;
    seen.gaps += f->gaps;
    seen.unseen += f->unseen;
}

static void check_total(const struct event_passive_total *t)
{
    must(t->flows_listed == t->flows && seen.flows == t->flows);
    must(seen.data == t->data && seen.bytes == t->bytes && seen.gaps == t->gaps);
    must(seen.unseen == t->unseen && t->gaps_unfilled <= t->gaps);
    must(t->likelihood_ratio > -1.6 && t->likelihood_ratio < 2.8);
    seen = (struct event_passive_total){0};
}

static void hear(struct penny *p)
{
    struct event e;
    while (penny_take(p, &e))
        if (e.type == EVENT_passive_flow)
            check_flow(&e.passive_flow);
        else if (e.type == EVENT_passive_total)
            check_total(&e.passive_total);
}

static void play(struct penny *p, const uint8_t *record, uint64_t *now_ns)
{
    struct packet packet = {.protocol = IPPROTO_TCP,
                            .src = addr_v4("\xcb\0\x71\x05"),
                            .dst = addr_v4("\xc6\x33\x64\x09"),
                            .src_port = record[0] >> 6,
                            .dst_port = 80,
                            .tcp_flags = record[0] & 63,
                            .seq = (uint32_t)record[2] << 24 | (uint32_t)record[3] << 4,
                            .payload_len = record[4] * (record[5] & 1 ? 16u : 1u)};
    *now_ns += record[1] * (record[5] & 2 ? SECOND / 4 : MS);
    must(penny_packet(p, &packet, *now_ns) == FRAME_FORWARD);
    if ((record[5] & 4) != 0)
        penny_tick(p, *now_ns);
    hear(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct penny_conf conf = {.mode = PENNY_PASSIVE,
                                     .prefix_count = 1,
                                     .open_blocks = 5,
                                     .timeout_ns = 3 * SECOND,
                                     .max_duration_ns = 120 * SECOND,
                                     .retest_after_ns = SECOND,
                                     .max_flows = 64,
                                     .max_tests = 2,
                                     .flow_idle_ns = 30 * SECOND,
                                     .passive_flows = 20,
                                     .passive_rows = 1000,
                                     .passive_idle_ns = 60 * SECOND};
    static const struct ingress_table ingress = {.count = 1};
    struct penny *p;
    uint64_t now_ns = SECOND;
    prefix_parse("203.0.113.0/24", &conf.prefixes[0]);
    if (penny_new(&conf, &ingress, 1, &p) != 0)
        return 0;
    seen = (struct event_passive_total){0};
    for (size_t i = 0; i + RECORD <= size; i += RECORD)
        play(p, data + i, &now_ns);
    penny_finish(p, now_ns);
    hear(p);
    must(seen.flows == 0); /* every flow is in somebody's sums */
    penny_free(p);
    return 0;
}
