/* Sequence numbers of one TCP flow: what was seen, what is new, what came again.
 *
 * Two small values, both in serial arithmetic modulo 2^32 (RFC 1982; RFC 9293 section 3.4): real
 * flows of more than 4 GB wrap, and OpenPenny mis-booked 10 of 15 of them.
 *
 *   seq_track  the end of the highest data seen (`next`) and at most SEQ_HOLES holes below it.
 *              Overflow is conservative: the lowest hole is forgotten, its bytes count as seen. A
 *              late filler is then called a repeat instead of a fill; it is never called in order,
 *              so it is never withheld. Holes more than 2^30 behind are forgotten the same way.
 *              How much of the stream never came (`hidden` of `advanced` bytes) tells which
 *              share of the flow passes here: less than all where paths are balanced per packet.
 *   seq_cover  one segment, and which of its bytes came again since: a sender may retransmit it in
 *              parts, coalesced with neighbours, or cut elsewhere. Kept are a part from the left,
 *              one from the right and one between. Overflow is conservative: of two parts in the
 *              middle the longer stays, so a segment may count as not fully repeated though it was,
 *              never the other way. Senders retransmit from left to right: one part is enough.
 *
 * Bytes are not compared: whoever repeats the range has repeated the segment. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SEQ_HOLES 4
#define SEQ_FAR   (UINT32_C(1) << 30)

/* a - b on the circle: negative if a lies before b. */
static inline int32_t seq_diff(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b);
}

enum seq_class {
    SEQ_IN_ORDER, /* starts at next: new, and nothing was skipped */
    SEQ_AHEAD,    /* starts beyond next: leaves a hole */
    SEQ_PARTIAL,  /* starts before next, ends beyond: old and new bytes */
    SEQ_FILL,     /* ends at or before next, and some of its bytes were in a hole */
    SEQ_REPEAT    /* every byte was seen before (or the hole was forgotten) */
};

struct seq_hole {
    uint32_t from, to; /* [from, to) */
};

struct seq_track {
    uint32_t next;
    uint32_t count;                  /* of holes */
    uint32_t advanced, hidden;       /* bytes; halved together long before they overflow */
    struct seq_hole hole[SEQ_HOLES]; /* ascending, disjoint */
};

void seq_track_init(struct seq_track *t, uint32_t next);

enum seq_class seq_track_add_slowly(struct seq_track *t, uint32_t seq, uint32_t len);

/* Takes in [seq, seq + len), 0 < len < 2^30, and says what it was. */
static inline enum seq_class seq_track_add(struct seq_track *t, uint32_t seq, uint32_t len)
{
    if (seq != t->next || t->count != 0 || t->advanced > SEQ_FAR)
        return seq_track_add_slowly(t, seq, len);
    t->advanced += len; /* as nearly always: nothing is missing, and this comes next */
    t->next = seq + len;
    return SEQ_IN_ORDER;
}

/* Share of the stream's bytes that passed here, first time or later: in [0, 1]; 1 before the first.
 */
static inline double seq_track_visible(const struct seq_track *t)
{
    return t->advanced > 0 ? 1 - (double)t->hidden / t->advanced : 1;
}

struct seq_cover {
    uint32_t start, len;
    uint32_t left;        /* offsets [0, left) came again */
    uint32_t right;       /* offsets [right, len) came again */
    uint32_t mid, mid_to; /* offsets [mid, mid_to) came again; empty if equal */
};

void seq_cover_init(struct seq_cover *c, uint32_t start, uint32_t len);

/* Takes in [seq, seq + len); true once every byte came again. */
bool seq_cover_add(struct seq_cover *c, uint32_t seq, uint32_t len);
