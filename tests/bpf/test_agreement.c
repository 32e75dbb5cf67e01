/* The two parsers agree: the kernel's (bpf/parse.bpf.h) and the sensor's (sensor/packet/packet.c)
 * call the same frames fragments, malformed for the same reason, connection openings, and tally
 * them under the same key. Every prefix is watched, so that a parsed frame is either handed over or
 * spared. */
#include "tests/bpf/program.h"

#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>

#include "sensor/packet/ingress_table.h"
#include "sensor/packet/opening.h"
#include "sensor/packet/packet.h"
#include "tests/support/frames.h"

#define FLIPS_PER_FRAME 200
#define CORPUS_MAX      96

struct outcome {
    uint64_t stats[XDP_STAT_COUNT];
    struct xdp_probe probe;
    unsigned probes;
};

static struct lab lab;
static struct ring_buffer *ring;
static struct openings *openings; /* remembers UDP flows as the kernel's table does */
static struct outcome now;
static struct bytes corpus[CORPUS_MAX];
static unsigned corpus_count;

/* The same rows as set_ingress() gives the program. */
static const struct ingress_table table = {
    .count = 5,
    .row = {{.vlan = 101},
            {.mac = {2, 0, 0, 0, 0, 7}},
            {.mac = {2, 0, 0, 0, 0, 8}, .vlan = 102},
            {.vlan = 102},
            {.vlan = 0}},
};

/* ---- frames */

static void keep(const uint8_t *data, size_t len)
{
    assert_true(corpus_count < CORPUS_MAX && len <= sizeof corpus[0].data);
    memcpy(corpus[corpus_count].data, data, len);
    corpus[corpus_count++].len = len;
}

static void keep_spec(struct frame_spec spec, unsigned vlans, uint16_t first, uint8_t mac)
{
    uint8_t data[FRAME_ROOM];
    spec.src_mac[0] = 2;
    memset(spec.src_mac + 1, 0, 4);
    spec.src_mac[5] = mac;
    spec.vlan_count = vlans;
    for (unsigned i = 0; i < vlans; i++)
        spec.vlan[i] = (uint16_t)(first + i);
    struct frame f = frame_make(&spec, data);
    keep(data, f.len);
}

static void keep_tagged(void)
{
    for (unsigned vlans = 0; vlans <= 6; vlans++)
        keep_spec(frame_tcp4("203.0.113.7", "192.0.2.1", 4000, 80, 7, TCP_SYN, 5), vlans,
                  (uint16_t)(100 + vlans), (uint8_t)(5 + vlans));
    keep_spec(frame_tcp6("2001:db8:77::7", "2001:db8::1", 4000, 80, 7, TCP_SYN, 5), 1, 0xe000 | 102,
              8);
}

static void keep_transports(void)
{
    struct frame_spec options = frame_tcp4("10.1.2.3", "192.0.2.1", 4000, 80, 7, TCP_SYN, 9);
    options.tcp_option_len = 40;
    struct frame_spec bare = frame_icmp("10.1.2.3", "192.0.2.1", 30);
    bare.protocol = 47;
    struct frame_spec other_icmp = bare;
    other_icmp.protocol = IPPROTO_ICMPV6; /* in IPv4: just some protocol */
    other_icmp.payload_len = 3;
    keep_spec(options, 0, 0, 1);
    keep_spec(bare, 0, 0, 1);
    keep_spec(other_icmp, 0, 0, 1);
    keep_spec(frame_tcp4("10.1.2.3", "192.0.2.1", 4000, 22, 7, TCP_SYN, 0), 0, 0, 7);
    keep_spec(frame_tcp6("2001:db8:77::7", "2001:db8::1", 22, 80, 7, TCP_ACK, 0), 0, 0, 1);
    keep_spec(frame_tcp4("10.1.2.3", "192.0.2.1", 1, 2, 7, TCP_SYN | TCP_ACK, 0), 0, 0, 1);
    keep_spec(frame_tcp6("2001:db8:77::7", "2001:db8::1", 1, 2, 7, TCP_SYN | TCP_FIN, 3), 0, 0, 1);
    keep_spec(frame_udp("10.1.2.3", "192.0.2.1", 53, 53, 0), 0, 0, 1);
    keep_spec(frame_udp("2001:db8:77::7", "2001:db8::1", 53, 53, 12), 0, 0, 1);
    keep_spec(frame_icmp("10.1.2.3", "192.0.2.1", 0), 0, 0, 1);
    keep_spec(frame_icmp("2001:db8:77::7", "2001:db8::1", 4), 0, 0, 1);
}

/* Types that ask, and their neighbours; a UDP flow twice. */
static void keep_openings(void)
{
    static const unsigned types[] = {0, 8, 13, 14, 17, 18, 128, 129, 135};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct bytes v4 = icmp4("203.0.113.7", types[i]), v6 = icmp6("2001:db8:77::7", types[i]);
        keep(v4.data, v4.len);
        keep(v6.data, v6.len);
    }
    struct bytes udp = udp6("2001:db8:77::7", 1000, 53);
    keep(udp.data, udp.len);
    keep(udp.data, udp.len);
}

static void keep_fragments4(void)
{
    static const unsigned fields[] = {0x2000, 0x00b9, 0x20b9, 0x4000, 0x8000, 0x0001};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        struct bytes f = {0};
        put_ethernet(&f, 0x0800);
        put_ipv4_fragment(&f, "203.0.113.7", "192.0.2.1", 6, 24, fields[i]);
        put_tcp(&f, 1000, 80, FLAG_SYN);
        put_zero(&f, 4 + 6); /* four of data, six of Ethernet padding */
        keep(f.data, f.len);
    }
}

/* n extension headers of that kind, the last of them before TCP. */
static void keep_extended(unsigned kind, unsigned n, unsigned third_and_fourth)
{
    struct bytes f = {0};
    put_ethernet(&f, 0x86dd);
    put_ipv6(&f, "2001:db8:77::7", "2001:db8::1", kind, 8 * n + 20);
    for (unsigned i = 0; i < n; i++) {
        put_u8(&f, i + 1 == n ? 6 : kind);
        put_u8(&f, 0);
        put_u16(&f, third_and_fourth);
        put_u32(&f, 0);
    }
    put_tcp(&f, 1000, 80, FLAG_SYN);
    keep(f.data, f.len);
}

static void keep_extensions(void)
{
    static const unsigned kinds[] = {0, 43, 60, 51, 44};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        keep_extended(kinds[i], 2, 0);
    keep_extended(44, 1, 0x0001);
    keep_extended(44, 2, 0x05c8);
    keep_extended(44, 1, 0x0006); /* reserved bits make no fragment */
    keep_extended(60, 8, 0);
    keep_extended(60, 9, 0);
}

static void keep_oddities(void)
{
    struct bytes jumbo = {0}, empty = {0}, arp = {0};
    put_ethernet(&jumbo, 0x86dd);
    put_ipv6(&jumbo, "2001:db8:77::7", "2001:db8::1", 0, 0);
    put_zero(&jumbo, 40);
    put_ethernet(&empty, 0x86dd);
    put_ipv6(&empty, "2001:db8:77::7", "2001:db8::1", 59, 0);
    put_ethernet(&arp, 0x0806);
    put_zero(&arp, 46);
    keep(jumbo.data, jumbo.len);
    keep(empty.data, empty.len);
    keep(arp.data, arp.len);
}

/* ---- the kernel's answer */

static int keep_probe(void *arg, void *data, size_t size)
{
    struct outcome *o = arg;
    assert_int_equal(size, sizeof o->probe);
    memcpy(&o->probe, data, size);
    o->probes++;
    return 0;
}

static struct outcome ask_kernel(const struct bytes *f)
{
    uint64_t before[XDP_STAT_COUNT];
    for (uint32_t i = 0; i < XDP_STAT_COUNT; i++)
        before[i] = stat(&lab, i);
    now = (struct outcome){0};
    run(&lab, f);
    ring_buffer__consume(ring);
    for (uint32_t i = 0; i < XDP_STAT_COUNT; i++)
        now.stats[i] = stat(&lab, i) - before[i];
    return now;
}

/* The tally's only line, taken out of the cache before the cells; false when there is none. One
 * frame never gets as far as the cells. */
static bool take_line(struct xdp_tally_line *out)
{
    static struct xdp_tally_cache caches[1024];
    uint32_t turn = 0;
    unsigned found = 0;
    assert_in_range(lab.tally.cpus, 1, 1024);
    assert_int_equal(bpf_map_lookup_elem(lab.tally.caches_fd, &turn, caches), 0);
    for (unsigned i = 0; i < lab.tally.cpus * XDP_TALLY_LINES; i++) {
        struct xdp_tally_line *line = &caches[i / XDP_TALLY_LINES].line[i % XDP_TALLY_LINES];
        if (line->packets == 0)
            continue;
        *out = *line;
        *line = (struct xdp_tally_line){0};
        found++;
    }
    assert_in_range(found, 0, 1);
    if (found > 0)
        assert_int_equal(bpf_map_update_elem(lab.tally.caches_fd, &turn, caches, BPF_ANY), 0);
    return found > 0;
}

/* ---- the comparison */

/* What differs, or NULL. */
static const char *compare_counts(const struct outcome *o, const struct packet *p,
                                  enum packet_reason reason)
{
    bool is_ok = reason == PACKET_OK;
    bool is_ssh = p->protocol == IPPROTO_TCP && (p->src_port == 22 || p->dst_port == 22);
    bool is_spared = is_ok && (p->is_fragment || is_ssh);
    if (o->stats[XDP_STAT_seen] != 1)
        return "seen";
#define REASON(name, counter, help)                                \
    if (o->stats[XDP_STAT_##counter] != (reason == PACKET_##name)) \
        return "the reason, or " #counter;
#include "shared/base/reasons.def"
#undef REASON
    if (o->stats[XDP_STAT_spared] != is_spared)
        return "spared: a fragment, or secure shell";
    return o->stats[XDP_STAT_handed] != (is_ok && !is_spared) ? "handed over" : NULL;
}

static const char *compare_tally(const struct packet *p, uint16_t ingress)
{
    struct xdp_tally_line line;
    if (take_line(&line) != (p->src.family != 0))
        return "whether it is tallied";
    if (p->src.family == 0)
        return NULL;
    struct prefix wanted = prefix_of(&p->src, p->src.family == ADDR_V4 ? 24 : 48);
    if (line.tag >> 16 != p->src.family || memcmp(line.addr, wanted.addr.bytes, 16) != 0)
        return "the tally's prefix";
    if ((uint16_t)line.tag != ingress)
        return "the ingress";
    return line.packets != 1 || line.bytes != p->frame_len ? "the tally's counts" : NULL;
}

static const char *compare_probe(const struct outcome *o, const struct packet *p,
                                 enum packet_reason reason, uint16_t ingress)
{
    const struct xdp_probe *k = &o->probe;
    enum opening kind = reason == PACKET_OK ? openings_find(openings, p, 1) : OPENING_NONE;
    if (o->probes != (kind != OPENING_NONE))
        return "whether it is an opening";
    if (kind == OPENING_NONE)
        return NULL;
    if (k->opening != kind)
        return "the kind of opening";
    bool is_same = memcmp(k->src, p->src.bytes, 16) == 0 && memcmp(k->dst, p->dst.bytes, 16) == 0 &&
                   memcmp(k->src_mac, p->src_mac, 6) == 0 && k->family == p->src.family &&
                   k->seq == p->seq && k->ack == p->ack && k->src_port == p->src_port &&
                   k->dst_port == p->dst_port && k->window == p->tcp_window && k->vlan == p->vlan &&
                   k->tcp_flags == p->tcp_flags && k->ingress == ingress && k->weight == 1 &&
                   k->protocol == p->protocol && k->icmp_type == p->icmp_type &&
                   k->payload_len == p->payload_len && k->frame_len == p->frame_len;
    return is_same ? NULL : "a field of the opening";
}

static void dump(const struct bytes *f)
{
    for (size_t i = 0; i < f->len; i++)
        fprintf(stderr, "%02x%s", f->data[i], i % 32 == 31 ? "\n" : " ");
    fprintf(stderr, "\n");
}

static void expect_agreement(const struct bytes *f)
{
    struct packet p;
    struct frame frame = {
        .data = (uint8_t *)f->data, .len = (uint32_t)f->len, .wire_len = (uint32_t)f->len};
    enum packet_reason reason = packet_parse(&frame, &p);
    uint16_t ingress = ingress_table_find(&table, p.vlan, p.src_mac);
    struct outcome o = ask_kernel(f);
    const char *tally = compare_tally(&p, ingress), *difference = compare_counts(&o, &p, reason);
    if (difference == NULL)
        difference = tally != NULL ? tally : compare_probe(&o, &p, reason, ingress);
    if (difference == NULL)
        return;
    dump(f);
    fail_msg("the parsers differ in %s (packet_parse: reason %d)", difference, reason);
}

/* ---- promises */

static void the_parsers_agree_about_whole_frames(void **state)
{
    (void)state;
    unsigned parsed = 0;
    for (unsigned i = 0; i < corpus_count; i++) {
        expect_agreement(&corpus[i]);
        parsed += now.stats[XDP_STAT_handed] + now.stats[XDP_STAT_spared] == 1;
    }
    assert_true(corpus_count >= 30);
    assert_true(parsed >= 25); /* else the corpus would say little */
}

static void the_parsers_agree_about_frames_cut_at_every_byte(void **state)
{
    (void)state;
    for (unsigned i = 0; i < corpus_count; i++)
        for (size_t len = 14; len < corpus[i].len; len++) { /* the call takes no fewer */
            struct bytes cut = corpus[i];
            cut.len = len;
            expect_agreement(&cut);
        }
}

static void the_parsers_agree_about_every_combination_of_tcp_flags(void **state)
{
    (void)state;
    unsigned kinds[OPENING_COUNT] = {0};
    for (unsigned flags = 0; flags < 256; flags++) {
        struct bytes v4 = tcp4("203.0.113.7", 1000, 80, flags);
        struct bytes v6 = tcp6("2001:db8:77::7", 1000, 80, flags);
        expect_agreement(&v4);
        expect_agreement(&v6);
        kinds[now.probes != 0 ? now.probe.opening : OPENING_NONE]++;
    }
    for (enum opening kind = OPENING_SYN; kind <= OPENING_XMAS; kind++)
        assert_true(kinds[kind] > 0);
}

static void both_find_the_same_ingress_for_every_vlan_and_source_mac(void **state)
{
    (void)state;
    static const unsigned vlans[] = {0, 1, 101, 102, 103, 4095}, macs[] = {0, 1, 7, 8, 9};
    for (size_t i = 0; i < sizeof vlans / sizeof vlans[0]; i++)
        for (size_t j = 0; j < sizeof macs / sizeof macs[0]; j++) {
            struct bytes f = {0};
            put_ethernet_from(&f, macs[j], vlans[i] != 0 ? 0x8100 : 0x0800);
            if (vlans[i] != 0)
                put_vlan(&f, vlans[i] | 0x6000, 0x0800);
            put_ipv4(&f, "203.0.113.7", "192.0.2.1", 6, 20);
            put_tcp(&f, 1, 2, FLAG_SYN);
            expect_agreement(&f);
        }
}

static uint32_t draw(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

/* Mostly in the headers behind Ethernet, where a bit means something; up to four at once. */
static void the_parsers_agree_about_flipped_bits(void **state)
{
    (void)state;
    uint32_t random = 20261121;
    for (unsigned i = 0; i < corpus_count; i++)
        for (unsigned n = 0; n < FLIPS_PER_FRAME; n++) {
            struct bytes bad = corpus[i];
            for (uint32_t flips = 1 + draw(&random) % 4; flips > 0; flips--)
                bad.data[12 + draw(&random) % (bad.len - 12)] ^= (uint8_t)(1u << draw(&random) % 8);
            expect_agreement(&bad);
        }
}

static int up(void **state)
{
    (void)state;
    if (unshare(CLONE_NEWNET) != 0)
        return -1;
    /* On one CPU: the kernel remembers UDP flows per CPU. */
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    if (sched_setaffinity(0, sizeof first, &first) != 0 || openings_new(1, &openings) != 0)
        return -1;
    lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    watch(&lab, (const char *const[]){"0.0.0.0/0", "::/0"}, 2);
    ring = ring_buffer__new(bpf_map__fd(lab.x->maps.probes), keep_probe, &now, NULL);
    if (ring == NULL)
        return -1;
    keep_tagged();
    keep_transports();
    keep_openings();
    keep_fragments4();
    keep_extensions();
    keep_oddities();
    return 0;
}

static int down(void **state)
{
    (void)state;
    ring_buffer__free(ring);
    lab_close(&lab);
    openings_free(openings);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parsers_agree_about_whole_frames),
        cmocka_unit_test(the_parsers_agree_about_frames_cut_at_every_byte),
        cmocka_unit_test(the_parsers_agree_about_every_combination_of_tcp_flags),
        cmocka_unit_test(both_find_the_same_ingress_for_every_vlan_and_source_mac),
        cmocka_unit_test(the_parsers_agree_about_flipped_bits),
    };
    return cmocka_run_group_tests_name("agreement", tests, up, down);
}
