#include "sensor/source/xdp_attach.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sensor/source/beat.h"
#include "shared/base/log.h"
#include "xdp_ingress.skel.h"

#define CPUS_MAX 256 /* for sums on the stack; more possible CPUs take the heap */

/* Cells are per CPU and preallocated: 2 generations * cells * CPUs * 48 bytes. Up to 64 CPUs that
 * is at most 400 MB for all cells; above, the cells become fewer instead. */
#define TALLY_CPUS 64

#define DISPATCHER "xdp_dispatcher"

static const char *const link_names[XDP_PORTS] = {"link-outer", "link-inner"};
static const char *const promiscuous_names[XDP_PORTS] = {"promiscuous-outer", "promiscuous-inner"};

/* libbpf's own words (the verifier's log among them) are for who debugs the program. */
static int __attribute__((format(printf, 2, 0)))
print_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
    char text[512];
    if (level > LIBBPF_INFO)
        return 0;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    log_debug("event=libbpf text=\"%s\"", text);
    return 0;
}

static int find_ports(const struct source_conf *conf, struct xdp_attach *a, struct note *note)
{
    int err = port_find(conf->interface, "source.interface", &a->ports[XDP_PORT_OUTER], note);
    a->port_count = 1;
    a->is_routed = conf->forward == FORWARD_TUN;
    if (err < 0)
        return err;
    port_warn_if_down(&a->ports[XDP_PORT_OUTER]);
    if (conf->forward == FORWARD_NONE || a->is_routed)
        return 0;
    if (conf->forward == FORWARD_DPDK)
        return note_set(note, ERR_UNSUPPORTED,
                        "forward.driver: an af_xdp source cannot forward by dpdk: use af_xdp, raw, "
                        "tun or none");
    if (strcmp(conf->interface, conf->forward_interface) == 0)
        return note_set(note, ERR_CONF, "forward.interface: %s is the source's interface, too",
                        conf->interface);
    a->port_count = 2;
    err = port_find(conf->forward_interface, "forward.interface", &a->ports[XDP_PORT_INNER], note);
    if (err < 0)
        return err;
    port_warn_if_down(&a->ports[XDP_PORT_INNER]);
    port_warn_of_pair(&a->ports[XDP_PORT_OUTER], &a->ports[XDP_PORT_INNER]);
    return 0;
}

/* How many queues to serve: all of them, unless fewer are asked for. */
static int count_queues(const struct source_conf *conf, struct xdp_attach *a, struct note *note)
{
    const struct port *outer = &a->ports[XDP_PORT_OUTER], *inner = &a->ports[XDP_PORT_INNER];
    unsigned n = conf->queues != 0 ? conf->queues : outer->rx_queues;
    if (n > outer->rx_queues || n > XDP_QUEUES_MAX)
        return note_set(note, ERR_CONF,
                        "source.queues: %u, but %s has %u receive queues (see "
                        "`ethtool -l %s`), of which at most %d can be served",
                        n, outer->name, outer->rx_queues, outer->name, XDP_QUEUES_MAX);
    if (conf->forward == FORWARD_AF_XDP && n > inner->tx_queues)
        return note_set(note, ERR_CONF,
                        "forward.interface: %s has %u transmit queues for %u workers: set "
                        "source.queues to %u, or `ethtool -L` one of the ports",
                        inner->name, inner->tx_queues, n, inner->tx_queues);
    if (n < outer->rx_queues)
        log_warn("event=queues if=%s served=%u of=%u the_rest=\"goes on in the kernel, unseen\"",
                 outer->name, n, outer->rx_queues);
    a->queues = n;
    return 0;
}

/* Kernels before 5.11 charge maps to this limit; newer ones do not ask, but UMEM still does. */
static void raise_memlock(void)
{
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_MEMLOCK, &all) != 0)
        log_debug("event=memlock_limit reason=\"%s\"", strerror(errno));
}

static uint64_t mask_word(unsigned length)
{
    return length == 0 ? 0 : length >= 64 ? UINT64_MAX : ~(UINT64_MAX >> length);
}

static uint64_t to_network(uint64_t host)
{
    return (uint64_t)htonl((uint32_t)host) << 32 | htonl((uint32_t)(host >> 32));
}

static void set_tally(struct xdp_ingress *skeleton, const struct source_conf *conf)
{
    unsigned v6 = conf->tally_v6_length;
    skeleton->rodata->tally_v4_mask = htonl((uint32_t)(mask_word(conf->tally_v4_length) >> 32));
    skeleton->rodata->tally_v6_mask[0] = to_network(mask_word(v6));
    skeleton->rodata->tally_v6_mask[1] = to_network(mask_word(v6 > 64 ? v6 - 64 : 0));
    int cpus = libbpf_num_possible_cpus();
    if (cpus > TALLY_CPUS) {
        uint32_t cells = XDP_TALLY_CELLS / (uint32_t)cpus * TALLY_CPUS;
        bpf_map__set_max_entries(skeleton->maps.tally_a, cells);
        bpf_map__set_max_entries(skeleton->maps.tally_b, cells);
    }
}

static bool has_mac(const struct ingress *row)
{
    static const uint8_t none[6];
    return memcmp(row->mac, none, sizeof none) != 0;
}

/* The indexes by VLAN and the default; those by MAC address are a map and filled after loading. The
 * first row of several equal ones wins, so rows are set from the last to the first. */
static void set_ingress(struct xdp_ingress *skeleton, const struct ingress_table *table)
{
    for (unsigned vlan = 0; vlan < XDP_VLANS; vlan++)
        skeleton->rodata->ingress_by_vlan[vlan] = XDP_NO_ROW;
    skeleton->rodata->ingress_default = table->count > 0 ? (uint16_t)(table->count - 1) : 0;
    for (uint16_t i = table->count; i-- > 0;) {
        const struct ingress *row = &table->row[i];
        if (has_mac(row))
            skeleton->rodata->has_macs = true;
        else if (row->vlan != 0)
            skeleton->rodata->ingress_by_vlan[row->vlan % XDP_VLANS] = i;
        else
            skeleton->rodata->ingress_default = i;
    }
}

static int fill_macs(struct xdp_ingress *skeleton, const struct ingress_table *table)
{
    int fd = bpf_map__fd(skeleton->maps.macs);
    for (uint16_t i = table->count; i-- > 0;) {
        const struct ingress *row = &table->row[i];
        if (!has_mac(row))
            continue;
        struct xdp_mac_key key = {.vlan = (uint16_t)row->vlan};
        memcpy(key.mac, row->mac, sizeof key.mac);
        int err = bpf_map_update_elem(fd, &key, &i, BPF_ANY);
        if (err < 0)
            return err;
    }
    return 0;
}

static int fill_ports(const struct xdp_attach *a)
{
    int fd = bpf_map__fd(a->skeleton->maps.ports);
    for (uint32_t i = 0; i < a->port_count; i++) {
        uint32_t ifindex = (uint32_t)a->ports[i].ifindex;
        int err = bpf_map_update_elem(fd, &i, &ifindex, BPF_ANY);
        if (err < 0)
            return err;
    }
    return 0;
}

/* Since Linux 5.11; the program does without. */
static bool has_coarse_clock(void)
{
    return libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_ktime_get_coarse_ns, NULL) == 1;
}

static void set_options(const struct source_conf *conf, struct xdp_attach *a)
{
    static const struct ingress_table match_all = {.count = 1};
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        log_warn("event=seed reason=\"%s\"", strerror(errno));
    a->skeleton->rodata->hash_seed = seed;
    a->skeleton->rodata->is_wire = a->port_count == 2;
    a->skeleton->rodata->has_coarse_clock = has_coarse_clock();
    a->skeleton->rodata->is_routed = a->is_routed;
    memcpy(a->skeleton->rodata->own_mac, a->ports[XDP_PORT_OUTER].mac, sizeof a->ports[0].mac);
    set_tally(a->skeleton, conf);
    set_ingress(a->skeleton, conf->ingress != NULL ? conf->ingress : &match_all);
}

static void keep_descriptors(const struct source_conf *conf, struct xdp_attach *a)
{
    a->xsks_fd = bpf_map__fd(a->skeleton->maps.xsks);
    a->probes_fd = bpf_map__fd(a->skeleton->maps.probes);
    a->stats_fd = bpf_map__fd(a->skeleton->maps.stats);
    a->watched.v4_fd = bpf_map__fd(a->skeleton->maps.watched4);
    a->watched.v6_fd = bpf_map__fd(a->skeleton->maps.watched6);
    a->watched.filter = &a->skeleton->bss->filter;
    a->tally.slot_fd = bpf_map__fd(a->skeleton->maps.tally);
    a->tally.cells_fd[0] = bpf_map__fd(a->skeleton->maps.tally_a);
    a->tally.cells_fd[1] = bpf_map__fd(a->skeleton->maps.tally_b);
    a->tally.caches_fd = bpf_map__fd(a->skeleton->maps.caches);
    a->tally.turn = &a->skeleton->bss->cache_turn;
    a->tally.v4_length = conf->tally_v4_length;
    a->tally.v6_length = conf->tally_v6_length;
}

static int load(const struct source_conf *conf, struct xdp_attach *a, struct note *note)
{
    libbpf_set_print(print_libbpf);
    a->skeleton = xdp_ingress__open();
    if (a->skeleton == NULL)
        return note_set(note, ERR_KERNEL, "cannot open the XDP program: %s", strerror(errno));
    set_options(conf, a);
    int err = xdp_ingress__load(a->skeleton);
    if (err < 0)
        return note_set(note, ERR_KERNEL,
                        "the kernel refused the XDP program: %s: it needs Linux 5.10 or newer and "
                        "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN (log.level debug tells more)",
                        strerror(-err));
    keep_descriptors(conf, a);
    a->beats = beats_map(bpf_map__fd(a->skeleton->maps.beats));
    err = a->beats != NULL ? fill_ports(a) : -errno;
    if (err == 0 && conf->ingress != NULL)
        err = fill_macs(a->skeleton, conf->ingress);
    if (err == 0)
        err = kernel_tally_init(&a->tally);
    if (err < 0)
        return note_set(note, err, "cannot fill the XDP program's maps: %s", strerror(-err));
    return watched_set(&a->watched, conf->watched, conf->watched_count, note);
}

static int program_fd(const struct xdp_attach *a, unsigned port)
{
    return bpf_program__fd(port == XDP_PORT_OUTER ? a->skeleton->progs.ingress
                                                  : a->skeleton->progs.wire_back);
}

static int attached_mode(const struct port *port)
{
    LIBBPF_OPTS(bpf_xdp_query_opts, opts);
    return bpf_xdp_query(port->ifindex, 0, &opts) == 0 ? opts.attach_mode : XDP_ATTACHED_NONE;
}

static bool is_link_on(int fd, const struct port *port)
{
    struct bpf_link_info info = {0};
    uint32_t size = sizeof info;
    return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == BPF_LINK_TYPE_XDP &&
           info.xdp.ifindex == (uint32_t)port->ifindex;
}

static bool is_mode_wanted(enum xdp_mode wanted, int attached)
{
    return wanted == XDP_MODE_AUTO ||
           attached == (wanted == XDP_MODE_NATIVE ? XDP_ATTACHED_DRV : XDP_ATTACHED_SKB);
}

/* The link that an earlier run pinned for this port, if it still serves; else what is left of it is
 * removed (the interface was made anew, or another mode is wanted now). */
static int find_old_link(const struct xdp_attach *a, unsigned port, enum xdp_mode wanted)
{
    int fd = pin_get(a->folder, link_names[port]);
    if (fd < 0)
        return -1;
    if (is_link_on(fd, &a->ports[port]) && is_mode_wanted(wanted, attached_mode(&a->ports[port])))
        return fd;
    log_info("event=link_stale if=%s pin=%s/%s", a->ports[port].name, a->folder, link_names[port]);
    close(fd);
    pin_drop(a->folder, link_names[port]);
    return -1;
}

/* The dispatcher runs several programs in turn; the name is libxdp's. */
static int refuse_alien(const struct port *port, const char *program, uint32_t id,
                        struct note *note)
{
    if (strcmp(program, DISPATCHER) == 0)
        return note_set(note, ERR_BUSY,
                        "%s: libxdp's dispatcher is attached (%s, id %u), which runs the programs "
                        "that `xdp-loader status %s` lists; the sensor must be alone there: "
                        "`xdp-loader unload %s --all`, then start it again",
                        port->name, program, id, port->name, port->name);
    return note_set(note, ERR_BUSY,
                    "%s: another XDP program is attached (%.16s, id %u): remove it with `ip link "
                    "set dev %s xdp off`, or, if a BPF link holds it, stop its owner or remove its "
                    "pin (`bpftool net`, `bpftool link` show it)",
                    port->name, program, id, port->name);
}

/* Whether somebody else's program stands in our way. */
static int check_alien(const struct port *port, struct note *note)
{
    uint32_t id = 0;
    if (bpf_xdp_query_id(port->ifindex, 0, &id) != 0 || id == 0)
        return 0;
    struct bpf_prog_info info = {0};
    uint32_t size = sizeof info;
    int fd = bpf_prog_get_fd_by_id(id);
    if (fd >= 0) {
        bpf_obj_get_info_by_fd(fd, &info, &size);
        close(fd);
    }
    return refuse_alien(port, info.name[0] != '\0' ? info.name : "?", id, note);
}

static int create_link(const struct xdp_attach *a, unsigned port, bool is_native, struct note *note)
{
    LIBBPF_OPTS(bpf_link_create_opts, opts,
                .flags = is_native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
    int fd = bpf_link_create(program_fd(a, port), a->ports[port].ifindex, BPF_XDP, &opts);
    if (fd >= 0)
        return fd;
    return note_set(note, ERR_KERNEL, "%s: cannot attach the XDP program in %s mode: %s%s",
                    a->ports[port].name, is_native ? "native" : "skb", strerror(-fd),
                    fd == -ENOSPC ? " (a veth needs as many receive queues as its peer has "
                                    "transmit queues: ethtool -L)"
                                  : "");
}

static int exchange_program(const struct xdp_attach *a, unsigned port, struct note *note)
{
    int err = bpf_link_update(a->link_fd[port], program_fd(a, port), NULL);
    if (err < 0)
        return note_set(note, ERR_KERNEL, "%s: cannot take over the pinned link: %s",
                        a->ports[port].name, strerror(-err));
    log_info("event=takeover if=%s pin=%s/%s", a->ports[port].name, a->folder, link_names[port]);
    return 0;
}

/* Links for the ports that have none; either all or none. Not pinned yet, so closing one is
 * detaching it. */
static int create_links(struct xdp_attach *a, bool is_native, struct note *note)
{
    bool is_new[XDP_PORTS] = {false};
    for (unsigned i = 0; i < a->port_count; i++) {
        if (a->link_fd[i] >= 0)
            continue;
        int fd = create_link(a, i, is_native, note);
        if (fd < 0) {
            for (unsigned j = 0; j < i; j++) {
                if (is_new[j]) {
                    close(a->link_fd[j]);
                    a->link_fd[j] = -1;
                }
            }
            return fd;
        }
        a->link_fd[i] = fd;
        is_new[i] = true;
    }
    a->is_native = is_native;
    return 0;
}

/* Both ports get the same mode: native redirects between a native and a generic port need support
 * that not every driver has. */
static int create_in_mode(struct xdp_attach *a, enum xdp_mode mode, int old_mode, struct note *note)
{
    if (old_mode != XDP_ATTACHED_NONE)
        return create_links(a, old_mode == XDP_ATTACHED_DRV, note);
    if (mode != XDP_MODE_AUTO)
        return create_links(a, mode == XDP_MODE_NATIVE, note);
    struct note reason = {0};
    if (create_links(a, true, &reason) == 0)
        return 0;
    log_warn("event=xdp_fallback mode=skb reason=\"%s\"", reason.text);
    return create_links(a, false, note);
}

static int attach_links(const struct source_conf *conf, struct xdp_attach *a, struct note *note)
{
    int old_mode = XDP_ATTACHED_NONE, err = 0;
    bool is_old[XDP_PORTS] = {false};
    for (unsigned i = 0; i < a->port_count && err == 0; i++) {
        a->link_fd[i] = find_old_link(a, i, conf->xdp_mode);
        is_old[i] = a->link_fd[i] >= 0;
        if (is_old[i])
            old_mode = attached_mode(&a->ports[i]);
        else
            err = check_alien(&a->ports[i], note);
    }
    if (err == 0)
        err = create_in_mode(a, conf->xdp_mode, old_mode, note);
    for (unsigned i = 0; i < a->port_count && err == 0; i++)
        if (is_old[i])
            err = exchange_program(a, i, note);
    for (unsigned i = 0; i < a->port_count && err == 0; i++)
        if (!is_old[i])
            err = pin_put(a->folder, link_names[i], a->link_fd[i], note);
    for (unsigned i = 0; i < a->port_count && err < 0; i++)
        if (!is_old[i])
            pin_drop(a->folder, link_names[i]); /* half a wire would be worse than none */
    if (err == 0 && a->port_count == 1)
        pin_drop(a->folder, link_names[XDP_PORT_INNER]); /* it was a wire before */
    return err;
}

/* Maps are pinned for people with bpftool; nothing of ours reads them again. */
static void pin_maps(const struct xdp_attach *a)
{
    struct bpf_map *map;
    bpf_object__for_each_map(map, a->skeleton->obj)
    {
        char name[64];
        struct note note = {0};
        snprintf(name, sizeof name, "map-%s", bpf_map__name(map));
        if (strchr(name, '.') == NULL && pin_put(a->folder, name, bpf_map__fd(map), &note) < 0)
            log_warn("event=pin reason=\"%s\"", note.text);
    }
}

/* Gives the ports from this one on back as they were found. */
static void end_promiscuous(const char *folder, unsigned from)
{
    for (unsigned i = from; i < XDP_PORTS; i++) {
        char name[IFNAMSIZ];
        struct note note = {0};
        if (pin_named(folder, promiscuous_names[i], name, sizeof name) != 0)
            continue;
        if (port_set_promiscuous(name, false, NULL, &note) != 0)
            log_warn("event=promiscuous_left reason=\"%s\"", note.text);
        pin_drop(folder, promiscuous_names[i]);
    }
}

/* Without it a NIC keeps back what is not addressed to itself, and the wire has a hole. Who found
 * it off notes that beside the pins, so that removal gives the port back as it was. A router wants
 * no more than what is addressed to it. */
static int make_promiscuous(const struct xdp_attach *a, struct note *note)
{
    unsigned ports = a->is_routed ? 0 : a->port_count;
    int err = 0;
    end_promiscuous(a->folder, ports); /* it was a wire before */
    for (unsigned i = 0; err == 0 && i < ports; i++) {
        bool was;
        err = port_set_promiscuous(a->ports[i].name, true, &was, note);
        if (err == 0 && !was)
            err = pin_name(a->folder, promiscuous_names[i], a->ports[i].name, note);
    }
    return err;
}

static int prepare(const struct source_conf *conf, struct xdp_attach *a, struct note *note)
{
    int err = find_ports(conf, a, note);
    if (err == 0)
        err = count_queues(conf, a, note);
    if (err == 0)
        err = port_check_capabilities(note);
    if (err < 0)
        return err;
    a->lock_fd = port_lock(&a->ports[XDP_PORT_OUTER], note);
    if (a->lock_fd < 0)
        return a->lock_fd;
    raise_memlock();
    err = pin_folder(conf->pin_dir, conf->interface, a->folder, note);
    return err < 0 ? err : pin_prepare(conf->pin_dir, a->folder, note);
}

int xdp_attach_open(const struct source_conf *conf, struct xdp_attach *out, struct note *note)
{
    *out = (struct xdp_attach){.lock_fd = -1, .link_fd = {-1, -1}};
    int err = prepare(conf, out, note);
    if (err == 0)
        err = load(conf, out, note);
    if (err == 0)
        err = attach_links(conf, out, note);
    if (err == 0)
        err = make_promiscuous(out, note);
    if (err < 0) {
        xdp_attach_close(out);
        return err;
    }
    pin_maps(out);
    for (unsigned i = 0; i < out->port_count; i++)
        log_info("event=attach if=%s mode=%s mtu=%u queues=%u", out->ports[i].name,
                 attached_mode(&out->ports[i]) == XDP_ATTACHED_DRV ? "native" : "skb",
                 out->ports[i].mtu, out->ports[i].rx_queues);
    return 0;
}

static void close_fd(int *fd)
{
    if (*fd > 0)
        close(*fd);
    *fd = -1;
}

void xdp_attach_close(struct xdp_attach *a)
{
    for (unsigned i = 0; i < XDP_PORTS; i++)
        close_fd(&a->link_fd[i]);
    watched_clear(&a->watched);
    kernel_tally_clear(&a->tally);
    beats_unmap(a->beats);
    a->beats = NULL;
    xdp_ingress__destroy(a->skeleton);
    a->skeleton = NULL;
    close_fd(&a->lock_fd);
}

uint64_t xdp_attach_stat(const struct xdp_attach *a, enum xdp_stat which)
{
    uint64_t value[CPUS_MAX] = {0}, sum = 0;
    uint32_t key = which;
    unsigned cpus = a->tally.cpus;
    uint64_t *values = cpus <= CPUS_MAX ? value : calloc(cpus, sizeof *values);
    if (values != NULL && bpf_map_lookup_elem(a->stats_fd, &key, values) == 0)
        for (unsigned i = 0; i < cpus; i++)
            sum += values[i];
    if (values != value)
        free(values);
    return sum;
}

int source_afxdp_remove(const struct source_conf *conf, struct note *note)
{
    char folder[PIN_PATH];
    int err = pin_folder(conf->pin_dir, conf->interface, folder, note);
    if (err < 0)
        return err;
    if (access(folder, F_OK) != 0) {
        log_warn(
            "event=nothing_pinned if=%s folder=%s hint=\"nothing to detach here; is it another "
            "interface, source.pin_dir or network namespace?\"",
            conf->interface, folder);
        return 0;
    }
    struct port port = {0};
    snprintf(port.name, sizeof port.name, "%.15s", conf->interface);
    int lock = port_lock(&port, note);
    if (lock < 0)
        return lock;
    end_promiscuous(folder, 0);
    err = pin_clear(folder, note);
    close(lock);
    return err;
}
