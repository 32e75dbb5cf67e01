/* What every packet source promises, asked of each of them by the same clauses:
 *
 *     test_source_contract DEVICE
 *
 *     pcap            a capture file: what applies of it
 *     af_xdp          over veth
 *     net_af_packet   DPDK's virtual devices: over veth,
 *     net_pcap        over veth,
 *     net_tap         over TAP interfaces that it makes,
 *     net_ring        a ring outside, veth inside,
 *     net_null        frames from nowhere to nowhere
 *
 * One device per process, as DPDK starts but once in one. All of them are attached before the first
 * clause and detached after the last. DPDK takes its memory without huge pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <pcap/pcap.h>
#include <pthread.h>
#include <stdatomic.h>

#include "sensor/source/dpdk.h"
#include "sensor/source/source.h"
#include "shared/base/clock.h"
#include "tests/sensor/source/contract_ring.h"
#include "tests/sensor/source/lab.h"

#define WATCHED   "203.0.113.7"
#define UNWATCHED "192.0.2.7"

enum { OUTSIDE, INSIDE };

struct device {
    const char *name;
    enum source_driver driver;
    const char *outer, *inner;
    bool has_taps, has_ring;
    bool defrags; /* the kernel puts fragments together before the device sees them */
};

static const struct device devices[] = {
    {.name = "pcap", .driver = SOURCE_PCAP},
    {.name = "af_xdp", .driver = SOURCE_AF_XDP, .outer = "outer", .inner = "inner"},
    {.name = "net_af_packet",
     .driver = SOURCE_DPDK,
     .outer = "net_af_packet0,iface=outer",
     .inner = "net_af_packet1,iface=inner",
     .defrags = true},
    {.name = "net_pcap",
     .driver = SOURCE_DPDK,
     .outer = "net_pcap0,rx_iface_in=outer,tx_iface=outer",
     .inner = "net_pcap1,rx_iface_in=inner,tx_iface=inner"},
    {.name = "net_tap",
     .driver = SOURCE_DPDK,
     .outer = "net_tap0,iface=tap-out",
     .inner = "net_tap1,iface=tap-in",
     .has_taps = true},
    {.name = "net_ring",
     .driver = SOURCE_DPDK,
     .outer = "net_ring0",
     .inner = "net_af_packet1,iface=inner",
     .has_ring = true},
    {.name = "net_null",
     .driver = SOURCE_DPDK,
     .outer = "net_null0,size=60",
     .inner = "net_null1,no-rx=1"},
};

static const struct device *device;
static const struct source_ops *ops;
static struct lab lab;
static struct prefix watched;
static struct ingress_table ingress;
static struct source_conf conf;
static struct source_group *group;
static struct source *source;

/* ---- the far ends */

static int far_end(int side)
{
    return side == OUTSIDE ? lab.a : lab.b;
}

static void send_frame(int side, const struct bytes *f)
{
#ifdef PENSTOCK_DPDK
    if (device->has_ring && side == OUTSIDE) {
        assert_int_equal(ring_send("net_ring0", f->data, f->len), 0);
        return;
    }
#endif
    assert_int_equal(send(far_end(side), f->data, f->len, 0), f->len);
}

/* A packet socket gets the outermost tag beside the frame: back to where it was. */
static void put_tag_back(struct bytes *f, const struct msghdr *m)
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(m);
    const struct tpacket_auxdata *aux = c != NULL ? (const void *)CMSG_DATA(c) : NULL;
    if (aux == NULL || (aux->tp_status & TP_STATUS_VLAN_VALID) == 0)
        return;
    memmove(f->data + 16, f->data + 12, f->len - 12);
    memcpy(f->data + 12, &(uint16_t){htons(aux->tp_vlan_tpid)}, 2);
    memcpy(f->data + 14, &(uint16_t){htons(aux->tp_vlan_tci)}, 2);
    f->len += 4;
}

/* The next frame on a far end; false when none comes in time. What it sent itself is skipped. */
static bool next_frame(int side, struct bytes *f, int timeout_ms)
{
    alignas(struct cmsghdr) char control[128];
    struct pollfd p = {.fd = far_end(side), .events = POLLIN};
    while (poll(&p, 1, timeout_ms) > 0) {
        struct sockaddr_ll from;
        struct iovec iov = {f->data, sizeof f->data};
        struct msghdr m = {&from, sizeof from, &iov, 1, control, sizeof control, 0};
        ssize_t n = recvmsg(p.fd, &m, 0);
        if (n < 14 || from.sll_pkttype == PACKET_OUTGOING)
            continue;
        f->len = (size_t)n;
        put_tag_back(f, &m);
        return true;
    }
    return false;
}

/* Next one that begins like f (34 bytes: Ethernet, and IPv4's header or two tags). */
static bool next_like_it(int side, const struct bytes *f, struct bytes *got, int timeout_ms)
{
    while (next_frame(side, got, timeout_ms))
        if (got->len >= 34 && memcmp(got->data, f->data, 34) == 0)
            return true;
    return false;
}

static void expect_frame(int side, const struct bytes *f)
{
    struct bytes got;
    assert_true(next_like_it(side, f, &got, 1000));
    assert_int_equal(got.len, f->len);
    assert_memory_equal(got.data, f->data, f->len);
}

static void expect_nothing_like(int side, const struct bytes *f)
{
    struct bytes got;
    assert_false(next_like_it(side, f, &got, 100));
}

/* ---- the source */

static bool is_like(const struct frame *got, const struct bytes *f)
{
    return got->len >= 34 && f->len >= 34 && memcmp(got->data, f->data, 34) == 0;
}

/* Until a frame like f is lent; others are forwarded. False: none came in time. */
static bool receive_like(const struct bytes *f, struct frame *out, unsigned ms)
{
    uint64_t end = clock_mono_ns() + ms * NS_PER_MS;
    while (clock_mono_ns() < end) {
        uint8_t forward = FRAME_FORWARD;
        if (ops->recv(source, out, 1) == 0)
            ops->wait(source, 5);
        else if (is_like(out, f))
            return true;
        else
            ops->done(source, out, &forward, 1);
    }
    return false;
}

/* Would the worker let Penny judge it? A source without sift lends nothing else. */
static bool may_be_judged(const struct frame *frame)
{
    struct packet p;
    bool may = true;
    assert_int_equal(packet_parse(frame, &p), PACKET_OK);
    if (ops->sift != NULL)
        ops->sift(source, &p, 1, &may);
    return may;
}

static bool is_to_drop(unsigned nth)
{
    return nth % 3 == 0;
}

/* Serves until so many like f were lent, or nothing came for 200 ms; every third is dropped.
 * Returns how many they were. */
static unsigned serve(const struct bytes *f, unsigned expected, unsigned *forwarded)
{
    unsigned total = 0;
    uint64_t quiet = clock_mono_ns() + 200 * NS_PER_MS;
    while (total < expected && clock_mono_ns() < quiet) {
        struct frame frames[BURST];
        uint8_t verdicts[BURST];
        int n = ops->recv(source, frames, BURST);
        if (n == 0)
            ops->wait(source, 5);
        for (int i = 0; i < n; i++) {
            bool is_ours = is_like(&frames[i], f);
            verdicts[i] = is_ours && is_to_drop(total) ? FRAME_DROP : FRAME_FORWARD;
            *forwarded += is_ours && verdicts[i] == FRAME_FORWARD;
            total += is_ours;
        }
        ops->done(source, frames, verdicts, (unsigned)n);
        if (n > 0)
            quiet = clock_mono_ns() + 200 * NS_PER_MS;
    }
    return total;
}

/* ---- frames */

static struct bytes tagged(unsigned tags, unsigned payload)
{
    struct bytes f = {0};
    put_ethernet(&f, tags > 0 ? 0x8100 : 0x0800);
    for (unsigned i = 0; i < tags; i++)
        put_vlan(&f, 0x6000 | (101 + i), i + 1 < tags ? 0x8100 : 0x0800); /* priority 3 */
    put_ipv4(&f, WATCHED, "198.51.100.1", 6, 20 + payload);
    put_tcp(&f, 1000 + tags, 80, FLAG_ACK);
    for (unsigned i = 0; i < payload; i++)
        put_u8(&f, i * 7);
    return f;
}

static struct bytes numbered(unsigned n)
{
    return tcp4(WATCHED, 1000 + n, 80, FLAG_ACK);
}

static unsigned number_of(const struct bytes *f)
{
    return ((unsigned)f->data[34] << 8 | f->data[35]) - 1000;
}

/* ---- clauses of a wire */

static void expect_lent_and_forwarded(const struct bytes *f)
{
    struct frame frame;
    uint8_t verdict = FRAME_FORWARD;
    send_frame(OUTSIDE, f);
    assert_true(receive_like(f, &frame, 1000));
    assert_int_equal(frame.len, f->len);
    assert_int_equal(frame.wire_len, f->len);
    assert_memory_equal(frame.data, f->data, f->len);
    ops->done(source, &frame, &verdict, 1);
    expect_frame(INSIDE, f);
}

static void a_frame_is_lent_as_it_was_sent_and_forwarded_unchanged(void **state)
{
    (void)state;
    static const unsigned sizes[] = {6, 100, 1000, 1452, 1460};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct bytes f = tagged(0, sizes[i]);
        expect_lent_and_forwarded(&f);
    }
}

static void vlan_tags_are_kept(void **state)
{
    (void)state;
    struct bytes one = tagged(1, 500), full = tagged(1, 1460), two = tagged(2, 500);
    expect_lent_and_forwarded(&one);
    expect_lent_and_forwarded(&full);
    expect_lent_and_forwarded(&two);
}

/* The checksums in these frames are wrong (zero, or set here): nobody may mend them. */
static void checksums_are_not_touched(void **state)
{
    (void)state;
    struct bytes f = tagged(0, 64);
    f.data[24] = 0xde, f.data[25] = 0xad; /* IPv4 header */
    f.data[50] = 0xbe, f.data[51] = 0xef; /* TCP */
    expect_lent_and_forwarded(&f);
}

static void a_frame_with_the_verdict_drop_goes_nowhere(void **state)
{
    (void)state;
    struct bytes f = tagged(0, 200);
    struct frame frame;
    uint8_t verdict = FRAME_DROP;
    send_frame(OUTSIDE, &f);
    assert_true(receive_like(&f, &frame, 1000));
    ops->done(source, &frame, &verdict, 1);
    expect_nothing_like(INSIDE, &f);
}

static void a_frame_waits_for_its_verdict(void **state)
{
    (void)state;
    struct bytes f = tagged(0, 300);
    struct frame frame;
    uint8_t verdict = FRAME_FORWARD;
    send_frame(OUTSIDE, &f);
    assert_true(receive_like(&f, &frame, 1000));
    expect_nothing_like(INSIDE, &f);
    ops->done(source, &frame, &verdict, 1);
    expect_frame(INSIDE, &f);
}

static void the_way_back_is_open_and_nobody_looks_at_it(void **state)
{
    (void)state;
    struct frame frame;
    for (unsigned tags = 0; tags < 3; tags++) {
        struct bytes f = tagged(tags, 700);
        send_frame(INSIDE, &f);
        assert_false(receive_like(&f, &frame, 100));
        expect_frame(OUTSIDE, &f);
    }
}

static void order_is_kept_and_dropped_frames_leave_no_other_gap(void **state)
{
    (void)state;
    enum { MANY = 300 };
    struct bytes like = numbered(0), got;
    unsigned forwarded = 0;
    for (unsigned i = 0; i < MANY; i++) {
        struct bytes f = numbered(i);
        send_frame(OUTSIDE, &f);
    }
    assert_int_equal(serve(&like, MANY + 1, &forwarded), MANY);
    for (unsigned i = 0; i < MANY; i++)
        if (!is_to_drop(i)) {
            assert_true(next_like_it(INSIDE, &like, &got, 1000));
            assert_int_equal(number_of(&got), i);
        }
    expect_nothing_like(INSIDE, &like);
}

static void expect_watched(const struct bytes *f)
{
    struct frame frame;
    uint8_t verdict = FRAME_FORWARD;
    send_frame(OUTSIDE, f);
    assert_true(receive_like(f, &frame, 1000));
    assert_true(may_be_judged(&frame));
    ops->done(source, &frame, &verdict, 1);
    expect_frame(INSIDE, f);
}

/* It arrives, whether the source lends it or not, and is not to be judged. */
static void expect_passed_over(const struct bytes *f)
{
    struct frame frame;
    uint8_t verdict = FRAME_FORWARD;
    send_frame(OUTSIDE, f);
    if (receive_like(f, &frame, 100)) {
        assert_false(may_be_judged(&frame));
        ops->done(source, &frame, &verdict, 1);
    }
    expect_frame(INSIDE, f);
}

struct list {
    struct prefix prefixes[2];
    size_t count;
    atomic_bool is_set;
};

static void *set_list(void *arg)
{
    struct list *list = arg;
    struct note note = {0};
    if (ops->watch(group, list->prefixes, list->count, &note) != 0)
        fprintf(stderr, "%s\n", note.text);
    else
        atomic_store(&list->is_set, true);
    return NULL;
}

/* From another thread, as the sensor does it, while its worker goes on. */
static void watch(const char *a, const char *b)
{
    struct list list = {.count = a != NULL ? 2 : 0};
    pthread_t thread;
    struct bytes none = {0};
    struct frame frame;
    if (a != NULL) {
        assert_int_equal(prefix_parse(a, &list.prefixes[0]), 0);
        assert_int_equal(prefix_parse(b, &list.prefixes[1]), 0);
    }
    assert_int_equal(pthread_create(&thread, NULL, set_list, &list), 0);
    for (int i = 0; i < 100 && !atomic_load(&list.is_set); i++)
        receive_like(&none, &frame, 20);
    assert_true(atomic_load(&list.is_set));
    pthread_join(thread, NULL);
}

static void the_watched_prefixes_change_live(void **state)
{
    (void)state;
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK), g = tcp4(UNWATCHED, 1000, 80, FLAG_ACK);
    struct bytes six = tcp6("2001:db8:b::7", 1000, 80, FLAG_ACK);
    expect_watched(&f);
    expect_passed_over(&g);
    expect_passed_over(&six);
    watch("192.0.2.0/25", "2001:db8:b::/48");
    expect_passed_over(&f);
    expect_watched(&g);
    expect_watched(&six);
    watch("0.0.0.0/0", "2001:db8:b::7/128");
    expect_watched(&f);
    expect_watched(&six);
    watch(NULL, NULL);
    expect_passed_over(&f);
    expect_passed_over(&six);
    watch("203.0.113.0/24", "203.0.113.7/32");
    expect_watched(&f);
}

static void ssh_and_fragments_are_spared(void **state)
{
    (void)state;
    struct bytes to = tcp4(WATCHED, 1000, 22, FLAG_ACK), from = tcp4(WATCHED, 22, 1000, FLAG_ACK);
    struct bytes fragment = {0};
    put_ethernet(&fragment, 0x0800);
    put_ipv4_fragment(&fragment, WATCHED, "198.51.100.1", 6, 64, 0x2000);
    put_tcp(&fragment, 1000, 80, FLAG_ACK);
    put_zero(&fragment, 44);
    expect_passed_over(&to);
    expect_passed_over(&from);
    if (!device->defrags)
        expect_passed_over(&fragment);
}

/* Until so many arrived, or none came for 100 ms. */
static unsigned count_like(const struct bytes *f, unsigned expected)
{
    struct bytes got;
    unsigned n = 0;
    while (n < expected && next_like_it(INSIDE, f, &got, 100))
        n++;
    return n;
}

static unsigned frames_out(void)
{
#ifdef PENSTOCK_DPDK
    if (device->driver == SOURCE_DPDK)
        return source_dpdk_frames_in_use(group) + ring_frames_in_use();
#endif
    return 0;
}

/* Each buffer is used twice at least: one that leaked would be missed. A round does not wait for
 * frames too many: those of all rounds would come after the last. */
static void every_frame_is_accounted_for_and_none_leaks(void **state)
{
    (void)state;
    enum { ROUNDS = 60, EACH = 400 };
    struct bytes f = tagged(0, 100);
    struct source_stats before, after;
    unsigned forwarded = 0, arrived = 0, taken = 0, out = frames_out();
    ops->stats(source, &before);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < EACH; i++)
            send_frame(OUTSIDE, &f);
        taken += serve(&f, EACH, &forwarded);
        arrived += count_like(&f, forwarded - arrived);
    }
    taken += serve(&f, UINT_MAX, &forwarded);
    arrived += count_like(&f, UINT_MAX);
    ops->stats(source, &after);
    assert_int_equal(taken, ROUNDS * EACH);
    assert_int_equal(after.missed - before.missed, 0);
    assert_int_equal(arrived + after.transmit_refused - before.transmit_refused, forwarded);
    assert_int_equal(frames_out(), out);
}

/* ---- clauses of a source without a far end: net_null */

static void frames_from_nowhere_are_lent_and_go_nowhere_and_none_leaks(void **state)
{
    (void)state;
    enum { BURSTS = 5000 };
    struct bytes zero = {.len = 60};
    unsigned out = frames_out(), taken = 0;
    struct source_stats stats;
    for (unsigned i = 0; i < BURSTS; i++) {
        struct frame frames[BURST];
        uint8_t verdicts[BURST];
        int n = ops->recv(source, frames, BURST);
        for (int j = 0; j < n; j++) {
            assert_int_equal(frames[j].len, zero.len);
            verdicts[j] = j % 2 == 0 ? FRAME_FORWARD : FRAME_DROP;
        }
        ops->done(source, frames, verdicts, (unsigned)n);
        taken += (unsigned)n;
    }
    ops->stats(source, &stats);
    assert_int_equal(taken, BURSTS * BURST);
    assert_int_equal(stats.transmit_refused, 0);
    assert_int_equal(stats.missed, 0);
    assert_int_equal(frames_out(), out);
}

/* ---- clauses of a capture */

enum { CAPTURED = 200 };

static void a_capture_is_lent_in_order_as_it_was_written_and_has_an_end(void **state)
{
    (void)state;
    struct source_stats stats;
    unsigned next = 0;
    struct frame frames[BURST];
    int n;
    while ((n = ops->recv(source, frames, BURST)) > 0) {
        uint8_t verdicts[BURST];
        for (int i = 0; i < n; i++, next++) {
            struct bytes f = numbered(next);
            assert_int_equal(frames[i].len, f.len);
            assert_memory_equal(frames[i].data, f.data, f.len);
            verdicts[i] = next % 2 == 0 ? FRAME_FORWARD : FRAME_DROP;
        }
        ops->done(source, frames, verdicts, (unsigned)n);
    }
    assert_int_equal(n, ERR_END);
    assert_int_equal(next, CAPTURED);
    assert_int_equal(ops->recv(source, frames, BURST), ERR_END);
    ops->stats(source, &stats);
    assert_int_equal(stats.missed + stats.transmit_refused, 0);
}

/* ---- before the first clause and after the last */

static void write_capture(const char *path)
{
    pcap_t *p = pcap_open_dead(DLT_EN10MB, 65535);
    pcap_dumper_t *d = pcap_dump_open(p, path);
    assert_non_null(d);
    for (unsigned i = 0; i < CAPTURED; i++) {
        struct bytes f = numbered(i);
        struct pcap_pkthdr h = {.ts = {.tv_sec = 1 + i}, .caplen = f.len, .len = f.len};
        pcap_dump((u_char *)d, &h, f.data);
    }
    pcap_dump_close(d);
    pcap_close(p);
}

static struct source_conf conf_of_device(void)
{
    struct source_conf c = {
        .driver = device->driver,
        .tally_v4_length = 24,
        .tally_v6_length = 48,
        .ingress = &ingress,
        .watched = &watched,
        .watched_count = 1,
        .queues = 1,
    };
    snprintf(c.pin_dir, sizeof c.pin_dir, "%s", lab.pins);
    snprintf(c.sensor, sizeof c.sensor, "contract-%d", (int)getpid());
    if (device->driver == SOURCE_PCAP) {
        c.forward = FORWARD_NONE;
        snprintf(c.interface, sizeof c.interface, "/tmp/penstock-contract-%d", (int)getpid());
        return c;
    }
    c.forward = device->driver == SOURCE_DPDK ? FORWARD_DPDK : FORWARD_AF_XDP;
    snprintf(c.interface, sizeof c.interface, "%s", device->outer);
    snprintf(c.forward_interface, sizeof c.forward_interface, "%s", device->inner);
    if (device->driver == SOURCE_DPDK)
        for (const char *const *text = (const char *const[]){"--no-huge", "-m", "512", NULL};
             *text != NULL; text++)
            snprintf(c.eal[c.eal_count++], sizeof c.eal[0], "%s", *text);
    return c;
}

/* Nothing that a clause left behind shall trouble the next one. */
static int before_each(void **state)
{
    (void)state;
    static const int on = 1;
    for (int side = OUTSIDE; side <= INSIDE; side++) {
        drain(far_end(side));
        setsockopt(far_end(side), SOL_PACKET, PACKET_AUXDATA, &on, sizeof on);
    }
    return 0;
}

/* The interfaces that net_tap makes are its wire: our sockets sit on them. */
static void sit_on_taps(void)
{
    close(lab.a);
    close(lab.b);
    lab.a = packet_socket(&lab, "/proc/self/ns/net", "tap-out");
    lab.b = packet_socket(&lab, "/proc/self/ns/net", "tap-in");
    assert_true(lab.a >= 0 && lab.b >= 0);
}

static int set_up(void **state)
{
    (void)state;
    struct note note = {0};
    ops = source_find(device->driver);
    assert_non_null(ops);
    assert_int_equal(prefix_parse("203.0.113.0/24", &watched), 0);
    ingress = (struct ingress_table){.count = 1, .row = {{.router = "r1"}}};
    assert_int_equal(lab_open(&lab, 1), 0);
    assert_int_equal(shell("sysctl -qw net.ipv6.conf.default.disable_ipv6=1"), 0);
    conf = conf_of_device();
    if (device->driver == SOURCE_PCAP)
        write_capture(conf.interface);
    if (ops->attach(&conf, &group, &note) != 0 || ops->open(group, 0, &source, &note) != 0)
        fail_msg("%s", note.text);
    if (device->has_taps)
        sit_on_taps();
    return 0;
}

static void expect_not_promiscuous(const char *interface)
{
    assert_int_equal(shell("ip -d link show dev %s | grep -q 'promiscuity 0'", interface), 0);
}

static void closing_leaves_things_as_they_were(void **state)
{
    (void)state;
    struct note note = {0};
    ops->close(NULL);
    ops->close(source);
    ops->detach(group);
    ops->detach(NULL);
    source = NULL;
    group = NULL;
    if (device->driver == SOURCE_PCAP) {
        assert_int_equal(unlink(conf.interface), 0);
        return;
    }
    assert_int_equal(source_afxdp_remove(&conf, &note), 0);
    assert_int_equal(if_nametoindex("tap-out"), 0);
    expect_not_promiscuous("outer");
    expect_not_promiscuous("inner");
    assert_int_equal(shell("! test -e /run/dpdk/penstock-%s", conf.sensor), 0);
}

static int tear_down(void **state)
{
    (void)state;
    if (group != NULL) { /* a clause failed */
        ops->close(source);
        ops->detach(group);
    }
    lab_close(&lab);
    return 0;
}

#define CLAUSE(f)  cmocka_unit_test_setup(f, before_each)
#define RUN(tests) cmocka_run_group_tests_name(device->name, tests, set_up, tear_down)

/* What is sent to a ring comes back out of it, so it has no way back: it goes without the first. */
static int run_frames(bool has_way_back)
{
    const struct CMUnitTest tests[] = {
        CLAUSE(the_way_back_is_open_and_nobody_looks_at_it),
        CLAUSE(a_frame_is_lent_as_it_was_sent_and_forwarded_unchanged),
        CLAUSE(vlan_tags_are_kept),
        CLAUSE(checksums_are_not_touched),
        CLAUSE(a_frame_with_the_verdict_drop_goes_nowhere),
        CLAUSE(a_frame_waits_for_its_verdict),
        CLAUSE(order_is_kept_and_dropped_frames_leave_no_other_gap),
        CLAUSE(the_watched_prefixes_change_live),
        CLAUSE(ssh_and_fragments_are_spared),
        CLAUSE(every_frame_is_accounted_for_and_none_leaks),
        CLAUSE(closing_leaves_things_as_they_were),
    };
    size_t from = has_way_back ? 0 : 1, count = sizeof tests / sizeof tests[0];
    return _cmocka_run_group_tests(device->name, tests + from, count - from, set_up, tear_down);
}

static int run_null(void)
{
    const struct CMUnitTest tests[] = {
        CLAUSE(frames_from_nowhere_are_lent_and_go_nowhere_and_none_leaks),
        CLAUSE(closing_leaves_things_as_they_were),
    };
    return RUN(tests);
}

static int run_capture(void)
{
    const struct CMUnitTest tests[] = {
        CLAUSE(a_capture_is_lent_in_order_as_it_was_written_and_has_an_end),
        CLAUSE(closing_leaves_things_as_they_were),
    };
    return RUN(tests);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof devices / sizeof devices[0]; i++)
        if (strcmp(devices[i].name, argv[1]) == 0)
            device = &devices[i];
    if (device == NULL) {
        fprintf(stderr, "usage: test_source_contract DEVICE\n");
        return 2;
    }
    if (device->driver == SOURCE_PCAP)
        return run_capture();
    if (strcmp(device->name, "net_null") == 0)
        return run_null();
    return run_frames(!device->has_ring);
}
