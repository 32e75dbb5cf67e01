/* Forwarders: what comes out of the TUN device's routing and of the packet socket, what does not,
 * and that neither loses a frame or a chunk that nobody counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>
#include <limits.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "sensor/source/source.h"
#include "shared/base/clock.h"
#include "tests/sensor/source/lab.h"
#include "tests/support/frames.h"

#define WATCHED4   "203.0.113.7"
#define WATCHED6   "2001:db8:77::7"
#define UNWATCHED4 "192.0.2.7"
#define INSIDE4    "198.51.100.1"
#define INSIDE6    "2001:db8:ff::1"
#define TUN        "penny0"
#define ETHERNET   14

static struct lab lab;
static struct prefix watched[2];
static struct ingress_table ingress;
static uint8_t outer_mac[6];

struct running {
    struct source_group *group;
    struct source *sources[2];
    unsigned count;
};

static struct source_conf conf_of(enum forward_driver forward)
{
    struct source_conf conf = {
        .driver = SOURCE_AF_XDP,
        .interface = "outer",
        .forward = forward,
        .tally_v4_length = 24,
        .tally_v6_length = 48,
        .ingress = &ingress,
        .watched = watched,
        .watched_count = 2,
    };
    snprintf(conf.pin_dir, sizeof conf.pin_dir, "%s", lab.pins);
    snprintf(conf.forward_interface, sizeof conf.forward_interface, "%s",
             forward == FORWARD_TUN ? TUN : "inner");
    return conf;
}

static struct running start(const struct source_conf *conf)
{
    struct running r = {0};
    struct note note = {0};
    if (source_afxdp.attach(conf, &r.group, &note) != 0)
        fail_msg("%s", note.text);
    for (; r.count < source_afxdp.queues(r.group); r.count++)
        if (source_afxdp.open(r.group, r.count, &r.sources[r.count], &note) != 0)
            fail_msg("%s", note.text);
    return r;
}

static void stop(struct running *r, const struct source_conf *conf)
{
    struct note note = {0};
    for (unsigned i = 0; i < r->count; i++)
        source_afxdp.close(r->sources[i]);
    source_afxdp.detach(r->group);
    if (source_afxdp_remove(conf, &note) != 0)
        fail_msg("%s", note.text);
}

/* ---- frames */

static struct frame_spec spec_of(const char *src, size_t payload)
{
    bool is_v6 = strchr(src, ':') != NULL;
    struct frame_spec s = is_v6 ? frame_tcp6(src, INSIDE6, 4000, 80, 1000, TCP_ACK, payload)
                                : frame_tcp4(src, INSIDE4, 4000, 80, 1000, TCP_ACK, payload);
    memcpy(s.dst_mac, outer_mac, sizeof outer_mac);
    return s;
}

static void send_spec(const struct frame_spec *s)
{
    uint8_t data[FRAME_ROOM];
    struct frame f = frame_make(s, data);
    assert_int_equal(send(lab.a, f.data, f.len, 0), f.len);
}

/* Where a frame's IP header stands when its outermost tag, if any, has been taken out. */
static size_t ip_of(const struct bytes *got)
{
    size_t at = 12;
    while (got->data[at] == 0x81 && got->data[at + 1] == 0)
        at += 4;
    return at + 2;
}

static bool is_from(const struct bytes *got, const struct addr *src)
{
    const uint8_t *ip = got->data + ip_of(got);
    return src->family == ADDR_V4 ? ip[0] >> 4 == 4 && memcmp(ip + 12, src->bytes, 4) == 0
                                  : ip[0] >> 4 == 6 && memcmp(ip + 8, src->bytes, 16) == 0;
}

/* Next frame from that source on lab.b, and the tag that the kernel took out of it (0: none). Its
 * length, or -1 when none came in time. */
static int next_from(const struct addr *src, struct bytes *got, unsigned *tag, int timeout_ms)
{
    struct pollfd p = {.fd = lab.b, .events = POLLIN};
    while (poll(&p, 1, timeout_ms) > 0) {
        struct sockaddr_ll from = {0};
        char control[256];
        struct iovec iov = {got->data, sizeof got->data};
        struct msghdr m = {.msg_name = &from,
                           .msg_namelen = sizeof from,
                           .msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof control};
        ssize_t n = recvmsg(lab.b, &m, 0);
        if (n < 60 - 6 || from.sll_pkttype == PACKET_OUTGOING || !is_from(got, src))
            continue;
        got->len = (size_t)n;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        struct tpacket_auxdata aux = {0};
        if (c != NULL && c->cmsg_type == PACKET_AUXDATA)
            memcpy(&aux, CMSG_DATA(c), sizeof aux);
        *tag = aux.tp_status & TP_STATUS_VLAN_VALID ? aux.tp_vlan_tci : 0;
        return (int)n;
    }
    return -1;
}

/* Receives on any queue until a frame with data comes, and gives it back with that verdict. */
static bool serve_one(struct running *r, uint8_t verdict)
{
    uint64_t end = clock_mono_ns() + 500 * NS_PER_MS;
    while (clock_mono_ns() < end)
        for (unsigned i = 0; i < r->count; i++) {
            struct frame frame;
            if (source_afxdp.recv(r->sources[i], &frame, 1) == 1) {
                source_afxdp.done(r->sources[i], &frame, &verdict, 1);
                return true;
            }
            source_afxdp.wait(r->sources[i], 5);
        }
    return false;
}

static uint64_t refused(const struct running *r)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < r->count; i++) {
        struct source_stats stats;
        source_afxdp.stats(r->sources[i], &stats);
        sum += stats.transmit_refused;
    }
    return sum;
}

/* Sends one, forwards it, and compares what leaves: the same bytes from the IP header on, of which
 * routing may change the hop count and IPv4's checksum over it. */
static void forward_and_compare(struct running *r, struct frame_spec s, bool is_routed,
                                unsigned tag_seen)
{
    uint8_t data[FRAME_ROOM];
    struct bytes got = {0};
    unsigned tag = 0;
    send_spec(&s);
    assert_int_equal(next_from(&s.src, &got, &tag, 50), -1); /* not before its verdict */
    assert_true(serve_one(r, FRAME_FORWARD));
    assert_true(next_from(&s.src, &got, &tag, 60000) > 0);
    assert_int_equal(tag, tag_seen);
    s.ttl -= is_routed;
    s.vlan_count = is_routed || s.vlan_count == 0 ? 0 : s.vlan_count - 1; /* in the metadata */
    memmove(s.vlan, s.vlan + 1, sizeof s.vlan - sizeof s.vlan[0]);
    struct frame expected = frame_make(&s, data);
    assert_int_equal(got.len, expected.len);
    size_t at = is_routed ? ETHERNET : 0;
    assert_memory_equal(got.data + at, expected.data + at, expected.len - at);
    assert_int_equal(refused(r), 0);
}

/* ---- the packet socket */

static void raw_forwards_frames_byte_by_byte(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_RAW);
    struct running r = start(&conf);
    forward_and_compare(&r, spec_of(WATCHED4, 1000), false, 0);
    forward_and_compare(&r, spec_of(WATCHED6, 1000), false, 0);
    forward_and_compare(&r, spec_of(WATCHED4, 1460), false, 0); /* a full one */
    stop(&r, &conf);
}

static void raw_keeps_vlan_tags(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_RAW);
    struct running r = start(&conf);
    struct frame_spec s = spec_of(WATCHED4, 1460);
    s.vlan_count = 1;
    s.vlan[0] = 3 << 13 | 101; /* with a priority */
    forward_and_compare(&r, s, false, s.vlan[0]);
    s = spec_of(WATCHED6, 100);
    s.vlan_count = 2;
    s.vlan[0] = 102;
    s.vlan[1] = 103;
    forward_and_compare(&r, s, false, 102);
    stop(&r, &conf);
}

static void a_wrong_checksum_leaves_raw_as_wrong_as_it_came(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_RAW);
    struct running r = start(&conf);
    struct frame_spec s = spec_of(WATCHED4, 100);
    uint8_t data[FRAME_ROOM];
    struct bytes got = {0};
    unsigned tag;
    struct frame f = frame_make(&s, data);
    data[frame_transport_at(&s) + 16] ^= 0x55;
    assert_int_equal(send(lab.a, f.data, f.len, 0), f.len);
    assert_true(serve_one(&r, FRAME_FORWARD));
    assert_int_equal(next_from(&s.src, &got, &tag, 60000), f.len);
    assert_memory_equal(got.data, f.data, f.len);
    stop(&r, &conf);
}

static void a_raw_wires_other_traffic_goes_in_the_kernel(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_RAW);
    struct running r = start(&conf);
    struct bytes f = tcp4(UNWATCHED4, 1000, 80, FLAG_ACK), back = tcp4(WATCHED4, 1, 2, FLAG_ACK),
                 got;
    struct frame frame;
    assert_int_equal(send(lab.a, f.data, f.len, 0), f.len);
    assert_int_equal(send(lab.b, back.data, back.len, 0), back.len);
    assert_int_equal(next_like(lab.b, &f, &got, 60000), f.len);
    assert_int_equal(next_like(lab.a, &back, &got, 60000), back.len);
    assert_int_equal(source_afxdp.recv(r.sources[0], &frame, 1), 0);
    stop(&r, &conf);
}

/* ---- the TUN device */

static void tun_hands_packets_to_the_hosts_routing(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_TUN);
    struct running r = start(&conf);
    forward_and_compare(&r, spec_of(WATCHED4, 1000), true, 0);
    forward_and_compare(&r, spec_of(WATCHED6, 1000), true, 0);
    forward_and_compare(&r, spec_of(WATCHED4, 0), true, 0);
    stop(&r, &conf);
}

static void tun_strips_vlan_tags(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_TUN);
    struct running r = start(&conf);
    struct frame_spec s = spec_of(WATCHED6, 100);
    s.vlan_count = 2;
    s.vlan[0] = 102;
    s.vlan[1] = 103;
    forward_and_compare(&r, s, true, 0);
    stop(&r, &conf);
}

static void what_is_for_another_host_is_not_lent_to_a_router(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_TUN);
    struct running r = start(&conf);
    struct frame_spec s = spec_of(WATCHED4, 100);
    struct bytes got;
    unsigned tag;
    s.dst_mac[5] ^= 1;
    send_spec(&s);
    memset(s.dst_mac, 0xff, sizeof s.dst_mac);
    send_spec(&s);
    assert_false(serve_one(&r, FRAME_FORWARD));
    assert_int_equal(next_from(&s.src, &got, &tag, 50), -1);
    stop(&r, &conf);
}

static void flags_of(const char *interface, int *flags, int *mtu)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
    *flags = request.ifr_flags;
    assert_int_equal(ioctl(fd, SIOCGIFMTU, &request), 0);
    *mtu = request.ifr_mtu;
    close(fd);
}

static void a_router_makes_its_device_and_takes_it_along(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_TUN);
    int flags, mtu;
    assert_int_equal(shell("ip link set outer mtu 3000"), 0);
    struct running r = start(&conf);
    flags_of(TUN, &flags, &mtu);
    assert_true(flags & IFF_UP);
    assert_int_equal(mtu, 3000);
    flags_of("outer", &flags, &mtu);
    assert_false(flags & IFF_PROMISC); /* a router wants what is addressed to it */
    stop(&r, &conf);
    assert_int_equal(if_nametoindex(TUN), 0);
    assert_int_equal(shell("ip link set outer mtu 1500"), 0);
}

static void a_device_that_the_operator_made_is_used_and_left(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_TUN);
    assert_int_equal(shell("ip tuntap add dev " TUN " mode tun multi_queue"), 0);
    struct running r = start(&conf);
    forward_and_compare(&r, spec_of(WATCHED4, 1000), true, 0);
    stop(&r, &conf);
    assert_int_not_equal(if_nametoindex(TUN), 0);
    assert_int_equal(shell("ip link del " TUN), 0);
}

static void without_the_sensor_the_same_packets_are_routed_by_the_host(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_TUN);
    struct running r = start(&conf);
    struct frame_spec s = spec_of(WATCHED4, 100);
    struct bytes got;
    unsigned tag;
    source_afxdp.close(r.sources[--r.count]); /* the program stays, its socket and device go */
    send_spec(&s);
    assert_true(next_from(&s.src, &got, &tag, 60000) > 0);
    stop(&r, &conf);
    send_spec(&s);
    assert_true(next_from(&s.src, &got, &tag, 60000) > 0);
}

/* ---- what a router needs */

static void expect_refusal(const struct source_conf *conf, int err, const char *words)
{
    LIBBPF_OPTS(bpf_xdp_query_opts, opts);
    struct source_group *group;
    struct note note = {0};
    assert_int_equal(source_afxdp.attach(conf, &group, &note), err);
    assert_null(group);
    assert_int_equal(bpf_xdp_query((int)if_nametoindex("outer"), 0, &opts), 0);
    assert_int_equal(opts.attach_mode, XDP_ATTACHED_NONE); /* a refusal changes nothing */
    if (strstr(note.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", note.text, words);
}

static void a_host_that_does_not_route_is_refused_with_the_remedy(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_TUN);
    assert_int_equal(shell("sysctl -qw net.ipv4.ip_forward=0"), 0);
    expect_refusal(&conf, ERR_CONF, "does not forward IPv4: sysctl -w net.ipv4.ip_forward=1");
    conf.watched = &watched[1]; /* only IPv6 is watched: nothing is lost */
    conf.watched_count = 1;
    struct running r = start(&conf);
    stop(&r, &conf);
    conf = conf_of(FORWARD_TUN);
    assert_int_equal(
        shell("sysctl -qw net.ipv4.ip_forward=1; sysctl -qw net.ipv6.conf.all.forwarding=0"), 0);
    expect_refusal(&conf, ERR_CONF, "sysctl -w net.ipv6.conf.all.forwarding=1");
    assert_int_equal(shell("sysctl -qw net.ipv6.conf.all.forwarding=1"), 0);
}

static void a_strict_filter_of_sources_is_refused_where_it_would_take_all(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_TUN);
    assert_int_equal(shell("sysctl -qw net.ipv4.conf.all.rp_filter=1"), 0);
    expect_refusal(&conf, ERR_CONF, "net.ipv4.conf.all.rp_filter is strict");
    assert_int_equal(shell("sysctl -qw net.ipv4.conf.all.rp_filter=0; "
                           "sysctl -qw net.ipv4.conf.default.rp_filter=1"),
                     0);
    struct running r = start(&conf); /* its own device it sets itself */
    forward_and_compare(&r, spec_of(WATCHED4, 1000), true, 0);
    stop(&r, &conf);
    assert_int_equal(shell("ip tuntap add dev " TUN " mode tun multi_queue"), 0);
    expect_refusal(&conf, ERR_CONF, "rp_filter of " TUN " is strict");
    assert_int_equal(shell("ip link del " TUN "; sysctl -qw net.ipv4.conf.default.rp_filter=0"), 0);
}

static void another_kind_of_device_is_refused(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_TUN);
    snprintf(conf.forward_interface, sizeof conf.forward_interface, "inner");
    expect_refusal(&conf, -EINVAL, "inner: cannot open a queue of it");
    conf = conf_of(FORWARD_TUN);
    assert_int_equal(shell("ip tuntap add dev " TUN " mode tun"), 0);
    expect_refusal(&conf, -EINVAL, "no TUN device with several queues");
    assert_int_equal(shell("ip link del " TUN), 0);
}

/* ---- both */

static void a_frame_with_the_verdict_drop_goes_nowhere(void **state)
{
    enum forward_driver driver = *(enum forward_driver *)*state;
    struct source_conf conf = conf_of(driver);
    struct running r = start(&conf);
    struct frame_spec s = spec_of(WATCHED4, 100);
    struct bytes got;
    unsigned tag;
    send_spec(&s);
    assert_true(serve_one(&r, FRAME_DROP));
    assert_int_equal(next_from(&s.src, &got, &tag, 100), -1);
    assert_int_equal(refused(&r), 0); /* withheld is not refused */
    stop(&r, &conf);
}

static void what_a_port_that_is_down_refuses_is_counted_until_it_is_up(void **state)
{
    enum forward_driver driver = *(enum forward_driver *)*state;
    struct source_conf conf = conf_of(driver);
    struct running r = start(&conf);
    struct frame_spec s = spec_of(WATCHED4, 100);
    struct bytes got;
    unsigned tag;
    assert_int_equal(shell("ip link set %s down", conf.forward_interface), 0);
    for (unsigned i = 1; i <= 3; i++) {
        send_spec(&s);
        assert_true(serve_one(&r, FRAME_FORWARD));
        assert_int_equal(refused(&r), i);
    }
    assert_int_equal(shell("ip link set %s up", conf.forward_interface), 0);
    assert_int_equal(next_from(&s.src, &got, &tag, 50), -1); /* nothing old comes */
    send_spec(&s);
    assert_true(serve_one(&r, FRAME_FORWARD));
    assert_true(next_from(&s.src, &got, &tag, 60000) > 0);
    assert_int_equal(refused(&r), 3);
    stop(&r, &conf);
}

static void send_many(unsigned n)
{
    uint8_t data[FRAME_ROOM];
    for (unsigned i = 0; i < n; i++) {
        struct frame_spec s = spec_of(WATCHED4, 100);
        s.src_port = (uint16_t)(4000 + i % 1000);
        struct frame f = frame_make(&s, data);
        if (send(lab.a, f.data, f.len, 0) != (ssize_t)f.len)
            fail_msg("cannot send: %s", strerror(errno));
    }
}

/* Takes all that comes until there are so many, or the line was quiet for 200 ms; every third is
 * dropped. */
static unsigned serve(struct running *r, unsigned expected, unsigned *forwarded, unsigned taken[2])
{
    unsigned total = 0;
    uint64_t quiet = clock_mono_ns() + 200 * NS_PER_MS;
    while (total < expected && clock_mono_ns() < quiet)
        for (unsigned q = 0; q < r->count; q++) {
            struct frame frames[BURST];
            uint8_t verdicts[BURST];
            int n = source_afxdp.recv(r->sources[q], frames, BURST);
            for (int i = 0; i < n; i++) {
                verdicts[i] = total++ % 3 == 0 ? FRAME_DROP : FRAME_FORWARD;
                *forwarded += verdicts[i] == FRAME_FORWARD;
            }
            source_afxdp.done(r->sources[q], frames, verdicts, (unsigned)n);
            taken[q] += (unsigned)n;
            if (n > 0)
                quiet = clock_mono_ns() + 200 * NS_PER_MS;
        }
    return total;
}

/* Until so many arrived, or none came for two seconds. */
static unsigned count_arrived(unsigned expected)
{
    struct addr src;
    struct bytes got;
    unsigned tag, n = 0;
    addr_parse(WATCHED4, &src);
    while (n < expected && next_from(&src, &got, &tag, 2000) > 0)
        n++;
    return n;
}

/* All queues that there are: many more frames than a UMEM has chunks. */
static void every_frame_is_accounted_for_and_none_leaks(void **state)
{
    enum { MANY = 21000, PORTION = 1500 };
    enum forward_driver driver = *(enum forward_driver *)*state;
    struct source_conf conf = conf_of(driver);
    struct running r = start(&conf);
    unsigned total = 0, forwarded = 0, arrived = 0, taken[2] = {0};
    for (unsigned sent = 0; sent < MANY; sent += PORTION) {
        send_many(PORTION); /* fits the RX ring: none is missed */
        total += serve(&r, PORTION, &forwarded, taken);
        arrived += count_arrived(forwarded - arrived);
        assert_int_equal(total, sent + PORTION);
    }
    assert_int_equal(serve(&r, UINT_MAX, &forwarded, taken), 0); /* none too many */
    arrived += count_arrived(UINT_MAX);
    assert_int_equal(arrived + refused(&r), forwarded);
    assert_int_equal(forwarded, MANY - MANY / 3);
    for (unsigned q = 0; q < r.count; q++)
        assert_true(taken[q] > MANY / 10); /* each queue had its share */
    stop(&r, &conf);
}

static void a_removed_device_is_an_error_and_not_an_endless_silence(void **state)
{
    enum forward_driver driver = *(enum forward_driver *)*state;
    struct source_conf conf = conf_of(driver);
    struct running r = start(&conf);
    struct frame frame;
    assert_int_equal(source_afxdp.recv(r.sources[0], &frame, 1), 0);
    assert_int_equal(shell("ip link del %s", conf.forward_interface), 0);
    send_many(3);
    assert_true(serve_one(&r, FRAME_FORWARD));
    assert_int_equal(refused(&r), 1);
    assert_int_equal(source_afxdp.recv(r.sources[0], &frame, 1), ERR_KERNEL); /* at once */
    assert_int_equal(source_afxdp.recv(r.sources[0], &frame, 1), ERR_KERNEL);
    stop(&r, &conf);
}

static void a_removed_device_is_noticed_also_when_nothing_is_sent(void **state)
{
    enum forward_driver driver = *(enum forward_driver *)*state;
    struct source_conf conf = conf_of(driver);
    struct running r = start(&conf);
    struct frame frame;
    source_afxdp.wait(r.sources[0], 1);
    assert_int_equal(source_afxdp.recv(r.sources[0], &frame, 1), 0);
    assert_int_equal(shell("ip link del %s", conf.forward_interface), 0);
    refused(&r); /* statistics are read ten times a second, also under load */
    assert_int_equal(source_afxdp.recv(r.sources[0], &frame, 1), ERR_KERNEL);
    stop(&r, &conf);
}

/* ---- the lab, made a router */

static int read_mac(const char *interface, uint8_t mac[6])
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    int err = ioctl(fd, SIOCGIFHWADDR, &request);
    memcpy(mac, request.ifr_hwaddr.sa_data, 6);
    close(fd);
    return err;
}

static int make_router(void)
{
    return shell(
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
        "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.outer.rp_filter=0 "
        "net.ipv6.conf.inner.disable_ipv6=0 net.ipv6.conf.default.accept_dad=0 && "
        "ip addr add 10.77.0.3/24 dev inner && "
        "ip addr add 10.79.0.1/24 dev outer && "
        "ip route add 198.51.100.0/24 via 10.77.0.2 dev inner && "
        "ip -6 route add 2001:db8:ff::/64 via fe80::2 dev inner && "
        "mac=$(nsenter --net=%s ip -o link show b0 | sed -E 's/.*ether ([^ ]+).*/\\1/') && "
        "ip neigh replace 10.77.0.2 lladdr $mac dev inner nud permanent && "
        "ip neigh replace fe80::2 lladdr $mac dev inner nud permanent",
        lab.b_path);
}

static int up_with(unsigned queues)
{
    int on = 1;
    prefix_parse("203.0.113.0/24", &watched[0]);
    prefix_parse("2001:db8:77::/48", &watched[1]);
    ingress.count = 1;
    if (lab_open(&lab, queues) != 0 || make_router() != 0 || read_mac("outer", outer_mac) != 0)
        return -1;
    return setsockopt(lab.b, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on);
}

static int up(void **state)
{
    (void)state;
    return up_with(1);
}

static int up_with_two_queues(void **state)
{
    (void)state;
    return up_with(2);
}

static int down(void **state)
{
    (void)state;
    return lab_close(&lab);
}

static enum forward_driver raw = FORWARD_RAW, tun = FORWARD_TUN;

/* clang-format off */
#define OF(driver, test) {#driver ": " #test, test, NULL, NULL, &driver}
#define BOTH(test)       OF(raw, test), OF(tun, test)
/* clang-format on */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_forwards_frames_byte_by_byte),
        cmocka_unit_test(raw_keeps_vlan_tags),
        cmocka_unit_test(a_wrong_checksum_leaves_raw_as_wrong_as_it_came),
        cmocka_unit_test(a_raw_wires_other_traffic_goes_in_the_kernel),
        cmocka_unit_test(tun_hands_packets_to_the_hosts_routing),
        cmocka_unit_test(tun_strips_vlan_tags),
        cmocka_unit_test(what_is_for_another_host_is_not_lent_to_a_router),
        cmocka_unit_test(a_router_makes_its_device_and_takes_it_along),
        cmocka_unit_test(a_device_that_the_operator_made_is_used_and_left),
        cmocka_unit_test(without_the_sensor_the_same_packets_are_routed_by_the_host),
        cmocka_unit_test(a_host_that_does_not_route_is_refused_with_the_remedy),
        cmocka_unit_test(a_strict_filter_of_sources_is_refused_where_it_would_take_all),
        cmocka_unit_test(another_kind_of_device_is_refused),
        BOTH(a_frame_with_the_verdict_drop_goes_nowhere),
        BOTH(every_frame_is_accounted_for_and_none_leaks),
    };
    const struct CMUnitTest queue_tests[] = {
        BOTH(every_frame_is_accounted_for_and_none_leaks),
        cmocka_unit_test(tun_hands_packets_to_the_hosts_routing),
    };
    const struct CMUnitTest down_tests[] = {
        OF(tun, what_a_port_that_is_down_refuses_is_counted_until_it_is_up),
        OF(tun, a_removed_device_is_an_error_and_not_an_endless_silence),
        OF(tun, a_removed_device_is_noticed_also_when_nothing_is_sent),
        OF(raw, what_a_port_that_is_down_refuses_is_counted_until_it_is_up),
        OF(raw, a_removed_device_is_an_error_and_not_an_endless_silence),
    };
    const struct CMUnitTest gone_tests[] = {
        OF(raw, a_removed_device_is_noticed_also_when_nothing_is_sent),
    };
    int failed = cmocka_run_group_tests_name("forward", tests, up, down);
    failed += cmocka_run_group_tests_name("forward, queues", queue_tests, up_with_two_queues, down);
    failed += cmocka_run_group_tests_name("forward, down", down_tests, up, down);
    return failed + cmocka_run_group_tests_name("forward, gone", gone_tests, up, down);
}
