/* Natural loss as evidence: a gap that the path tore, and that filled later than reordering
 * explains, speaks for a sender who was told (closed loop). One that never fills speaks for a
 * sender who was not.
 *
 * This is no proof, and cannot become one by adding more. Where we withhold a segment by a coin,
 * the sender cannot know which; here the sender himself may have torn the gap: whoever replays a
 * recorded conversation replays its retransmissions, and whoever knows this file can leave gaps and
 * fill them later. And a gap may be ours: a mirror port that is too slow loses copies of segments
 * that reached their receiver, whose sender is then never asked for them; so does a path that is
 * balanced per packet. Hence a likelihood ratio under stated assumptions, bounded on both sides:
 *
 *   NATURAL_GENUINE   0.7   share of a genuine sender's gaps that fill late here, where all of the
 *                           flow passes; where the share v of it does, 0.7 v. The rest: the
 *                           mirror's own loss, and what we cannot follow.
 *   NATURAL_OPEN      0.05  share of an open-loop sender's gaps that do
 *   NATURAL_MIMIC     0.05  chance that open-loop traffic as a whole fills its gaps as a genuine
 *                           sender does (a replay, a deceiver)
 *   NATURAL_DEAF      0.2   chance that genuine traffic as a whole fills as few as an open loop
 *                           (the mirror loses, the path is split)
 *
 *   ratio = ((1 - DEAF) G + DEAF O) / ((1 - MIMIC) O + MIMIC G)
 *
 * where G and O are the likelihoods of the gaps under the first two. So however many gaps there
 * are, the odds stay between DEAF / (1 - MIMIC) = 0.21 and (1 - DEAF) / MIMIC = 16; from even odds
 * the probability of genuine stays within [0.17, 0.94]. A flow speaks for at most
 * NATURAL_FLOW_GAPS gaps: one that lost a thousand shall not outvote the others.
 *
 * The four rates are judgement, not measurement.
 *
 * Where a flow's gaps are too many for loss the path is split, or two paths of unequal length carry
 * it packet by packet; the slower one's segments then fill "late" whoever sends. A flow with at
 * least NATURAL_TORN_GAPS gaps that are more than one in NATURAL_TORN of its segments says nothing.
 */
#pragma once

#include "sensor/penny/gap_track.h"

#define NATURAL_GENUINE   0.7
#define NATURAL_OPEN      0.05
#define NATURAL_MIMIC     0.05
#define NATURAL_DEAF      0.2
#define NATURAL_FLOW_GAPS 4
#define NATURAL_TORN      5
#define NATURAL_TORN_GAPS 4

/* Logarithms of G and O; zeroed is "no gap yet". */
struct natural_loss {
    double genuine, open;
};

/* One flow's gaps. Its coverage stands for the share of it that passes here. */
void natural_loss_flow(struct natural_loss *n, const struct gap_track *t);

/* ln of the ratio; 0 without gaps. */
double natural_loss_ratio(const struct natural_loss *n);

/* From even odds. */
double natural_loss_probability(double ratio_log);
