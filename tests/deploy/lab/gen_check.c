/* Reads a capture and prints what is in it, one key=value a line, for test_gen.sh. Understands
 * frames by packet_parse and checks checksums by tests/support: nothing of the generator's. */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include "shared/base/clock.h"
#include "shared/base/hash.h"
#include "tests/support/frames.h"

#define TABLE_SIZE (1u << 20) /* keys; a capture of up to half as many frames */

struct key {
    uint8_t src[16], dst[16];
    uint16_t src_port, dst_port;
    uint32_t seq; /* 0 for a flow's own key */
    uint32_t is_segment, payload_len;
};

struct row {
    struct key key;
    bool is_used;
    uint64_t value; /* of a flow: next sequence number; of a segment: its time */
};

static struct row *table;

static struct {
    uint64_t frames, refused, checksums_wrong, flows, sources, destinations, syn, fin, rst, data,
        copies, copy_delay_min_ns, copy_delay_max_ns, gaps, backwards, src_outside, dst_outside,
        first_ns, last_ns, bytes, vlan_min, vlan_max, tags_min, tags_max, port_min, port_max,
        payload_min, payload_max, wraps, after_end;
} seen = {.copy_delay_min_ns = UINT64_MAX,
          .vlan_min = UINT64_MAX,
          .tags_min = UINT64_MAX,
          .port_min = UINT64_MAX,
          .payload_min = UINT64_MAX};

static void range(uint64_t value, uint64_t *min, uint64_t *max)
{
    if (value < *min)
        *min = value;
    if (value > *max)
        *max = value;
}

static struct row *row_of(const struct key *key)
{
    uint64_t words[(sizeof *key + 7) / 8] = {0};
    memcpy(words, key, sizeof *key);
    uint64_t at = hash_words((struct hash_key){1, 2}, words, sizeof words / 8);
    for (unsigned tries = 0; tries < TABLE_SIZE; tries++, at++) {
        struct row *row = &table[at & (TABLE_SIZE - 1)];
        if (!row->is_used || memcmp(&row->key, key, sizeof *key) == 0) {
            row->key = *key;
            return row;
        }
    }
    fputs("gen_check: the capture has too many segments\n", stderr);
    exit(1);
}

/* Counts an address the first time that it is met. */
static uint64_t is_new_address(const struct addr *a, uint32_t kind)
{
    struct key key = {.is_segment = kind};
    memcpy(key.src, a->bytes, 16);
    struct row *row = row_of(&key);
    bool is_new = !row->is_used;
    row->is_used = true;
    return is_new;
}

static void check_order(const struct packet *p, struct row *flow)
{
    uint32_t next = (uint32_t)flow->value, takes = p->payload_len;
    if (p->tcp_flags & (TCP_SYN | TCP_FIN))
        takes++;
    if (!flow->is_used)
        seen.flows++;
    else if (p->seq != next)
        seen.gaps++;
    if (flow->is_used && flow->value >> 32 != 0)
        seen.after_end++;
    if ((uint32_t)(p->seq + takes) < p->seq)
        seen.wraps++;
    flow->is_used = true;
    flow->value = (uint32_t)(p->seq + takes);
    if (p->tcp_flags & (TCP_FIN | TCP_RST))
        flow->value |= UINT64_C(1) << 32;
}

static void check_tcp(const struct packet *p, uint64_t at_ns)
{
    struct key key = {.src_port = p->src_port, .dst_port = p->dst_port};
    memcpy(key.src, p->src.bytes, 16);
    memcpy(key.dst, p->dst.bytes, 16);
    struct row *flow = row_of(&key);
    key.seq = p->seq;
    key.is_segment = 1;
    key.payload_len = p->payload_len;
    struct row *segment = row_of(&key);
    if (p->payload_len > 0 && segment->is_used) {
        seen.copies++;
        range(at_ns - segment->value, &seen.copy_delay_min_ns, &seen.copy_delay_max_ns);
        return;
    }
    segment->is_used = p->payload_len > 0;
    segment->value = at_ns;
    check_order(p, flow);
    seen.syn += (p->tcp_flags & TCP_SYN) != 0;
    seen.fin += (p->tcp_flags & TCP_FIN) != 0;
    seen.rst += (p->tcp_flags & TCP_RST) != 0;
    seen.data += p->payload_len > 0;
    if (p->payload_len > 0)
        range(p->payload_len, &seen.payload_min, &seen.payload_max);
}

static unsigned tags_of(const uint8_t *data, uint32_t len)
{
    unsigned tags = 0;
    for (uint32_t at = 12; at + 2 <= len; at += 4, tags++) {
        bool is_tag = (data[at] == 0x81 && data[at + 1] == 0x00) ||
                      (data[at] == 0x88 && data[at + 1] == 0xa8);
        if (!is_tag)
            break;
    }
    return tags;
}

static void check_frame(const struct frame *f, const struct prefix *src, const struct prefix *dst)
{
    struct packet p;
    seen.frames++;
    seen.bytes += f->len;
    if (seen.frames == 1)
        seen.first_ns = f->at_ns;
    seen.backwards += f->at_ns < seen.last_ns;
    seen.last_ns = f->at_ns;
    if (packet_parse(f, &p) != PACKET_OK || p.protocol != IPPROTO_TCP) {
        seen.refused++;
        return;
    }
    seen.checksums_wrong += !frame_checksums_right(f->data, f->len);
    seen.src_outside += !prefix_contains(src, &p.src);
    seen.dst_outside += !prefix_contains(dst, &p.dst);
    seen.sources += is_new_address(&p.src, 2);
    seen.destinations += is_new_address(&p.dst, 3);
    range(p.vlan, &seen.vlan_min, &seen.vlan_max);
    range(tags_of(f->data, f->len), &seen.tags_min, &seen.tags_max);
    range(p.dst_port, &seen.port_min, &seen.port_max);
    check_tcp(&p, f->at_ns);
}

#define PRINT(name) printf(#name "=%" PRIu64 "\n", seen.name)

static void print_seen(void)
{
    PRINT(frames), PRINT(bytes), PRINT(refused), PRINT(checksums_wrong);
    PRINT(flows), PRINT(sources), PRINT(destinations), PRINT(src_outside), PRINT(dst_outside);
    PRINT(syn), PRINT(fin), PRINT(rst), PRINT(data), PRINT(payload_min), PRINT(payload_max);
    PRINT(copies), PRINT(copy_delay_min_ns), PRINT(copy_delay_max_ns);
    PRINT(gaps), PRINT(wraps), PRINT(after_end);
    PRINT(vlan_min), PRINT(vlan_max), PRINT(tags_min), PRINT(tags_max);
    PRINT(port_min), PRINT(port_max), PRINT(backwards), PRINT(first_ns), PRINT(last_ns);
}

int main(int argc, char **argv)
{
    char text[PCAP_ERRBUF_SIZE];
    struct prefix src, dst;
    if (argc != 4 || prefix_parse(argv[2], &src) != 0 || prefix_parse(argv[3], &dst) != 0) {
        fputs("Usage: gen_check CAPTURE SOURCE-PREFIX DESTINATION-PREFIX\n", stderr);
        return 2;
    }
    table = calloc(TABLE_SIZE, sizeof *table);
    pcap_t *pcap =
        pcap_open_offline_with_tstamp_precision(argv[1], PCAP_TSTAMP_PRECISION_NANO, text);
    if (table == NULL || pcap == NULL) {
        fprintf(stderr, "gen_check: %s\n", table == NULL ? "no memory" : text);
        return 1;
    }
    struct pcap_pkthdr *header;
    const uint8_t *bytes;
    int result;
    while ((result = pcap_next_ex(pcap, &header, &bytes)) == 1) {
        struct frame f = {.data = (uint8_t *)(uintptr_t)bytes,
                          .len = header->caplen,
                          .wire_len = header->len,
                          .at_ns = (uint64_t)header->ts.tv_sec * NS_PER_S +
                                   (uint64_t)header->ts.tv_usec};
        check_frame(&f, &src, &dst);
    }
    print_seen();
    if (result != PCAP_ERROR_BREAK)
        fprintf(stderr, "gen_check: %s\n", pcap_geterr(pcap));
    pcap_close(pcap);
    free(table);
    return result == PCAP_ERROR_BREAK ? 0 : 1;
}
