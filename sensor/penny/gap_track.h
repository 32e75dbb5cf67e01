/* The stream of one flow as somebody sees it who may not touch it: what came in order, what came
 * again, and the gaps: when each opened, and when it was filled.
 *
 * seq_track.h, the active mode's, keeps no times. Here each gap has one, for a gap that fills later
 * than reordering explains is a retransmission (natural_loss.h). A gap is filled late when its
 * first missing byte came
 *
 *   at least GAP_REORDER_MS after it opened, and
 *   after at least GAP_SEGMENTS others of the flow (RFC 4737's 3-reordering; TCP takes fewer for
 *   reordering, too: RFC 5681's three duplicate acknowledgements), or after GAP_RTO_MS, for the end
 *   of a flow has no three segments behind it.
 *
 * It is unfilled when the timeout passed and new data came after that, or the flow was finished
 * (FIN): by then the sender had cause to repeat it. Silence and RST say nothing: such gaps are just
 * open. Once said, unfilled stays said, also when the gap is filled after all.
 *
 * Serial arithmetic modulo 2^32; at most GAPS_MAX gaps are followed. Overflow is conservative: a
 * judged gap makes room, else the new one is not followed (senders fill the oldest first), nor is
 * the rest of one that is filled in its middle. What is not followed counts as open, its filler as
 * a duplicate; `forgotten` says how many. So do gaps more than 2^30 behind. Segments more than 2^30
 * ahead lie in no window; they count as out of order and change nothing. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define GAPS_MAX       8
#define GAP_SEGMENTS   3
#define GAP_REORDER_MS 10
#define GAP_RTO_MS     200 /* the least retransmission timeout of common senders */

struct gap {
    uint32_t from, to; /* [from, to) */
    uint32_t opened_ms;
    uint32_t opened_at : 28; /* number of the segment that opened it; names it, too */
    uint32_t is_early : 1;   /* its first missing byte came as reordering brings it */
    uint32_t is_judged : 1;  /* counted as unfilled */
    uint32_t is_cut : 1;     /* part of it is not followed: never counts as filled */
};
static_assert(sizeof(struct gap) == 16, "four to a cache line");

struct gap_track {
    uint32_t next, first; /* end of the highest data seen; where our sight began */
    uint32_t segments;    /* with data or FIN: the clock of reordering */
    uint32_t data, in_order, out_of_order, duplicates, gaps;
    uint64_t stream, bytes; /* bytes from the first to the highest; bytes that came, repeats too */
    uint8_t count;          /* of gaps followed */
    bool has_start;
    uint32_t filled, late, unfilled, forgotten;
    uint64_t unseen;          /* bytes of the stream that never came */
    struct gap gap[GAPS_MAX]; /* ascending, disjoint */
};

/* The stream begins at seq (a SYN said so). Without, it begins with the first data. */
void gap_track_start(struct gap_track *t, uint32_t seq);

/* Takes in [seq, seq + len), 0 < len < 2^30. now_ms may wrap. */
void gap_track_add(struct gap_track *t, uint32_t seq, uint32_t len, uint32_t now_ms,
                   uint32_t timeout_ms);

/* A FIN stands at seq: data up to there was sent. */
void gap_track_fin(struct gap_track *t, uint32_t seq, uint32_t now_ms);

/* The finished flow had its time: gaps older than the timeout are unfilled. */
void gap_track_judge(struct gap_track *t, uint32_t now_ms, uint32_t timeout_ms);

/* One old byte at the very end, as keep-alives and zero-window probes carry it. */
bool gap_track_is_keep_alive(const struct gap_track *t, uint32_t seq, uint32_t len);

/* Share of the stream's bytes that came by, in [0, 1]; 1 before the first. */
static inline double gap_track_coverage(const struct gap_track *t)
{
    return t->stream > 0 ? 1 - (double)t->unseen / (double)t->stream : 1;
}

static inline uint32_t gap_track_open(const struct gap_track *t)
{
    return t->gaps - t->filled;
}
