#include "sensor/penny/gap_track.h"

#include <string.h>

#include "sensor/penny/seq_track.h"

#define WINDOW_MAX   (UINT32_C(1) << 30)
#define SERIAL(n)    ((n) & ((UINT32_C(1) << 28) - 1))
#define SEEN_FROM(t) ((t)->stream < WINDOW_MAX) /* `first` still names one place */

void gap_track_start(struct gap_track *t, uint32_t seq)
{
    t->next = t->first = seq;
    t->has_start = true;
}

static void remove_gap(struct gap_track *t, uint32_t i)
{
    t->count--;
    memmove(&t->gap[i], &t->gap[i + 1], (t->count - i) * sizeof *t->gap);
}

/* Another part of the same gap. */
static bool has_sibling(const struct gap_track *t, uint32_t i)
{
    for (uint32_t j = 0; j < t->count; j++)
        if (j != i && t->gap[j].opened_at == t->gap[i].opened_at)
            return true;
    return false;
}

/* It stays open for ever. */
static void forget_gap(struct gap_track *t, uint32_t i)
{
    t->forgotten += !t->gap[i].is_cut && !has_sibling(t, i);
    remove_gap(t, i);
}

static bool make_room(struct gap_track *t)
{
    for (uint32_t i = 0; t->count == GAPS_MAX && i < t->count; i++)
        if (t->gap[i].is_judged)
            forget_gap(t, i);
    return t->count < GAPS_MAX;
}

static void open_gap(struct gap_track *t, uint32_t to, uint32_t now_ms)
{
    t->gaps++;
    t->unseen += to - t->next;
    if (make_room(t))
        t->gap[t->count++] = (struct gap){
            .from = t->next, .to = to, .opened_ms = now_ms, .opened_at = SERIAL(t->segments)};
    else
        t->forgotten++;
}

static void advance(struct gap_track *t, uint32_t end)
{
    t->stream += end - t->next;
    t->next = end;
    while (t->count > 0 && t->next - t->gap[0].from > WINDOW_MAX)
        forget_gap(t, 0);
}

static bool is_late(const struct gap_track *t, const struct gap *g, uint32_t now_ms)
{
    uint32_t age_ms = now_ms - g->opened_ms;
    return age_ms >= GAP_REORDER_MS &&
           (SERIAL(t->segments - g->opened_at) >= GAP_SEGMENTS || age_ms >= GAP_RTO_MS);
}

static void close_gap(struct gap_track *t, uint32_t i)
{
    const struct gap *g = &t->gap[i];
    if (!g->is_cut && !has_sibling(t, i)) {
        t->filled++;
        t->late += !g->is_early && !g->is_judged;
    }
    remove_gap(t, i);
}

static void cut(struct gap_track *t, uint32_t opened_at)
{
    t->forgotten++;
    for (uint32_t i = 0; i < t->count; i++)
        if (t->gap[i].opened_at == opened_at)
            t->gap[i].is_cut = true;
}

/* [from, to) lies in the middle of gap i. */
static void split_gap(struct gap_track *t, uint32_t i, uint32_t from, uint32_t to)
{
    struct gap right = t->gap[i];
    right.from = to;
    t->gap[i].to = from;
    if (t->count == GAPS_MAX) {
        if (!right.is_cut)
            cut(t, right.opened_at);
        return;
    }
    memmove(&t->gap[i + 2], &t->gap[i + 1], (t->count - i - 1) * sizeof *t->gap);
    t->gap[i + 1] = right;
    t->count++;
}

/* Takes [from, to) out of gap i; the number of the next one to look at. */
static uint32_t fill_part(struct gap_track *t, uint32_t i, uint32_t from, uint32_t to,
                          uint32_t now_ms)
{
    struct gap *g = &t->gap[i];
    t->unseen -= to - from;
    if (!is_late(t, g, now_ms))
        g->is_early = true;
    if (g->from == from && g->to == to) {
        close_gap(t, i);
        return i;
    }
    if (g->from == from)
        g->from = to;
    else if (g->to == to)
        g->to = from;
    else
        split_gap(t, i, from, to);
    return i + 1;
}

/* True if any byte of [seq, end) was missing. */
static bool fill(struct gap_track *t, uint32_t seq, uint32_t end, uint32_t now_ms)
{
    bool any = false;
    for (uint32_t i = 0; i < t->count;) {
        const struct gap *g = &t->gap[i];
        uint32_t from = seq_diff(seq, g->from) > 0 ? seq : g->from;
        uint32_t to = seq_diff(end, g->to) < 0 ? end : g->to;
        if (seq_diff(from, to) >= 0) {
            i++;
            continue;
        }
        any = true;
        i = fill_part(t, i, from, to, now_ms);
    }
    return any;
}

/* Starts before `next`. Bytes from before our sight are new to us, too. */
static void add_behind(struct gap_track *t, uint32_t seq, uint32_t end, uint32_t now_ms)
{
    bool is_new = SEEN_FROM(t) && seq_diff(seq, t->first) < 0;
    is_new |= fill(t, seq, end, now_ms);
    if (seq_diff(end, t->next) > 0) {
        t->in_order++;
        advance(t, end);
    } else if (is_new)
        t->out_of_order++;
    else
        t->duplicates++;
}

void gap_track_judge(struct gap_track *t, uint32_t now_ms, uint32_t timeout_ms)
{
    for (uint32_t i = 0; i < t->count; i++) {
        struct gap *g = &t->gap[i];
        if (g->is_judged || now_ms - g->opened_ms < timeout_ms)
            continue;
        t->unfilled++;
        for (uint32_t j = i; j < t->count; j++) /* its other parts are judged with it */
            if (t->gap[j].opened_at == g->opened_at)
                t->gap[j].is_judged = true;
    }
}

void gap_track_add(struct gap_track *t, uint32_t seq, uint32_t len, uint32_t now_ms,
                   uint32_t timeout_ms)
{
    if (!t->has_start)
        gap_track_start(t, seq);
    t->segments++;
    t->data++;
    t->bytes += len;
    int32_t ahead = seq_diff(seq, t->next);
    if (ahead < 0) {
        add_behind(t, seq, seq + len, now_ms);
        return;
    }
    if ((uint32_t)ahead > WINDOW_MAX) {
        t->out_of_order++;
        return;
    }
    if (t->count > 0)
        gap_track_judge(t, now_ms, timeout_ms);
    if (ahead == 0)
        t->in_order++;
    else
        open_gap(t, seq, now_ms);
    advance(t, seq + len);
}

void gap_track_fin(struct gap_track *t, uint32_t seq, uint32_t now_ms)
{
    int32_t ahead = seq_diff(seq, t->next);
    if (!t->has_start || ahead <= 0 || (uint32_t)ahead > WINDOW_MAX)
        return;
    t->segments++;
    open_gap(t, seq, now_ms);
    advance(t, seq);
}

bool gap_track_is_keep_alive(const struct gap_track *t, uint32_t seq, uint32_t len)
{
    if (!t->has_start || len != 1 || seq + 1 != t->next)
        return false;
    return t->count == 0 || t->gap[t->count - 1].to != t->next; /* a FIN may have opened it */
}
