#include "tests/sim/crowd.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/queue.h"

#define CROWD_FLOWS 256
#define MOST_TRIES  6
#define HORIZON_S   130
#define SEGMENT     1460

enum { NEXT, AGAIN };

struct crowd_flow {
    struct tap_flow seen;
    const struct senders *senders;
    uint32_t seq, sent;
    uint32_t repeated;
};

struct crowd {
    struct tap tap;
    struct queue queue;
    struct dice dice;
    const struct senders *groups;
    unsigned flow_count;
    struct crowd_flow flows[CROWD_FLOWS];
};

static void add_flows(struct crowd *c, unsigned group)
{
    const struct senders *s = &c->groups[group];
    for (unsigned i = 0; i < s->flows; i++) {
        if (c->flow_count == CROWD_FLOWS)
            abort();
        struct crowd_flow *f = &c->flows[c->flow_count];
        *f = (struct crowd_flow){.senders = s, .seq = (uint32_t)dice_next(&c->dice)};
        f->seen.number = c->flow_count++;
        f->seen.is_genuine = s->role == CLOSED_LOOP;
    }
}

static void next_of_group(struct crowd *c, unsigned group, uint64_t now_ns)
{
    const struct senders *s = &c->groups[group];
    double wait = dice_wait(&c->dice, (double)SECOND_NS / (s->rate * s->flows));
    uint64_t at = now_ns + (uint64_t)wait;
    if (s->stop_ms > 0 && (double)at > (double)SECOND_NS + s->stop_ms * MILLISECOND_NS)
        return;
    queue_push(&c->queue, &(struct happening){.at_ns = at, .what = NEXT, .len = group});
}

static uint64_t delay_ns(struct crowd *c, const struct senders *s)
{
    double most = s->after_most_ms > s->after_ms ? s->after_most_ms : s->after_ms;
    return 1000 + (uint64_t)(dice_between(&c->dice, s->after_ms, most) * MILLISECOND_NS);
}

/* count: repeats of this segment so far. */
static void push_again(struct crowd *c, uint16_t flow, uint32_t seq, uint32_t count,
                       uint64_t wait_ns, uint64_t now_ns)
{
    queue_push(
        &c->queue,
        &(struct happening){
            .at_ns = now_ns + wait_ns, .what = AGAIN, .flow = flow, .seq = seq, .count = count});
}

static bool reaches_receiver(struct crowd *c, struct crowd_flow *f, uint32_t seq, uint64_t now_ns)
{
    if (dice_hits(&c->dice, f->senders->loss_up))
        return false;
    if (tap_packet(&c->tap, &f->seen, seq, SEGMENT, TCP_ACK, now_ns))
        return false;
    return !dice_hits(&c->dice, f->senders->loss_down);
}

static void closed_loop(struct crowd *c, uint16_t flow, uint32_t seq, uint32_t tries,
                        uint64_t now_ns)
{
    struct crowd_flow *f = &c->flows[flow];
    const struct senders *s = f->senders;
    bool is_doubled = dice_hits(&c->dice, s->doubled);
    bool is_lost = !reaches_receiver(c, f, seq, now_ns);
    if (is_doubled && reaches_receiver(c, f, seq, now_ns + 1000))
        is_lost = false;
    if (is_lost ? tries < MOST_TRIES && !dice_hits(&c->dice, s->miss)
                : tries == 0 && dice_hits(&c->dice, s->repeat))
        push_again(c, flow, seq, tries + 1, delay_ns(c, s) << tries, now_ns);
}

static bool is_repeated(struct crowd *c, struct crowd_flow *f)
{
    const struct senders *s = f->senders;
    if (s->repeat_below > 0 && f->repeated + 1 < s->repeat_below * f->sent) {
        f->repeated++;
        return true;
    }
    return f->sent <= s->repeat_first || dice_hits(&c->dice, s->repeat);
}

static void open_loop(struct crowd *c, uint16_t flow, uint32_t seq, uint32_t tries, uint64_t now_ns)
{
    struct crowd_flow *f = &c->flows[flow];
    const struct senders *s = f->senders;
    bool is_more = tries == 0 ? is_repeated(c, f) : tries < s->copies;
    reaches_receiver(c, f, seq, now_ns);
    if (is_more)
        push_again(c, flow, seq, tries + 1, delay_ns(c, s), now_ns);
}

static void send(struct crowd *c, uint16_t flow, uint32_t seq, uint32_t tries, uint64_t now_ns)
{
    if (c->flows[flow].senders->role == CLOSED_LOOP)
        closed_loop(c, flow, seq, tries, now_ns);
    else
        open_loop(c, flow, seq, tries, now_ns);
}

static void send_next(struct crowd *c, unsigned group, uint64_t now_ns)
{
    unsigned first = 0;
    for (unsigned i = 0; i < group; i++)
        first += c->groups[i].flows;
    unsigned pick = first + (unsigned)(dice_unit(&c->dice) * c->groups[group].flows);
    struct crowd_flow *f = &c->flows[pick];
    uint32_t seq = f->seq;
    f->seq += SEGMENT;
    f->sent++;
    send(c, (uint16_t)pick, seq, 0, now_ns);
    next_of_group(c, group, now_ns);
}

void crowd_run(const struct senders groups[CROWD_GROUPS], const struct penny_conf *conf, bool is_v6,
               uint64_t seed, struct outcome *out)
{
    static struct crowd c; /* one test at a time and process */
    if (c.queue.room == 0)
        queue_init(&c.queue);
    queue_empty(&c.queue);
    c.groups = groups;
    c.flow_count = 0;
    c.dice = dice_init(seed);
    tap_open(&c.tap, conf, is_v6, dice_next(&c.dice), out);
    for (unsigned i = 0; i < CROWD_GROUPS; i++)
        if (groups[i].flows > 0) {
            add_flows(&c, i);
            next_of_group(&c, i, SECOND_NS);
        }
    uint64_t end_ns = HORIZON_S * SECOND_NS;
    while (!c.tap.has_ended && queue_next_ns(&c.queue) < end_ns) {
        struct happening h = queue_pop(&c.queue);
        if (h.what == NEXT)
            send_next(&c, h.len, h.at_ns);
        else
            send(&c, h.flow, h.seq, h.count, h.at_ns);
    }
    tap_advance(&c.tap, end_ns);
    tap_close(&c.tap, end_ns);
}
