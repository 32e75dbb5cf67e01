#include "tests/sim/tcp.h"

#include <math.h>

#define SECOND         1e9
#define INITIAL_WINDOW 10
#define BACKOFF_MOST   6
#define CUBIC_C        0.4
#define CUBIC_BETA     0.7

static struct sent *at(struct tcp_sender *s, uint32_t segment)
{
    return &s->ring[segment % TCP_WINDOW];
}

static bool has_rack(const struct tcp_sender *s)
{
    return s->conf->control == TAIL_PROBE && !s->conf->has_no_sack;
}

/* ---- timers ---- */

static uint64_t timeout_ns(const struct tcp_sender *s)
{
    double rto = SECOND;
    if (s->srtt_ns > 0 && s->conf->has_slow_timer)
        rto = fmax(SECOND, s->srtt_ns + 4 * s->rttvar_ns);
    else if (s->srtt_ns > 0)
        rto = s->srtt_ns + fmax(.2 * SECOND, 4 * s->rttvar_ns);
    return (uint64_t)rto << (s->backoff < BACKOFF_MOST ? s->backoff : BACKOFF_MOST);
}

static void arm(struct tcp_sender *s, uint64_t now_ns)
{
    s->is_probe_next = false;
    s->timer_ns = 0;
    if (s->una == s->top)
        return;
    s->timer_ns = now_ns + timeout_ns(s);
    if (!has_rack(s) || s->state != TCP_OPEN || s->has_probed || s->srtt_ns <= 0)
        return;
    double probe = 2 * s->srtt_ns + (s->top - s->una == 1 ? .2 * SECOND : .002 * SECOND);
    if (now_ns + (uint64_t)probe < s->timer_ns) {
        s->timer_ns = now_ns + (uint64_t)probe;
        s->is_probe_next = true;
    }
}

static void measure(struct tcp_sender *s, double rtt)
{
    if (s->srtt_ns <= 0) {
        s->srtt_ns = rtt;
        s->rttvar_ns = rtt / 2;
        return;
    }
    s->rttvar_ns += (fabs(rtt - s->srtt_ns) - s->rttvar_ns) / 4;
    s->srtt_ns += (rtt - s->srtt_ns) / 8;
}

/* ---- sending ---- */

static uint32_t in_flight(struct tcp_sender *s)
{
    uint32_t n = s->top - s->una;
    if (s->state != TCP_OPEN || s->sacked > 0) {
        n = 0;
        for (uint32_t i = s->una; i != s->top; i++) {
            const struct sent *e = at(s, i);
            n += !e->is_sacked && (!e->is_lost || e->is_again);
        }
    }
    return n - (s->dupacks < n ? s->dupacks : n);
}

static uint32_t first_lost(struct tcp_sender *s)
{
    for (uint32_t i = s->una; s->state != TCP_OPEN && i != s->top; i++) {
        const struct sent *e = at(s, i);
        if (e->is_lost && !e->is_again && !e->is_sacked)
            return i;
    }
    return s->top;
}

static void send_again(struct tcp_sender *s, uint32_t segment, uint64_t now_ns)
{
    uint32_t next = segment + 1, count = 1;
    if (s->conf->merges && next < s->top && next + 1 < s->end && !at(s, next)->is_sacked)
        count = 2;
    for (uint32_t i = segment; i != segment + count; i++) {
        struct sent *e = at(s, i);
        e->at_ns = now_ns;
        e->is_again = true;
        e->tries++;
    }
    s->sent_since += count;
    s->send(s->with, segment, count, true, now_ns);
}

static void send_new(struct tcp_sender *s, uint64_t now_ns)
{
    *at(s, s->top) = (struct sent){.at_ns = now_ns};
    s->sent_since++;
    s->send(s->with, s->top++, 1, false, now_ns);
}

static bool may_send_new(const struct tcp_sender *s)
{
    return s->top < s->ready && s->top - s->una < TCP_WINDOW - 1;
}

/* How many more may be in flight. In recovery with SACK: as many as were delivered since, shrunk to
 * the new window (RFC 6937): without it a burst of retransmissions overflows the queue anew. */
static uint32_t allowance(struct tcp_sender *s)
{
    uint32_t flight = in_flight(s), window = (uint32_t)s->cwnd;
    uint32_t room = window > flight ? window - flight : 0;
    if (s->state != TCP_RECOVERY || s->conf->has_no_sack)
        return room;
    if (room == 0) {
        double share = s->ssthresh / (s->recover_flight + 1.);
        uint32_t due = (uint32_t)ceil(s->delivered * share);
        return due > s->sent_since ? due - s->sent_since : 0;
    }
    uint32_t due = s->delivered > s->sent_since ? s->delivered - s->sent_since + 1 : 1;
    return room < due ? room : due;
}

static void push(struct tcp_sender *s, uint64_t now_ns)
{
    for (uint32_t room = allowance(s); room > 0; room--) {
        uint32_t lost = first_lost(s);
        if (lost != s->top)
            send_again(s, lost, now_ns);
        else if (may_send_new(s))
            send_new(s, now_ns);
        else
            break;
    }
    if (s->timer_ns == 0)
        arm(s, now_ns);
}

void tcp_start(struct tcp_sender *s, uint64_t now_ns)
{
    s->state = TCP_SYN_SENT;
    s->cwnd = INITIAL_WINDOW;
    s->ssthresh = 1e9;
    s->syn_ns = now_ns;
    s->timer_ns = now_ns + ((uint64_t)SECOND << (s->syn_tries < 5 ? s->syn_tries : 5));
    s->send(s->with, SEGMENT_SYN, 1, s->syn_tries++ > 0, now_ns);
}

void tcp_syn_ack(struct tcp_sender *s, uint64_t now_ns)
{
    if (s->state != TCP_SYN_SENT)
        return;
    if (s->syn_tries == 1)
        measure(s, (double)(now_ns - s->syn_ns));
    s->state = TCP_OPEN;
    s->timer_ns = 0;
    s->send(s->with, SEGMENT_ACK, 1, false, now_ns);
    push(s, now_ns);
}

void tcp_give(struct tcp_sender *s, uint32_t ready, uint64_t now_ns)
{
    s->ready = ready < s->end ? ready : s->end;
    if (s->state >= TCP_OPEN)
        push(s, now_ns);
}

/* ---- congestion ---- */

static void shrink(struct tcp_sender *s)
{
    bool is_reno = s->conf->control == RENO;
    double flight = fmin(s->cwnd, in_flight(s) + 1.);
    s->cubic_most = s->cwnd;
    s->cubic_epoch_ns = 0;
    s->ssthresh = fmax(2, flight * (is_reno ? .5 : CUBIC_BETA));
}

static void grow_cubic(struct tcp_sender *s, uint32_t acked, uint64_t now_ns)
{
    if (s->cubic_epoch_ns == 0) {
        s->cubic_epoch_ns = now_ns;
        s->cubic_most = fmax(s->cubic_most, s->cwnd);
        s->cubic_k = cbrt((s->cubic_most - s->cwnd) / CUBIC_C);
    }
    double t = ((double)(now_ns - s->cubic_epoch_ns) + s->srtt_ns) / SECOND, d = t - s->cubic_k;
    double target = CUBIC_C * d * d * d + s->cubic_most;
    double reno = .53 * acked / s->cwnd; /* RFC 9438, 4.3: no slower than Reno would be */
    double step = target > s->cwnd ? (target - s->cwnd) / s->cwnd * acked : 0;
    s->cwnd += fmin(fmax(step, reno), acked / 2.);
}

static void grow(struct tcp_sender *s, uint32_t acked, uint64_t now_ns)
{
    if (s->cwnd < s->ssthresh)
        s->cwnd += acked < 2 ? acked : 2; /* RFC 3465 */
    else if (s->conf->control == RENO)
        s->cwnd += acked / s->cwnd;
    else
        grow_cubic(s, acked, now_ns);
    s->cwnd = fmin(s->cwnd, TCP_WINDOW);
}

/* ---- acknowledgements ---- */

static void open_again(struct tcp_sender *s)
{
    s->state = TCP_OPEN;
    s->dupacks = 0;
    s->cwnd = fmin(s->ssthresh, in_flight(s) + 2.); /* RFC 6582, 3.2: no burst */
    for (uint32_t i = s->una; i != s->top; i++)
        at(s, i)->is_lost = at(s, i)->is_again = false;
}

static void recover(struct tcp_sender *s, uint64_t now_ns)
{
    shrink(s);
    s->cwnd = s->ssthresh;
    s->state = TCP_RECOVERY;
    s->recover = s->top;
    s->partial_acks = s->delivered = s->sent_since = 0;
    s->recover_flight = s->top - s->una;
    uint32_t lost = first_lost(s);
    if (lost != s->top)
        send_again(s, lost, now_ns);
    arm(s, now_ns);
}

static void partial_ack(struct tcp_sender *s, uint32_t acked)
{
    s->partial_acks++;
    s->dupacks -= s->dupacks < acked ? s->dupacks : acked;
    if (s->conf->has_no_sack && s->una != s->top) {
        at(s, s->una)->is_lost = true;
        at(s, s->una)->is_again = false;
    }
}

static void arrived(struct tcp_sender *s, const struct sent *e)
{
    if (e->at_ns > s->rack_ns)
        s->rack_ns = e->at_ns;
}

static void new_ack(struct tcp_sender *s, uint32_t next, uint64_t now_ns)
{
    uint32_t acked = next - s->una, flight = in_flight(s);
    const struct sent *last = at(s, next - 1);
    /* Karn; and not what waited at the receiver for a hole to be filled */
    if (last->tries == 0 && !last->is_sacked && s->state == TCP_OPEN)
        measure(s, (double)(now_ns - last->at_ns));
    for (; s->una != next; s->una++) {
        s->delivered += !at(s, s->una)->is_sacked;
        s->sacked -= at(s, s->una)->is_sacked;
        arrived(s, at(s, s->una));
    }
    s->backoff = 0;
    s->has_probed = false;
    if (s->state != TCP_OPEN && (int32_t)(s->una - s->recover) >= 0)
        open_again(s);
    else if (s->state == TCP_RECOVERY)
        partial_ack(s, acked);
    else if (s->state == TCP_OPEN)
        s->dupacks = 0;
    if (s->state != TCP_RECOVERY && flight + 1 >= (uint32_t)s->cwnd)
        grow(s, acked, now_ns);
}

static void take_sacks(struct tcp_sender *s, const struct happening *ack)
{
    for (unsigned b = 0; b < QUEUE_SACKS; b++)
        for (uint32_t i = ack->from[b]; i < ack->to[b]; i++) {
            if (i < s->una || i >= s->top || at(s, i)->is_sacked)
                continue;
            at(s, i)->is_sacked = true;
            s->sacked++;
            s->delivered++;
            s->has_probed = false;
            arrived(s, at(s, i));
        }
}

/* RFC 6675: three above it arrived. */
static bool mark_by_count(struct tcp_sender *s)
{
    uint32_t above = 0;
    bool any = false;
    for (uint32_t i = s->top; i != s->una; i--) {
        struct sent *e = at(s, i - 1);
        above += e->is_sacked;
        if (!e->is_sacked && above >= 3 && !e->is_lost)
            e->is_lost = any = true;
    }
    return any;
}

/* RFC 8985: one that was sent later arrived. Finds lost retransmissions, too. */
static bool mark_by_time(struct tcp_sender *s)
{
    uint64_t slack = s->sacked >= 3 ? 0 : (uint64_t)(s->srtt_ns / 4);
    bool any = false;
    for (uint32_t i = s->una; i != s->top; i++) {
        struct sent *e = at(s, i);
        if (e->is_sacked || (e->is_lost && !e->is_again) || e->at_ns + slack >= s->rack_ns)
            continue;
        e->is_lost = any = true;
        e->is_again = false;
    }
    return any;
}

static void detect(struct tcp_sender *s, uint64_t now_ns)
{
    bool any = false;
    if (s->conf->has_no_sack) {
        if (s->state == TCP_OPEN && s->dupacks >= 3)
            at(s, s->una)->is_lost = any = true;
    } else if (s->sacked > 0 || has_rack(s))
        any = has_rack(s) ? mark_by_time(s) : mark_by_count(s);
    if (any && s->state == TCP_OPEN)
        recover(s, now_ns);
}

void tcp_ack(struct tcp_sender *s, const struct happening *ack)
{
    uint32_t next = ack->first;
    if (s->state < TCP_OPEN)
        return;
    bool is_new = (int32_t)(next - s->una) > 0 && (int32_t)(s->top - next) >= 0;
    if (is_new)
        new_ack(s, next, ack->at_ns);
    else if (next == s->una && s->una != s->top && s->conf->has_no_sack && s->state != TCP_LOSS)
        s->dupacks++;
    if (!s->conf->has_no_sack)
        take_sacks(s, ack);
    if (s->una != s->top)
        detect(s, ack->at_ns);
    /* RFC 6582, 4: the "impatient" variant restarts the timer for the first partial one only */
    bool is_late = s->conf->has_no_sack && s->state == TCP_RECOVERY && s->partial_acks > 1;
    if (is_new && !is_late)
        s->timer_ns = 0;
    push(s, ack->at_ns);
}

/* ---- silence ---- */

static void probe(struct tcp_sender *s, uint64_t now_ns)
{
    s->has_probed = true;
    if (may_send_new(s))
        send_new(s, now_ns);
    else {
        struct sent *last = at(s, s->top - 1);
        last->at_ns = now_ns;
        last->tries++;
        s->send(s->with, s->top - 1, 1, true, now_ns);
    }
    arm(s, now_ns);
}

static void start_over(struct tcp_sender *s, uint64_t now_ns)
{
    if (s->state != TCP_LOSS)
        shrink(s);
    s->state = TCP_LOSS;
    s->recover = s->top;
    s->cwnd = 1;
    s->dupacks = 0;
    s->backoff++;
    s->has_timed_out = true;
    for (uint32_t i = s->una; i != s->top; i++) {
        at(s, i)->is_lost = !at(s, i)->is_sacked;
        at(s, i)->is_again = false;
    }
    s->timer_ns = 0;
    push(s, now_ns);
}

void tcp_timeout(struct tcp_sender *s, uint64_t now_ns)
{
    s->timer_ns = 0;
    if (s->state == TCP_SYN_SENT)
        tcp_start(s, now_ns);
    else if (s->una == s->top)
        return;
    else if (s->is_probe_next)
        probe(s, now_ns);
    else
        start_over(s, now_ns);
}

/* ---- receiver ---- */

static bool has(const struct tcp_receiver *r, uint32_t segment)
{
    return r->has[segment % TCP_WINDOW];
}

/* The block around this segment comes first, then the last ones reported (RFC 2018). */
static void note_block(struct tcp_receiver *r, uint32_t segment)
{
    uint32_t from = segment, to = segment + 1, n = 1;
    while (from > r->next && has(r, from - 1))
        from--;
    while (to - r->next < TCP_WINDOW && has(r, to))
        to++;
    uint32_t old_from[QUEUE_SACKS], old_to[QUEUE_SACKS];
    for (unsigned i = 0; i < QUEUE_SACKS; i++) {
        old_from[i] = r->from[i];
        old_to[i] = r->to[i];
        r->from[i] = r->to[i] = 0;
    }
    r->from[0] = from;
    r->to[0] = to;
    for (unsigned i = 0; i < QUEUE_SACKS && n < QUEUE_SACKS; i++)
        if (old_from[i] > r->next && (old_to[i] < from || old_from[i] > to)) {
            r->from[n] = old_from[i];
            r->to[n++] = old_to[i];
        }
}

static void advance(struct tcp_receiver *r)
{
    while (has(r, r->next))
        r->has[r->next++ % TCP_WINDOW] = false;
    for (unsigned i = 0; i < QUEUE_SACKS; i++)
        if (r->from[i] < r->next)
            r->from[i] = r->to[i] = 0;
}

static bool has_blocks(const struct tcp_receiver *r)
{
    for (unsigned i = 0; i < QUEUE_SACKS; i++)
        if (r->to[i] > r->from[i])
            return true;
    return false;
}

bool tcp_receive(struct tcp_receiver *r, uint32_t first, uint32_t count, uint64_t delay_ns,
                 uint64_t now_ns)
{
    uint32_t before = r->next;
    bool was_gap = has_blocks(r);
    for (uint32_t i = first; i != first + count; i++)
        if (i >= r->next)
            r->has[i % TCP_WINDOW] = true;
    advance(r);
    if (first > r->next)
        note_block(r, first);
    if (r->next == before || was_gap || has_blocks(r) || ++r->unacked >= 2)
        return true;
    r->ack_due_ns = now_ns + delay_ns;
    return false;
}
