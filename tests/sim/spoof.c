/* Senders that hear nothing. */
#include "tests/sim/scene.h"

#define ALIVE_AFTER_END 10

static uint32_t number_of(const struct flow_state *f, uint32_t segment)
{
    return f->isn + 1 + segment * segment_bytes(f->conf);
}

static void send(struct scene *w, struct flow_state *f, uint32_t seq, uint32_t len, uint8_t flags)
{
    scene_send(w, f, &(struct sending){.life = f->life, .seq = seq, .len = len, .flags = flags});
}

/* ---- recordings ---- */

static void play(struct scene *w, struct flow_state *f)
{
    const struct trace_packet *p = &f->trace->packet[f->played++];
    send(w, f, f->isn + p->seq, p->len, p->flags);
    if (f->played == f->trace->count)
        scene_end(w, f);
    else
        scene_push(w, f, PLAY, f->play_from_ns + f->trace->packet[f->played].at_ns);
}

static void play_begin(struct scene *w, struct flow_state *f)
{
    f->trace = &w->traces[flow_number(w, f) % TRACES];
    f->played = 0;
    if (f->trace->count == 0)
        return;
    if (f->conf->is_midstream)
        f->played = (uint32_t)(dice_unit(&w->dice) * f->trace->count * .5);
    f->play_from_ns = w->now_ns - f->trace->packet[f->played].at_ns;
    scene_push(w, f, PLAY, w->now_ns);
}

/* ---- repeats ---- */

static uint64_t copy_wait_ns(struct scene *w, const struct senders *s)
{
    double most = s->after_most_ms > s->after_ms ? s->after_most_ms : s->after_ms;
    return 1000 + (uint64_t)(dice_between(&w->dice, s->after_ms, most) * MILLISECOND_NS);
}

/* left: copies still to come after the next one. */
static void push_copy(struct scene *w, struct flow_state *f, uint32_t life, uint32_t seq,
                      uint32_t left)
{
    queue_push(&w->queue, &(struct happening){.at_ns = w->now_ns + copy_wait_ns(w, f->conf),
                                              .what = COPY,
                                              .flow = flow_number(w, f),
                                              .life = life,
                                              .seq = seq,
                                              .count = left});
}

static bool is_repeated(struct scene *w, struct flow_state *f)
{
    const struct senders *s = f->conf;
    if (s->repeat_below > 0 && f->repeated + 1 < s->repeat_below * f->next) {
        f->repeated++;
        return true;
    }
    return f->next <= s->repeat_first || dice_hits(&w->dice, s->repeat);
}

static void copy(struct scene *w, struct flow_state *f, const struct happening *h)
{
    uint32_t len = segment_bytes(f->conf), half = len / 2;
    struct sending p = {.life = h->life, .seq = h->seq, .len = len, .flags = TCP_ACK};
    if (f->conf->halves) {
        p.len = half;
        scene_send(w, f, &p);
        p.seq += half;
        p.len = len - half;
    }
    scene_send(w, f, &p);
    if (h->count > 0)
        push_copy(w, f, h->life, h->seq, h->count - 1);
}

/* ---- new segments ---- */

static void emit_one(struct scene *w, struct flow_state *f)
{
    const struct senders *s = f->conf;
    uint32_t segment = f->next++, seq = number_of(f, segment), len = segment_bytes(s);
    if (s->overlaps && segment > 0)
        send(w, f, seq - len / 2, len / 2 + len, TCP_ACK);
    else
        send(w, f, seq, len, TCP_ACK | TCP_PSH);
    if (is_repeated(w, f))
        push_copy(w, f, f->life, seq, s->copies > 0 ? s->copies - 1 : 0);
}

static void finish(struct scene *w, struct flow_state *f)
{
    if (f->conf->end == END_FIN)
        send(w, f, number_of(f, f->next), 0, TCP_FIN | TCP_ACK);
    if (f->conf->end == END_RST)
        send(w, f, number_of(f, f->next), 0, TCP_RST | TCP_ACK);
    scene_end(w, f);
}

static void emit(struct scene *w, struct flow_state *f)
{
    const struct senders *s = f->conf;
    unsigned burst = s->burst > 0 ? s->burst : 1;
    if (s->stop_ms > 0 && (double)(w->now_ns - SECOND_NS) > s->stop_ms * MILLISECOND_NS)
        return;
    for (unsigned i = 0; i < burst && (s->segments == 0 || f->next < s->segments); i++)
        emit_one(w, f);
    if (s->segments != 0 && f->next >= s->segments)
        finish(w, f);
    else
        scene_push(w, f, EMIT,
                   w->now_ns + (uint64_t)dice_wait(&w->dice, burst * (double)SECOND_NS / s->rate));
}

static void alive(struct scene *w, struct flow_state *f, const struct happening *h)
{
    bool is_old = h->life != f->life || f->is_over;
    if (is_old && h->count >= ALIVE_AFTER_END)
        return;
    uint32_t seq = is_old ? h->seq : number_of(f, f->next);
    scene_send(w, f,
               &(struct sending){.life = h->life, .seq = seq - 1, .len = 1, .flags = TCP_ACK});
    struct happening next = *h;
    next.at_ns = w->now_ns + (uint64_t)(f->conf->alive_ms * MILLISECOND_NS);
    next.seq = seq;
    next.count = is_old ? h->count + 1 : 0;
    queue_push(&w->queue, &next);
}

void spoof_begin(struct scene *w, struct flow_state *f)
{
    f->next = f->repeated = 0;
    if (f->conf->role == REPLAY) {
        play_begin(w, f);
        return;
    }
    if (f->conf->has_handshake) {
        send(w, f, f->isn, 0, TCP_SYN);
        send(w, f, f->isn + 1, 0, TCP_ACK);
    }
    if (f->conf->alive_ms > 0)
        queue_push(&w->queue, &(struct happening){.at_ns = w->now_ns + SECOND_NS / 2,
                                                  .what = ALIVE,
                                                  .flow = flow_number(w, f),
                                                  .life = f->life,
                                                  .seq = f->isn + 1});
    scene_push(w, f, EMIT, w->now_ns + (uint64_t)(dice_unit(&w->dice) * 1e9 / f->conf->rate));
}

void spoof_happens(struct scene *w, struct flow_state *f, const struct happening *h)
{
    if (h->what == COPY)
        copy(w, f, h);
    else if (h->what == ALIVE)
        alive(w, f, h);
    else if (h->life == f->life && h->what == EMIT)
        emit(w, f);
    else if (h->life == f->life && h->what == PLAY)
        play(w, f);
}
