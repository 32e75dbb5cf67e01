/* The command line of penstock-gen. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deploy/lab/gen.h"
#include "shared/base/clock.h"

#define PROGRAM "penstock-gen"
#define START_S 1767225600 /* 2026-01-01: a fixed start keeps files equal from run to run */

static const char help_text[] =
    "Usage: " PROGRAM " -i IF|-w FILE --src PREFIX --dst PREFIX [options]\n"
    "\n"
    "Sends TCP flows as a spoofer does: open loop, never listening. With --syn-scan, connection\n"
    "openings as a scanner sends them. The same options and seed give the same packets.\n"
    "\n"
    "Where to:\n"
    "  -i, --interface IF     send on this interface, in real time (needs CAP_NET_RAW)\n"
    "  -w, --write FILE       write a pcap file in virtual time; - is standard output\n"
    "Who:\n"
    "      --src PREFIX       source addresses and ports are spread over it (IPv4 or IPv6)\n"
    "      --dst PREFIX       destination addresses are spread over it\n"
    "      --dst-port P[-Q]   destination port, or spread over a range (443)\n"
    "      --flows N          number of flows; in a scan, of sources (10; scan: 1)\n"
    "      --vlan ID[,ID...]  VLAN ids, outermost first, up to 4; two are QinQ\n"
    "      --src-mac MAC      (02:00:00:00:00:02)\n"
    "      --dst-mac MAC      (02:00:00:00:00:01)\n"
    "How much:\n"
    "      --rate N           packets per second, all flows together, without copies (1000)\n"
    "      --count N          packets in all, without copies\n"
    "      --duration S       seconds (10, unless --count is given); may be a fraction\n"
    "      --payload BYTES    per data segment (100); 0 sends bare ACKs\n"
    "What in a flow:\n"
    "      --syn              a flow opens with SYN\n"
    "      --fin, --rst       a flow's last packet is FIN, or RST\n"
    "      --flow-packets N   a flow ends after N packets, and a new one takes its place\n"
    "      --keep-alives N    after N data segments a flow sends keep-alive probes only\n"
    "      --start-seq N      first sequence number of every flow (else drawn per flow);\n"
    "                         near 4294967295 numbers wrap\n"
    "      --duplicates HOW   none, all, random:SHARE (0..1), or first:N data segments of each\n"
    "                         flow; copies come on top of rate and count (none)\n"
    "      --duplicate-delay MS  how long after its original a copy comes (0)\n"
    "Scan:\n"
    "      --syn-scan P[-Q]   one SYN for each port, destination after destination\n"
    "Other:\n"
    "      --seed N           of everything drawn (1)\n"
    "      --start S          seconds since 1970, first packet in a file (1767225600)\n"
    "      --help, --version\n"
    "\n"
    "Examples:\n"
    "  " PROGRAM " -i eth1 --src 203.0.113.0/24 --dst 198.51.100.0/24 --flows 500 --rate 20000\n"
    "  " PROGRAM " -i eth1 --src 203.0.113.0/24 --dst 198.51.100.1 --vlan 101 --syn --fin\n"
    "  " PROGRAM " -w v6.pcap --src 2001:db8:77::/48 --dst 2001:db8:1::/64 --count 100000\n"
    "  " PROGRAM " -w dup.pcap --src 203.0.113.0/24 --dst 198.51.100.1 --count 5000 \\\n"
    "      --duplicates random:0.2 --duplicate-delay 30\n"
    "  " PROGRAM " -w scan.pcap --src 203.0.113.9 --dst 198.51.100.0/28 --syn-scan 1-1024\n"
    "\n"
    "Ends with 0 when all was sent, 1 when it could not be, 2 after bad usage.\n";

enum option_id {
    OPT_INTERFACE = 'i',
    OPT_WRITE = 'w',
    OPT_SRC = 1000,
    OPT_DST,
    OPT_DST_PORT,
    OPT_FLOWS,
    OPT_VLAN,
    OPT_SRC_MAC,
    OPT_DST_MAC,
    OPT_RATE,
    OPT_COUNT,
    OPT_DURATION,
    OPT_PAYLOAD,
    OPT_SYN,
    OPT_FIN,
    OPT_RST,
    OPT_FLOW_PACKETS,
    OPT_KEEP_ALIVES,
    OPT_START_SEQ,
    OPT_DUPLICATES,
    OPT_DUPLICATE_DELAY,
    OPT_SYN_SCAN,
    OPT_SEED,
    OPT_START,
    OPT_HELP,
    OPT_VERSION
};

static const struct option options[] = {
    {"interface", required_argument, NULL, OPT_INTERFACE},
    {"write", required_argument, NULL, OPT_WRITE},
    {"src", required_argument, NULL, OPT_SRC},
    {"dst", required_argument, NULL, OPT_DST},
    {"dst-port", required_argument, NULL, OPT_DST_PORT},
    {"flows", required_argument, NULL, OPT_FLOWS},
    {"vlan", required_argument, NULL, OPT_VLAN},
    {"src-mac", required_argument, NULL, OPT_SRC_MAC},
    {"dst-mac", required_argument, NULL, OPT_DST_MAC},
    {"rate", required_argument, NULL, OPT_RATE},
    {"count", required_argument, NULL, OPT_COUNT},
    {"duration", required_argument, NULL, OPT_DURATION},
    {"payload", required_argument, NULL, OPT_PAYLOAD},
    {"syn", no_argument, NULL, OPT_SYN},
    {"fin", no_argument, NULL, OPT_FIN},
    {"rst", no_argument, NULL, OPT_RST},
    {"flow-packets", required_argument, NULL, OPT_FLOW_PACKETS},
    {"keep-alives", required_argument, NULL, OPT_KEEP_ALIVES},
    {"start-seq", required_argument, NULL, OPT_START_SEQ},
    {"duplicates", required_argument, NULL, OPT_DUPLICATES},
    {"duplicate-delay", required_argument, NULL, OPT_DUPLICATE_DELAY},
    {"syn-scan", required_argument, NULL, OPT_SYN_SCAN},
    {"seed", required_argument, NULL, OPT_SEED},
    {"start", required_argument, NULL, OPT_START},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {0},
};

__attribute__((format(printf, 1, 2))) static int complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs(PROGRAM ": ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("\nTry " PROGRAM " --help.\n", stderr);
    return 2;
}

/* A whole number from text up to end (NULL: all of it). */
static bool number_of(const char *text, const char *end, uint64_t min, uint64_t max, uint64_t *out)
{
    char *stop;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *out = strtoull(text, &stop, 10);
    return errno == 0 && (end != NULL ? stop == end : *stop == '\0') && *out >= min && *out <= max;
}

static int take_number(const char *name, const char *text, uint64_t min, uint64_t max,
                       uint64_t *out)
{
    if (number_of(text, NULL, min, max, out))
        return GEN_GO_ON;
    return complain("--%s: \"%s\" is no number from %" PRIu64 " to %" PRIu64, name, text, min, max);
}

/* A time in the given unit, to nanoseconds. */
static int take_time(const char *name, const char *text, double unit_ns, double max, uint64_t *out)
{
    char *stop;
    double value = strtod(text, &stop);
    if (stop == text || *stop != '\0' || !(value >= 0 && value <= max))
        return complain("--%s: \"%s\" is no number from 0 to %.0f", name, text, max);
    *out = (uint64_t)llround(value * unit_ns);
    return GEN_GO_ON;
}

static int take_ports(const char *name, const char *text, struct gen_conf *c)
{
    uint64_t first, last;
    const char *dash = strchr(text, '-');
    bool is_good = number_of(text, dash, 1, 65535, &first);
    last = first;
    if (is_good && dash != NULL)
        is_good = number_of(dash + 1, NULL, first, 65535, &last);
    if (!is_good)
        return complain("--%s: \"%s\" is neither a port (1 to 65535) nor a range P-Q", name, text);
    c->first_port = (uint16_t)first;
    c->last_port = (uint16_t)last;
    return GEN_GO_ON;
}

static int take_prefix(const char *name, const char *text, struct prefix *out)
{
    int err = prefix_parse(text, out);
    if (err == ERR_CONF)
        return complain("--%s: \"%s\" has bits set beyond its length", name, text);
    return err == 0 ? GEN_GO_ON : complain("--%s: \"%s\" is no prefix", name, text);
}

static int take_mac(const char *name, const char *text, uint8_t out[static 6])
{
    return mac_parse(text, out) == 0 ? GEN_GO_ON
                                     : complain("--%s: \"%s\" is no MAC address", name, text);
}

static int take_vlans(const char *text, struct gen_conf *c)
{
    c->vlan_count = 0;
    for (const char *at = text;;) {
        const char *comma = strchr(at, ',');
        uint64_t id;
        if (c->vlan_count == GEN_VLANS_MAX || !number_of(at, comma, 0, 4094, &id))
            return complain("--vlan: \"%s\" is no list of up to %d ids from 0 to 4094", text,
                            GEN_VLANS_MAX);
        c->vlan[c->vlan_count++] = (uint16_t)id;
        if (comma == NULL)
            return GEN_GO_ON;
        at = comma + 1;
    }
}

static int take_duplicates(const char *text, struct gen_conf *c)
{
    char *stop;
    if (strcmp(text, "none") == 0) {
        c->duplicate = DUPLICATE_NONE;
        return GEN_GO_ON;
    }
    if (strcmp(text, "all") == 0) {
        c->duplicate = DUPLICATE_ALL;
        return GEN_GO_ON;
    }
    if (strncmp(text, "first:", 6) == 0 &&
        number_of(text + 6, NULL, 1, UINT32_MAX, &c->duplicate_first)) {
        c->duplicate = DUPLICATE_FIRST;
        return GEN_GO_ON;
    }
    if (strncmp(text, "random:", 7) == 0 && text[7] != '\0') {
        c->duplicate = DUPLICATE_RANDOM;
        c->duplicate_share = strtod(text + 7, &stop);
        if (*stop == '\0' && c->duplicate_share >= 0 && c->duplicate_share <= 1)
            return GEN_GO_ON;
    }
    return complain("--duplicates: \"%s\" is none of: none, all, random:SHARE (0 to 1), first:N",
                    text);
}

static int take_scan(const char *text, struct gen_conf *c)
{
    c->scan = true;
    return take_ports("syn-scan", text, c);
}

static int print_and_end(const char *text)
{
    fputs(text, stdout);
    return 0;
}

static int take_seq(const char *text, struct gen_conf *c)
{
    uint64_t value = 0;
    int status = take_number("start-seq", text, 0, UINT32_MAX, &value);
    c->has_start_seq = true;
    c->start_seq = (uint32_t)value;
    return status;
}

static int take_payload(const char *text, struct gen_conf *c)
{
    uint64_t value = 0;
    int status = take_number("payload", text, 0, GEN_PAYLOAD_MAX, &value);
    c->payload_len = (uint32_t)value;
    return status;
}

/* One option; its value, if it has one, is in text. */
static int take(int id, const char *text, struct gen_conf *c)
{
    switch (id) {
    case OPT_INTERFACE:
        c->interface = text;
        return GEN_GO_ON;
    case OPT_WRITE:
        c->file = text;
        return GEN_GO_ON;
    case OPT_SRC:
        return take_prefix("src", text, &c->src);
    case OPT_DST:
        return take_prefix("dst", text, &c->dst);
    case OPT_DST_PORT:
        return take_ports("dst-port", text, c);
    case OPT_FLOWS:
        return take_number("flows", text, 1, UINT32_MAX, &c->flows);
    case OPT_VLAN:
        return take_vlans(text, c);
    case OPT_SRC_MAC:
        return take_mac("src-mac", text, c->src_mac);
    case OPT_DST_MAC:
        return take_mac("dst-mac", text, c->dst_mac);
    case OPT_RATE:
        return take_number("rate", text, 1, 100000000, &c->rate);
    case OPT_COUNT:
        return take_number("count", text, 1, UINT64_C(1) << 40, &c->count);
    case OPT_DURATION:
        return take_time("duration", text, 1e9, 1e6, &c->duration_ns);
    case OPT_PAYLOAD:
        return take_payload(text, c);
    case OPT_SYN:
        c->syn = true;
        return GEN_GO_ON;
    case OPT_FIN:
        c->fin = true;
        return GEN_GO_ON;
    case OPT_RST:
        c->rst = true;
        return GEN_GO_ON;
    case OPT_FLOW_PACKETS:
        return take_number("flow-packets", text, 2, UINT32_MAX, &c->flow_packets);
    case OPT_KEEP_ALIVES:
        return take_number("keep-alives", text, 1, UINT32_MAX, &c->keep_alive_after);
    case OPT_START_SEQ:
        return take_seq(text, c);
    case OPT_DUPLICATES:
        return take_duplicates(text, c);
    case OPT_DUPLICATE_DELAY:
        return take_time("duplicate-delay", text, 1e6, 1e6, &c->duplicate_delay_ns);
    case OPT_SYN_SCAN:
        return take_scan(text, c);
    case OPT_SEED:
        return take_number("seed", text, 0, UINT64_MAX, &c->seed);
    case OPT_START:
        return take_time("start", text, 1e9, 4e9, &c->start_ns);
    case OPT_HELP:
        return print_and_end(help_text);
    case OPT_VERSION:
        return print_and_end(PROGRAM " " PENSTOCK_VERSION "\n");
    default:
        fputs("Try " PROGRAM " --help.\n", stderr); /* getopt has said what is wrong */
        return 2;
    }
}

/* As many flows as there are pairs of source address and port; also those that follow in time. */
static bool flows_fit(const struct gen_conf *c)
{
    unsigned host_bits = addr_bits(c->src.addr.family) - c->src.length;
    uint64_t flows = c->flows;
    if (c->flow_packets > 0)
        flows += c->count / c->flow_packets + c->flows;
    return host_bits >= 32 || flows <= (uint64_t)GEN_PORTS << host_bits;
}

/* What the options mean together. */
static int settle(struct gen_conf *c)
{
    if ((c->interface == NULL) == (c->file == NULL))
        return complain("give either --interface or --write");
    if (c->src.addr.family == 0 || c->dst.addr.family == 0)
        return complain("--src and --dst are needed");
    if (c->src.addr.family != c->dst.addr.family)
        return complain("--src and --dst are of different families");
    if (c->fin && c->rst)
        return complain("--fin and --rst exclude each other");
    if (c->scan && (c->syn || c->fin || c->rst || c->duplicate != DUPLICATE_NONE ||
                    c->flow_packets > 0 || c->keep_alive_after > 0))
        return complain("--syn-scan excludes --syn, --fin, --rst, --duplicates, --flow-packets "
                        "and --keep-alives");
    if (c->keep_alive_after > 0 && c->payload_len == 0)
        return complain("--keep-alives needs data: --payload of at least one byte");
    if (c->scan)
        c->payload_len = 0;
    if (c->flows == 0)
        c->flows = c->scan ? 1 : 10;
    if (c->count == 0 && c->duration_ns == 0)
        c->duration_ns = 10 * NS_PER_S;
    if (c->duration_ns > 0) {
        uint64_t fitting = (uint64_t)llround((double)c->duration_ns / 1e9 * (double)c->rate);
        if (c->count == 0 || c->count > fitting)
            c->count = fitting > 0 ? fitting : 1;
    }
    if (!flows_fit(c))
        return complain("--flows: --src has no room for so many (%u per address)",
                        (unsigned)GEN_PORTS);
    return GEN_GO_ON;
}

int gen_options(int argc, char **argv, struct gen_conf *conf)
{
    *conf = (struct gen_conf){
        .src_mac = {2, 0, 0, 0, 0, 2},
        .dst_mac = {2, 0, 0, 0, 0, 1},
        .first_port = 443,
        .last_port = 443,
        .rate = 1000,
        .payload_len = 100,
        .seed = 1,
        .start_ns = START_S * NS_PER_S,
    };
    int id;
    while ((id = getopt_long(argc, argv, "i:w:", options, NULL)) != -1) {
        int status = take(id, optarg, conf);
        if (status != GEN_GO_ON)
            return status;
    }
    if (optind < argc)
        return complain("\"%s\" is not understood", argv[optind]);
    return settle(conf);
}
