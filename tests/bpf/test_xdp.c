/* The XDP programs in the kernel's own test-run call: no interface, no traffic; one frame in, the
 * verdict, the counters and the maps out. Runs in a network namespace of its own. */
#include "tests/bpf/program.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define WATCHED4   "203.0.113.7"
#define WATCHED6   "2001:db8:77::7"
#define UNWATCHED4 "192.0.2.7"
#define UNWATCHED6 "2001:db8:99::7"

static void expect_handed(const struct lab *lab, const struct bytes *f)
{
    uint64_t before = stat(lab, XDP_STAT_handed);
    assert_int_equal(run(lab, f), XDP_REDIRECT);
    assert_int_equal(stat(lab, XDP_STAT_handed), before + 1);
}

/* Onward: by the wire, or to the host in a mirror. why: the counter that must move, or -1. */
static void expect_onward(const struct lab *lab, const struct bytes *f, int why)
{
    uint64_t handed = stat(lab, XDP_STAT_handed);
    uint64_t before = why < 0 ? 0 : stat(lab, (uint32_t)why);
    assert_int_equal(run(lab, f), lab->is_wire ? XDP_REDIRECT : XDP_PASS);
    assert_int_equal(stat(lab, XDP_STAT_handed), handed);
    if (why >= 0)
        assert_int_equal(stat(lab, (uint32_t)why), before + 1);
}

static uint64_t malformed(const struct lab *lab)
{
    uint64_t sum = 0;
#define REASON(name, counter, help) sum += stat(lab, XDP_STAT_##counter);
#include "shared/base/reasons.def"
#undef REASON
    return sum;
}

static struct bytes tagged(const char *src, unsigned tags, unsigned first, unsigned tpid)
{
    struct bytes f = {0};
    put_ethernet(&f, tpid);
    for (unsigned i = 0; i < tags; i++)
        put_vlan(&f, i == 0 ? first : 500 + i, i + 1 == tags ? 0x0800 : 0x8100);
    put_ipv4(&f, src, "198.51.100.1", 6, 20);
    put_tcp(&f, 1000, 80, FLAG_ACK);
    return f;
}

/* ---- who gets a frame */

static void watched_frames_go_to_the_socket(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.has_socket = true});
    struct bytes v4 = tcp4(WATCHED4, 1000, 80, FLAG_ACK), v6 = tcp6(WATCHED6, 1000, 80, FLAG_ACK);
    struct bytes udp = {0};
    put_ethernet(&udp, 0x0800);
    put_ipv4(&udp, WATCHED4, "198.51.100.1", 17, 18);
    put_udp(&udp, 53, 53, 10);
    expect_handed(&lab, &v4);
    expect_handed(&lab, &v6);
    expect_handed(&lab, &udp);
    lab_close(&lab);
}

static void without_a_socket_watched_frames_go_on_and_are_not_dropped(void **state)
{
    (void)state;
    struct bytes v4 = tcp4(WATCHED4, 1000, 80, FLAG_ACK), v6 = tcp6(WATCHED6, 1000, 80, FLAG_ACK);
    for (int is_wire = 0; is_wire < 2; is_wire++) {
        struct lab lab = lab_open((struct options){.is_wire = is_wire});
        expect_onward(&lab, &v4, XDP_STAT_unserved);
        expect_onward(&lab, &v6, XDP_STAT_unserved);
        lab_close(&lab);
    }
}

static void a_closed_socket_is_no_socket(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    struct bytes f = tcp4(WATCHED4, 1000, 80, FLAG_ACK);
    expect_handed(&lab, &f);
    close(lab.socket_fd);
    lab.socket_fd = -1;
    expect_onward(&lab, &f, XDP_STAT_unserved);
    lab_close(&lab);
}

static void unwatched_frames_go_on_though_there_is_a_socket(void **state)
{
    (void)state;
    struct bytes v4 = tcp4(UNWATCHED4, 1000, 80, FLAG_ACK);
    struct bytes v6 = tcp6(UNWATCHED6, 1000, 80, FLAG_ACK);
    for (int is_wire = 0; is_wire < 2; is_wire++) {
        struct lab lab = lab_open((struct options){.is_wire = is_wire, .has_socket = true});
        expect_onward(&lab, &v4, -1);
        expect_onward(&lab, &v6, -1);
        assert_int_equal(stat(&lab, XDP_STAT_unserved), 0);
        lab_close(&lab);
    }
}

static void prefixes_of_every_length_are_watched_exactly(void **state)
{
    (void)state;
    static const char *const watched[] = {
        "10.16.0.0/12",       "172.16.5.0/24",    "192.0.2.128/25",
        "198.51.100.9/32",    "2a00::/12",        "2001:db00::/28",
        "2001:db8:4000::/36", "2001:db8:77::/48", "2001:db8:78:100::/56",
        "2001:db8:79::5/128"};
    static const char *const inside[] = {
        "10.16.0.0",           "10.31.255.255",      "172.16.5.77",       "192.0.2.128",
        "198.51.100.9",        "2a0f:ffff::1",       "2001:db0f:ffff::1", "2001:db8:4fff:ffff::1",
        "2001:db8:77:ffff::1", "2001:db8:78:1ff::1", "2001:db8:79::5"};
    static const char *const outside[] = {
        "10.15.255.255",      "10.32.0.0",        "172.16.4.255",
        "192.0.2.127",        "198.51.100.8",     "2a10::1",
        "2001:db10::1",       "2001:db8:5000::1", "2001:db8:76:ffff::1",
        "2001:db8:78:200::1", "2001:db8:79::4"};
    struct lab lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    watch(&lab, watched, sizeof watched / sizeof watched[0]);
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        bool is_v6 = strchr(inside[i], ':') != NULL;
        struct bytes in = (is_v6 ? tcp6 : tcp4)(inside[i], 1000, 80, FLAG_ACK);
        struct bytes out = (is_v6 ? tcp6 : tcp4)(outside[i], 1000, 80, FLAG_ACK);
        expect_handed(&lab, &in);
        expect_onward(&lab, &out, -1);
    }
    lab_close(&lab);
}

/* The filter only says whom to ask; it decides for nobody. */
static void a_filter_that_lets_all_through_hands_over_none_but_the_watched(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.has_socket = true});
    struct bytes in4 = tcp4(WATCHED4, 1, 2, FLAG_ACK), in6 = tcp6(WATCHED6, 1, 2, FLAG_ACK);
    struct bytes out4 = tcp4(UNWATCHED4, 1, 2, FLAG_ACK), out6 = tcp6(UNWATCHED6, 1, 2, FLAG_ACK);
    memset(&lab.x->bss->filter, 0xff, offsetof(struct xdp_filter, sure4));
    expect_handed(&lab, &in4);
    expect_handed(&lab, &in6);
    expect_onward(&lab, &out4, -1);
    expect_onward(&lab, &out6, -1);
    lab_close(&lab);
}

static void what_is_no_longer_watched_goes_on_and_what_stays_is_handed_over(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.has_socket = true});
    struct bytes stays = tcp4("198.51.101.130", 1, 2, FLAG_ACK);
    struct bytes goes = tcp4("198.51.101.5", 1, 2, FLAG_ACK);
    watch(&lab, (const char *const[]){"198.51.101.0/25", "198.51.101.128/25"}, 2);
    expect_handed(&lab, &stays);
    expect_handed(&lab, &goes);
    watch(&lab, (const char *const[]){"198.51.101.128/25"}, 1); /* they share a bit */
    expect_handed(&lab, &stays);
    expect_onward(&lab, &goes, -1);
    watch(&lab, NULL, 0);
    expect_onward(&lab, &stays, -1);
    lab_close(&lab);
}

static void frames_as_long_as_a_page_allows_are_handed_over_whole(void **state)
{
    (void)state;
    enum { PAYLOAD = 3494 - 14 - 20 - 20 };
    struct lab lab = lab_open((struct options){.has_socket = true});
    struct bytes f = {0};
    put_ethernet(&f, 0x0800);
    put_ipv4(&f, WATCHED4, "198.51.100.1", 6, 20 + PAYLOAD);
    put_tcp(&f, 1000, 80, FLAG_ACK);
    put_zero(&f, PAYLOAD);
    expect_handed(&lab, &f);
    f.data[16] += 1; /* 256 bytes more than there are */
    expect_onward(&lab, &f, XDP_STAT_malformed_short_ip);
    lab_close(&lab);
}

static void up_to_four_vlan_tags_are_looked_through(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.has_socket = true});
    for (unsigned tags = 1; tags <= 4; tags++) {
        struct bytes f = tagged(WATCHED4, tags, 101, tags % 2 ? 0x8100 : 0x88a8);
        expect_handed(&lab, &f);
    }
    struct bytes five = tagged(WATCHED4, 5, 101, 0x88a8);
    expect_onward(&lab, &five, XDP_STAT_not_ip);
    lab_close(&lab);
}

static void tcp_port_22_is_never_handed_over(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.has_socket = true});
    struct bytes frames[] = {tcp4(WATCHED4, 1000, 22, FLAG_ACK), tcp4(WATCHED4, 22, 1000, FLAG_ACK),
                             tcp6(WATCHED6, 1000, 22, FLAG_SYN),
                             tcp6(WATCHED6, 22, 1000, FLAG_SYN | FLAG_ACK)};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        expect_onward(&lab, &frames[i], XDP_STAT_spared);
    struct bytes udp = {0}; /* the same port of another protocol is no secure shell */
    put_ethernet(&udp, 0x0800);
    put_ipv4(&udp, WATCHED4, "198.51.100.1", 17, 8);
    put_udp(&udp, 22, 22, 0);
    expect_handed(&lab, &udp);
    lab_close(&lab);
}

static struct bytes fragment4(unsigned field)
{
    struct bytes f = {0};
    put_ethernet(&f, 0x0800);
    put_ipv4_fragment(&f, WATCHED4, "198.51.100.1", 6, 20, field);
    put_tcp(&f, 1000, 80, FLAG_SYN);
    return f;
}

static struct bytes fragment6(unsigned field)
{
    struct bytes f = {0};
    put_ethernet(&f, 0x86dd);
    put_ipv6(&f, WATCHED6, "2001:db8:ff::1", 44, 28);
    put_u8(&f, 6);
    put_u8(&f, 0);
    put_u16(&f, field);
    put_u32(&f, 99);
    put_tcp(&f, 1000, 80, FLAG_SYN);
    return f;
}

static void fragments_stay_in_the_kernel(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    struct bytes frames[] = {fragment4(0x2000), fragment4(0x00b9), fragment4(0x20b9),
                             fragment6(0x0001), fragment6(0x05c8), fragment6(0x05c9)};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        expect_onward(&lab, &frames[i], XDP_STAT_spared);
    assert_int_equal(stat(&lab, XDP_STAT_probes), 0);
    struct bytes whole = fragment6(0);
    expect_handed(&lab, &whole); /* RFC 6946: a fragment header, but all of the packet */
    lab_close(&lab);
}

/* TCP behind one extension header of that kind; pad: its bytes behind the first eight. */
static struct bytes extended(unsigned kind, unsigned length_field, unsigned pad, unsigned port)
{
    struct bytes f = {0};
    put_ethernet(&f, 0x86dd);
    put_ipv6(&f, WATCHED6, "2001:db8:ff::1", kind, 8 + pad + 20);
    put_u8(&f, 6);
    put_u8(&f, length_field);
    put_zero(&f, 6 + pad);
    put_tcp(&f, 1000, port, FLAG_SYN);
    return f;
}

static void ipv6_extension_headers_are_looked_through(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.has_socket = true});
    static const struct {
        unsigned kind, length_field, pad;
    } kinds[] = {{0, 0, 0}, {0, 2, 16}, {43, 1, 8}, {60, 0, 0}, {51, 4, 16}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct bytes web = extended(kinds[i].kind, kinds[i].length_field, kinds[i].pad, 80);
        struct bytes ssh = extended(kinds[i].kind, kinds[i].length_field, kinds[i].pad, 22);
        expect_handed(&lab, &web);
        expect_onward(&lab, &ssh, XDP_STAT_spared);
    }
    assert_int_equal(stat(&lab, XDP_STAT_probes), 10);
    lab_close(&lab);
}

static struct bytes many_extensions(unsigned n)
{
    struct bytes f = {0};
    put_ethernet(&f, 0x86dd);
    put_ipv6(&f, WATCHED6, "2001:db8:ff::1", 60, 8 * n + 20);
    for (unsigned i = 0; i < n; i++) {
        put_u8(&f, i + 1 == n ? 6 : 60);
        put_zero(&f, 7);
    }
    put_tcp(&f, 1000, 80, FLAG_ACK);
    return f;
}

static void eight_extension_headers_are_enough(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.has_socket = true});
    struct bytes eight = many_extensions(8), nine = many_extensions(9);
    expect_handed(&lab, &eight);
    expect_onward(&lab, &nine, XDP_STAT_malformed_short_extension);
    lab_close(&lab);
}

static void what_is_not_ip_goes_on(void **state)
{
    (void)state;
    struct bytes arp = {0}, lldp = {0};
    put_ethernet(&arp, 0x0806);
    put_zero(&arp, 46);
    put_ethernet(&lldp, 0x88cc);
    put_zero(&lldp, 46);
    for (int is_wire = 0; is_wire < 2; is_wire++) {
        struct lab lab = lab_open((struct options){.is_wire = is_wire, .has_socket = true});
        expect_onward(&lab, &arp, XDP_STAT_not_ip);
        expect_onward(&lab, &lldp, XDP_STAT_not_ip);
        lab_close(&lab);
    }
}

static void a_frame_cut_anywhere_is_never_handed_over(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    struct bytes frames[] = {tcp4(WATCHED4, 1000, 80, FLAG_ACK),
                             tcp6(WATCHED6, 1000, 80, FLAG_ACK),
                             tagged(WATCHED4, 2, 101, 0x88a8),
                             extended(60, 2, 16, 80),
                             extended(51, 4, 16, 80),
                             fragment6(0),
                             udp4(WATCHED4, 1, 2),
                             udp6(WATCHED6, 1, 2),
                             icmp4(WATCHED4, 8),
                             icmp6(WATCHED6, 128)};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        expect_handed(&lab, &frames[i]);
        for (size_t len = 14; len < frames[i].len; len++) {
            struct bytes cut = frames[i];
            cut.len = len;
            uint64_t before = malformed(&lab);
            expect_onward(&lab, &cut, -1);
            assert_int_equal(malformed(&lab), before + 1);
        }
    }
    lab_close(&lab);
}

static void impossible_headers_are_counted_by_reason(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.has_socket = true});
    const struct bytes good = tcp4(WATCHED4, 1000, 80, FLAG_ACK);
    static const struct {
        size_t at;
        uint8_t value;
        enum xdp_stat reason;
    } damages[] = {
        {14, 0x55, XDP_STAT_malformed_bad_ip},  /* version 5 */
        {14, 0x44, XDP_STAT_malformed_bad_ip},  /* header of 16 bytes */
        {14, 0x4f, XDP_STAT_malformed_bad_ip},  /* header of 60 bytes, longer than the packet */
        {17, 19, XDP_STAT_malformed_bad_ip},    /* total length below the header's */
        {17, 41, XDP_STAT_malformed_short_ip},  /* total length beyond the frame */
        {46, 0x40, XDP_STAT_malformed_bad_tcp}, /* TCP header of 16 bytes */
        {46, 0xf0, XDP_STAT_malformed_bad_tcp}, /* TCP header of 60 bytes, longer than the packet */
    };
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        struct bytes bad = good;
        bad.data[damages[i].at] = damages[i].value;
        expect_onward(&lab, &bad, (int)damages[i].reason);
    }
    struct bytes options = good; /* while a header with options is fine */
    options.len = 0;
    put_ethernet(&options, 0x0800);
    put_ipv4(&options, WATCHED4, "198.51.100.1", 6, 24);
    options.data[14] = 0x46;
    put_u32(&options, 0x01010101);
    put_tcp(&options, 1000, 80, FLAG_ACK);
    expect_handed(&lab, &options);
    lab_close(&lab);
}

static void the_way_back_takes_everything(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    struct bytes frames[] = {
        tcp4(WATCHED4, 1, 2, FLAG_ACK), tcp6(UNWATCHED6, 1, 22, FLAG_SYN), {.len = 14}};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        assert_int_equal(run_program(lab.x->progs.wire_back, &frames[i], 1), XDP_REDIRECT);
    assert_int_equal(stat(&lab, XDP_STAT_back), 3);
    assert_int_equal(stat(&lab, XDP_STAT_seen), 0);
    lab_close(&lab);
}

/* ---- what is counted */

struct sums {
    struct source_tally cells[256];
    size_t count;
    uint64_t packets;
};

static void add_cell(void *arg, const struct source_tally *cell)
{
    struct sums *sums = arg;
    assert_true(sums->count < 256);
    sums->cells[sums->count++] = *cell;
    sums->packets += cell->packets;
}

static const struct source_tally *find_cell(const struct sums *sums, const char *prefix)
{
    struct prefix p;
    assert_int_equal(prefix_parse(prefix, &p), 0);
    for (size_t i = 0; i < sums->count; i++)
        if (prefix_equal(&sums->cells[i].src, &p))
            return &sums->cells[i];
    return NULL;
}

static unsigned bits_set(const struct source_tally *cell)
{
    unsigned n = 0;
    for (unsigned i = 0; i < 4; i++)
        n += (unsigned)__builtin_popcountll(cell->flow_bits[i]);
    return n;
}

static void every_ip_packet_is_counted_exactly_watched_or_not(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    struct sums sums = {0};
    struct bytes udp = {0}, fragment = fragment4(0x2000), arp = {0};
    put_ethernet(&arp, 0x0806);
    put_zero(&arp, 46);
    put_ethernet(&udp, 0x0800);
    put_ipv4(&udp, UNWATCHED4, "198.51.100.1", 17, 108);
    put_udp(&udp, 53, 53, 100);
    struct bytes v6 = tcp6(UNWATCHED6, 1, 2, FLAG_ACK);
    run_program(lab.x->progs.ingress, &udp, 1000);
    run_program(lab.x->progs.ingress, &fragment, 10);
    run_program(lab.x->progs.ingress, &v6, 7);
    run_program(lab.x->progs.ingress, &arp, 5);
    assert_int_equal(kernel_tally_take(&lab.tally, add_cell, &sums), 0);
    assert_int_equal(sums.count, 3);
    assert_int_equal(find_cell(&sums, "192.0.2.0/24")->packets, 1000);
    assert_int_equal(find_cell(&sums, "192.0.2.0/24")->bytes, 1000 * udp.len);
    assert_int_equal(bits_set(find_cell(&sums, "192.0.2.0/24")), 1);
    assert_int_equal(find_cell(&sums, "203.0.113.0/24")->packets, 10);
    assert_int_equal(find_cell(&sums, "2001:db8:99::/48")->packets, 7);
    assert_int_equal(find_cell(&sums, "2001:db8:99::/48")->bytes, 7 * v6.len);
    sums = (struct sums){0};
    assert_int_equal(kernel_tally_take(&lab.tally, add_cell, &sums), 0);
    assert_int_equal(sums.count, 0); /* taken is taken, from both generations */
    assert_int_equal(kernel_tally_take(&lab.tally, add_cell, &sums), 0);
    assert_int_equal(sums.count, 0);
    lab_close(&lab);
}

static void flows_set_bits_as_linear_counting_expects(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true});
    struct sums sums = {0};
    for (unsigned port = 1; port <= 200; port++) {
        struct bytes f = tcp4(UNWATCHED4, 1000 + port, 80, FLAG_ACK);
        run_program(lab.x->progs.ingress, &f, 2);
    }
    assert_int_equal(kernel_tally_take(&lab.tally, add_cell, &sums), 0);
    assert_int_equal(sums.packets, 400);
    /* 256 (1 - e^(-200/256)) = 139 expected, standard deviation about 5. */
    assert_in_range(bits_set(&sums.cells[0]), 115, 163);
    lab_close(&lab);
}

static void pin_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    assert_int_equal(sched_setaffinity(0, sizeof set, &set), 0);
}

/* More prefixes than the cache before the cells has lines: number n is 10.x.y.0/24. */
enum { MANY = 8 * XDP_TALLY_LINES };

struct many {
    uint64_t packets[MANY], bytes[MANY], bits[MANY][4];
    uint64_t sum;
    unsigned takes, taken[MANY]; /* in which take it came last */
};

static void add_to_many(void *arg, const struct source_tally *cell)
{
    struct many *m = arg;
    unsigned n = cell->src.addr.bytes[1] << 8 | cell->src.addr.bytes[2];
    assert_int_equal(cell->src.addr.bytes[0], 10);
    assert_in_range(n, 0, MANY - 1);
    assert_int_not_equal(m->taken[n], m->takes); /* each comes once */
    m->taken[n] = m->takes;
    m->packets[n] += cell->packets;
    m->bytes[n] += cell->bytes;
    m->sum += cell->packets;
    for (unsigned i = 0; i < 4; i++)
        m->bits[n][i] |= cell->flow_bits[i];
}

static void take_many(struct lab *lab, struct many *m)
{
    m->takes++;
    assert_int_equal(kernel_tally_take(&lab->tally, add_to_many, m), 0);
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 32;
}

/* The bit that a flow sets, with the seed 0. */
static unsigned bit_of(uint32_t src, uint32_t dst, unsigned from, unsigned to)
{
    uint64_t hash = mix(0, (uint64_t)src << 32 | dst);
    return mix(mix(hash, (uint64_t)from << 32 | (uint64_t)to << 16 | 6), 0) & 255;
}

/* Sent, and counted in the naive way, too. */
static void send_many(const struct lab *lab, struct many *model, unsigned n, unsigned flow,
                      unsigned packets)
{
    char src[32];
    snprintf(src, sizeof src, "10.%u.%u.1", n >> 8, n & 255);
    struct bytes f = tcp4(src, 1000 + flow, 80, FLAG_ACK);
    uint32_t from, to;
    memcpy(&from, f.data + 26, sizeof from);
    memcpy(&to, f.data + 30, sizeof to);
    unsigned bit = bit_of(from, to, 1000 + flow, 80);
    for (unsigned i = 0; i < packets; i++) /* a test-run that repeats waits for RCU each time */
        assert_int_equal(run(lab, &f), XDP_REDIRECT);
    model->packets[n] += packets;
    model->bytes[n] += packets * f.len;
    model->bits[n][bit / 64] |= 1ull << (bit & 63);
    model->sum += packets;
}

static void a_full_tally_is_counted_and_harms_no_traffic(void **state)
{
    (void)state;
    static struct many counted, model;
    struct lab lab = lab_open((struct options){.is_wire = true, .tally_cells = 4});
    pin_to(0);
    for (unsigned n = 0; n < MANY; n++)
        send_many(&lab, &model, n, 0, 2);
    take_many(&lab, &counted);
    assert_in_range(counted.sum, 2 * 4, 2 * (4 + XDP_TALLY_LINES));
    assert_int_equal(counted.sum + stat(&lab, XDP_STAT_tally_overflow), model.sum);
    lab_close(&lab);
}

static unsigned draw(unsigned below)
{
    static uint32_t state = 20261122;
    state = state * 1103515245 + 12345;
    return (state >> 8) % below;
}

static void more_prefixes_than_the_cache_holds_are_counted_exactly_in_every_generation(void **state)
{
    (void)state;
    static struct many counted, model;
    struct lab lab = lab_open((struct options){.is_wire = true});
    int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    for (unsigned generation = 0; generation < 3; generation++) {
        pin_to((int)generation % cpus);
        for (unsigned i = 0; i < 4000; i++) /* every other one of few prefixes, which keep lines */
            send_many(&lab, &model, draw(i % 2 ? MANY : 64), draw(5), 1 + draw(3));
        pin_to((int)(generation + 1) % cpus);
        for (unsigned i = 0; i < 100; i++)
            send_many(&lab, &model, draw(64), draw(5), 1);
        uint8_t key[sizeof(struct xdp_tally_key)]; /* some did move to the cells */
        int cells = lab.tally.cells_fd[lab.tally.active];
        assert_int_equal(bpf_map_get_next_key(cells, NULL, key), 0);
        take_many(&lab, &counted);
        assert_int_equal(counted.sum, model.sum);
    }
    assert_memory_equal(counted.packets, model.packets, sizeof model.packets);
    assert_memory_equal(counted.bytes, model.bytes, sizeof model.bytes);
    assert_memory_equal(counted.bits, model.bits, sizeof model.bits);
    assert_int_equal(stat(&lab, XDP_STAT_tally_overflow), 0);
    lab_close(&lab);
}

/* Its packets are 32 bits long. */
static void a_line_that_can_count_no_further_moves_to_the_cells(void **state)
{
    (void)state;
    static struct xdp_tally_cache caches[1024];
    static struct many counted, model;
    uint32_t turn = 0;
    struct lab lab = lab_open((struct options){.is_wire = true});
    pin_to(0);
    send_many(&lab, &model, 7, 0, 1);
    assert_int_equal(bpf_map_lookup_elem(lab.tally.caches_fd, &turn, caches), 0);
    for (unsigned i = 0; i < XDP_TALLY_LINES; i++)
        if (caches[0].line[i].packets == 1)
            caches[0].line[i].packets = UINT32_MAX - 1;
    assert_int_equal(bpf_map_update_elem(lab.tally.caches_fd, &turn, caches, BPF_ANY), 0);
    send_many(&lab, &model, 7, 0, 3);
    take_many(&lab, &counted);
    assert_int_equal(counted.sum, (uint64_t)UINT32_MAX - 1 + 3);
    assert_int_equal(counted.bytes[7], model.bytes[7]);
    lab_close(&lab);
}

/* A process per CPU, each with sources that all share and one of its own, until it is told to
 * stop. `rounds` counts what it sent. */
struct counting {
    _Atomic bool is_over;
    _Atomic uint64_t rounds[8];
};

enum { REPEAT = 20000 };

static void run_on_cpu(const struct lab *lab, struct counting *c, int cpu)
{
    struct bytes shared = tcp4(UNWATCHED4, 1000, 80, FLAG_ACK);
    struct bytes own = tcp4("10.0.0.1", 1000, 80, FLAG_ACK);
    own.data[28] = (uint8_t)cpu;
    pin_to(cpu);
    for (; !c->is_over; c->rounds[cpu]++) {
        run_program(lab->x->progs.ingress, &shared, REPEAT);
        run_program(lab->x->progs.ingress, &own, REPEAT);
    }
}

static uint64_t take_packets(struct lab *lab)
{
    struct sums sums = {0};
    assert_int_equal(kernel_tally_take(&lab->tally, add_cell, &sums), 0);
    return sums.packets;
}

static void counting_on_all_cpus_while_generations_change_loses_no_packet(void **state)
{
    (void)state;
    enum { FLIPS = 12 };
    struct lab lab = lab_open((struct options){.is_wire = true});
    struct counting *c =
        mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(c, MAP_FAILED);
    uint64_t packets = 0, rounds = 0;
    int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    cpus = cpus > 8 ? 8 : cpus;
    for (int cpu = 0; cpu < cpus; cpu++)
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed check must not leave it spinning */
            run_on_cpu(&lab, c, cpu);
            _exit(0);
        }
    /* A generation lasts until every CPU has counted in it: the turn comes amid their counting. */
    for (unsigned flip = 0; flip < FLIPS; flip++) {
        for (int cpu = 0; cpu < cpus; cpu++)
            for (uint64_t before = c->rounds[cpu]; c->rounds[cpu] == before;)
                usleep(1000);
        packets += take_packets(&lab);
    }
    c->is_over = true;
    for (int running = cpus; running > 0; running--) {
        int status;
        assert_int_not_equal(wait(&status), -1);
        assert_int_equal(status, 0);
    }
    packets += take_packets(&lab);
    packets += take_packets(&lab); /* both generations */
    for (int cpu = 0; cpu < cpus; cpu++)
        rounds += c->rounds[cpu];
    assert_int_equal(packets, 2 * REPEAT * rounds);
    assert_int_equal(stat(&lab, XDP_STAT_seen), packets);
    munmap(c, sizeof *c);
    lab_close(&lab);
}

static uint16_t ingress_of(struct lab *lab, unsigned mac, unsigned vlan)
{
    struct sums sums = {0};
    struct bytes f = {0};
    put_ethernet_from(&f, mac, vlan != 0 ? 0x8100 : 0x0800);
    if (vlan != 0)
        put_vlan(&f, vlan | 0xe000, 0x0800); /* the priority bits are no part of the id */
    put_ipv4(&f, UNWATCHED4, "198.51.100.1", 6, 20);
    put_tcp(&f, 1, 2, FLAG_ACK);
    run(lab, &f);
    assert_int_equal(kernel_tally_take(&lab->tally, add_cell, &sums), 0);
    assert_int_equal(sums.count, 1);
    return sums.cells[0].ingress;
}

static void the_first_matching_ingress_row_wins(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true});
    assert_int_equal(ingress_of(&lab, 1, 101), 0);
    assert_int_equal(ingress_of(&lab, 7, 101), 0); /* both rows 0 and 1 match */
    assert_int_equal(ingress_of(&lab, 7, 0), 1);
    assert_int_equal(ingress_of(&lab, 7, 102), 1);
    assert_int_equal(ingress_of(&lab, 8, 102), 2);
    assert_int_equal(ingress_of(&lab, 1, 102), 3);
    assert_int_equal(ingress_of(&lab, 8, 0), 4);
    assert_int_equal(ingress_of(&lab, 1, 0), 4);
    assert_int_equal(ingress_of(&lab, 1, 4094), 4);
    lab_close(&lab);
}

/* ---- connection openings */

struct probes {
    struct xdp_probe last;
    unsigned count;
};

static int keep_probe(void *arg, void *data, size_t size)
{
    struct probes *p = arg;
    assert_int_equal(size, sizeof p->last);
    memcpy(&p->last, data, size);
    p->count++;
    return 0;
}

static unsigned drain(const struct lab *lab, struct probes *out)
{
    *out = (struct probes){0};
    struct ring_buffer *ring =
        ring_buffer__new(bpf_map__fd(lab->x->maps.probes), keep_probe, out, NULL);
    assert_non_null(ring);
    ring_buffer__consume(ring);
    ring_buffer__free(ring);
    return out->count;
}

static void every_syn_without_ack_is_reported_watched_or_not(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    struct probes p;
    struct bytes openings[] = {
        tcp4(UNWATCHED4, 1000, 80, FLAG_SYN), tcp4(WATCHED4, 1000, 80, FLAG_SYN),
        tcp6(UNWATCHED6, 1000, 22, FLAG_SYN), tcp6(WATCHED6, 1000, 22, FLAG_SYN)};
    struct bytes others[] = {tcp4(UNWATCHED4, 1000, 80, FLAG_SYN | FLAG_ACK),
                             tcp4(UNWATCHED4, 1000, 80, FLAG_ACK),
                             tcp4(UNWATCHED4, 1, 2, FLAG_RST)};
    for (size_t i = 0; i < 4; i++)
        run(&lab, &openings[i]);
    assert_int_equal(drain(&lab, &p), 4);
    for (size_t i = 0; i < 3; i++)
        run(&lab, &others[i]);
    assert_int_equal(drain(&lab, &p), 0);
    lab_close(&lab);
}

static void a_report_tells_the_segment_in_host_order(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true});
    struct probes p;
    struct bytes f = {0};
    put_ethernet_from(&f, 9, 0x88a8);
    put_vlan(&f, 101, 0x8100);
    put_vlan(&f, 7, 0x0800);
    put_ipv4(&f, UNWATCHED4, "198.51.100.1", 6, 25);
    put_tcp(&f, 1000, 443, FLAG_SYN);
    put_zero(&f, 5 + 3); /* five bytes of data (fast open), three of padding */
    run(&lab, &f);
    assert_int_equal(drain(&lab, &p), 1);
    static const uint8_t src[16] = {192, 0, 2, 7}, dst[16] = {198, 51, 100, 1};
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};
    assert_memory_equal(p.last.src, src, 16);
    assert_memory_equal(p.last.dst, dst, 16);
    assert_memory_equal(p.last.src_mac, mac, 6);
    assert_int_equal(p.last.family, 4);
    assert_int_equal(p.last.src_port, 1000);
    assert_int_equal(p.last.dst_port, 443);
    assert_int_equal(p.last.seq, 0x11223344);
    assert_int_equal(p.last.tcp_flags, FLAG_SYN);
    assert_int_equal(p.last.window, 4096);
    assert_int_equal(p.last.vlan, 101);
    assert_int_equal(p.last.ingress, 0);
    assert_int_equal(p.last.payload_len, 5);
    assert_int_equal(p.last.frame_len, f.len);
    lab_close(&lab);
}

static void every_kind_of_opening_is_reported_as_what_it_is(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    struct probes p;
    const struct {
        struct bytes frame;
        enum xdp_opening kind;
    } openings[] = {
        {tcp4(UNWATCHED4, 1, 2, FLAG_SYN), XDP_OPENING_SYN},
        {tcp4(UNWATCHED4, 1, 2, FLAG_FIN), XDP_OPENING_FIN},
        {tcp4(UNWATCHED4, 1, 2, 0), XDP_OPENING_NULL},
        {tcp6(WATCHED6, 1, 2, FLAG_FIN | FLAG_PSH | FLAG_URG), XDP_OPENING_XMAS},
        {udp4(WATCHED4, 1, 2), XDP_OPENING_UDP},
        {udp6(UNWATCHED6, 1, 2), XDP_OPENING_UDP},
        {icmp4(UNWATCHED4, 8), XDP_OPENING_ICMP},  /* echo request */
        {icmp4(UNWATCHED4, 13), XDP_OPENING_ICMP}, /* timestamp request */
        {icmp4(UNWATCHED4, 17), XDP_OPENING_ICMP}, /* address mask request */
        {icmp6(UNWATCHED6, 128), XDP_OPENING_ICMP},
    };
    for (size_t i = 0; i < sizeof openings / sizeof openings[0]; i++) {
        run(&lab, &openings[i].frame);
        assert_int_equal(drain(&lab, &p), 1);
        assert_int_equal(p.last.opening, openings[i].kind);
        assert_int_equal(p.last.weight, 1);
    }
    lab_close(&lab);
}

static void answers_and_connections_under_way_are_no_openings(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true});
    const struct bytes others[] = {
        tcp4(UNWATCHED4, 1, 2, FLAG_SYN | FLAG_ACK),
        tcp4(UNWATCHED4, 1, 2, FLAG_FIN | FLAG_ACK),
        tcp4(UNWATCHED4, 1, 2, FLAG_RST),
        tcp4(UNWATCHED4, 1, 2, FLAG_RST | FLAG_FIN),
        tcp4(UNWATCHED4, 1, 2, FLAG_PSH | FLAG_ACK),
        tcp4(UNWATCHED4, 1, 2, FLAG_URG),
        icmp4(UNWATCHED4, 0),
        icmp4(UNWATCHED4, 3),
        icmp4(UNWATCHED4, 128),
        icmp6(UNWATCHED6, 129),
        icmp6(UNWATCHED6, 135),
        icmp6(UNWATCHED6, 8),
        fragment4(0x2000),
        fragment6(0x0001),
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        expect_onward(&lab, &others[i], -1);
    assert_int_equal(stat(&lab, XDP_STAT_probes), 0);
    lab_close(&lab);
}

/* As if so many units of 2^30 ns had passed. */
static void age_udp_flows(const struct lab *lab, unsigned units)
{
    static struct xdp_seen seen[1024];
    int fd = bpf_map__fd(lab->x->maps.seen_udp);
    for (uint32_t bucket = 0; bucket < XDP_SEEN_BUCKETS; bucket++) {
        assert_int_equal(bpf_map_lookup_elem(fd, &bucket, seen), 0);
        for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
            for (unsigned i = 0; i < XDP_SEEN_ENTRIES; i++) {
                __u64 *e = &seen[cpu].entry[i];
                if (*e != 0)
                    *e = (*e & ~UINT64_C(0xffff)) | (uint16_t)(*e - units);
            }
        assert_int_equal(bpf_map_update_elem(fd, &bucket, seen, BPF_ANY), 0);
    }
}

static void a_udp_flow_is_reported_once_a_minute_and_each_new_one_at_once(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true});
    struct probes p;
    struct bytes steady = udp4(UNWATCHED4, 1000, 53);
    run_program(lab.x->progs.ingress, &steady, 1000);
    assert_int_equal(drain(&lab, &p), 1);
    for (unsigned port = 1; port <= 500; port++) {
        struct bytes scan = udp4(UNWATCHED4, 1001, port);
        run(&lab, &scan); /* a repeat above 1 makes each call wait for RCU: seconds in all */
        run(&lab, &scan);
    }
    assert_int_equal(drain(&lab, &p), 500);
    age_udp_flows(&lab, 40);
    run_program(lab.x->progs.ingress, &steady, 10);
    assert_int_equal(drain(&lab, &p), 0);
    age_udp_flows(&lab, 16);
    run_program(lab.x->progs.ingress, &steady, 10);
    assert_int_equal(drain(&lab, &p), 1);
    lab_close(&lab);
}

struct weights {
    uint64_t sum;
    unsigned count, of[256];
};

static int add_weight(void *arg, void *data, size_t size)
{
    struct weights *w = arg;
    const struct xdp_probe *p = data;
    assert_int_equal(size, sizeof *p);
    w->sum += p->weight;
    w->count++;
    w->of[p->weight]++;
    return 0;
}

static struct weights weigh(const struct lab *lab)
{
    struct weights w = {0};
    struct ring_buffer *ring =
        ring_buffer__new(bpf_map__fd(lab->x->maps.probes), add_weight, &w, NULL);
    assert_non_null(ring);
    ring_buffer__consume(ring);
    ring_buffer__free(ring);
    return w;
}

/* n connections, none like another. */
static void flood(const struct lab *lab, unsigned n)
{
    struct bytes f = tcp4(UNWATCHED4, 1, 1, FLAG_SYN);
    for (unsigned i = 0; i < n; i++) {
        memcpy(f.data + 34, &i, 4); /* both ports */
        run(lab, &f);
    }
}

static void a_ring_that_fills_up_takes_a_sample_whose_weights_make_up_for_the_rest(void **state)
{
    (void)state;
    enum { OPENINGS = 30000 };
    struct lab lab = lab_open((struct options){.is_wire = true});
    flood(&lab, OPENINGS);
    assert_int_equal(stat(&lab, XDP_STAT_probes_lost), 0);
    assert_int_equal(stat(&lab, XDP_STAT_probes) + stat(&lab, XDP_STAT_probes_sampled_out),
                     OPENINGS);
    struct weights w = weigh(&lab);
    assert_int_equal(w.count, stat(&lab, XDP_STAT_probes));
    assert_int_equal(w.of[1] + w.of[XDP_SAMPLE_HALF], w.count);
    assert_true(w.of[1] > XDP_PROBES_SIZE / 2 / 112 && w.of[XDP_SAMPLE_HALF] > 1000);
    assert_in_range(w.sum, OPENINGS * 9 / 10, OPENINGS * 11 / 10);
    flood(&lab, 2 * XDP_PRESSURE_EVERY); /* the ring is empty again, and soon that is known */
    uint64_t before = stat(&lab, XDP_STAT_probes_sampled_out);
    flood(&lab, 100);
    assert_int_equal(stat(&lab, XDP_STAT_probes_sampled_out), before);
    lab_close(&lab);
}

static void reports_that_find_the_ring_full_are_counted(void **state)
{
    (void)state;
    enum { OPENINGS = 150000 };
    struct lab lab = lab_open((struct options){.is_wire = true});
    flood(&lab, OPENINGS);
    assert_true(stat(&lab, XDP_STAT_probes_lost) > 0);
    assert_int_equal(stat(&lab, XDP_STAT_probes) + stat(&lab, XDP_STAT_probes_lost) +
                         stat(&lab, XDP_STAT_probes_sampled_out),
                     OPENINGS);
    struct weights w = weigh(&lab);
    assert_int_equal(w.count, stat(&lab, XDP_STAT_probes));
    assert_true(w.of[XDP_SAMPLE_FULL] > 100);
    lab_close(&lab);
}

/* On one CPU: UDP flows seen and the pressure on the ring are kept per CPU. */
static int own_namespace_and_cpu(void **state)
{
    (void)state;
    pin_to(0);
    return unshare(CLONE_NEWNET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watched_frames_go_to_the_socket),
        cmocka_unit_test(without_a_socket_watched_frames_go_on_and_are_not_dropped),
        cmocka_unit_test(a_closed_socket_is_no_socket),
        cmocka_unit_test(unwatched_frames_go_on_though_there_is_a_socket),
        cmocka_unit_test(prefixes_of_every_length_are_watched_exactly),
        cmocka_unit_test(a_filter_that_lets_all_through_hands_over_none_but_the_watched),
        cmocka_unit_test(what_is_no_longer_watched_goes_on_and_what_stays_is_handed_over),
        cmocka_unit_test(frames_as_long_as_a_page_allows_are_handed_over_whole),
        cmocka_unit_test(up_to_four_vlan_tags_are_looked_through),
        cmocka_unit_test(tcp_port_22_is_never_handed_over),
        cmocka_unit_test(fragments_stay_in_the_kernel),
        cmocka_unit_test(ipv6_extension_headers_are_looked_through),
        cmocka_unit_test(eight_extension_headers_are_enough),
        cmocka_unit_test(what_is_not_ip_goes_on),
        cmocka_unit_test(a_frame_cut_anywhere_is_never_handed_over),
        cmocka_unit_test(impossible_headers_are_counted_by_reason),
        cmocka_unit_test(the_way_back_takes_everything),
        cmocka_unit_test(every_ip_packet_is_counted_exactly_watched_or_not),
        cmocka_unit_test(flows_set_bits_as_linear_counting_expects),
        cmocka_unit_test(a_full_tally_is_counted_and_harms_no_traffic),
        cmocka_unit_test(
            more_prefixes_than_the_cache_holds_are_counted_exactly_in_every_generation),
        cmocka_unit_test(a_line_that_can_count_no_further_moves_to_the_cells),
        cmocka_unit_test(counting_on_all_cpus_while_generations_change_loses_no_packet),
        cmocka_unit_test(the_first_matching_ingress_row_wins),
        cmocka_unit_test(every_syn_without_ack_is_reported_watched_or_not),
        cmocka_unit_test(a_report_tells_the_segment_in_host_order),
        cmocka_unit_test(every_kind_of_opening_is_reported_as_what_it_is),
        cmocka_unit_test(answers_and_connections_under_way_are_no_openings),
        cmocka_unit_test(a_udp_flow_is_reported_once_a_minute_and_each_new_one_at_once),
        cmocka_unit_test(a_ring_that_fills_up_takes_a_sample_whose_weights_make_up_for_the_rest),
        cmocka_unit_test(reports_that_find_the_ring_full_are_counted),
    };
    return cmocka_run_group_tests_name("xdp", tests, own_namespace_and_cpu, NULL);
}
