#include "sensor/packet/opening.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#define BUCKETS    8192
#define ENTRIES    8  /* 64 bytes: a cache line */
#define UNIT_SHIFT 30 /* of time: 1.07 s */
#define QUIET      56 /* units: 60.1 s */

enum { ICMP_ECHO = 8, ICMP_STAMP = 13, ICMP_MASK = 17, ICMPV6_ECHO = 128 };

/* An entry: the upper 48 bits of the flow's hash, and 16 of time. */
struct openings {
    alignas(64) uint64_t bucket[BUCKETS][ENTRIES];
    struct hash_key key;
};

static enum opening tcp_opening(uint8_t flags)
{
    if ((flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
        return OPENING_SYN;
    if (flags == 0)
        return OPENING_NULL;
    if ((flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) != TCP_FIN)
        return OPENING_NONE;
    return (flags & (TCP_PSH | TCP_URG)) == (TCP_PSH | TCP_URG) ? OPENING_XMAS : OPENING_FIN;
}

static bool asks(const struct packet *p)
{
    if (p->src.family == ADDR_V6)
        return p->icmp_type == ICMPV6_ECHO;
    return p->icmp_type == ICMP_ECHO || p->icmp_type == ICMP_STAMP || p->icmp_type == ICMP_MASK;
}

enum opening packet_opening(const struct packet *p)
{
    if (p->is_fragment)
        return OPENING_NONE;
    if (p->protocol == IPPROTO_TCP)
        return tcp_opening(p->tcp_flags);
    if (p->protocol == IPPROTO_UDP)
        return OPENING_UDP;
    if (p->protocol == (p->src.family == ADDR_V6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) && asks(p))
        return OPENING_ICMP;
    return OPENING_NONE;
}

int openings_new(uint64_t seed, struct openings **out)
{
    struct openings *o = aligned_alloc(alignof(struct openings), sizeof *o);
    if (o == NULL)
        return -ENOMEM;
    memset(o, 0, sizeof *o);
    o->key = (struct hash_key){seed, 0x6f70656e696e6773};
    *out = o;
    return 0;
}

void openings_free(struct openings *o)
{
    free(o);
}

static uint64_t flow_hash(const struct openings *o, const struct packet *p)
{
    uint64_t words[5];
    memcpy(words, p->src.bytes, 16);
    memcpy(words + 2, p->dst.bytes, 16);
    words[4] = (uint64_t)p->src.family << 32 | (uint64_t)p->src_port << 16 | p->dst_port;
    return hash_words(o->key, words, 5);
}

static uint16_t age(uint64_t entry, uint16_t now)
{
    return entry == 0 ? UINT16_MAX : (uint16_t)(now - (uint16_t)entry);
}

/* Where the flow stands in its bucket, or where it is to stand: in place of the oldest. */
static uint64_t *find(uint64_t *bucket, uint64_t hash, uint16_t now)
{
    uint64_t *oldest = bucket;
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (bucket[i] != 0 && bucket[i] >> 16 == hash >> 16)
            return &bucket[i];
        if (age(bucket[i], now) > age(*oldest, now))
            oldest = &bucket[i];
    }
    return oldest;
}

static bool is_first(struct openings *o, const struct packet *p, uint64_t now_ns)
{
    uint64_t hash = flow_hash(o, p);
    uint16_t now = (uint16_t)(now_ns >> UNIT_SHIFT);
    uint64_t *entry = find(o->bucket[hash % BUCKETS], hash, now);
    if (*entry != 0 && *entry >> 16 == hash >> 16 && age(*entry, now) < QUIET)
        return false;
    *entry = (hash & ~(uint64_t)UINT16_MAX) | now;
    return true;
}

enum opening openings_find(struct openings *o, const struct packet *p, uint64_t now_ns)
{
    enum opening kind = packet_opening(p);
    return kind == OPENING_UDP && !is_first(o, p, now_ns) ? OPENING_NONE : kind;
}
