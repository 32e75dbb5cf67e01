/* penstock-gen: traffic for labs and tests, as a spoofer or a scanner would send it: open loop,
 * that is, without ever listening to what comes back.
 *
 *     options (gen_options.c) -> plan: which packet, when (gen_plan.c)
 *                             -> frame: its bytes (gen_frame.c)
 *                             -> sink: a capture file or an interface (gen_sink.c)
 *
 * The plan keeps no state per flow. Packet n belongs to slot n % flows and is that slot's packet
 * number n / flows; a slot holds one flow for ever, or one after the other (flow_packets).
 * Addresses, ports and sequence numbers are functions of those two and the seed. So a million flows
 * cost nothing, and the same options give the same bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/addr.h"
#include "shared/base/hash.h"

#define GEN_VLANS_MAX   4
#define GEN_PAYLOAD_MAX 65000 /* with every header below what IP can state */
#define GEN_HEADERS_MAX (14 + 4 * GEN_VLANS_MAX + 40 + 20)
#define GEN_PORTS       64512 /* source ports in use: 1024..65535 */

enum gen_duplicate { DUPLICATE_NONE, DUPLICATE_RANDOM, DUPLICATE_FIRST, DUPLICATE_ALL };

struct gen_conf {
    const char *interface, *file; /* exactly one is given; file "-" is standard output */
    uint8_t src_mac[6], dst_mac[6];
    unsigned vlan_count;
    uint16_t vlan[GEN_VLANS_MAX]; /* outermost first */
    struct prefix src, dst;
    uint16_t first_port, last_port; /* destination ports */
    uint64_t flows;                 /* at a time */
    uint64_t flow_packets;          /* after so many another flow takes the slot; 0: never */
    uint64_t rate;                  /* packets/s of all flows together, without copies */
    uint64_t count;                 /* packets in all, without copies */
    uint64_t duration_ns;           /* 0: the count alone ends it */
    uint32_t payload_len;
    uint64_t keep_alive_after; /* data packets of a flow, then only keep-alives; 0: never */
    bool syn, fin, rst, scan;
    bool has_start_seq;
    uint32_t start_seq;
    enum gen_duplicate duplicate;
    double duplicate_share;   /* DUPLICATE_RANDOM */
    uint64_t duplicate_first; /* DUPLICATE_FIRST: data packets of each flow */
    uint64_t duplicate_delay_ns;
    uint64_t seed;
    uint64_t start_ns; /* time of the first packet in a file */
};

struct gen_packet {
    struct addr src, dst;
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
    uint8_t flags; /* as in the TCP header */
    uint32_t payload_len;
    uint64_t at_ns; /* since the start */
    bool is_copy;
};

struct gen_plan {
    const struct gen_conf *conf; /* borrowed */
    struct hash_key key;
    uint64_t next; /* number of the next packet */
    uint64_t copy; /* all copies of packets before this one were given */
};

enum { GEN_GO_ON = -1 };

/* Fills conf. GEN_GO_ON, or the exit status to end with: 0 after --help, 2 after bad usage. */
int gen_options(int argc, char **argv, struct gen_conf *conf);

void gen_plan_init(struct gen_plan *p, const struct gen_conf *conf);
/* The next packet in time; false when there is none. */
bool gen_plan_next(struct gen_plan *p, struct gen_packet *out);

/* The frame's bytes, from a template that gen_template made: all but addresses, ports, numbers,
 * flags and checksums is the same in every frame. */
struct gen_template {
    uint8_t bytes[GEN_HEADERS_MAX + GEN_PAYLOAD_MAX];
    size_t ip_at, tcp_at, payload_at;
    uint64_t payload_sum; /* for checksums, when the whole payload is there */
    uint32_t payload_len;
};
void gen_template(struct gen_template *t, const struct gen_conf *conf);
size_t gen_frame_max(const struct gen_template *t);
/* Writes at most gen_frame_max() bytes; returns how many. */
size_t gen_frame(const struct gen_template *t, const struct gen_packet *p, uint8_t *out);

/* Sends or writes the whole plan; logs what was done. 0, or 1 (then the error was logged). */
int gen_to_file(const struct gen_conf *conf);
int gen_to_interface(const struct gen_conf *conf);
