#include "sensor/conf/sensor_conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/conf/conf_table.h"
#include "shared/wire/wire.h"

/* What the table fills. */
struct keys {
    struct sensor_conf conf;
};

#define COUNT_OF(a)         (sizeof(a) / sizeof((a)[0]))
#define AT(member)          CONF_AT(struct keys, member)
#define LIST(member, count) CONF_LIST(struct keys, member, count)
#define PLACE(member)       CONF_AT(struct ingress, member)
#define SECONDS(n)          ((double)(n)*1e9)
#define MILLISECONDS(n)     ((double)(n)*1e6)
#define AS_MAX              4294967295.0
#define INGRESS_ROWS_MAX    (INGRESS_MAX - 1) /* one place stays for the row that matches all */

static const char *const source_words[] = {"af_xdp", "dpdk", "pcap", NULL};
static const char *const forward_words[] = {"af_xdp", "dpdk", "tun", "raw", "none", NULL};
static const char *const xdp_mode_words[] = {"auto", "native", "skb", NULL};
static const char *const zero_copy_words[] = {"auto", "on", "off", NULL};
static const char *const penny_mode_words[] = {"active", "passive", "off", NULL};
static const char *const rule_words[] = {"randomised", "paper", NULL};     /* enum penny_rule */
static const char *const rights_words[] = {"reduced", "as_started", NULL}; /* enum sensor_rights */
static const char *const log_words[] = {"error", "warn", "info", "debug", NULL};

/* clang-format off */
static const struct conf_row ingress_rows[] = {
    {"vlan", CONF_UNSIGNED, PLACE(vlan), .min = 1, .max = 4094,
     .help = "Outermost VLAN id that packets must carry; any when left out."},
    {"mac", CONF_MAC, PLACE(mac),
     .help = "Source MAC address that packets must carry (the peer's, at an exchange); any when left out."},
    {"router", CONF_TEXT, PLACE(router), .is_required = true,
     .help = "Router of the ingress point."},
    {"interface", CONF_TEXT, PLACE(interface), .is_required = true,
     .help = "Interface of that router."},
    {"peer_as", CONF_UNSIGNED, PLACE(peer_as), .min = 1, .max = AS_MAX,
     .help = "AS number of the neighbour there."},
};

static const struct conf_row rows[] = {
    {"sensor.name", CONF_TEXT, AT(conf.name), .example = "ams1",
     .help = "Name of this sensor, unique in the network, without spaces and quotes. Required, except with --capture."},
    {"sensor.pop", CONF_TEXT, AT(conf.pop), .example = "AMS",
     .help = "Point of presence where it stands. Required, except with --capture."},
    {"sensor.state_dir", CONF_TEXT, AT(conf.state_dir), .value = "/var/lib/penstock",
     .help = "Folder for what must outlive the process: the spool, and its lock. One per sensor; unused with driver pcap, and with --capture."},
    {"sensor.rights", CONF_WORD, AT(conf.rights), .value = "reduced", .words = rights_words,
     .help = "reduced: once it is attached the sensor keeps only what it needs (docs/operations.md, Privileges); as_started gives nothing up, to look for faults."},
    {"sensor.user", CONF_TEXT, AT(conf.user),
     .help = "User to become once it is attached; nobody else when left out. Must be able to read this file and to write to state_dir."},

    {"source.driver", CONF_WORD, AT(conf.source.driver), .value = "af_xdp", .words = source_words,
     .help = "Where packets come from: af_xdp shares a port with the kernel, dpdk takes it over (docs/dpdk.md), pcap reads a capture file."},
    {"source.interface", CONF_TEXT, AT(conf.source.interface), .example = "eth1",
     .help = "The outer port, from which traffic enters; with dpdk: a PCI address like 0000:03:00.0, or a virtual device like net_af_packet0,iface=eth1; with pcap: the file, - for standard input. Required, except with --capture."},
    {"source.queues", CONF_UNSIGNED, AT(conf.source.queues), .value = "all", .zero = "all", .min = 1, .max = 1024,
     .help = "Receive queues to take, one worker thread each. With dpdk all is what both ports offer, but no more than the processors that the sensor may run on."},
    {"source.xdp_mode", CONF_WORD, AT(conf.source.xdp_mode), .value = "auto", .words = xdp_mode_words,
     .help = "How the XDP program is attached: native in the driver, skb in the kernel's generic path, auto tries in that order."},
    {"source.zero_copy", CONF_WORD, AT(conf.source.zero_copy), .value = "auto", .words = zero_copy_words,
     .help = "Whether frames are shared with the driver instead of copied."},
    {"source.ring", CONF_UNSIGNED, AT(conf.source.ring), .value = "2048", .min = RING_MIN, .max = RING_MAX, .unit = "frames",
     .help = "Slots of each of a queue's rings, a power of two: more bear longer pauses of a worker, and take more memory."},
    {"source.busy_poll", CONF_BOOL, AT(conf.source.busy_poll), .value = "false",
     .help = "Workers never sleep: less delay under load, but each takes a whole processor core also when nothing comes."},
    {"source.pin_dir", CONF_TEXT, AT(conf.source.pin_dir), .value = "/run/penstock/bpf",
     .help = "Folder in a BPF file system where links and maps are pinned; mounted when it is none."},
    {"source.mtu", CONF_UNSIGNED, AT(conf.source.mtu), .value = "keep", .zero = "keep", .min = 68, .max = 9600, .unit = "bytes",
     .help = "MTU that dpdk sets on both ports; with af_xdp it is ip link's business."},
    {"source.eal", CONF_TEXTS, LIST(conf.source.eal, conf.source.eal_count),
     .help = "More arguments for DPDK's environment layer, behind the sensor's own (docs/dpdk.md); an option and its value are two entries. Only with driver dpdk."},

    {"forward.driver", CONF_WORD, AT(conf.source.forward), .value = "af_xdp", .words = forward_words,
     .help = "How watched packets go on. af_xdp: out of the inner port. raw: the same by a packet socket, where its driver cannot send from AF_XDP. tun: through a TUN device to this host, which routes. dpdk: out of the inner port of a dpdk source. none: this is a mirror, nothing is forwarded."},
    {"forward.interface", CONF_TEXT, AT(conf.source.forward_interface), .example = "eth2",
     .help = "The inner port, written like source.interface; with tun, the TUN device, which is made if there is none. Required, unless the driver is none."},

    {"ingress", CONF_RECORDS, LIST(conf.ingress.row, conf.ingress.count), .max = INGRESS_ROWS_MAX,
     .rows = ingress_rows, .row_count = COUNT_OF(ingress_rows),
     .example = "- {vlan: 101, router: ams1-r1, interface: xe-0/0/1, peer_as: 64501}\n"
                "- {mac: \"02:00:00:00:00:07\", router: ams1-r1, interface: ixp0, peer_as: 64507}\n"
                "- {router: ams1-r1, interface: xe-0/0/0}",
     .help = "Which packets came in where; the first row that matches wins. Where the last row does not match everything, one is added: this sensor's name as router, the source's interface."},

    {"penny.mode", CONF_WORD, AT(conf.penny.mode), .value = "active", .words = penny_mode_words,
     .help = "active withholds segments; passive withholds nothing and only watches flows (docs/passive.md), also on a mirror; off does neither."},
    {"penny.rule", CONF_WORD, AT(conf.penny.rule), .value = "randomised", .words = rule_words,
     .help = "How a test comes to its verdict. paper is the published rule, for comparison (docs/penny-paper.md): a sender that repeats its segments passes it as genuine."},
    {"penny.prefixes", CONF_PREFIXES, LIST(conf.penny.prefixes, conf.penny.prefix_count),
     .help = "Source prefixes to watch from the start."},
    {"penny.never", CONF_PREFIXES, LIST(conf.control.never, conf.control.never_count),
     .help = "This sensor withholds nothing of what overlaps these prefixes: an order for it is refused, and penny.prefixes must not overlap them (but in passive mode). Peering LANs, BGP session addresses, own infrastructure. The collector's orders.never says it for all sensors' orders."},
    {"penny.drop_probability", CONF_REAL, AT(conf.penny.drop_probability), .value = "0.05", .min = 0.004, .max = 0.5,
     .help = "Chance that a segment is withheld: one segment of every round(1/p)."},
    {"penny.max_drops", CONF_UNSIGNED, AT(conf.penny.max_drops), .value = "12", .min = 1, .max = 1000, .unit = "segments",
     .help = "Most withheld per test while nothing speaks against genuine."},
    {"penny.budget", CONF_UNSIGNED, AT(conf.penny.budget), .value = "60", .min = 1, .max = 10000, .unit = "segments",
     .help = "Most ever withheld per test; at least max_drops."},
    {"penny.flow_budget", CONF_UNSIGNED, AT(conf.penny.flow_budget), .value = "60", .min = 1, .max = 10000, .unit = "segments",
     .help = "Most ever withheld of one flow per test."},
    {"penny.drops_per_second", CONF_UNSIGNED, AT(conf.penny.drops_per_s), .value = "1000", .min = 1, .max = 1000000, .unit = "segments",
     .help = "Most withheld per second over all tests of a worker."},
    {"penny.timeout", CONF_DURATION, AT(conf.penny.timeout_ns), .value = "3s", .min = MILLISECONDS(100), .max = SECONDS(60),
     .help = "How long a withheld segment may take to come again."},
    {"penny.timeout_min", CONF_DURATION, AT(conf.penny.timeout_min_ns), .value = "1500ms", .min = MILLISECONDS(100), .max = SECONDS(60),
     .help = "The same for a flow whose handshake was seen, plus four round-trip times; timeout if that is less."},
    {"penny.gap", CONF_DURATION, AT(conf.penny.gap_ns), .value = "500ms", .min = 0, .max = SECONDS(60),
     .help = "Least time between two turns of one flow."},
    {"penny.open_blocks", CONF_UNSIGNED, AT(conf.penny.open_blocks), .value = "5", .min = 1, .max = 64,
     .help = "Most blocks of segments that may be open at once, per test."},
    {"penny.alpha", CONF_REAL, AT(conf.penny.alpha), .value = "1e-4", .min = 1e-12, .max = 0.5, .unit = "probability",
     .help = "Bound on the chance of a wrong verdict."},
    {"penny.miss_max", CONF_REAL, AT(conf.penny.miss_max), .value = "0.05", .min = 0.001, .max = 0.5, .unit = "share",
     .help = "Most of the withheld segments that wholly genuine traffic leaves unanswered."},
    {"penny.reordering_max", CONF_REAL, AT(conf.penny.reordering_max), .value = "0.5", .min = 0.01, .max = 1, .unit = "share",
     .help = "Data segments out of order beyond which a test ends inconclusive."},
    {"penny.max_duration", CONF_DURATION, AT(conf.penny.max_duration_ns), .value = "120s", .min = SECONDS(1), .max = SECONDS(86400),
     .help = "A test without a verdict by then ends inconclusive; longer than timeout."},
    {"penny.retest_after", CONF_DURATION, AT(conf.penny.retest_after_ns), .value = "1h", .min = 0, .max = SECONDS(30 * 86400),
     .help = "Pause between two tests of the same prefix at the same ingress."},
    {"penny.max_flows", CONF_UNSIGNED, AT(conf.penny.max_flows), .value = "65536", .min = 64, .max = 16777216, .unit = "flows",
     .help = "Size of the flow table, per worker."},
    {"penny.max_tests", CONF_UNSIGNED, AT(conf.penny.max_tests), .value = "1024", .min = 1, .max = 65536, .unit = "tests",
     .help = "Most tests at once, per worker."},
    {"penny.flow_idle", CONF_DURATION, AT(conf.penny.flow_idle_ns), .value = "30s", .min = SECONDS(1), .max = SECONDS(3600),
     .help = "A flow silent for so long is forgotten; longer than timeout."},
    {"penny.passive_flows", CONF_UNSIGNED, AT(conf.penny.passive_flows), .value = "1000", .min = 1, .max = 1e9, .unit = "flows",
     .help = "Passive mode: a test ends when so many flows have ended (or after max_duration)."},
    {"penny.passive_idle", CONF_DURATION, AT(conf.penny.passive_idle_ns), .value = "60s", .min = SECONDS(1), .max = SECONDS(86400),
     .help = "Passive mode: a test ends after so long without a packet; longer than flow_idle, so that its flows end first."},
    {"penny.passive_rows", CONF_UNSIGNED, AT(conf.penny.passive_rows), .value = "1000", .min = 0, .max = 1e6, .unit = "flows",
     .help = "Passive mode: flows per test that are sent one by one, as they end; the sums have all flows."},

    {"scan.enabled", CONF_BOOL, AT(conf.scan.enabled), .value = "true",
     .help = "Whether scans are looked for."},
    {"scan.window", CONF_DURATION, AT(conf.scan.window_ns), .value = "60s", .min = SECONDS(1), .max = SECONDS(3600),
     .help = "Length of a window; its end gives the entropies."},
    {"scan.bits", CONF_UNSIGNED, AT(conf.scan.bits), .value = "1024", .min = 64, .max = 65536, .unit = "bits",
     .help = "Size of the port bitmap, all bins together."},
    {"scan.bins", CONF_UNSIGNED, AT(conf.scan.bins), .value = "16", .min = 1, .max = REALS_MAX,
     .help = "Bins of the port bitmap; divides bits."},
    {"scan.home", CONF_PREFIXES, LIST(conf.scan.home, conf.scan.home_count),
     .help = "Our own prefixes: openings towards them count as server, all others as client."},

    {"tally.interval", CONF_DURATION, AT(conf.tally.interval_ns), .value = "10s", .min = SECONDS(1), .max = SECONDS(3600),
     .help = "How often traffic counts are sent."},
    {"tally.v4_length", CONF_UNSIGNED, AT(conf.tally.v4_length), .value = "24", .min = 0, .max = 32, .unit = "bits",
     .help = "Length of the IPv4 source prefixes that traffic is counted by."},
    {"tally.v6_length", CONF_UNSIGNED, AT(conf.tally.v6_length), .value = "48", .min = 0, .max = 128, .unit = "bits",
     .help = "Length of the IPv6 source prefixes that traffic is counted by."},
    {"tally.max_cells", CONF_UNSIGNED, AT(conf.tally.max_cells), .value = "65536", .min = 1, .max = 16777216, .unit = "cells",
     .help = "Most pairs of prefix and ingress per interval; packets beyond are counted as overflow."},

    {"control.enabled", CONF_BOOL, AT(conf.control.enabled), .value = "true",
     .help = "Whether the collector may order tests here (docs/orders.md). Every limit of penny holds for them, too; without penny.mode active there are none."},
    {"control.max_orders", CONF_UNSIGNED, AT(conf.control.max_orders), .value = "16", .min = 1, .max = CONTROL_ORDERS_MAX, .unit = "orders",
     .help = "Most orders at once; one more is refused."},
    {"control.min_v4_length", CONF_UNSIGNED, AT(conf.control.min_v4), .value = "16", .min = 0, .max = 32, .unit = "bits",
     .help = "Shortest IPv4 prefix that may be ordered: all its traffic passes the workers while it is tested."},
    {"control.min_v6_length", CONF_UNSIGNED, AT(conf.control.min_v6), .value = "32", .min = 0, .max = 128, .unit = "bits",
     .help = "Shortest IPv6 prefix that may be ordered."},
    {"control.max_lease", CONF_DURATION, AT(conf.control.max_lease_ns), .value = "10m", .min = SECONDS(1), .max = SECONDS(86400),
     .help = "Longest that an order lasts, whatever the collector says."},

    {"publish.endpoint", CONF_TEXT, AT(conf.publish.endpoint), .example = "tcp://192.0.2.10:5560",
     .help = "The collector's address. Required, except with --capture."},
    {"publish.certificate", CONF_TEXT, AT(conf.publish.certificate), .example = "/etc/penstock/ams1.cert",
     .help = "This sensor's certificate with its secret key, of mode 0600 (penstockctl keys new NAME --pop POP). Its name and pop are what the collector goes by. Required unless insecure."},
    {"publish.server", CONF_TEXT, AT(conf.publish.server), .example = "/etc/penstock/collector.pub",
     .help = "The collector's public certificate. Required unless insecure."},
    {"publish.insecure", CONF_BOOL, AT(conf.publish.insecure), .value = "false",
     .help = "Send without encryption and authentication, to a collector that says so, too. The path to it must be trusted."},
    {"publish.keep", CONF_SIZE, AT(conf.publish.keep_bytes), .value = "1GiB", .min = 8 << 20, .max = 64.0 * (1 << 30),
     .help = "Disk for events that the collector has not committed yet (docs/operations.md, The spool). When it is full the oldest tallies are given up first, verdicts and their drops last."},
    {"publish.linger", CONF_DURATION, AT(conf.publish.linger_ns), .value = "20ms", .min = 0, .max = SECONDS(10),
     .help = "How long an event may wait until it is written to disk and sent, with all that came meanwhile."},
    {"publish.stop_wait", CONF_DURATION, AT(conf.publish.stop_wait_ns), .value = "3s", .min = 0, .max = SECONDS(300),
     .help = "On stop: how long to wait for the last acknowledgement. What has none by then stays in the spool."},

    {"metrics.listen", CONF_TEXT, AT(conf.metrics_listen), .value = "127.0.0.1:9559",
     .help = "Address and port of the metrics page; \"\" for none."},
    {"log.level", CONF_WORD, AT(conf.log_level), .value = "info", .words = log_words,
     .help = "Least important lines that are logged."},
};
/* clang-format on */

static const struct conf_table table = {
    "Configuration of penstock-sensor: every key. Commented lines tell what a key is for, what it "
    "takes and its default. Keys that stand here as their default may be left out.",
    rows, COUNT_OF(rows)};

/* ---- what hangs together ---- */

static void require(struct conf *c, const char *key, const char *value)
{
    if (value[0] == '\0')
        conf_wrong(c, key, "required, but not given");
}

/* Without a place on disk a restart would lose what was not sent. */
static void check_state(struct conf *c, const struct sensor_conf *s)
{
    if (s->source.driver != SOURCE_PCAP)
        require(c, "sensor.state_dir", s->state_dir);
}

static void check_rights(struct conf *c, const struct sensor_conf *s)
{
    if (s->rights == RIGHTS_AS_STARTED && s->user[0] != '\0')
        conf_wrong(c, "sensor.user",
                   "sensor.rights is as_started, so nobody else is become; leave "
                   "one of them out");
}

static void check_ring(struct conf *c, const struct source_conf *s)
{
    if ((s->ring & (s->ring - 1)) != 0)
        conf_wrong(c, "source.ring", "%u is no power of two", s->ring);
}

static void check_dpdk(struct conf *c, const struct source_conf *s)
{
#ifndef PENSTOCK_DPDK
    if (s->driver == SOURCE_DPDK)
        conf_wrong(c, "source.driver",
                   "this build has no DPDK source: libdpdk was not there when it was built, or "
                   "WITH_DPDK was off; use af_xdp");
#endif
    if (s->driver != SOURCE_DPDK && s->eal_count > 0)
        conf_wrong(c, "source.eal", "only for source.driver dpdk; leave it out");
    if (s->driver != SOURCE_DPDK && s->mtu != 0)
        conf_wrong(c, "source.mtu", "only for source.driver dpdk; else: ip link set dev %s mtu %u",
                   s->interface, s->mtu);
}

static void check_source(struct conf *c, const struct source_conf *s)
{
    require(c, "source.interface", s->interface);
    check_dpdk(c, s);
    if (s->driver == SOURCE_AF_XDP && strlen(s->interface) > 15)
        conf_wrong(c, "source.interface", "\"%s\" is longer than an interface name can be (15)",
                   s->interface);
    if (s->driver == SOURCE_PCAP && s->forward != FORWARD_NONE)
        conf_wrong(c, "forward.driver", "source.driver pcap cannot forward; use none");
    check_ring(c, s);
}

/* A TUN device is made by this name: the kernel would take % for a place to put a number. */
static void check_forward_name(struct conf *c, const struct source_conf *s)
{
    const char *name = s->forward_interface;
    if (s->driver != SOURCE_DPDK && strlen(name) > 15)
        conf_wrong(c, "forward.interface", "\"%s\" is longer than an interface name can be (15)",
                   name);
    if (s->forward == FORWARD_TUN && strpbrk(name, "%/: ") != NULL)
        conf_wrong(c, "forward.interface", "\"%s\" is no name for a TUN device", name);
}

/* DPDK's frames leave by a port of its own kind. */
static void check_forward(struct conf *c, const struct source_conf *s)
{
    if (s->driver == SOURCE_DPDK && s->forward != FORWARD_DPDK && s->forward != FORWARD_NONE)
        conf_wrong(c, "forward.driver",
                   "source.driver dpdk forwards with dpdk, not with %s; use dpdk, or none",
                   forward_words[s->forward]);
    if (s->driver == SOURCE_AF_XDP && s->forward == FORWARD_DPDK)
        conf_wrong(c, "forward.driver",
                   "dpdk is for source.driver dpdk; use af_xdp, raw, tun or none");
    if (s->forward == FORWARD_NONE)
        return;
    require(c, "forward.interface", s->forward_interface);
    check_forward_name(c, s);
    if (s->interface[0] != '\0' && strcmp(s->interface, s->forward_interface) == 0)
        conf_wrong(c, "forward.interface",
                   "\"%s\" is source.interface too; traffic would turn back", s->interface);
}

static void check_paper(struct conf *c, const struct penny_conf *p)
{
    if (p->max_drops > PAPER_DROPS_MAX)
        conf_wrong(c, "penny.max_drops",
                   "%u, but penny.rule is paper, which judges over at most %u", p->max_drops,
                   PAPER_DROPS_MAX);
    if (p->flow_idle_ns <= 2 * p->timeout_ns)
        conf_wrong(c, "penny.flow_idle",
                   "must be longer than twice penny.timeout where penny.rule is paper");
}

static void check_never(struct conf *c, const struct sensor_conf *s)
{
    char watched[PREFIX_TEXT], text[PREFIX_TEXT];
    for (size_t i = 0; i < s->penny.prefix_count; i++) {
        const struct prefix *never = control_never(&s->control, &s->penny.prefixes[i]);
        if (never != NULL)
            conf_wrong(c, "penny.prefixes", "%s overlaps %s, which stands in penny.never",
                       prefix_format(&s->penny.prefixes[i], watched), prefix_format(never, text));
    }
}

static void check_penny(struct conf *c, const struct sensor_conf *s)
{
    const struct penny_conf *p = &s->penny;
    if (p->budget < p->max_drops)
        conf_wrong(c, "penny.budget", "%u is less than penny.max_drops, %u", p->budget,
                   p->max_drops);
    if (p->max_duration_ns <= p->timeout_ns)
        conf_wrong(c, "penny.max_duration", "must be longer than penny.timeout");
    if (p->gap_ns > p->timeout_ns)
        conf_wrong(c, "penny.gap", "must not be longer than penny.timeout");
    if (p->flow_idle_ns <= p->timeout_ns)
        conf_wrong(c, "penny.flow_idle", "must be longer than penny.timeout");
    if (p->mode == PENNY_PASSIVE && p->passive_idle_ns <= p->flow_idle_ns)
        conf_wrong(c, "penny.passive_idle", "must be longer than penny.flow_idle");
    if (p->rule == PENNY_PAPER)
        check_paper(c, p);
    if (p->mode == PENNY_ACTIVE)
        check_never(c, s);
}

/* A mirror cannot withhold anything: what it does not forward reached its receiver all the same. */
static void check_wire(struct conf *c, const struct sensor_conf *s)
{
    if (s->penny.mode == PENNY_ACTIVE && s->source.forward == FORWARD_NONE)
        conf_wrong(c, "penny.mode",
                   "active needs a wire to withhold segments from, but "
                   "forward.driver is none; use passive or off");
}

static void check_scan(struct conf *c, const struct scan_conf *s)
{
    if (s->bins > 0 && s->bits % s->bins != 0)
        conf_wrong(c, "scan.bins", "%u does not divide scan.bits, %u", s->bins, s->bits);
}

/* tcp://HOST:PORT or ipc://PATH. Whether there is such a host is seen when connecting. */
static bool is_endpoint(const char *text)
{
    if (strncmp(text, "ipc://", 6) == 0)
        return text[6] != '\0';
    const char *colon = strrchr(text, ':');
    if (strncmp(text, "tcp://", 6) != 0 || colon < text + 7)
        return false;
    const char *digits = colon + 1;
    unsigned long port = strtoul(digits, NULL, 10);
    return strspn(digits, "0123456789") == strlen(digits) && port >= 1 && port <= 65535;
}

static void check_publish(struct conf *c, const struct publish_conf *p)
{
    require(c, "publish.endpoint", p->endpoint);
    if (p->endpoint[0] != '\0' && !is_endpoint(p->endpoint))
        conf_wrong(c, "publish.endpoint",
                   "expected an endpoint, written like tcp://192.0.2.10:5560, got \"%s\"",
                   p->endpoint);
    if (p->insecure)
        return;
    require(c, "publish.certificate", p->certificate);
    require(c, "publish.server", p->server);
}

static void check(struct conf *c, const struct sensor_conf *s, bool is_capture)
{
    check_penny(c, s);
    check_scan(c, &s->scan);
    if (is_capture)
        return;
    require(c, "sensor.name", s->name);
    if (s->name[0] != '\0' && !wire_name_is_sound(s->name))
        conf_wrong(c, "sensor.name", "a name must be UTF-8 without spaces, quotes and backslashes");
    require(c, "sensor.pop", s->pop);
    check_source(c, &s->source);
    check_forward(c, &s->source);
    check_wire(c, s);
    check_state(c, s);
    check_rights(c, s);
    check_publish(c, &s->publish);
}

/* ---- what follows from the rest ---- */

static bool is_catch_all(const struct ingress *row)
{
    static const uint8_t any[6];
    return row->vlan == 0 && memcmp(row->mac, any, sizeof any) == 0;
}

/* A row that nothing reaches is a mistake in their order. */
static void check_ingress(struct conf *c, const struct ingress_table *t)
{
    for (unsigned i = 0; i + 1 < t->count; i++)
        if (is_catch_all(&t->row[i])) {
            conf_wrong(c, "ingress", "row %u matches everything, so the rows after it never match",
                       i + 1);
            return;
        }
}

static void append_catch_all(struct sensor_conf *s)
{
    struct ingress_table *t = &s->ingress;
    if (t->count > 0 && is_catch_all(&t->row[t->count - 1]))
        return;
    struct ingress *row = &t->row[t->count++];
    *row = (struct ingress){0};
    snprintf(row->router, sizeof row->router, "%.31s", s->name);
    snprintf(row->interface, sizeof row->interface, "%.31s", s->source.interface);
}

static void derive(struct sensor_conf *s, bool is_capture)
{
    if (is_capture) {
        s->source.driver = SOURCE_PCAP;
        s->source.forward = FORWARD_NONE;
        if (s->name[0] == '\0')
            strcpy(s->name, "capture");
        strcpy(s->source.interface, "capture");
        s->metrics_listen[0] = '\0';
    }
    append_catch_all(s);
    memcpy(s->publish.sensor, s->name, sizeof s->publish.sensor);
    memcpy(s->publish.pop, s->pop, sizeof s->publish.pop);
    if (s->source.driver != SOURCE_PCAP) /* a replay leaves nothing: its spool ends with it */
        memcpy(s->publish.state_dir, s->state_dir, sizeof s->publish.state_dir);
    snprintf(s->publish.driver, sizeof s->publish.driver, "%s", source_words[s->source.driver]);
    memcpy(s->source.sensor, s->name, sizeof s->source.sensor);
    s->source.tally_v4_length = s->tally.v4_length;
    s->source.tally_v6_length = s->tally.v6_length;
    s->source.ingress = &s->ingress;
    s->source.watched = s->penny.prefixes;
    s->source.watched_count = s->penny.mode == PENNY_OFF ? 0 : s->penny.prefix_count;
}

int sensor_conf_load(const char *path, const char *const *settings, size_t n, bool is_capture,
                     struct sensor_conf *out, struct note *note)
{
    struct keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return note_set(note, -ENOMEM, "no memory for the configuration");
    struct conf c;
    conf_begin(&c, &table, keys, note);
    if (path != NULL)
        conf_file(&c, path);
    for (size_t i = 0; i < n; i++)
        conf_set(&c, settings[i]);
    check_ingress(&c, &keys->conf.ingress);
    check(&c, &keys->conf, is_capture);
    int err = conf_end(&c);
    *out = keys->conf;
    free(keys);
    if (err == 0)
        derive(out, is_capture);
    return err;
}

void sensor_conf_explain(FILE *out)
{
    conf_explain(&table, out);
}
