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

/* Is this the flow's last packet of all? */
static bool is_last(const struct gen_conf *c, uint64_t number)
{
    return c->count - number <= c->flows;
}

static void flow_packet(const struct gen_plan *p, uint64_t number, struct gen_packet *out)
{
    const struct gen_conf *c = p->conf;
    uint64_t flow = number % c->flows, k = number / c->flows;
    uint64_t start = c->has_start_seq ? c->start_seq : draw(p, DRAW_SEQ, flow);
    flow_tuple(p, flow, out);
    if (c->syn && k == 0) {
        out->seq = (uint32_t)start;
        out->flags = SYN;
        return;
    }
    /* a SYN takes one number and one turn */
    out->seq = (uint32_t)(start + (c->syn ? 1 : 0) + (k - (c->syn ? 1 : 0)) * c->payload_len);
    out->ack = (uint32_t)(draw(p, DRAW_SEQ, flow) >> 32);
    bool ends = (c->fin || c->rst) && is_last(c, number);
    if (ends) {
        out->flags = (uint8_t)((c->fin ? FIN : RST) | ACK);
        return;
    }
    out->payload_len = c->payload_len;
    out->flags = c->payload_len > 0 ? PSH | ACK : ACK;
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

/* Only data is copied: no SYN, FIN, RST. */
static bool has_copy(const struct gen_plan *p, uint64_t number)
{
    const struct gen_conf *c = p->conf;
    uint64_t k = number / c->flows, data = k - (c->syn ? 1 : 0);
    if (c->scan || (c->syn && k == 0) || ((c->fin || c->rst) && is_last(c, number)))
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
