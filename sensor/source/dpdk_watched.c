#include "sensor/source/dpdk_watched.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_byteorder.h>
#include <rte_lpm.h>
#include <rte_lpm6.h>
#include <rte_rcu_qsbr.h>

/* As many prefixes as a configuration can hold (1,024), and those that are ordered besides. Those
 * longer than 24 bits need groups of 256 entries: IPv4 one each, IPv6 one for each further byte, of
 * which prefixes of one network share most. */
#define RULES   (1024 + 128)
#define GROUPS4 RULES
#define GROUPS6 (14 * RULES)

struct tables {
    struct rte_lpm *v4;
    struct rte_lpm6 *v6;
    bool has_all_v4, has_all_v6; /* 0.0.0.0/0 and ::/0, which the tables cannot hold */
};

struct dpdk_watched {
    struct tables generations[2];
    struct tables *_Atomic tables; /* the generation that workers read */
    struct rte_rcu_qsbr *rcu;
};

static bool tables_make(struct tables *t, unsigned generation)
{
    char name[RTE_LPM_NAMESIZE];
    const struct rte_lpm_config config4 = {.max_rules = RULES, .number_tbl8s = GROUPS4};
    const struct rte_lpm6_config config6 = {.max_rules = RULES, .number_tbl8s = GROUPS6};
    snprintf(name, sizeof name, "watched4-%u", generation);
    t->v4 = rte_lpm_create(name, SOCKET_ID_ANY, &config4);
    snprintf(name, sizeof name, "watched6-%u", generation);
    t->v6 = rte_lpm6_create(name, SOCKET_ID_ANY, &config6);
    return t->v4 != NULL && t->v6 != NULL;
}

static void tables_empty(struct tables *t)
{
    rte_lpm_delete_all(t->v4);
    rte_lpm6_delete_all(t->v6);
    t->has_all_v4 = t->has_all_v6 = false;
}

static int add(struct tables *t, const struct prefix *p)
{
    bool is_v4 = p->addr.family == ADDR_V4;
    if (p->length == 0) {
        *(is_v4 ? &t->has_all_v4 : &t->has_all_v6) = true;
        return 0;
    }
    if (!is_v4)
        return rte_lpm6_add(t->v6, p->addr.bytes, p->length, 1);
    uint32_t network;
    memcpy(&network, p->addr.bytes, sizeof network);
    return rte_lpm_add(t->v4, rte_be_to_cpu_32(network), p->length, 1);
}

int dpdk_watched_new(unsigned workers, struct dpdk_watched **out, struct note *note)
{
    struct dpdk_watched *w = calloc(1, sizeof *w);
    bool is_made = w != NULL;
    if (is_made) {
        w->rcu = aligned_alloc(RTE_CACHE_LINE_SIZE, rte_rcu_qsbr_get_memsize(workers));
        is_made = w->rcu != NULL && rte_rcu_qsbr_init(w->rcu, workers) == 0;
    }
    for (unsigned i = 0; i < 2 && is_made; i++)
        is_made = tables_make(&w->generations[i], i);
    if (!is_made) {
        dpdk_watched_free(w);
        return note_set(note, -ENOMEM,
                        "the watched prefixes find no room in DPDK's memory (290 MiB): reserve "
                        "more huge pages: deploy/nic-setup --hugepages, or a larger -m in "
                        "source.eal");
    }
    w->tables = &w->generations[0];
    *out = w;
    return 0;
}

void dpdk_watched_free(struct dpdk_watched *w)
{
    if (w == NULL)
        return;
    for (unsigned i = 0; i < 2; i++) {
        rte_lpm_free(w->generations[i].v4);
        rte_lpm6_free(w->generations[i].v6);
    }
    free(w->rcu);
    free(w);
}

int dpdk_watched_set(struct dpdk_watched *w, const struct prefix *prefixes, size_t n,
                     struct note *note)
{
    struct tables *next = &w->generations[w->tables == &w->generations[0]];
    int err = 0;
    tables_empty(next);
    for (size_t i = 0; i < n && err == 0; i++)
        err = add(next, &prefixes[i]);
    if (err < 0)
        return note_set(note, err, "%zu watched prefixes are more than DPDK's tables hold here", n);
    atomic_store(&w->tables, next);
    rte_rcu_qsbr_synchronize(w->rcu, RTE_QSBR_THRID_INVALID);
    return 0;
}

void dpdk_watched_enter(struct dpdk_watched *w, unsigned worker)
{
    rte_rcu_qsbr_thread_register(w->rcu, worker);
    rte_rcu_qsbr_thread_online(w->rcu, worker);
}

void dpdk_watched_rest(struct dpdk_watched *w, unsigned worker)
{
    rte_rcu_qsbr_quiescent(w->rcu, worker);
}

void dpdk_watched_leave(struct dpdk_watched *w, unsigned worker)
{
    rte_rcu_qsbr_thread_offline(w->rcu, worker);
    rte_rcu_qsbr_thread_unregister(w->rcu, worker);
}

static bool find(const struct tables *t, const struct addr *a)
{
    uint32_t next_hop, v4;
    if (a->family == ADDR_V4) {
        memcpy(&v4, a->bytes, sizeof v4);
        return t->has_all_v4 || rte_lpm_lookup(t->v4, rte_be_to_cpu_32(v4), &next_hop) == 0;
    }
    return a->family == ADDR_V6 &&
           (t->has_all_v6 || rte_lpm6_lookup(t->v6, a->bytes, &next_hop) == 0);
}

void dpdk_watched_find(const struct dpdk_watched *w, const struct packet *packets, unsigned n,
                       bool *watched)
{
    const struct tables *t = atomic_load_explicit(&w->tables, memory_order_acquire);
    for (unsigned i = 0; i < n; i++)
        watched[i] = find(t, &packets[i].src);
}
