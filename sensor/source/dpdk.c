/* The DPDK source: NICs that the kernel has let go of, and virtual devices, by polling.
 *
 *        outer port ──queue i──▶ worker i ──forward──▶ queue i ── inner port
 *             ◀──queue i──────── worker i ◀──all, unlooked──queue i ──┘
 *
 * Nothing of it is in the kernel, so nothing forwards when this process does not: no fail-open
 * (docs/dpdk.md). All traffic is lent to the worker, which counts and scans from the frames
 * themselves; sift() says which of it the Penny test may judge, with the same exceptions as the XDP
 * program: SSH and fragments are spared.
 *
 * The way back is moved in bursts inside recv(), by the same worker. A frame is in exactly one
 * place: a receive ring, the worker, a transmit ring, or its pool; each queue has a pool of its
 * own, which both ports share. */
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#undef NS_PER_S /* DPDK has one of its own */
#include "sensor/source/dpdk.h"
#include "sensor/source/dpdk_eal.h"
#include "sensor/source/dpdk_port.h"
#include "sensor/source/dpdk_watched.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define PORT_SSH 22

/* Frames that lie in the pool's per-thread cache are nobody's: one refill's worth. */
#define POOL_CACHE 256

/* What a burst may take to find room in a transmit ring: a 10 Gbit/s port sends 64 full frames in
 * 78 us. Beyond that the port is stuck, and waiting would stall reception. */
#define SEND_NS (100 * NS_PER_US)

/* A worker that found nothing looks again for so long, and sleeps then, so long at a time (the
 * kernel's timer slack makes it 70 us): together less than a receive ring holds at 10 Gbit/s of the
 * smallest frames. */
#define SPIN_NS  (50 * NS_PER_US)
#define SLEEP_NS (20 * NS_PER_US)

/* Ethernet header, two VLAN tags and a checksum around an MTU. */
#define FRAME_EXTRA (RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN + RTE_ETHER_CRC_LEN)

enum { OUTER, INNER, PORTS };

/* Frames of one queue that each port's driver took to send; written by its worker only. */
struct taken {
    _Atomic uint64_t by[PORTS];
};

struct source_group {
    struct dpdk_port ports[PORTS];
    unsigned port_count; /* 1: mirror, 2: wire */
    unsigned queues;
    bool busy_poll;
    struct rte_mempool **pools; /* one per queue */
    struct taken *taken;        /* one per queue */
    struct dpdk_watched *watched;
};

struct source {
    struct source_group *group;
    uint16_t queue, outer, inner;
    struct taken *taken; /* the group's */
    bool is_wire, is_registered;
    uint64_t refused, moved_back;
    uint64_t idle_since; /* ns; 0: something came the last time */
};

/* ---- the group */

static int find_ports(const struct source_conf *conf, struct source_group *g, struct note *note)
{
    int err = dpdk_port_find(conf->interface, "source.interface", &g->ports[OUTER], note);
    g->port_count = 1;
    if (err < 0 || conf->forward == FORWARD_NONE)
        return err;
    g->port_count = 2;
    return dpdk_port_find(conf->forward_interface, "forward.interface", &g->ports[INNER], note);
}

static unsigned cpus_of_us(void)
{
    cpu_set_t cpus;
    return sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
}

/* "all": what both ports offer, but no more than there are processors for, as each polls. */
static int count_queues(const struct source_conf *conf, struct source_group *g, struct note *note)
{
    unsigned most = RTE_MAX_LCORE - 1, cpus = cpus_of_us();
    for (unsigned i = 0; i < g->port_count; i++)
        if (g->ports[i].queues_max < most)
            most = g->ports[i].queues_max;
    g->queues = conf->queues != 0 ? conf->queues : most < cpus ? most : cpus;
    if (g->queues >= 1 && g->queues <= most)
        return 0;
    return note_set(note, ERR_CONF,
                    "source.queues: %u, but %s%s%s can do %u receive and transmit queues: set "
                    "source.queues, or give a virtual device more (net_af_packet: qpairs=)",
                    g->queues, g->ports[OUTER].name, g->port_count == 2 ? " and " : "",
                    g->ports[INNER].name, most);
}

static int check_mtus(const struct source_group *g, struct note *note)
{
    if (g->port_count == 1 || g->ports[INNER].mtu >= g->ports[OUTER].mtu)
        return 0;
    return note_set(note, ERR_CONF,
                    "forward.interface: the MTU of %s is %u, less than the %u of %s: large frames "
                    "would not pass: set source.mtu",
                    g->ports[INNER].name, g->ports[INNER].mtu, g->ports[OUTER].mtu,
                    g->ports[OUTER].name);
}

/* Room for every ring full, a burst in hand, and what caches hold back. */
static int make_pool(struct source_group *g, unsigned queue, struct note *note)
{
    char name[RTE_MEMPOOL_NAMESIZE];
    unsigned count = 2 * BURST + 4 * POOL_CACHE, size = 0;
    for (unsigned i = 0; i < g->port_count; i++) {
        count += g->ports[i].rx_slots + g->ports[i].tx_slots;
        size = RTE_MAX(size, g->ports[i].mtu + FRAME_EXTRA);
    }
    size = RTE_MAX(RTE_ALIGN_CEIL(size, 64), 2048u) + RTE_PKTMBUF_HEADROOM;
    snprintf(name, sizeof name, "frames-%u", queue);
    g->pools[queue] =
        rte_pktmbuf_pool_create(name, count, POOL_CACHE, 0, (uint16_t)size, g->ports[OUTER].socket);
    if (g->pools[queue] != NULL)
        return 0;
    return note_set(note, -ENOMEM,
                    "queue %u: no room for %u frames of %u bytes in DPDK's memory: reserve more "
                    "huge pages: deploy/nic-setup --hugepages, or a larger -m in source.eal",
                    queue, count, size);
}

static int make_queues(struct source_group *g, struct note *note)
{
    int err = 0;
    g->pools = calloc(g->queues, sizeof *g->pools);
    g->taken = calloc(g->queues, sizeof *g->taken);
    if (g->pools == NULL || g->taken == NULL)
        return note_set(note, -ENOMEM, "no memory for %u queues", g->queues);
    for (unsigned queue = 0; queue < g->queues && err == 0; queue++) {
        err = make_pool(g, queue, note);
        for (unsigned i = 0; i < g->port_count && err == 0; i++)
            err = dpdk_port_set_queue(&g->ports[i], queue, g->pools[queue], note);
    }
    return err;
}

/* The inner port first: what comes in at once has somewhere to go. */
static int start_ports(struct source_group *g, struct note *note)
{
    int err = 0;
    for (unsigned i = g->port_count; i-- > 0 && err == 0;)
        err = dpdk_port_start(&g->ports[i], g->queues, note);
    return err;
}

static int set_up(const struct source_conf *conf, struct source_group *g, struct note *note)
{
    int err = find_ports(conf, g, note);
    if (err == 0)
        err = count_queues(conf, g, note);
    for (unsigned i = 0; i < g->port_count && err == 0; i++)
        err = dpdk_port_configure(&g->ports[i], g->queues, conf->mtu, note);
    if (err == 0)
        err = check_mtus(g, note);
    if (err == 0)
        err = make_queues(g, note);
    if (err == 0)
        err = dpdk_watched_new(g->queues, &g->watched, note);
    if (err == 0)
        err = dpdk_watched_set(g->watched, conf->watched, conf->watched_count, note);
    return err < 0 ? err : start_ports(g, note);
}

/* Ports give their frames back to the pools; what is missing then was lost by us. */
static void free_pools(struct source_group *g)
{
    for (unsigned i = 0; g->pools != NULL && i < g->queues; i++) {
        unsigned missing = g->pools[i] != NULL ? rte_mempool_in_use_count(g->pools[i]) : 0;
        if (missing != 0)
            log_warn("event=frames_missing queue=%u count=%u", i, missing);
        rte_mempool_free(g->pools[i]);
    }
    free(g->pools);
}

static void dpdk_detach(struct source_group *g)
{
    if (g == NULL)
        return;
    for (unsigned i = 0; i < PORTS; i++)
        dpdk_port_close(&g->ports[i]);
    free_pools(g);
    free(g->taken);
    dpdk_watched_free(g->watched);
    free(g);
    dpdk_eal_stop();
}

static int check_devices(const struct source_conf *conf, struct note *note)
{
    if (conf->forward != FORWARD_DPDK && conf->forward != FORWARD_NONE)
        return note_set(note, ERR_UNSUPPORTED,
                        "forward.driver: source.driver dpdk forwards with dpdk, or not at all "
                        "(none)");
    int err = dpdk_port_check(conf->interface, "source.interface", note);
    if (err == 0 && conf->forward == FORWARD_DPDK)
        err = dpdk_port_check(conf->forward_interface, "forward.interface", note);
    return err;
}

static int dpdk_attach(const struct source_conf *conf, struct source_group **out, struct note *note)
{
    *out = NULL;
    int err = check_devices(conf, note);
    if (err < 0)
        return err;
    struct source_group *g = calloc(1, sizeof *g);
    if (g == NULL)
        return note_set(note, -ENOMEM, "no memory for the source");
    g->busy_poll = conf->busy_poll;
    err = dpdk_eal_start(conf, note);
    if (err < 0) {
        free(g);
        return err;
    }
    err = set_up(conf, g, note);
    if (err < 0) {
        dpdk_detach(g);
        return err;
    }
    *out = g;
    return 0;
}

static unsigned dpdk_queues(const struct source_group *g)
{
    return g->queues;
}

static int dpdk_watch(struct source_group *g, const struct prefix *prefixes, size_t n,
                      struct note *note)
{
    return dpdk_watched_set(g->watched, prefixes, n, note);
}

unsigned source_dpdk_frames_in_use(const struct source_group *g)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < g->queues; i++)
        sum += rte_mempool_in_use_count(g->pools[i]);
    return sum;
}

/* ---- a queue */

static void dpdk_close(struct source *s)
{
    if (s == NULL)
        return;
    dpdk_watched_leave(s->group->watched, s->queue);
    if (s->is_registered)
        rte_thread_unregister();
    free(s);
}

static int dpdk_open(struct source_group *g, unsigned queue, struct source **out, struct note *note)
{
    *out = NULL;
    if (queue >= g->queues)
        return note_set(note, ERR_CONF, "queue %u: this source has %u", queue, g->queues);
    struct source *s = calloc(1, sizeof *s);
    if (s == NULL)
        return note_set(note, -ENOMEM, "no memory for queue %u", queue);
    s->group = g;
    s->queue = (uint16_t)queue;
    s->outer = g->ports[OUTER].id;
    s->inner = g->ports[INNER].id;
    s->taken = &g->taken[queue];
    s->is_wire = g->port_count == 2;
    /* A registered thread has a cache in every pool. Without one it is slower, not wrong. */
    if (rte_lcore_id() == LCORE_ID_ANY)
        s->is_registered = rte_thread_register() == 0;
    dpdk_watched_enter(g->watched, queue);
    log_info("event=open if=%s queue=%u", g->ports[OUTER].name, queue);
    *out = s;
    return 0;
}

/* ---- a burst */

/* All of them, or as many as find room in time. Returns how many. */
static unsigned send_some(struct source *s, uint16_t port, struct rte_mbuf **frames, unsigned n)
{
    unsigned sent = rte_eth_tx_burst(port, s->queue, frames, (uint16_t)n);
    if (sent == n)
        return n;
    uint64_t give_up = clock_mono_ns() + SEND_NS;
    do {
        rte_pause();
        sent += rte_eth_tx_burst(port, s->queue, frames + sent, (uint16_t)(n - sent));
    } while (sent < n && clock_mono_ns() < give_up);
    return sent;
}

/* What found no room is freed. Returns how many were sent. */
static unsigned send_all(struct source *s, unsigned to, struct rte_mbuf **frames, unsigned n)
{
    unsigned sent = send_some(s, to == OUTER ? s->outer : s->inner, frames, n);
    uint64_t before = atomic_load_explicit(&s->taken->by[to], memory_order_relaxed);
    atomic_store_explicit(&s->taken->by[to], before + sent, memory_order_relaxed);
    s->refused += n - sent;
    rte_pktmbuf_free_bulk(frames + sent, n - sent);
    return sent;
}

static unsigned move_back(struct source *s)
{
    struct rte_mbuf *frames[BURST];
    unsigned n = rte_eth_rx_burst(s->inner, s->queue, frames, BURST);
    if (n != 0)
        s->moved_back += send_all(s, OUTER, frames, n);
    return n;
}

/* Frames in parts do not come: buffers hold the MTU. One that did would be parsed by its first. */
static struct frame lend(struct rte_mbuf *m)
{
    return (struct frame){
        .data = rte_pktmbuf_mtod(m, uint8_t *),
        .len = rte_pktmbuf_data_len(m),
        .wire_len = rte_pktmbuf_pkt_len(m),
        .token = (uintptr_t)m,
    };
}

static int dpdk_recv(struct source *s, struct frame *frames, unsigned max)
{
    struct rte_mbuf *lent[BURST];
    dpdk_watched_rest(s->group->watched, s->queue);
    unsigned back = s->is_wire ? move_back(s) : 0;
    unsigned n = rte_eth_rx_burst(s->outer, s->queue, lent, (uint16_t)(max < BURST ? max : BURST));
    for (unsigned i = 0; i < n; i++)
        frames[i] = lend(lent[i]);
    if (n != 0 || back != 0)
        s->idle_since = 0;
    return (int)n;
}

static void dpdk_done(struct source *s, const struct frame *frames, const uint8_t *verdicts,
                      unsigned n)
{
    struct rte_mbuf *out[BURST], *gone[BURST];
    unsigned out_count = 0, gone_count = 0;
    for (unsigned i = 0; i < n; i++) {
        struct rte_mbuf *m = (struct rte_mbuf *)(uintptr_t)frames[i].token;
        if (s->is_wire && verdicts[i] == FRAME_FORWARD)
            out[out_count++] = m;
        else
            gone[gone_count++] = m;
    }
    if (out_count != 0)
        send_all(s, INNER, out, out_count);
    rte_pktmbuf_free_bulk(gone, gone_count);
}

static bool is_spared(const struct packet *p)
{
    return p->is_fragment ||
           (p->protocol == IPPROTO_TCP && (p->src_port == PORT_SSH || p->dst_port == PORT_SSH));
}

static void dpdk_sift(struct source *s, const struct packet *packets, unsigned n, bool *may_judge)
{
    dpdk_watched_find(s->group->watched, packets, n, may_judge);
    for (unsigned i = 0; i < n; i++)
        may_judge[i] = may_judge[i] && !is_spared(&packets[i]);
}

static void dpdk_wait(struct source *s, unsigned timeout_ms)
{
    if (s->group->busy_poll || timeout_ms == 0)
        return;
    uint64_t now = clock_mono_ns();
    if (s->idle_since == 0)
        s->idle_since = now;
    if (now - s->idle_since >= SPIN_NS)
        nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
}

static uint64_t taken_by(const struct source_group *g, unsigned port)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < g->queues; i++)
        sum += atomic_load_explicit(&g->taken[i].by[port], memory_order_relaxed);
    return sum;
}

/* Drivers of virtual devices take frames that they then cannot send, when the port is down, say,
 * and call that errors. Some (net_tap) also call errors what they did not take, which we have
 * counted; so never more than are missing of what they took. */
static uint64_t failed_of(uint64_t taken, const struct rte_eth_stats *stats)
{
    uint64_t missing = taken > stats->opackets ? taken - stats->opackets : 0;
    return RTE_MIN(missing, stats->oerrors);
}

/* What the ports admit is of all queues: told by queue 0 only, which looks after the links, too. */
static void dpdk_stats(struct source *s, struct source_stats *out)
{
    struct source_group *g = s->group;
    *out = (struct source_stats){.transmit_refused = s->refused, .moved_back = s->moved_back};
    for (unsigned i = 0; s->queue == 0 && i < g->port_count; i++) {
        struct rte_eth_stats stats = {0};
        uint64_t taken = taken_by(g, i); /* before: what is taken meanwhile is not missing */
        if (rte_eth_stats_get(g->ports[i].id, &stats) == 0) {
            out->missed += stats.imissed + stats.rx_nombuf;
            out->transmit_refused += failed_of(taken, &stats);
        }
        dpdk_port_watch_link(&g->ports[i]);
    }
}

const struct source_ops source_dpdk = {
    .name = "dpdk",
    .attach = dpdk_attach,
    .queues = dpdk_queues,
    .watch = dpdk_watch,
    .tally = NULL,
    .detach = dpdk_detach,
    .open = dpdk_open,
    .recv = dpdk_recv,
    .sift = dpdk_sift,
    .done = dpdk_done,
    .wait = dpdk_wait,
    .probes = NULL,
    .stats = dpdk_stats,
    .release = NULL, /* there is no kernel that would go on */
    .close = dpdk_close,
};
