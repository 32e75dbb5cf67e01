#include "sensor/penny/flow_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void *lines_new(size_t count, size_t size)
{
    void *memory = aligned_alloc(64, count * size);
    if (memory != NULL)
        memset(memory, 0, count * size);
    return memory;
}

int flow_table_init(struct flow_table *t, uint32_t max, uint64_t idle_ns, struct hash_key key)
{
    uint32_t buckets = 2;
    while (buckets < max / (FLOW_BUCKET / 2))
        buckets *= 2;
    *t = (struct flow_table){
        .flows = lines_new(max, sizeof *t->flows),
        .buckets = lines_new(buckets, sizeof *t->buckets),
        .free = malloc(max * sizeof *t->free),
        .free_count = max,
        .max = max,
        .bucket_mask = buckets - 1,
        .hash_key = key,
        .idle_ns = idle_ns,
        .step_ns = idle_ns / FLOW_WHEEL_STEPS + 1,
    };
    if (t->flows == NULL || t->buckets == NULL || t->free == NULL) {
        flow_table_clear(t);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < max; i++)
        t->free[i] = max - 1 - i;
    for (unsigned i = 0; i < FLOW_WHEEL; i++)
        t->wheel[i] = FLOW_NONE;
    return 0;
}

void flow_table_clear(struct flow_table *t)
{
    free(t->flows);
    free(t->buckets);
    free(t->free);
    *t = (struct flow_table){0};
}

void flow_key_set(struct flow_key *key, const struct packet *p)
{
    memcpy(key->src, p->src.bytes, sizeof key->src);
    memcpy(key->dst, p->dst.bytes, sizeof key->dst);
    key->src_port = p->src_port;
    key->dst_port = p->dst_port;
    key->ingress = p->ingress;
    key->family = p->src.family;
}

uint64_t flow_table_hash(const struct flow_table *t, const struct flow_key *key)
{
    uint64_t words[5];
    memcpy(words, key, sizeof words);
    return hash_words(t->hash_key, words, 5);
}

static struct flow_bucket *first_bucket(const struct flow_table *t, uint64_t hash)
{
    return &t->buckets[hash & t->bucket_mask];
}

static struct flow_bucket *second_bucket(const struct flow_table *t, uint64_t hash)
{
    return &t->buckets[hash >> 24 & t->bucket_mask];
}

void flow_table_prefetch(const struct flow_table *t, uint64_t hash)
{
    __builtin_prefetch(first_bucket(t, hash));
    __builtin_prefetch(second_bucket(t, hash));
}

static void prefetch_flows_of(const struct flow_table *t, const struct flow_bucket *b,
                              uint64_t hash)
{
    for (unsigned i = 0; i < FLOW_BUCKET; i++) {
        if (b->flow[i] == 0 || b->tag[i] != (uint16_t)(hash >> 48))
            continue;
        const char *line = (const char *)&t->flows[b->flow[i] - 1];
        __builtin_prefetch(line, 1);
        __builtin_prefetch(line + 64, 1);
    }
}

void flow_table_prefetch_flow(const struct flow_table *t, uint64_t hash)
{
    prefetch_flows_of(t, first_bucket(t, hash), hash);
    prefetch_flows_of(t, second_bucket(t, hash), hash);
}

static struct flow *find_in(struct flow_table *t, const struct flow_bucket *b,
                            const struct flow_key *key, uint64_t hash)
{
    for (unsigned i = 0; i < FLOW_BUCKET; i++) {
        if (b->flow[i] == 0 || b->tag[i] != (uint16_t)(hash >> 48))
            continue;
        struct flow *flow = &t->flows[b->flow[i] - 1];
        if (memcmp(&flow->key, key, sizeof *key) == 0)
            return flow;
    }
    return NULL;
}

struct flow *flow_table_find(struct flow_table *t, const struct flow_key *key, uint64_t hash)
{
    struct flow *flow = find_in(t, first_bucket(t, hash), key, hash);
    return flow != NULL ? flow : find_in(t, second_bucket(t, hash), key, hash);
}

static unsigned room_in(const struct flow_bucket *b)
{
    unsigned room = 0;
    for (unsigned i = 0; i < FLOW_BUCKET; i++)
        room += b->flow[i] == 0;
    return room;
}

static void bucket_put(struct flow_bucket *b, uint32_t index, uint64_t hash)
{
    for (unsigned i = 0; i < FLOW_BUCKET; i++) {
        if (b->flow[i] == 0) {
            b->flow[i] = index + 1;
            b->tag[i] = (uint16_t)(hash >> 48);
            return;
        }
    }
}

static void bucket_take(struct flow_bucket *b, uint32_t index)
{
    for (unsigned i = 0; i < FLOW_BUCKET; i++)
        if (b->flow[i] == index + 1)
            b->flow[i] = 0;
}

static void wheel_link(struct flow_table *t, struct flow *flow, uint64_t at_ns)
{
    uint64_t slot = at_ns / t->step_ns;
    if (slot < t->hand)
        slot = t->hand;
    if (slot > t->hand + FLOW_WHEEL - 2)
        slot = t->hand + FLOW_WHEEL - 2; /* looked at early rather than a round too soon */
    uint32_t index = flow_index(t, flow);
    flow->wheel_slot = (uint32_t)(slot % FLOW_WHEEL);
    flow->wheel_prev = FLOW_NONE;
    flow->wheel_next = t->wheel[flow->wheel_slot];
    if (flow->wheel_next != FLOW_NONE)
        t->flows[flow->wheel_next].wheel_prev = index;
    t->wheel[flow->wheel_slot] = index;
}

static void wheel_unlink(struct flow_table *t, struct flow *flow)
{
    if (flow->wheel_prev != FLOW_NONE)
        t->flows[flow->wheel_prev].wheel_next = flow->wheel_next;
    else
        t->wheel[flow->wheel_slot] = flow->wheel_next;
    if (flow->wheel_next != FLOW_NONE)
        t->flows[flow->wheel_next].wheel_prev = flow->wheel_prev;
}

struct flow *flow_table_add(struct flow_table *t, const struct flow_key *key, uint64_t hash,
                            uint64_t now_ns)
{
    struct flow_bucket *a = first_bucket(t, hash), *b = second_bucket(t, hash);
    unsigned room_a = room_in(a), room_b = room_in(b);
    if (t->free_count == 0 || room_a + room_b == 0)
        return NULL;
    if (t->hand == 0)
        t->hand = now_ns / t->step_ns;
    uint32_t index = t->free[--t->free_count];
    struct flow *flow = &t->flows[index];
    *flow = (struct flow){.key = *key,
                          .hash = hash,
                          .last_seen_ns = now_ns,
                          .is_used = true,
                          .unit_first = FLOW_NONE,
                          .unit_last = FLOW_NONE};
    bucket_put(room_b > room_a ? b : a, index, hash);
    wheel_link(t, flow, now_ns + t->idle_ns);
    return flow;
}

void flow_table_remove(struct flow_table *t, struct flow *flow)
{
    uint32_t index = flow_index(t, flow);
    bucket_take(first_bucket(t, flow->hash), index);
    bucket_take(second_bucket(t, flow->hash), index);
    wheel_unlink(t, flow);
    flow->is_used = false;
    t->free[t->free_count++] = index;
}

static void expire_one(struct flow_table *t, struct flow *flow, uint64_t now_ns)
{
    uint64_t due = flow->last_seen_ns + t->idle_ns;
    if (due <= now_ns && flow->unit_first == FLOW_NONE) {
        if (t->on_idle != NULL)
            t->on_idle(t->on_idle_arg, flow);
        else
            flow_table_remove(t, flow);
        return;
    }
    wheel_unlink(t, flow);
    wheel_link(t, flow, (due > now_ns ? due : now_ns) + t->step_ns);
}

void flow_table_expire(struct flow_table *t, uint64_t now_ns, uint32_t most)
{
    uint64_t last = now_ns / t->step_ns; /* the slots before it are over */
    if (last > t->hand + FLOW_WHEEL)
        t->hand = last - FLOW_WHEEL; /* one round looks at all of them */
    while (t->hand < last) {
        uint32_t *slot = &t->wheel[t->hand % FLOW_WHEEL];
        t->hand++; /* so that what is hung on again lies ahead */
        while (*slot != FLOW_NONE && most > 0) {
            expire_one(t, &t->flows[*slot], now_ns);
            most--;
        }
        if (*slot != FLOW_NONE) {
            t->hand--; /* the rest next time */
            return;
        }
    }
}
