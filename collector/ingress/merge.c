/* Rows are made of cells, and the rows of two ranges become those of one. */
#include <string.h>

#include "collector/ingress/map.h"

/* ---- rows are made of cells ---- */

void row_add(const struct ingress_map *m, struct node *n, const struct cell *c)
{
    struct ingress_row *row = &n->row;
    bool is_first = row->weight == 0;
    int64_t newest = is_first || c->last_seen > row->weight_at ? c->last_seen : row->weight_at;
    row->weight =
        row->weight * decay(m, row->weight_at, newest) + c->weight * decay(m, c->last_seen, newest);
    n->recent = n->recent * decay_recent(m, row->weight_at, newest) +
                c->recent * decay_recent(m, c->last_seen, newest);
    row->weight_at = newest;
    row->packets = sum_of(row->packets, c->packets);
    row->bytes = sum_of(row->bytes, c->bytes);
    row->first_seen = c->first_seen < row->first_seen ? c->first_seen : row->first_seen;
    row->last_seen = c->last_seen > row->last_seen ? c->last_seen : row->last_seen;
    n->cells++;
}

void row_sub(struct ingress_map *m, struct node *n, const struct cell *c)
{
    struct ingress_row *row = &n->row;
    row->weight -= c->weight * decay(m, c->last_seen, row->weight_at);
    n->recent -= c->recent * decay_recent(m, c->last_seen, row->weight_at);
    row->weight = row->weight > 0 && n->cells > 1 ? row->weight : 0;
    n->recent = n->recent > 0 && n->cells > 1 ? n->recent : 0;
    row->packets -= c->packets < row->packets ? c->packets : row->packets;
    row->bytes -= c->bytes < row->bytes ? c->bytes : row->bytes;
    n->cells--;
    row_touched(m, n);
}

static void rows_zero(struct ingress_map *m, uint32_t range)
{
    for (uint32_t i = m->ranges[range].row; i != NONE; i = m->nodes[i].next) {
        struct node *n = &m->nodes[i];
        n->row.weight = n->recent = 0;
        n->row.packets = n->row.bytes = 0;
        n->cells = 0;
    }
}

/* A place without counters stays while a test or a person holds on to it. */
static bool is_idle(const struct node *n)
{
    return n->cells == 0 && n->row.tests == 0 && n->row.state != STATE_TESTING && n->pins == 0;
}

void range_recount(struct ingress_map *m, uint32_t range)
{
    rows_zero(m, range);
    for (uint32_t l = m->ranges[range].leaf; l != NONE; l = m->leaves[l].next)
        for (uint32_t c = m->leaves[l].cell; c != NONE; c = m->cells[c].next) {
            struct node *n = row_find(m, range, m->cells[c].place);
            if (n != NULL)
                row_add(m, n, &m->cells[c]);
        }
}

void range_sum(struct ingress_map *m, uint32_t range)
{
    range_recount(m, range);
    for (uint32_t i = m->ranges[range].row, next; i != NONE; i = next) {
        next = m->nodes[i].next;
        if (is_idle(&m->nodes[i]))
            row_gone(m, &m->nodes[i]);
        else
            row_touched(m, &m->nodes[i]);
    }
}

/* ---- facts go with the rows ---- */

void row_expect(struct ingress_map *m, struct ingress_row *row)
{
    if (m->expect != NULL)
        m->expect(m->expect_arg, row);
}

/* All that is neither name nor counter. */
static void facts_copy(struct ingress_row *to, const struct ingress_row *from)
{
    struct ingress_row row = *from;
    row.prefix = to->prefix;
    row.id = to->id;
    row.weight = to->weight;
    row.weight_at = to->weight_at;
    row.packets = to->packets;
    row.bytes = to->bytes;
    row.first_seen = to->first_seen;
    row.last_seen = to->last_seen;
    row.share = to->share;
    row.genuine_share = to->genuine_share;
    *to = row;
}

void row_inherit(struct ingress_map *m, struct node *to, const struct node *from)
{
    facts_copy(&to->row, &from->row);
    to->is_present = from->is_present;
    to->told = from->told;
    to->has_told = from->has_told;
    to->is_even = from->is_even;
    to->judged_at = from->judged_at;
    row_expect(m, &to->row);
}

/* Two rows become one: the heavier one's evidence stands (they are alike, else they would not
 * join). Of its tests both may tell (one of a wider range that split), so the larger number stands:
 * their sum would grow with every split and join. */
static void row_merge(struct ingress_map *m, struct node *to, const struct node *from)
{
    uint64_t tests = to->row.tests > from->row.tests ? to->row.tests : from->row.tests;
    bool is_present = to->is_present || from->is_present;
    int64_t newest =
        to->row.weight_at > from->row.weight_at ? to->row.weight_at : from->row.weight_at;
    double theirs = from->row.weight * decay(m, from->row.weight_at, newest);
    double ours = to->row.weight * decay(m, to->row.weight_at, newest);
    if (theirs > ours && (from->row.has_evidence || !to->row.has_evidence))
        row_inherit(m, to, from);
    to->row.tests = tests;
    to->is_present = is_present;
    to->row.weight = ours + theirs;
    to->row.weight_at = newest;
}

/* ---- one range goes into another ---- */

static bool row_take_over(struct ingress_map *m, uint32_t into, const struct node *from)
{
    bool is_new;
    struct node *to = row_get(m, into, from->place, from->row.first_seen, &is_new);
    if (to == NULL)
        return false;
    if (is_new) {
        row_inherit(m, to, from);
        to->row.weight = from->row.weight;
        to->row.weight_at = from->row.weight_at;
    } else
        row_merge(m, to, from);
    if (from->row.first_seen < to->row.first_seen)
        to->row.first_seen = from->row.first_seen;
    if (from->row.last_seen > to->row.last_seen)
        to->row.last_seen = from->row.last_seen;
    return true;
}

/* Room was looked for before: it cannot fail. */
void range_into(struct ingress_map *m, uint32_t into, uint32_t from)
{
    uint32_t main = m->ranges[from].main, place = main == NONE ? NONE : m->nodes[main].place;
    bool is_home = m->ranges[from].is_home;
    int64_t since = m->ranges[from].main_since;
    for (uint32_t i = m->ranges[from].row; i != NONE; i = m->nodes[i].next)
        row_take_over(m, into, &m->nodes[i]);
    while (m->ranges[from].leaf != NONE) {
        uint32_t leaf = m->ranges[from].leaf;
        range_leave(m, leaf);
        range_adopt(m, into, leaf);
    }
    range_free(m, from);
    struct range *r = &m->ranges[into];
    if (r->main != NONE || place == NONE)
        return;
    r->main = row_find(m, into, place)->row.id;
    r->main_since = is_home ? since : m->now;
    r->is_home = is_home;
}

void range_settle(struct ingress_map *m, uint32_t range)
{
    range_sum(m, range);
    range_share(m, range);
}

double range_weight(const struct ingress_map *m, const struct range *r, int64_t now)
{
    double sum = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        sum += m->nodes[i].row.weight * decay(m, m->nodes[i].row.weight_at, now);
    return sum;
}
