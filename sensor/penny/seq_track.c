#include "sensor/penny/seq_track.h"

#include <string.h>

void seq_track_init(struct seq_track *t, uint32_t next)
{
    *t = (struct seq_track){.next = next};
}

static void forget_lowest(struct seq_track *t)
{
    t->count--;
    memmove(t->hole, t->hole + 1, t->count * sizeof *t->hole);
}

static void forget_far(struct seq_track *t)
{
    while (t->count > 0 && t->next - t->hole[0].from > SEQ_FAR)
        forget_lowest(t);
}

static void push_hole(struct seq_track *t, uint32_t from, uint32_t to)
{
    if (t->count == SEQ_HOLES)
        forget_lowest(t);
    t->hole[t->count++] = (struct seq_hole){from, to};
}

static void advance(struct seq_track *t, uint32_t end)
{
    if (t->advanced > SEQ_FAR) {
        t->advanced /= 2;
        t->hidden /= 2;
    }
    t->advanced += end - t->next;
    t->next = end;
    forget_far(t);
}

static void take_out(struct seq_track *t, uint32_t bytes)
{
    t->hidden -= bytes < t->hidden ? bytes : t->hidden; /* less, once it was halved */
}

/* Takes [seq, end) out of the holes; true if any of it was in one. */
static bool fill(struct seq_track *t, uint32_t seq, uint32_t end)
{
    struct seq_track rest = {.next = t->next, .advanced = t->advanced, .hidden = t->hidden};
    bool any = false;
    for (uint32_t i = 0; i < t->count; i++) {
        struct seq_hole h = t->hole[i];
        if (seq_diff(end, h.from) <= 0 || seq_diff(seq, h.to) >= 0) {
            push_hole(&rest, h.from, h.to);
            continue;
        }
        any = true;
        uint32_t from = seq_diff(seq, h.from) > 0 ? seq : h.from;
        uint32_t to = seq_diff(end, h.to) < 0 ? end : h.to;
        take_out(&rest, to - from);
        if (from != h.from)
            push_hole(&rest, h.from, from);
        if (to != h.to)
            push_hole(&rest, to, h.to);
    }
    if (any)
        *t = rest;
    return any;
}

enum seq_class seq_track_add_slowly(struct seq_track *t, uint32_t seq, uint32_t len)
{
    uint32_t end = seq + len;
    int32_t ahead = seq_diff(seq, t->next);
    if (ahead == 0) {
        advance(t, end);
        return SEQ_IN_ORDER;
    }
    if (ahead > 0) {
        push_hole(t, t->next, seq);
        advance(t, end);
        t->hidden += (uint32_t)ahead;
        return SEQ_AHEAD;
    }
    bool filled = t->count > 0 && fill(t, seq, end);
    if (seq_diff(end, t->next) > 0) {
        advance(t, end);
        return SEQ_PARTIAL;
    }
    return filled ? SEQ_FILL : SEQ_REPEAT;
}

void seq_cover_init(struct seq_cover *c, uint32_t start, uint32_t len)
{
    *c = (struct seq_cover){.start = start, .len = len, .right = len};
}

/* The middle part joins the left or right one once they touch. */
static void join(struct seq_cover *c)
{
    if (c->mid < c->mid_to && c->mid <= c->left) {
        if (c->mid_to > c->left)
            c->left = c->mid_to;
        c->mid = c->mid_to = 0;
    }
    if (c->mid < c->mid_to && c->mid_to >= c->right) {
        if (c->mid < c->right)
            c->right = c->mid;
        c->mid = c->mid_to = 0;
    }
}

static void take_middle(struct seq_cover *c, uint32_t from, uint32_t to)
{
    if (c->mid == c->mid_to) {
        c->mid = from;
        c->mid_to = to;
    } else if (from <= c->mid_to && to >= c->mid) {
        c->mid = from < c->mid ? from : c->mid;
        c->mid_to = to > c->mid_to ? to : c->mid_to;
    } else if (to - from > c->mid_to - c->mid) {
        c->mid = from;
        c->mid_to = to;
    }
}

bool seq_cover_add(struct seq_cover *c, uint32_t seq, uint32_t len)
{
    int64_t from = seq_diff(seq, c->start), to = from + len;
    if (to > 0 && from < c->len) {
        uint32_t a = from > 0 ? (uint32_t)from : 0;
        uint32_t b = to < c->len ? (uint32_t)to : c->len;
        if (a <= c->left)
            c->left = b > c->left ? b : c->left;
        else if (b >= c->right)
            c->right = a < c->right ? a : c->right;
        else
            take_middle(c, a, b);
        join(c);
    }
    return c->left >= c->right || c->left >= c->len;
}
