/* Which packet comes next, and when: functions of its number and the seed. */
#include "deploy/lab/gen.h"

#include "shared/base/clock.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

/* What is drawn per flow or packet: each has a stream of its own. */
enum draw { DRAW_SRC = 1, DRAW_SRC_HIGH, DRAW_DST, DRAW_DST_HIGH, DRAW_PORT, DRAW_SEQ, DRAW_COPY };

static uint64_t draw(const struct gen_plan *p, enum draw what, uint64_t number)
{
    const uint64_t words[2] = {what, number};
    return hash_words(p->key, words, 2);
}

static uint64_t draw_below(const struct gen_plan *p, enum draw what, uint64_t number, uint64_t n)
{
    __extension__ typedef unsigned __int128 u128;
    return (uint64_t)(((u128)draw(p, what, number) * n) >> 64);
}

/* The address in the prefix whose host part is the number high:low, cut to the prefix's size. */
static struct addr address_in(const struct prefix *prefix, uint64_t high, uint64_t low)
{
    struct addr a = prefix->addr;
    unsigned bits = addr_bits(a.family), bytes = bits / 8;
    for (unsigned i = 0; i < bytes; i++) {
        unsigned from_end = bytes - 1 - i;
        uint64_t half = from_end < 8 ? low : high;
        uint8_t host = (uint8_t)(half >> 8 * (from_end % 8));
        unsigned fixed = prefix->length > 8 * i ? prefix->length - 8 * i : 0;
        uint8_t mask = fixed >= 8 ? 0 : (uint8_t)(0xff >> fixed);
        a.bytes[i] = (uint8_t)((a.bytes[i] & ~mask) | (host & mask));
    }
    return a;
}

/* No two flows share source address and port: GEN_PORTS consecutive flows differ by port, and
 * those of the same port by the address, which moves on by one with every round of ports. */
static void flow_tuple(const struct gen_plan *p, uint64_t flow, struct gen_packet *out)
{
    const struct gen_conf *c = p->conf;
    uint64_t slot = flow % GEN_PORTS, round = flow / GEN_PORTS;
    uint64_t ports = (uint64_t)c->last_port - c->first_port + 1;
    out->src = address_in(&c->src, draw(p, DRAW_SRC_HIGH, slot), draw(p, DRAW_SRC, slot) + round);
    out->dst = address_in(&c->dst, draw(p, DRAW_DST_HIGH, flow), draw(p, DRAW_DST, flow));
    out->src_port = (uint16_t)(1024 + (slot + p->key.k0) % GEN_PORTS);
    out->dst_port = (uint16_t)(c->first_port + draw_below(p, DRAW_PORT, flow, ports));
}

/* Whose packet a number is. */
struct turn {
    uint64_t flow, k; /* k: the flow's own count of packets */
    enum { TURN_SYN, TURN_DATA, TURN_KEEP_ALIVE, TURN_END } what;
};

/* Flows that follow each other in a slot do not end all at once: the first of each slot is
 * shorter, by the slot's own share of a flow. */
static void turn_flow(const struct gen_conf *c, uint64_t slot, uint64_t turn, struct turn *out)
{
    *out = (struct turn){.flow = slot, .k = turn};
    if (c->flow_packets == 0)
        return;
    uint64_t ahead = slot * c->flow_packets / c->flows;
    uint64_t generation = (turn + ahead) / c->flow_packets;
    out->flow = generation * c->flows + slot;
    out->k = generation == 0 ? turn : (turn + ahead) % c->flow_packets;
}

static struct turn turn_of(const struct gen_conf *c, uint64_t number)
{
    struct turn t, next;
    uint64_t slot = number % c->flows, turn = number / c->flows;
    turn_flow(c, slot, turn, &t);
    turn_flow(c, slot, turn + 1, &next);
    bool is_last = next.flow != t.flow || c->count - number <= c->flows;
    if (c->syn && t.k == 0)
        t.what = TURN_SYN;
    else if ((c->fin || c->rst) && is_last)
        t.what = TURN_END;
    else if (c->keep_alive_after > 0 && t.k - (c->syn ? 1 : 0) >= c->keep_alive_after)
        t.what = TURN_KEEP_ALIVE;
    else
        t.what = TURN_DATA;
    return t;
}

/* Payload bytes of a flow before its packet k; a SYN takes one turn and one number. */
static uint64_t bytes_before(const struct gen_conf *c, uint64_t k)
{
    uint64_t packets = k - (c->syn ? 1 : 0);
    if (c->keep_alive_after > 0 && packets > c->keep_alive_after)
        packets = c->keep_alive_after;
    return (c->syn ? 1 : 0) + packets * c->payload_len;
}

static void flow_packet(const struct gen_plan *p, uint64_t number, struct gen_packet *out)
{
    const struct gen_conf *c = p->conf;
    struct turn turn = turn_of(c, number);
    uint64_t start = c->has_start_seq ? c->start_seq : draw(p, DRAW_SEQ, turn.flow);
    flow_tuple(p, turn.flow, out);
    if (turn.what == TURN_SYN) {
        out->seq = (uint32_t)start;
        out->flags = SYN;
        return;
    }
    out->seq = (uint32_t)(start + bytes_before(c, turn.k));
    out->ack = (uint32_t)(draw(p, DRAW_SEQ, turn.flow) >> 32);
    out->flags = ACK;
    if (turn.what == TURN_END) {
        out->flags |= c->fin ? FIN : RST;
    } else if (turn.what == TURN_KEEP_ALIVE) {
        out->seq--; /* the last byte once more */
        out->payload_len = 1;
    } else if (c->payload_len > 0) {
        out->payload_len = c->payload_len;
        out->flags |= PSH;
    }
}

/* Each source tries port after port of one destination, then goes on to the next. */
static void scan_packet(const struct gen_plan *p, uint64_t number, struct gen_packet *out)
{
    const struct gen_conf *c = p->conf;
    uint64_t flow = number % c->flows, probe = number / c->flows;
    uint64_t ports = (uint64_t)c->last_port - c->first_port + 1;
    flow_tuple(p, flow, out);
    out->dst = address_in(&c->dst, 0, probe / ports);
    out->dst_port = (uint16_t)(c->first_port + probe % ports);
    out->src_port = (uint16_t)(1024 + draw_below(p, DRAW_PORT, number, GEN_PORTS));
    out->seq = (uint32_t)draw(p, DRAW_SEQ, number);
    out->flags = SYN;
}

static uint64_t time_of(const struct gen_conf *c, uint64_t number)
{
    return number / c->rate * NS_PER_S + number % c->rate * NS_PER_S / c->rate;
}

/* Only data is copied: no SYN, FIN, RST, keep-alive. */
static bool has_copy(const struct gen_plan *p, uint64_t number)
{
    const struct gen_conf *c = p->conf;
    if (c->scan)
        return false;
    struct turn turn = turn_of(c, number);
    uint64_t data = turn.k - (c->syn ? 1 : 0);
    if (turn.what != TURN_DATA)
        return false;
    switch (c->duplicate) {
    case DUPLICATE_NONE:
        return false;
    case DUPLICATE_RANDOM:
        return (double)(draw(p, DRAW_COPY, number) >> 11) * 0x1p-53 < c->duplicate_share;
    case DUPLICATE_FIRST:
        return data < c->duplicate_first;
    case DUPLICATE_ALL:
        return true;
    }
    return false;
}

static void packet_number(const struct gen_plan *p, uint64_t number, struct gen_packet *out)
{
    *out = (struct gen_packet){.at_ns = time_of(p->conf, number)};
    if (p->conf->scan)
        scan_packet(p, number, out);
    else
        flow_packet(p, number, out);
}

void gen_plan_init(struct gen_plan *p, const struct gen_conf *conf)
{
    struct prf keys = prf_init(conf->seed, 0);
    *p = (struct gen_plan){.conf = conf};
    p->key.k0 = prf_next(&keys);
    p->key.k1 = prf_next(&keys);
}

/* All copies are late by the same time, so they come in the order of their originals: the two
 * sequences are merged by time. */
bool gen_plan_next(struct gen_plan *p, struct gen_packet *out)
{
    const struct gen_conf *c = p->conf;
    while (p->copy < p->next && !has_copy(p, p->copy))
        p->copy++;
    bool has_next = p->next < c->count;
    if (p->copy < p->next) {
        uint64_t at_ns = time_of(c, p->copy) + c->duplicate_delay_ns;
        if (!has_next || at_ns <= time_of(c, p->next)) {
            packet_number(p, p->copy++, out);
            out->at_ns = at_ns;
            out->is_copy = true;
            return true;
        }
    }
    if (has_next)
        packet_number(p, p->next++, out);
    return has_next;
}
