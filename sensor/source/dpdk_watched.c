#include "sensor/source/dpdk_watched.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_byteorder.h>
#include <rte_errno.h>
#include <rte_lpm.h>
#include <rte_lpm6.h>
#include <rte_rcu_qsbr.h>

/* Groups of prefixes longer than 24 bits, by their first 24 (IPv6: by each further byte). */
#define GROUPS_MIN         256
#define GROUPS6_PER_PREFIX 14 /* a /128 has so many bytes beyond its first 24 bits, plus one */

struct tables {
    struct rte_lpm *v4;
    struct rte_lpm6 *v6;
    bool has_all_v4, has_all_v6; /* 0.0.0.0/0 and ::/0, which the tables cannot hold */
};

struct dpdk_watched {
    struct tables *_Atomic tables;
    struct rte_rcu_qsbr *rcu;
    unsigned generation; /* names tables: DPDK wants names, and unlike ones */
};

static void tables_free(struct tables *t)
{
    if (t == NULL)
        return;
    rte_lpm_free(t->v4);
    rte_lpm6_free(t->v6);
    free(t);
}

static unsigned count_of(const struct prefix *prefixes, size_t n, uint8_t family)
{
    unsigned count = 0;
    for (size_t i = 0; i < n; i++)
        count += prefixes[i].addr.family == family && prefixes[i].length > 0;
    return count;
}

static int make_v4(struct tables *t, unsigned count, unsigned generation)
{
    char name[RTE_LPM_NAMESIZE];
    const struct rte_lpm_config config = {
        .max_rules = count,
        .number_tbl8s = count > GROUPS_MIN ? count : GROUPS_MIN,
    };
    if (count == 0)
        return 0;
    snprintf(name, sizeof name, "watched4-%u", generation);
    t->v4 = rte_lpm_create(name, SOCKET_ID_ANY, &config);
    return t->v4 != NULL ? 0 : -rte_errno;
}

static int make_v6(struct tables *t, unsigned count, unsigned generation)
{
    char name[RTE_LPM6_NAMESIZE];
    const struct rte_lpm6_config config = {
        .max_rules = count,
        .number_tbl8s = count * GROUPS6_PER_PREFIX + GROUPS_MIN,
    };
    if (count == 0)
        return 0;
    snprintf(name, sizeof name, "watched6-%u", generation);
    t->v6 = rte_lpm6_create(name, SOCKET_ID_ANY, &config);
    return t->v6 != NULL ? 0 : -rte_errno;
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

static int tables_new(const struct prefix *prefixes, size_t n, unsigned generation,
                      struct tables **out)
{
    struct tables *t = calloc(1, sizeof *t);
    int err = t != NULL ? make_v4(t, count_of(prefixes, n, ADDR_V4), generation) : -ENOMEM;
    if (err == 0)
        err = make_v6(t, count_of(prefixes, n, ADDR_V6), generation);
    for (size_t i = 0; i < n && err == 0; i++)
        err = add(t, &prefixes[i]);
    if (err < 0) {
        tables_free(t);
        return err;
    }
    *out = t;
    return 0;
}

int dpdk_watched_new(unsigned workers, struct dpdk_watched **out, struct note *note)
{
    struct dpdk_watched *w = calloc(1, sizeof *w);
    if (w != NULL)
        w->rcu = aligned_alloc(RTE_CACHE_LINE_SIZE, rte_rcu_qsbr_get_memsize(workers));
    if (w == NULL || w->rcu == NULL || rte_rcu_qsbr_init(w->rcu, workers) != 0) {
        dpdk_watched_free(w);
        return note_set(note, -ENOMEM, "no memory for the watched prefixes");
    }
    *out = w;
    return dpdk_watched_set(w, NULL, 0, note);
}

void dpdk_watched_free(struct dpdk_watched *w)
{
    if (w == NULL)
        return;
    tables_free(atomic_load(&w->tables));
    free(w->rcu);
    free(w);
}

int dpdk_watched_set(struct dpdk_watched *w, const struct prefix *prefixes, size_t n,
                     struct note *note)
{
    struct tables *next;
    int err = tables_new(prefixes, n, ++w->generation, &next);
    if (err < 0)
        return note_set(note, err,
                        "the watched prefixes find no room in DPDK's memory (64 MiB per family, "
                        "twice while they change): %s: reserve more huge pages: deploy/nic-setup "
                        "--hugepages, or a larger -m in source.eal",
                        rte_strerror(-err));
    struct tables *old = atomic_exchange(&w->tables, next);
    rte_rcu_qsbr_synchronize(w->rcu, RTE_QSBR_THRID_INVALID);
    tables_free(old);
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
        return t->has_all_v4 ||
               (t->v4 != NULL && rte_lpm_lookup(t->v4, rte_be_to_cpu_32(v4), &next_hop) == 0);
    }
    return a->family == ADDR_V6 &&
           (t->has_all_v6 || (t->v6 != NULL && rte_lpm6_lookup(t->v6, a->bytes, &next_hop) == 0));
}

void dpdk_watched_find(const struct dpdk_watched *w, const struct packet *packets, unsigned n,
                       bool *watched)
{
    const struct tables *t = atomic_load_explicit(&w->tables, memory_order_acquire);
    for (unsigned i = 0; i < n; i++)
        watched[i] = find(t, &packets[i].src);
}
