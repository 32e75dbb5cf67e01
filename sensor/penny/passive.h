/* Passive mode: the same watched prefixes, flows and tests as the active one, and nothing is ever
 * withheld. For a mirror, or for a look before a test.
 *
 * Per flow (gap_track.h): what came in order, out of order and again, the gaps, how the flow began
 * and ended. Per test, that is per prefix and ingress for a while, the sums of all its flows, and
 * what natural loss says (natural_loss.h). The word is always `inconclusive`: what passive mode
 * knows is no proof, and the map must not take it for one.
 *
 * A flow begins with a SYN, or mid-stream with its first packet; a RST or a bare FIN begins none.
 * It ends by
 *   fin       `timeout` after its first FIN: senders still repeat after it, and what is missing by
 *             then was never repeated
 *   rst       at once; whether the RST was in the window is not looked at
 *   idle      nothing for `flow_idle`
 *   replaced  a SYN with another number: the ports are used anew
 *   stopped   its test ended; shutdown: the sensor did
 * A test ends when `passive_flows` flows have ended, after `max_duration`, after `passive_idle`
 * without a packet, or with the watch list or the sensor. It begins again after `retest_after`.
 *
 * The first `passive_rows` flows that end are told one by one (passive_flow), if the outbox has
 * room; every flow is in the sums (passive_total), which say how many were told. The events of a
 * test's beginning and end have their room reserved.
 *
 * Cost: a packet touches its flow and one record beside it (256 bytes, only taken in this mode, so
 * the active mode's flows stay as they are): O(1). Flows that ended by FIN wait in a list in order
 * of time; a test's flows hang in a list of its own, and are ended some thousands per tick. */
#pragma once

#include "sensor/penny/engine.h"

/* 0 or -ENOMEM. Nothing is taken in another mode. */
int passive_new(struct penny *p);
void passive_free(struct penny *p);

/* A TCP packet of a watched aggregate; flow: NULL if it has none yet. */
void passive_packet(struct penny *p, struct flow *flow, const struct packet *packet,
                    uint32_t aggregate, uint64_t hash);

void passive_tick(struct penny *p);

/* At once, with all its flows. */
void passive_end_test(struct penny *p, struct test *t, const char *why);
void passive_finish(struct penny *p);

/* Packets went past unseen: it ends soon, for this reason, with what it knows already. Its open
 * gaps are not judged by time any more. */
void passive_lost_sight(struct penny *p, const struct test *t, const char *why);
