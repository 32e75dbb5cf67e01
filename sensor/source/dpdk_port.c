#include "sensor/source/dpdk_port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "sensor/source/dpdk_eal.h"
#include "shared/base/log.h"

/* 2,048 slots hold 140 us of 14.9 Mpps (64-byte frames at 10 Gbit/s): more than a worker sleeps. */
#define RX_SLOTS 2048
#define TX_SLOTS 2048

/* What RSS hashes over; the device takes what it knows of it. */
#define RSS_WANTED                                                                    \
    (RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP | \
     RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_NONFRAG_IPV6_UDP)

/* ---- finding */

/* The last part of the path that a link in /sys points to; false: no such link. */
static bool read_driver(const char *address, char *driver, size_t size)
{
    char path[300], target[256];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/driver", address);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0)
        return false;
    target[n] = '\0';
    const char *slash = strrchr(target, '/');
    snprintf(driver, size, "%.63s", slash != NULL ? slash + 1 : target);
    return true;
}

/* The last three share their NIC with the kernel's driver. */
static bool is_usable(const char *driver)
{
    static const char *const usable[] = {
        "vfio-pci",  "uio_pci_generic", "igb_uio", "uio_hv_generic",
        "mlx4_core", "mlx5_core",       "ionic",   NULL};
    for (const char *const *u = usable; *u != NULL; u++)
        if (strcmp(driver, *u) == 0)
            return true;
    return false;
}

int dpdk_port_check(const char *interface, const char *role, struct note *note)
{
    char address[64], path[128], driver[64];
    if (!dpdk_is_pci(interface))
        return 0;
    dpdk_port_name(interface, address, sizeof address);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s", address);
    if (access(path, F_OK) != 0)
        return note_set(note, -ENODEV,
                        "%s: this machine has no PCI device %s: `lspci -D` lists them", role,
                        address);
    if (!read_driver(address, driver, sizeof driver))
        return note_set(note, -ENODEV,
                        "%s: no driver holds the PCI device %s: give it to DPDK with "
                        "deploy/nic-setup --bind %s",
                        role, address, address);
    if (!is_usable(driver))
        return note_set(note, ERR_BUSY,
                        "%s: the PCI device %s belongs to the kernel's driver %s: give it to DPDK "
                        "with deploy/nic-setup --bind %s",
                        role, address, driver, address);
    return 0;
}

/* No more than what can be both received from and sent to: each worker does both. */
static void ask(struct dpdk_port *p)
{
    struct rte_eth_dev_info info;
    uint16_t mtu = RTE_ETHER_MTU;
    p->socket = rte_eth_dev_socket_id(p->id);
    rte_eth_dev_get_mtu(p->id, &mtu);
    p->mtu = p->was_mtu = mtu;
    p->queues_max = 0;
    if (rte_eth_dev_info_get(p->id, &info) == 0)
        p->queues_max = RTE_MIN(info.max_rx_queues, info.max_tx_queues);
}

int dpdk_port_find(const char *interface, const char *role, struct dpdk_port *out,
                   struct note *note)
{
    const char *said = dpdk_eal_complaint();
    *out = (struct dpdk_port){0};
    dpdk_port_name(interface, out->name, sizeof out->name);
    if (rte_eth_dev_get_port_by_name(out->name, &out->id) != 0) {
        out->name[0] = '\0'; /* else port 0, whose it may be, would be closed for it */
        return note_set(note, -ENODEV,
                        "%s: DPDK has no port %.*s%s%s (expected: a PCI address like 0000:03:00.0, "
                        "or a virtual device like net_af_packet0,iface=eth1; log.level debug shows "
                        "what DPDK says)",
                        role, (int)strcspn(interface, ","), interface, said[0] != '\0' ? ": " : "",
                        said);
    }
    ask(out);
    return 0;
}

/* ---- setting up */

static void choose_queues(struct rte_eth_conf *conf, const struct rte_eth_dev_info *info,
                          struct dpdk_port *p, unsigned queues)
{
    p->rss = queues > 1 ? RSS_WANTED & info->flow_type_rss_offloads : 0;
    if (p->rss == 0)
        return;
    conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf->rx_adv_conf.rss_conf.rss_hf = p->rss;
}

/* Frees sent frames in bulk: allowed where a queue's frames are of one pool and nobody else's, as
 * here. On the way in there is none: frames must be what was on the wire, VLAN tags and all. */
static void choose_offloads(struct rte_eth_conf *conf, const struct rte_eth_dev_info *info,
                            struct dpdk_port *p)
{
    p->tx_offloads = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    conf->txmode.offloads = p->tx_offloads;
}

/* configure() told the device already; one that stands on an interface wants to hear it once more,
 * and one that needs no more says ENOTSUP. */
static int set_mtu(struct dpdk_port *p, unsigned mtu, struct note *note)
{
    int err = rte_eth_dev_set_mtu(p->id, (uint16_t)mtu);
    if (err != 0 && err != -ENOTSUP)
        return note_set(note, ERR_CONF, "source.mtu: %s does not take %u: %s", p->name, mtu,
                        strerror(-err));
    p->mtu = mtu;
    return 0;
}

static int configure(struct dpdk_port *p, unsigned queues, unsigned mtu,
                     const struct rte_eth_dev_info *info, struct note *note)
{
    struct rte_eth_conf conf = {.rxmode.mtu = mtu};
    choose_queues(&conf, info, p, queues);
    choose_offloads(&conf, info, p);
    int err = rte_eth_dev_configure(p->id, (uint16_t)queues, (uint16_t)queues, &conf);
    if (err == 0)
        return 0;
    return note_set(note, err,
                    "%s: cannot set up %u queues (source.queues) with MTU %u (source.mtu): %s: "
                    "log.level debug shows what its driver says",
                    p->name, queues, mtu, strerror(-err));
}

int dpdk_port_configure(struct dpdk_port *p, unsigned queues, unsigned mtu, struct note *note)
{
    struct rte_eth_dev_info info;
    int err = rte_eth_dev_info_get(p->id, &info);
    if (err != 0)
        return note_set(note, err, "%s: cannot ask what it can do: %s", p->name, strerror(-err));
    if (mtu > info.max_mtu)
        return note_set(note, ERR_CONF, "source.mtu: %u, but %s can do at most %u", mtu, p->name,
                        info.max_mtu);
    err = configure(p, queues, mtu != 0 ? mtu : p->mtu, &info, note);
    if (err < 0)
        return err;
    p->rx_slots = RX_SLOTS;
    p->tx_slots = TX_SLOTS;
    rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &p->rx_slots, &p->tx_slots);
    return mtu != 0 ? set_mtu(p, mtu, note) : 0;
}

int dpdk_port_set_queue(struct dpdk_port *p, unsigned queue, struct rte_mempool *pool,
                        struct note *note)
{
    unsigned socket = (unsigned)p->socket;
    int err = rte_eth_rx_queue_setup(p->id, (uint16_t)queue, p->rx_slots, socket, NULL, pool);
    if (err == 0)
        err = rte_eth_tx_queue_setup(p->id, (uint16_t)queue, p->tx_slots, socket, NULL);
    if (err == 0)
        return 0;
    return note_set(note, err, "%s: cannot set up queue %u: %s", p->name, queue, strerror(-err));
}

/* ---- starting */

static const char *on_off(bool on)
{
    return on ? "on" : "off";
}

static bool ask_link(const struct dpdk_port *p)
{
    struct rte_eth_link link = {0};
    return rte_eth_link_get_nowait(p->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

static void log_link(const struct dpdk_port *p)
{
    if (p->is_up)
        log_info("event=link_up if=%s", p->name);
    else
        log_warn(
            "event=link_down if=%s reason=\"nothing comes in or goes out here until it is up\"",
            p->name);
}

static void log_port(const struct dpdk_port *p, unsigned queues)
{
    struct rte_eth_dev_info info = {0};
    rte_eth_dev_info_get(p->id, &info);
    int vlan = rte_eth_dev_get_vlan_offload(p->id);
    bool strips = vlan > 0 && (vlan & RTE_ETH_VLAN_STRIP_OFFLOAD) != 0;
    log_info("event=attach if=%s driver=%s queues=%u rx_slots=%u tx_slots=%u mtu=%u rss=%s "
             "rss_fields=0x%llx offloads=%s promiscuous=%s vlan_strip=%s socket=%d",
             p->name, info.driver_name != NULL ? info.driver_name : "?", queues, p->rx_slots,
             p->tx_slots, p->mtu, on_off(p->rss != 0), (unsigned long long)p->rss,
             p->tx_offloads != 0 ? "fast_free" : "none", on_off(p->is_promiscuous), on_off(strips),
             p->socket);
    if (strips)
        log_warn(
            "event=vlan_strip if=%s reason=\"the device takes VLAN tags away and will not stop: "
            "tagged frames arrive without\"",
            p->name);
    if (queues > 1 && p->rss == 0)
        log_warn(
            "event=no_rss if=%s reason=\"the device spreads flows over its queues by a rule of "
            "its own, if at all\"",
            p->name);
}

/* A virtual device may not know the word: what it has is then all there is. */
static void make_promiscuous(struct dpdk_port *p)
{
    p->was_promiscuous = rte_eth_promiscuous_get(p->id) == 1;
    int err = p->was_promiscuous ? 0 : rte_eth_promiscuous_enable(p->id);
    p->is_promiscuous = err == 0;
    if (err != 0 && err != -ENOTSUP)
        log_warn("event=promiscuous_refused if=%s reason=\"%s\"", p->name, strerror(-err));
}

int dpdk_port_start(struct dpdk_port *p, unsigned queues, struct note *note)
{
    int err = rte_eth_dev_start(p->id);
    if (err != 0)
        return note_set(note, err,
                        "%s: cannot start: %s: log.level debug shows what its driver says", p->name,
                        strerror(-err));
    p->is_started = true;
    make_promiscuous(p);
    log_port(p, queues);
    p->is_up = ask_link(p);
    if (!p->is_up)
        log_link(p);
    return 0;
}

void dpdk_port_watch_link(struct dpdk_port *p)
{
    bool was_up = p->is_up;
    p->is_up = ask_link(p);
    if (p->is_up != was_up)
        log_link(p);
}

void dpdk_port_close(struct dpdk_port *p)
{
    if (p->name[0] == '\0')
        return;
    if (p->is_promiscuous && !p->was_promiscuous)
        rte_eth_promiscuous_disable(p->id);
    if (p->is_started)
        rte_eth_dev_stop(p->id);
    if (p->mtu != p->was_mtu) /* a virtual device's may be that of an interface, which stays */
        rte_eth_dev_set_mtu(p->id, (uint16_t)p->was_mtu);
    rte_eth_dev_close(p->id);
    *p = (struct dpdk_port){0};
}
