/* Tally: packets, bytes and flows per (source prefix, ingress) and interval. What the ingress map
 * is made of. Where the kernel counts (af_xdp), the worker adds the kernel's cells; else every
 * packet is counted here. Pure: time is an argument.
 *
 * Flows are estimated by linear counting (Whang, Vander-Zanden, Taylor, 1990) over 256 bits, one
 * per hashed five-tuple: standard error under 8 % up to 200 flows, saturating at 1,419 (= 256 ln
 * 256). Cells that are not taken go on counting: a full ring makes the interval longer, and loses
 * nothing. */
#pragma once

#include "sensor/packet/ingress_table.h"
#include "sensor/packet/packet.h"
#include "shared/wire/event.h"

#define TALLY_FLOW_WORDS 4

struct tally_conf {
    uint64_t interval_ns;
    unsigned v4_length, v6_length; /* bits of a source prefix */
    unsigned max_cells; /* (prefix, ingress) pairs per interval; more are counted as overflow */
};

struct tally;

/* conf and ingress are borrowed until tally_free. 0 or -ENOMEM. */
int tally_new(const struct tally_conf *conf, const struct ingress_table *ingress, uint64_t seed,
              struct tally **out);
void tally_free(struct tally *t);

void tally_packet(struct tally *t, const struct packet *packet, uint64_t now_ns);

/* Adds counts from elsewhere (the kernel's cells). */
void tally_add(struct tally *t, const struct prefix *src, uint16_t ingress, uint64_t packets,
               uint64_t bytes, const uint64_t flow_bits[static TALLY_FLOW_WORDS], uint64_t now_ns);

void tally_tick(struct tally *t, uint64_t now_ns);
void tally_finish(struct tally *t, uint64_t now_ns); /* ends the interval now */
bool tally_take(struct tally *t, struct event *out);
uint64_t tally_overflow(const struct tally *t); /* packets that found no cell */

/* The estimate for bits set by distinct flows. */
uint64_t tally_flows(const uint64_t flow_bits[static TALLY_FLOW_WORDS]);
