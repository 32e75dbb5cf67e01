/* Split and join: which leaves stand in which range.
 *
 * Ranges may lie in each other: a leaf's range is the narrowest one that took it in. So a leaf that
 * enters elsewhere is carved out of its range at the cost of one range, and goes back when it is
 * like the others again. */
#include <math.h>
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

static void expect_of(struct ingress_map *m, struct ingress_row *row)
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

static void row_inherit(struct ingress_map *m, struct node *to, const struct node *from)
{
    facts_copy(&to->row, &from->row);
    to->is_present = from->is_present;
    to->told = from->told;
    to->has_told = from->has_told;
    to->is_even = from->is_even;
    to->judged_at = from->judged_at;
    expect_of(m, &to->row);
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
static void range_into(struct ingress_map *m, uint32_t into, uint32_t from)
{
    uint32_t main = m->ranges[from].main, place = main == NONE ? NONE : m->nodes[main].place;
    for (uint32_t i = m->ranges[from].row; i != NONE; i = m->nodes[i].next)
        row_take_over(m, into, &m->nodes[i]);
    while (m->ranges[from].leaf != NONE) {
        uint32_t leaf = m->ranges[from].leaf;
        range_leave(m, leaf);
        range_adopt(m, into, leaf);
    }
    range_free(m, from);
    if (m->ranges[into].main == NONE && place != NONE)
        m->ranges[into].main = row_find(m, into, place)->row.id;
}

static void range_settle(struct ingress_map *m, uint32_t range)
{
    range_sum(m, range);
    range_share(m, range);
}

/* ---- are they alike? ---- */

struct profile {
    unsigned count;
    uint32_t place[PROFILE_MAX];
    double share[PROFILE_MAX];
};

static double largest(const struct ingress_map *m, const struct range *r)
{
    double most = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        most = fmax(most, m->nodes[i].row.genuine_share);
    return most;
}

/* The places that say where a range enters, of their sum. */
static struct profile profile_of(const struct ingress_map *m, const struct range *r)
{
    struct profile p = {0};
    double floor = fmax(PROFILE_FLOOR, largest(m, r) * PROFILE_PART), sum = 0;
    for (uint32_t i = r->row; i != NONE && p.count < PROFILE_MAX; i = m->nodes[i].next) {
        const struct node *n = &m->nodes[i];
        if (n->row.genuine_share < floor)
            continue;
        p.place[p.count] = n->place;
        p.share[p.count++] = n->row.genuine_share;
        sum += n->row.genuine_share;
    }
    for (unsigned i = 0; i < p.count; i++)
        p.share[i] /= sum;
    return p;
}

static double share_at(const struct profile *p, uint32_t place)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->place[i] == place)
            return p->share[i];
    return 0;
}

/* 0: the same; 1: nothing in common. What one has too much the other has too little. */
static double distance(const struct profile *a, const struct profile *b)
{
    double d = 0;
    for (unsigned i = 0; i < a->count; i++)
        d += fmax(0, a->share[i] - share_at(b, a->place[i]));
    return d;
}

static double weight_of(const struct ingress_map *m, const struct range *r, int64_t now)
{
    double sum = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        sum += m->nodes[i].row.weight * decay(m, m->nodes[i].row.weight_at, now);
    return sum;
}

/* One that only trickles has no shares to speak of: it goes with its neighbour if most of what was
 * seen of it entered where that one does. */
static bool goes_with(const struct ingress_map *m, uint32_t light, uint32_t heavy)
{
    const struct range *l = &m->ranges[light], *h = &m->ranges[heavy];
    return l->main != NONE && h->main != NONE &&
           m->nodes[l->main].place == m->nodes[h->main].place &&
           (l->is_blank || weight_of(m, l, m->now) < (double)m->conf.trickle);
}

/* What a test said of the heavier one holds for a lighter one that nobody tested, too: the next
 * test is of both. Not the other way round, and what differs stays apart. */
static bool same_evidence(const struct ingress_map *m, const struct ingress_row *a,
                          const struct ingress_row *b)
{
    double x = a->weight * decay(m, a->weight_at, m->now); /* as row_merge: at one time */
    double y = b->weight * decay(m, b->weight_at, m->now);
    bool is_little = a->genuine_share < PROFILE_FLOOR && b->genuine_share < PROFILE_FLOOR;
    if (a->state == STATE_TESTING || b->state == STATE_TESTING)
        return false;
    if (is_little && a->state != STATE_GENUINE && b->state != STATE_GENUINE)
        return true;
    if (x < y && a->state == STATE_UNVERIFIED)
        return true;
    if (y < x && b->state == STATE_UNVERIFIED)
        return true;
    return a->state == b->state && fabs(genuine_part(a) - genuine_part(b)) <= JOIN_DISTANCE;
}

static bool same_expectation(const struct ingress_row *a, const struct ingress_row *b)
{
    return a->expected == b->expected && strcmp(a->expected_by, b->expected_by) == 0 &&
           a->bgp == b->bgp && a->rpki == b->rpki && a->origin_as == b->origin_as;
}

/* Would every row of that range say the same as a row of prefix p? */
static bool rows_may(struct ingress_map *m, uint32_t range, uint32_t other, const struct prefix *p)
{
    for (uint32_t i = m->ranges[range].row; i != NONE; i = m->nodes[i].next) {
        const struct node *n = &m->nodes[i], *twin = row_find(m, other, n->place);
        if (n->pins != 0 || n->row.state == STATE_TESTING)
            return false;
        if (twin != NULL && !same_evidence(m, &n->row, &twin->row))
            return false;
        struct ingress_row wider = n->row;
        wider.prefix = *p;
        expect_of(m, &wider);
        if (!same_expectation(&wider, &n->row))
            return false;
    }
    return true;
}

/* Who carries the bulk of the one carries much of the other, too: shares follow a move late. */
static bool main_is_in(const struct ingress_map *m, const struct range *r,
                       const struct profile *other)
{
    return r->main == NONE || share_at(other, m->nodes[r->main].place) > 0;
}

static bool are_alike(struct ingress_map *m, uint32_t a, uint32_t b, const struct prefix *p)
{
    range_share(m, a);
    range_share(m, b);
    struct profile x = profile_of(m, &m->ranges[a]), y = profile_of(m, &m->ranges[b]);
    bool is_near = distance(&x, &y) <= JOIN_DISTANCE && main_is_in(m, &m->ranges[a], &y) &&
                   main_is_in(m, &m->ranges[b], &x);
    if (!is_near && !goes_with(m, a, b) && !goes_with(m, b, a))
        return false;
    return rows_may(m, a, b, p) && rows_may(m, b, a, p);
}

static bool has_room(const struct ingress_map *m, uint32_t rows)
{
    return pool_has(&m->node_pool, rows) && pool_has(&m->range_pool, 1);
}

/* ---- join ---- */

static unsigned leaf_length(const struct range *r)
{
    return r->is_joined ? r->leaf_length : r->prefix.length;
}

static double span(const struct range *r, unsigned length)
{
    return ldexp(1, (int)leaf_length(r) - (int)length);
}

/* The one range in that half; NONE: none, or several. */
static uint32_t only_in(const struct ingress_map *m, const struct prefix *half, uint32_t at)
{
    const struct lpm_node *node = &m->trie.nodes[at];
    bool is_alone = node->length == half->length || (node->child[0] == 0 && node->child[1] == 0);
    return is_alone ? node->value : NONE;
}

/* The nearest range beside p: *around is the prefix that both are the halves of. NONE if there is
 * none, or not one. */
static uint32_t neighbour(const struct ingress_map *m, const struct prefix *p, unsigned shortest,
                          struct prefix *around)
{
    for (unsigned length = p->length; length > shortest; length--) {
        struct prefix half = prefix_of(&p->addr, length);
        half.addr.bytes[(length - 1) / 8] ^= (uint8_t)(0x80 >> (length - 1) % 8);
        *around = prefix_of(&p->addr, length - 1);
        uint32_t at = lpm_below(&m->trie, &half);
        if (at != LPM_NONE)
            return only_in(m, &half, at);
        if (range_find(m, around) != NONE)
            return NONE;
    }
    return NONE;
}

/* Shares mean little at first. */
static bool is_settled(const struct ingress_map *m, const struct range *r)
{
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        if (m->now - m->nodes[i].row.first_seen >= (int64_t)m->conf.join_after_ns)
            return true;
    return false;
}

static bool may_join(const struct ingress_map *m, const struct range *a, uint32_t other,
                     unsigned length)
{
    if (other == NONE)
        return false;
    const struct range *b = &m->ranges[other];
    uint64_t leaves = (uint64_t)a->leaves + b->leaves;
    return b->leaves > 0 && !b->is_gathered && is_settled(m, b) &&
           leaf_length(a) == leaf_length(b) && leaves <= RANGE_LEAVES &&
           (double)leaves * 2 >= span(a, length) && has_room(m, a->rows + b->rows);
}

/* The nearest range around p with leaves of that length; NONE. */
static uint32_t joined_above(const struct ingress_map *m, const struct prefix *p, unsigned length)
{
    uint32_t r = range_above(m, p);
    while (r != NONE && !(m->ranges[r].is_joined && m->ranges[r].leaf_length == length))
        r = range_above(m, &m->ranges[r].prefix);
    return r;
}

static struct prefix leaf_number(const struct prefix *p, unsigned length, uint64_t n)
{
    struct prefix leaf = {.addr = p->addr, .length = (uint8_t)length};
    for (unsigned bit = length; n > 0; n >>= 1) {
        bit--;
        leaf.addr.bytes[bit / 8] |= (uint8_t)((n & 1) << (7 - bit % 8));
    }
    return leaf;
}

/* Would a range of prefix p hide leaves that the range around it has? A lone leaf is a range by
 * itself. p is not larger than twice the leaves that are to join, so this is bounded, too. */
static bool hides(const struct ingress_map *m, const struct prefix *p, unsigned length)
{
    uint32_t above = joined_above(m, p, length);
    if (above == NONE)
        return false;
    for (uint64_t n = 0; n < UINT64_C(1) << (length - p->length); n++) {
        struct prefix leaf = leaf_number(p, length, n);
        uint32_t id = leaf_find(m, &leaf);
        if (id != NONE && m->leaves[id].range == above)
            return true;
    }
    return false;
}

static bool join_neighbour(struct ingress_map *m, uint32_t range)
{
    struct range *a = &m->ranges[range];
    unsigned shortest = a->prefix.addr.family == ADDR_V4 ? SHORTEST_V4 : SHORTEST_V6;
    struct prefix p, was = a->prefix;
    uint32_t other = neighbour(m, &a->prefix, shortest, &p), joined;
    if (!may_join(m, a, other, p.length) || hides(m, &p, leaf_length(a)) ||
        range_find(m, &p) != NONE || !are_alike(m, range, other, &p))
        return false;
    uint8_t length = (uint8_t)leaf_length(a);
    if (range_make(m, &p, &joined) < 0)
        return false;
    m->ranges[joined].is_joined = true;
    m->ranges[joined].leaf_length = length;
    bool is_heavier = weight_of(m, a, m->now) >= weight_of(m, &m->ranges[other], m->now);
    range_into(m, joined, is_heavier ? range : other);
    range_into(m, joined, is_heavier ? other : range);
    range_settle(m, joined);
    m->counts.joins++;
    change_range(m, CHANGE_JOINED, &p, &was, m->now);
    return true;
}

/* Back into the range around it, when it is like that again. */
static bool join_above(struct ingress_map *m, uint32_t range)
{
    struct range *a = &m->ranges[range];
    uint32_t above = range_above(m, &a->prefix);
    if (above == NONE)
        return false;
    struct range *b = &m->ranges[above];
    struct prefix p = b->prefix, was = a->prefix;
    if (!b->is_joined || b->is_gathered || b->leaf_length != leaf_length(a) || b->leaves == 0 ||
        a->leaves + b->leaves > RANGE_LEAVES || !has_room(m, a->rows) ||
        !are_alike(m, range, above, &p))
        return false;
    range_into(m, above, range);
    range_settle(m, above);
    m->counts.joins++;
    change_range(m, CHANGE_JOINED, &p, &was, m->now);
    return true;
}

/* ---- gather what only trickles, when there is a crowd ---- */

static bool is_crowded(const struct ingress_map *m)
{
    return m->counts.rows > m->conf.crowd;
}

static struct prefix gather_prefix(const struct prefix *p)
{
    return prefix_of(&p->addr, 0);
}

/* Nobody knows or wants to know anything of its own of it. */
static bool is_plain(const struct ingress_map *m, const struct range *r)
{
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        const struct node *n = &m->nodes[i];
        if (n->pins != 0 || n->row.tests > 0 || n->row.state != STATE_UNVERIFIED ||
            n->row.expected != EXPECTED_UNKNOWN)
            return false;
    }
    return true;
}

/* The range that gathers leaves of that length; NONE: its prefix is taken, or there is no room. */
static uint32_t gathering(struct ingress_map *m, const struct prefix *leaf, uint32_t rows)
{
    struct prefix p = gather_prefix(leaf);
    uint32_t into = range_find(m, &p);
    if (into == NONE && has_room(m, rows) && range_make(m, &p, &into) == 0) {
        m->ranges[into].is_joined = m->ranges[into].is_gathered = true;
        m->ranges[into].leaf_length = leaf->length;
    }
    if (into == NONE || !m->ranges[into].is_gathered ||
        m->ranges[into].leaf_length != leaf->length || !has_room(m, rows))
        return NONE;
    return into;
}

static bool gather(struct ingress_map *m, uint32_t range)
{
    struct range *r = &m->ranges[range];
    unsigned shortest = gather_prefix(&r->prefix).length;
    if (!is_crowded(m) || r->is_joined || r->leaves != 1 || r->prefix.length <= shortest ||
        !is_plain(m, r) || weight_of(m, r, m->now) >= (double)m->conf.trickle / ENOUGH)
        return false;
    uint32_t leaf = r->leaf, above = joined_above(m, &r->prefix, r->prefix.length);
    if (above != NONE && !m->ranges[above].is_gathered)
        return false;
    uint32_t into = gathering(m, &r->prefix, r->rows);
    if (into == NONE)
        return false;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        change_left(m, &m->nodes[i], m->now);
    range_leave(m, leaf);
    range_adopt(m, into, leaf);
    for (uint32_t c = m->leaves[leaf].cell; c != NONE; c = m->cells[c].next) {
        bool is_new;
        struct node *n = row_get(m, into, m->cells[c].place, m->cells[c].first_seen, &is_new);
        if (is_new)
            expect_of(m, &n->row);
        row_add(m, n, &m->cells[c]);
        row_counted(m, n);
    }
    range_free(m, range);
    if (m->ranges[into].rows <= EAGER_ROWS)
        range_share(m, into);
    m->counts.gathered++;
    return true;
}

/* ---- split ---- */

/* A leaf goes to range `to`, with what its rows say. */
static void carve_leaf(struct ingress_map *m, uint32_t from, uint32_t to, uint32_t leaf)
{
    range_leave(m, leaf);
    range_adopt(m, to, leaf);
    for (uint32_t c = m->leaves[leaf].cell; c != NONE; c = m->cells[c].next) {
        bool is_new;
        struct node *n = row_get(m, to, m->cells[c].place, m->cells[c].first_seen, &is_new);
        struct node *was = row_find(m, from, m->cells[c].place);
        if (is_new && n != NULL && was != NULL)
            row_inherit(m, n, was);
        if (was != NULL)
            row_sub(m, was, &m->cells[c]);
    }
}

/* All leaves that p covers. One that is p itself is found at once. */
static void carve_leaves(struct ingress_map *m, uint32_t from, uint32_t to, const struct prefix *p)
{
    uint32_t own = leaf_find(m, p);
    if (own != NONE && m->leaves[own].range == from) {
        carve_leaf(m, from, to, own);
        return;
    }
    for (uint32_t l = m->ranges[from].leaf, next; l != NONE; l = next) {
        next = m->leaves[l].next;
        if (prefix_covers(p, &m->leaves[l].prefix))
            carve_leaf(m, from, to, l);
    }
}

/* What a range's last leaf took along leaves nothing behind. */
static void drop_empty(struct ingress_map *m, uint32_t from, uint32_t to)
{
    for (uint32_t i = m->ranges[from].row, next; i != NONE; i = next) {
        struct node *n = &m->nodes[i];
        next = n->next;
        if (n->cells == 0 && n->pins == 0 && row_find(m, to, n->place) != NULL)
            row_gone(m, n);
    }
    if (m->ranges[from].row == NONE && m->ranges[from].leaf == NONE)
        range_free(m, from);
}

static int carve_out(struct ingress_map *m, uint32_t from, const struct prefix *p, uint32_t *out)
{
    struct range *f = &m->ranges[from];
    if (!has_room(m, f->rows))
        return ERR_FULL;
    int err = range_make(m, p, out);
    if (err < 0)
        return err;
    struct range *to = &m->ranges[*out];
    uint32_t main = f->main, place = main == NONE ? NONE : m->nodes[main].place;
    struct prefix was = f->prefix;
    to->is_joined = p->length != f->leaf_length;
    to->leaf_length = f->leaf_length;
    carve_leaves(m, from, *out, p);
    range_settle(m, *out);
    range_share(m, from);
    struct node *bulk = place == NONE ? NULL : row_find(m, *out, place);
    to->main = bulk == NULL ? NONE : bulk->row.id;
    drop_empty(m, from, *out);
    m->counts.splits++;
    change_range(m, CHANGE_SPLIT, p, &was, m->now);
    return 0;
}

static bool is_held(const struct ingress_map *m, uint32_t range)
{
    for (uint32_t i = m->ranges[range].row; i != NONE; i = m->nodes[i].next)
        if (m->nodes[i].pins != 0)
            return true;
    return false;
}

static bool has_leaf_in(const struct ingress_map *m, uint32_t range, const struct prefix *p)
{
    uint32_t own = leaf_find(m, p);
    if (own != NONE || m->ranges[range].is_gathered) /* of a crowd only leaves are asked for */
        return own != NONE && m->leaves[own].range == range;
    for (uint32_t l = m->ranges[range].leaf; l != NONE; l = m->leaves[l].next)
        if (prefix_covers(p, &m->leaves[l].prefix))
            return true;
    return false;
}

int range_carve(struct ingress_map *m, const struct prefix *p, uint32_t *range)
{
    *range = range_find(m, p);
    if (*range != NONE)
        return 0;
    uint32_t above = range_above(m, p);
    while (above != NONE && !m->ranges[above].is_joined)
        above = range_above(m, &m->ranges[above].prefix);
    if (above != NONE && !is_held(m, above) && m->ranges[above].leaf_length >= p->length &&
        has_leaf_in(m, above, p))
        return carve_out(m, above, p, range);
    return range_make(m, p, range);
}

/* One with few of its leaves is no home for new ones. */
static bool is_home(const struct ingress_map *m, const struct range *r)
{
    if (r->is_gathered)
        return is_crowded(m);
    return r->leaves > 0 && (double)r->leaves * 4 >= span(r, r->prefix.length) &&
           r->leaves < RANGE_LEAVES;
}

int range_for_leaf(struct ingress_map *m, const struct prefix *p, uint32_t *range)
{
    *range = range_find(m, p);
    if (*range != NONE)
        return 0;
    uint32_t r = joined_above(m, p, p->length);
    if (is_crowded(m) && p->length > 0 && r == NONE) /* before it costs a row of its own */
        r = gathering(m, p, 1);
    if (r != NONE && is_home(m, &m->ranges[r])) {
        *range = r;
        return 0;
    }
    return range_make(m, p, range);
}

/* What counts of a leaf's bytes, in the last while and at all; how many places. */
struct leaf_paces {
    unsigned n;
    const struct weighed *recent, *weight;
    double recent_sum, weight_sum;
    bool is_blank; /* of recent traffic nothing stands out */
};

static struct leaf_paces leaf_paces(const struct ingress_map *m, uint32_t leaf, int64_t now)
{
    struct leaf_paces p = {.weight = m->weighed[0], .recent = m->weighed[1]};
    for (uint32_t c = m->leaves[leaf].cell; c != NONE; c = m->cells[c].next, p.n++) {
        const struct cell *x = &m->cells[c];
        const struct node *n = row_find(m, m->leaves[leaf].range, x->place);
        double unit = unit_of(x->bytes, x->packets);
        m->weighed[0][p.n] = weigh(n, x->place, x->weight * decay(m, x->last_seen, now), unit);
        m->weighed[1][p.n] =
            weigh(n, x->place, x->recent * decay_recent(m, x->last_seen, now), unit);
    }
    noise_take(m, m->weighed[0], p.n);
    p.is_blank = !noise_take(m, m->weighed[1], p.n);
    for (unsigned i = 0; i < p.n; i++) {
        p.weight_sum += p.weight[i].genuine;
        p.recent_sum += p.recent[i].genuine;
    }
    return p;
}

static double genuine_at(const struct weighed *w, unsigned n, uint32_t place)
{
    for (unsigned i = 0; i < n; i++)
        if (w[i].place == place)
            return w[i].genuine;
    return 0;
}

static double leaf_weight(const struct ingress_map *m, uint32_t leaf, int64_t now)
{
    double weight = 0;
    for (uint32_t c = m->leaves[leaf].cell; c != NONE; c = m->cells[c].next)
        weight += m->cells[c].weight * decay(m, m->cells[c].last_seen, now);
    return weight;
}

/* Of the range without that leaf: how much of its recent traffic enters at that place? */
static double others_share(const struct ingress_map *m, uint32_t leaf, uint32_t place, int64_t now,
                           double leaf_there, double leaf_all)
{
    const struct range *r = &m->ranges[m->leaves[leaf].range];
    struct weighed *w = m->weighed[0];
    unsigned n = weigh_range(m, r, now, true, w);
    noise_take(m, w, n);
    double all = -leaf_all, there = genuine_at(w, n, place) - leaf_there;
    for (unsigned i = 0; i < n; i++)
        all += w[i].genuine;
    return all > 0 ? there / all : 0;
}

static bool enters_elsewhere(struct ingress_map *m, uint32_t leaf, uint32_t place, int64_t now)
{
    const struct range *r = &m->ranges[m->leaves[leaf].range];
    if (r->is_gathered)
        return leaf_weight(m, leaf, now) >= (double)m->conf.trickle / 2;
    const struct cell *c = cell_find(m, leaf, place); /* most that come only trickle */
    if (c == NULL ||
        c->recent * decay_recent(m, c->last_seen, now) < (double)m->conf.trickle / ENOUGH)
        return false;
    struct leaf_paces p = leaf_paces(m, leaf, now);
    double slow =
        (double)(m->conf.half_life_ns > 0 ? m->conf.half_life_ns : 60 * m->conf.recent_ns);
    double usual = p.weight_sum * (double)m->conf.recent_ns / slow;
    double there = genuine_at(p.recent, p.n, place);
    if (p.is_blank || there < (double)m->conf.trickle / ENOUGH || there < p.recent_sum * BULK ||
        there < usual * TAKES_OVER)
        return false;
    return others_share(m, leaf, place, now, there, p.recent_sum) < JOIN_DISTANCE;
}

bool range_parts(struct ingress_map *m, uint32_t leaf, uint32_t place, int64_t now)
{
    uint32_t range = m->leaves[leaf].range, own;
    struct range *r = &m->ranges[range];
    bool is_main = r->main != NONE && m->nodes[r->main].place == place;
    if (!r->is_joined || r->leaves < 2 || (is_main && !r->is_gathered) || m->conf.is_rigid ||
        !enters_elsewhere(m, leaf, place, now) || is_held(m, range))
        return false;
    struct prefix p = m->leaves[leaf].prefix;
    return range_find(m, &p) == NONE && carve_out(m, range, &p, &own) == 0;
}

/* ---- halves ---- */

static bool is_upper(const struct range *r, const struct prefix *leaf)
{
    return leaf->addr.bytes[r->prefix.length / 8] >> (7 - r->prefix.length % 8) & 1;
}

/* What counts of a half stays; its sum, 0 when nothing stands out. */
static double half_counts(struct ingress_map *m, const struct range *r, int side)
{
    struct weighed *w = m->weighed[0];
    unsigned n = 0;
    double sum = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        const struct node *x = &m->nodes[i];
        w[n++] = weigh(x, x->place, x->half[side], unit_of(x->row.bytes, x->row.packets));
    }
    bool is_blank = !noise_take(m, w, n);
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        m->nodes[i].half[side] = w->genuine;
        sum += w++->genuine;
    }
    return is_blank ? 0 : sum;
}

/* Genuine bytes of each half, place by place; how many leaves are in the upper one. */
static uint32_t halves(struct ingress_map *m, struct range *r, double total[static 2])
{
    uint32_t upper = 0;
    total[0] = total[1] = 0;
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        m->nodes[i].half[0] = m->nodes[i].half[1] = 0;
    for (uint32_t l = r->leaf; l != NONE; l = m->leaves[l].next) {
        unsigned side = is_upper(r, &m->leaves[l].prefix);
        upper += side;
        for (uint32_t c = m->leaves[l].cell; c != NONE; c = m->cells[c].next) {
            struct node *n = row_find(m, m->leaves[l].range, m->cells[c].place);
            if (n == NULL)
                continue;
            n->half[side] += m->cells[c].weight * decay(m, m->cells[c].last_seen, m->now);
        }
    }
    for (int side = 0; side < 2; side++)
        total[side] = half_counts(m, r, side);
    return upper;
}

static double halves_distance(const struct ingress_map *m, const struct range *r,
                              const double total[static 2])
{
    double d = 0, most[2] = {0, 0};
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next)
        for (int side = 0; side < 2; side++)
            most[side] = fmax(most[side], m->nodes[i].half[side] / total[side]);
    for (uint32_t i = r->row; i != NONE; i = m->nodes[i].next) {
        double a = m->nodes[i].half[0] / total[0], b = m->nodes[i].half[1] / total[1];
        a = a >= fmax(PROFILE_FLOOR, most[0] * PROFILE_PART) ? a : 0;
        b = b >= fmax(PROFILE_FLOOR, most[1] * PROFILE_PART) ? b : 0;
        d += fabs(a - b) / 2;
    }
    return d;
}

/* Its leaves are all in one half: it becomes that half. */
static void tighten(struct ingress_map *m, uint32_t range, const struct prefix *half)
{
    uint32_t into;
    uint8_t length = m->ranges[range].leaf_length;
    if (!has_room(m, m->ranges[range].rows) || range_find(m, half) != NONE ||
        range_make(m, half, &into) < 0)
        return;
    m->ranges[into].leaf_length = length;
    m->ranges[into].is_joined = length != half->length;
    range_into(m, into, range);
    range_settle(m, into);
}

static bool split_halves(struct ingress_map *m, uint32_t range)
{
    struct range *r = &m->ranges[range];
    if (!r->is_joined || r->is_gathered || r->leaf_length <= r->prefix.length)
        return false;
    if (m->now - r->halved_at < (int64_t)m->conf.recent_ns / 4) /* it looks at every cell */
        return false;
    r->halved_at = m->now;
    double total[2];
    uint32_t upper = halves(m, r, total), own;
    struct prefix half = prefix_of(&r->prefix.addr, r->prefix.length + 1u);
    if (upper == r->leaves)
        half.addr.bytes[r->prefix.length / 8] |= (uint8_t)(0x80 >> r->prefix.length % 8);
    if (upper == r->leaves || upper == 0) {
        tighten(m, range, &half);
        return true;
    }
    double enough = (double)m->conf.trickle;
    if (total[0] < enough || total[1] < enough || halves_distance(m, r, total) < SPLIT_DISTANCE ||
        range_find(m, &half) != NONE)
        return false;
    carve_out(m, range, &half, &own);
    return true;
}

bool range_adapt(struct ingress_map *m, uint32_t range)
{
    const struct range *r = &m->ranges[range];
    if (m->conf.is_rigid || r->leaves == 0 || r->is_gathered || is_held(m, range))
        return false;
    if (split_halves(m, range))
        return true;
    if (!is_settled(m, r))
        return false;
    return join_above(m, range) || join_neighbour(m, range) || gather(m, range);
}
