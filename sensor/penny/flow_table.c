#include "sensor/penny/flow_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE (UINT64_C(1) << 21)

/* Zeroed, in huge pages where the kernel has them (it is asked, and may refuse). */
static void *lines_new(size_t count, size_t size)
{
    size_t bytes = count * size, unit = bytes < HUGE_PAGE ? 64 : HUGE_PAGE;
    bytes = (bytes + unit - 1) / unit * unit;
    void *memory = aligned_alloc(unit, bytes);
    if (memory == NULL)
        return NULL;
    if (unit == HUGE_PAGE)
        madvise(memory, bytes, MADV_HUGEPAGE);
    return memset(memory, 0, bytes);
}

int flow_table_init(struct flow_table *t, uint32_t max, uint64_t idle_ns, struct hash_key key)
{
    uint32_t buckets = 2;
    while (buckets < max / FLOW_FILL)
        buckets *= 2;
    *t = (struct flow_table){
        .flows = lines_new(max, sizeof *t->flows),
        .buckets = lines_new(buckets, sizeof *t->buckets),
        .free = malloc(max * sizeof *t->free),
        .free_count = max,
        .max = max,
        .bucket_mask = buckets - 1,
        .hash_lanes = hash_lanes_of(key),
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

static struct flow *find_in(struct flow_table *t, const struct flow_bucket *b,
                            const struct flow_key *key, uint64_t hash)
{
    for (unsigned m = flow_bucket_match(b, flow_tag(hash)); m != 0; m &= m - 1) {
        struct flow *flow = &t->flows[b->flow[__builtin_ctz(m)]];
        if (flow_key_equal(&flow->key, key))
            return flow;
    }
    return NULL;
}

struct flow *flow_table_find(struct flow_table *t, const struct flow_key *key, uint64_t hash)
{
    const struct flow_bucket *first = flow_bucket_first(t, hash);
    struct flow *flow = find_in(t, first, key, hash);
    if (flow != NULL || first->elsewhere == 0)
        return flow;
    return find_in(t, flow_bucket_second(t, hash), key, hash);
}

static bool bucket_put(struct flow_bucket *b, uint32_t index, uint64_t hash)
{
    unsigned room = flow_bucket_match(b, 0);
    if (room == 0)
        return false;
    unsigned slot = (unsigned)__builtin_ctz(room);
    b->flow[slot] = index;
    b->tag[slot] = flow_tag(hash);
    return true;
}

static bool bucket_take(struct flow_bucket *b, uint32_t index, uint64_t hash)
{
    for (unsigned m = flow_bucket_match(b, flow_tag(hash)); m != 0; m &= m - 1) {
        unsigned slot = (unsigned)__builtin_ctz(m);
        if (b->flow[slot] == index) {
            b->tag[slot] = 0;
            return true;
        }
    }
    return false;
}

static bool index_put(struct flow_table *t, uint32_t index, uint64_t hash)
{
    struct flow_bucket *first = flow_bucket_first(t, hash);
    if (bucket_put(first, index, hash))
        return true;
    if (!bucket_put(flow_bucket_second(t, hash), index, hash))
        return false;
    first->elsewhere++;
    return true;
}

static void index_take(struct flow_table *t, uint32_t index, uint64_t hash)
{
    struct flow_bucket *first = flow_bucket_first(t, hash);
    if (bucket_take(first, index, hash))
        return;
    bucket_take(flow_bucket_second(t, hash), index, hash);
    first->elsewhere--;
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
    if (t->free_count == 0)
        return NULL;
    uint32_t index = t->free[t->free_count - 1];
    if (!index_put(t, index, hash))
        return NULL;
    if (t->hand == 0)
        t->hand = now_ns / t->step_ns;
    t->free_count--;
    t->added++;
    struct flow *flow = &t->flows[index];
    *flow = (struct flow){.key = *key,
                          .hash = hash,
                          .last_seen_ns = now_ns,
                          .is_used = true,
                          .unit_first = FLOW_NONE,
                          .unit_last = FLOW_NONE};
    wheel_link(t, flow, now_ns + t->idle_ns);
    return flow;
}

void flow_table_remove(struct flow_table *t, struct flow *flow)
{
    uint32_t index = flow_index(t, flow);
    index_take(t, index, flow->hash);
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
