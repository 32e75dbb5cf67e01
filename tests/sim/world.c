#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/scene.h"

#define HORIZON_S       130
#define MIDSTREAM_S     4 /* how long flows are older than the sensor */
#define RECORD_S        20
#define RECORD_SEGMENTS 2000 /* of an endless flow */
#define HEADERS         54
#define LINK_MBPS       10.
#define LINK_QUEUE_MS   80. /* then it drops */
#define RTT_MS          50.
#define BEFORE_SENSOR   .25 /* of the round trip */
#define ENDLESS_NUMBER  (UINT32_MAX / 2)

/* ---- events and packets ---- */

void scene_push(struct scene *w, const struct flow_state *f, uint8_t what, uint64_t at_ns)
{
    queue_push(&w->queue,
               &(struct happening){
                   .at_ns = at_ns, .what = what, .flow = flow_number(w, f), .life = f->life});
}

/* Through the shared link: false if its queue is full. */
static bool pass_link(struct scene *w, uint32_t bytes, uint64_t *at_ns)
{
    double mbps = w->row->bottleneck_mbps > 0 ? w->row->bottleneck_mbps : LINK_MBPS;
    uint64_t start = w->link_free_ns > *at_ns ? w->link_free_ns : *at_ns;
    if ((double)(start - *at_ns) > LINK_QUEUE_MS * MILLISECOND_NS)
        return false;
    w->link_free_ns = start + (uint64_t)(bytes * 8e3 / mbps);
    *at_ns = w->link_free_ns;
    return true;
}

static void travel(struct scene *w, struct flow_state *f, const struct sending *p, uint8_t what,
                   uint64_t at_ns)
{
    queue_push(&w->queue, &(struct happening){.at_ns = at_ns,
                                              .what = what,
                                              .flags = p->flags,
                                              .flow = flow_number(w, f),
                                              .life = p->life,
                                              .seq = p->seq,
                                              .len = p->len,
                                              .first = p->first,
                                              .count = p->count,
                                              .from = {p->is_again}});
}

void scene_send(struct scene *w, struct flow_state *f, const struct sending *p)
{
    const struct senders *s = f->conf;
    uint64_t at = w->now_ns;
    bool has_link = s->role == CLOSED_LOOP && !w->row->is_bottleneck_behind;
    if (has_link && !pass_link(w, p->len + HEADERS, &at))
        return;
    if (dice_hits(&w->dice, s->loss_up))
        return;
    at += (uint64_t)(f->rtt_ns * (BEFORE_SENSOR + .002 * dice_unit(&w->dice)));
    if (dice_hits(&w->dice, s->reorder))
        at += (uint64_t)(dice_unit(&w->dice) * s->reorder_ms * MILLISECOND_NS);
    else {
        at = at > f->last_up_ns ? at : f->last_up_ns + 1;
        f->last_up_ns = at;
    }
    travel(w, f, p, AT_SENSOR, at);
}

/* Does this packet pass at the sensor, or elsewhere? */
static bool is_elsewhere(struct scene *w, const struct flow_state *f, const struct happening *h)
{
    const struct senders *s = f->conf;
    if (f->is_hidden || dice_hits(&w->dice, s->hidden))
        return true;
    if (h->from[0] != 0 && dice_hits(&w->dice, s->hidden_again))
        return true;
    return f->leaves && (double)(w->now_ns - w->sensor_ns) > s->leave_at_ms * MILLISECOND_NS;
}

static void record(struct scene *w, const struct flow_state *f, const struct happening *h)
{
    struct trace *t = &w->record[flow_number(w, f) % TRACES];
    if (t->count == TRACE_MOST)
        return;
    t->packet[t->count++] = (struct trace_packet){w->now_ns, h->seq - f->isn, h->len, h->flags};
}

static bool is_withheld(struct scene *w, struct flow_state *f, const struct happening *h)
{
    if (w->record != NULL) {
        record(w, f, h);
        return false;
    }
    if (!w->has_sensor || w->now_ns < w->sensor_ns || is_elsewhere(w, f, h))
        return false;
    return tap_packet(&w->tap, &w->seen[h->life], h->seq, h->len, h->flags, w->now_ns);
}

static void at_sensor(struct scene *w, struct flow_state *f, const struct happening *h)
{
    uint64_t at = w->now_ns;
    if (is_withheld(w, f, h) || dice_hits(&w->dice, f->conf->loss_down))
        return;
    if (w->row->is_bottleneck_behind && !pass_link(w, h->len + HEADERS, &at))
        return;
    if (f->conf->role != CLOSED_LOOP)
        return;
    at += (uint64_t)(f->rtt_ns * (.5 - BEFORE_SENSOR));
    struct happening next = *h;
    next.what = AT_RECEIVER;
    next.at_ns = h->from[0] != 0 || at > f->last_down_ns ? at : f->last_down_ns + 1;
    if (f->conf->reorder <= 0)
        f->last_down_ns = next.at_ns;
    queue_push(&w->queue, &next);
}

/* ---- closed loops ---- */

/* After each call into the sender: is its timer queued? */
static void queue_timer(struct scene *w, struct flow_state *f)
{
    uint64_t at = f->tcp.timer_ns;
    if (f->tcp.has_timed_out && dice_hits(&w->dice, f->conf->rehash))
        f->is_hidden = !f->is_hidden;
    w->measured.timeouts += f->tcp.has_timed_out;
    f->tcp.has_timed_out = false;
    if (at == 0 || (f->timer_at_ns != 0 && f->timer_at_ns <= at))
        return;
    f->timer_at_ns = at;
    scene_push(w, f, TIMER, at);
}

struct scene_flow {
    struct scene *scene;
    struct flow_state *flow;
};

static struct scene_flow sender_of[SCENE_FLOWS];
static struct scene the_world; /* one test at a time and process */

static bool is_fin(const struct flow_state *f, uint32_t segment)
{
    return f->conf->end == END_FIN && segment + 1 == f->tcp.end;
}

/* What the TCP sends, as a packet. */
static void send_segment(void *with, uint32_t first, uint32_t count, bool is_again, uint64_t now_ns)
{
    struct scene_flow *at = with;
    struct flow_state *f = at->flow;
    uint32_t len = segment_bytes(f->conf), payload = count * len;
    struct sending p = {f->life, f->isn + 1 + first * len, payload, first, count, TCP_ACK,
                        is_again};
    (void)now_ns;
    if (first == SEGMENT_SYN)
        p = (struct sending){f->life, f->isn, 0, first, 0, TCP_SYN, is_again};
    else if (first == SEGMENT_ACK)
        p = (struct sending){f->life, f->isn + 1, 0, first, 0, TCP_ACK, is_again};
    else if (is_fin(f, first + count - 1)) {
        p.flags |= TCP_FIN;
        p.len -= f->is_fin_alone ? len : 0;
    }
    if (first < SEGMENT_ACK) {
        at->scene->measured.sent += count;
        at->scene->measured.again += is_again ? count : 0;
    }
    scene_send(at->scene, f, &p);
}

static void app(struct scene *w, struct flow_state *f)
{
    const struct senders *s = f->conf;
    unsigned burst = s->burst > 0 ? s->burst : 1;
    uint32_t data = f->tcp.end - f->is_fin_alone;
    uint32_t ready = s->rate > 0 ? f->tcp.ready + burst : data;
    bool is_all = ready >= data;
    tcp_give(&f->tcp, is_all ? f->tcp.end : ready, w->now_ns);
    queue_timer(w, f);
    if (!is_all)
        scene_push(w, f, APP,
                   w->now_ns + (uint64_t)dice_wait(&w->dice, burst * (double)SECOND_NS / s->rate));
}

static void closed_begin(struct scene *w, struct flow_state *f)
{
    const struct senders *s = f->conf;
    f->is_fin_alone = s->end == END_FIN && dice_hits(&w->dice, .5);
    f->receiver = (struct tcp_receiver){0};
    f->timer_at_ns = 0;
    memset(&f->tcp, 0, offsetof(struct tcp_sender, ring));
    f->tcp.conf = s;
    f->tcp.send = send_segment;
    f->tcp.with = &sender_of[flow_number(w, f)];
    sender_of[flow_number(w, f)] = (struct scene_flow){w, f};
    f->tcp.end = s->segments != 0 ? s->segments + f->is_fin_alone : ENDLESS_NUMBER;
    tcp_start(&f->tcp, w->now_ns);
    app(w, f);
}

static void acknowledge(struct scene *w, struct flow_state *f)
{
    struct tcp_receiver *r = &f->receiver;
    r->unacked = 0;
    r->ack_due_ns = 0;
    if (dice_hits(&w->dice, f->conf->loss_back))
        return;
    struct happening ack = {.at_ns = w->now_ns + (uint64_t)(f->rtt_ns / 2),
                            .what = AT_SENDER,
                            .flow = flow_number(w, f),
                            .life = f->life,
                            .first = r->next};
    memcpy(ack.from, r->from, sizeof ack.from);
    memcpy(ack.to, r->to, sizeof ack.to);
    queue_push(&w->queue, &ack);
}

static void at_receiver(struct scene *w, struct flow_state *f, const struct happening *h)
{
    if (h->first == SEGMENT_SYN)
        scene_push(w, f, SYN_ACK, w->now_ns + (uint64_t)(f->rtt_ns / 2));
    if (h->first == SEGMENT_SYN || h->first == SEGMENT_ACK)
        return;
    double delay_ms = f->conf->ack_delay_ms > 0 ? f->conf->ack_delay_ms : 40;
    uint64_t due = f->receiver.ack_due_ns;
    uint32_t had = f->receiver.next;
    w->measured.spurious +=
        h->first < had || f->receiver.has[h->first % TCP_WINDOW]; /* of one: the first */
    bool is_now = tcp_receive(&f->receiver, h->first, h->count,
                              (uint64_t)(delay_ms * MILLISECOND_NS), w->now_ns);
    w->measured.arrived += f->receiver.next - had;
    if (is_now || (h->flags & TCP_FIN) != 0)
        acknowledge(w, f);
    else if (f->receiver.ack_due_ns != due)
        scene_push(w, f, ACK_LATE, f->receiver.ack_due_ns);
}

static void at_sender(struct scene *w, struct flow_state *f, const struct happening *h)
{
    tcp_ack(&f->tcp, h);
    queue_timer(w, f);
    if (f->tcp.una == f->tcp.end) {
        if (f->conf->end == END_RST)
            scene_send(w, f,
                       &(struct sending){.life = f->life,
                                         .seq = f->isn + 1 + f->tcp.end * segment_bytes(f->conf),
                                         .first = SEGMENT_ACK,
                                         .flags = TCP_RST | TCP_ACK});
        scene_end(w, f);
    }
}

static void timer(struct scene *w, struct flow_state *f)
{
    f->timer_at_ns = 0;
    if (f->tcp.timer_ns != 0 && f->tcp.timer_ns <= w->now_ns)
        tcp_timeout(&f->tcp, w->now_ns);
    queue_timer(w, f);
}

/* ---- flows ---- */

void scene_end(struct scene *w, struct flow_state *f)
{
    f->is_over = true;
    w->measured.over++;
    if (w->record != NULL)
        return; /* one life is enough */
    double pause = dice_wait(&w->dice, (f->conf->pause_ms + 1) * MILLISECOND_NS);
    scene_push(w, f, BEGIN, w->now_ns + (uint64_t)pause);
}

static void begin(struct scene *w, struct flow_state *f)
{
    const struct senders *s = f->conf;
    double low = s->rtt_ms > 0 ? s->rtt_ms : RTT_MS;
    double rtt_ms = dice_between(&w->dice, low, s->rtt_most_ms > low ? s->rtt_most_ms : low);
    if (w->life_count == SCENE_LIVES)
        return;
    f->life = w->life_count++;
    w->seen[f->life] = (struct tap_flow){.number = f->life, .is_genuine = s->role == CLOSED_LOOP};
    f->isn = (uint32_t)dice_next(&w->dice);
    f->rtt_ns = rtt_ms * MILLISECOND_NS;
    f->is_hidden = f->is_over = false;
    f->leaves = dice_hits(&w->dice, s->leave_share);
    f->last_up_ns = f->last_down_ns = 0;
    if (s->role == CLOSED_LOOP)
        closed_begin(w, f);
    else
        spoof_begin(w, f);
}

static void shift(struct scene *w, struct flow_state *f)
{
    const struct senders *s = f->conf;
    if (s->shift_at_ms > 0 && (double)(w->now_ns - w->sensor_ns) > s->shift_at_ms * MILLISECOND_NS)
        f->rtt_ns = s->shift_rtt_ms * MILLISECOND_NS;
}

static void closed_happens(struct scene *w, struct flow_state *f, const struct happening *h)
{
    if (h->life != f->life || f->is_over)
        return;
    if (h->what == AT_RECEIVER)
        at_receiver(w, f, h);
    else if (h->what == AT_SENDER)
        at_sender(w, f, h);
    else if (h->what == SYN_ACK) {
        tcp_syn_ack(&f->tcp, w->now_ns);
        queue_timer(w, f);
    } else if (h->what == TIMER)
        timer(w, f);
    else if (h->what == APP)
        app(w, f);
    else if (h->what == ACK_LATE && f->receiver.unacked > 0 && f->receiver.ack_due_ns == h->at_ns)
        acknowledge(w, f);
}

static void happens(struct scene *w, const struct happening *h)
{
    struct flow_state *f = &w->flows[h->flow];
    w->now_ns = h->at_ns;
    if (w->sensor_ns != 0 && w->now_ns > w->sensor_ns)
        shift(w, f);
    if (h->what == AT_SENSOR)
        at_sensor(w, f, h);
    else if (h->what == BEGIN)
        begin(w, f);
    else if (h->what >= EMIT)
        spoof_happens(w, f, h);
    else
        closed_happens(w, f, h);
}

static void reset(struct scene *w, const struct row *row, const struct senders *groups,
                  uint64_t seed)
{
    if (w->queue.room == 0)
        queue_init(&w->queue);
    queue_empty(&w->queue);
    w->row = row;
    w->groups = groups;
    w->record = NULL;
    w->has_sensor = false;
    w->measured = (struct measured){0};
    w->dice = dice_init(seed);
    w->now_ns = w->sensor_ns = SECOND_NS;
    w->link_free_ns = 0;
    w->life_count = w->flow_count = 0;
}

/* Flows of a group begin within half a second; those of a mid-stream one before the sensor. */
static void add_flows(struct scene *w, const struct senders *s)
{
    for (unsigned i = 0; i < s->flows; i++) {
        if (w->flow_count == SCENE_FLOWS)
            abort();
        struct flow_state *f = &w->flows[w->flow_count++];
        f->conf = s;
        f->life = 0;
        f->is_over = true;
        double from =
            s->is_midstream || w->record != NULL ? (double)SECOND_NS : (double)w->sensor_ns;
        scene_push(w, f, BEGIN, (uint64_t)(from + dice_unit(&w->dice) * SECOND_NS / 2));
    }
}

static void run_until(struct scene *w, uint64_t end_ns)
{
    while (!w->tap.has_ended && queue_next_ns(&w->queue) < end_ns) {
        struct happening h = queue_pop(&w->queue);
        happens(w, &h);
    }
}

/* What closed loops with the group's values send past the sensor, over a path without one. */
static void make_recording(struct scene *w, const struct row *row, const struct senders *group,
                           uint64_t seed)
{
    struct senders genuine = *group;
    genuine.role = CLOSED_LOOP;
    genuine.flows = TRACES;
    genuine.segments = group->segments != 0 ? group->segments : RECORD_SEGMENTS;
    reset(w, row, &genuine, seed);
    w->tap.has_ended = false;
    w->record = w->traces;
    for (unsigned i = 0; i < TRACES; i++)
        w->traces[i].count = 0;
    add_flows(w, &genuine);
    run_until(w, RECORD_S * SECOND_NS);
    for (unsigned i = 0; i < TRACES; i++)
        for (uint32_t j = w->traces[i].count; j > 0; j--)
            w->traces[i].packet[j - 1].at_ns -= w->traces[i].packet[0].at_ns;
}

void world_measure(const struct row *row, double seconds, uint64_t seed, struct measured *out)
{
    struct scene *w = &the_world;
    reset(w, row, row->groups, seed);
    w->tap.has_ended = false;
    for (unsigned i = 0; i < ROW_GROUPS; i++)
        add_flows(w, &row->groups[i]);
    run_until(w, w->sensor_ns + (uint64_t)(seconds * 1e9));
    *out = w->measured;
    out->seconds = seconds;
}

void world_run(const struct row *row, const struct penny_conf *conf, uint64_t seed,
               struct outcome *out)
{
    struct scene *w = &the_world;
    bool is_midstream = false;
    for (unsigned i = 0; i < ROW_GROUPS; i++) {
        is_midstream |= row->groups[i].is_midstream && row->groups[i].role == CLOSED_LOOP;
        if (row->groups[i].role == REPLAY && row->groups[i].flows > 0)
            make_recording(w, row, &row->groups[i], seed + 1);
    }
    reset(w, row, row->groups, seed);
    w->has_sensor = true;
    tap_open(&w->tap, conf, row->is_v6, dice_next(&w->dice), out);
    if (is_midstream)
        w->sensor_ns += MIDSTREAM_S * SECOND_NS;
    for (unsigned i = 0; i < ROW_GROUPS; i++)
        add_flows(w, &row->groups[i]);
    uint64_t end_ns = w->sensor_ns + HORIZON_S * SECOND_NS;
    run_until(w, end_ns);
    if (!w->tap.has_ended)
        tap_advance(&w->tap, end_ns);
    tap_close(&w->tap, end_ns);
}
