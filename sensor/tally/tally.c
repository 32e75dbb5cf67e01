#include "sensor/tally/tally.h"

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/hash.h"

#define FLOW_BITS (64 * TALLY_FLOW_WORDS)

struct cell {
    struct prefix src;
    uint16_t ingress;
    uint32_t slot; /* that points here */
    uint64_t packets, bytes;
    uint64_t flow_bits[TALLY_FLOW_WORDS];
};

/* Cells stand densely in the order in which they came, so that taking them needs no search; slots
 * (open addressing, at most half full) find them. */
struct table {
    struct cell *cells;
    uint32_t *slots; /* index of the cell + 1; 0: free */
    uint32_t used, taken;
    uint64_t start, end; /* end: set when the interval is over */
};

/* Two tables: one counts, the other is being taken. So taking never stands in a packet's way. */
struct tally {
    const struct tally_conf *conf;
    const struct ingress_table *ingress;
    struct hash_key cell_key, flow_key;
    uint32_t slot_mask;
    struct table table[2];
    struct table *counting, *leaving;
    uint64_t due;      /* the running interval is over at */
    bool is_running;   /* the first packet or tick came */
    bool is_held;      /* over, but the last interval is not yet taken */
    uint64_t last_end; /* tally_finish found the last interval not yet taken; 0: not so */
    uint64_t overflow;
};

static int table_init(struct table *t, uint32_t cells, uint32_t slots)
{
    t->cells = calloc(cells, sizeof *t->cells);
    t->slots = calloc(slots, sizeof *t->slots);
    return t->cells != NULL && t->slots != NULL ? 0 : -ENOMEM;
}

int tally_new(const struct tally_conf *conf, const struct ingress_table *ingress, uint64_t seed,
              struct tally **out)
{
    struct tally *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    t->conf = conf;
    t->ingress = ingress;
    struct prf prf = prf_init(seed, 0x74616c6c79);
    t->cell_key = (struct hash_key){prf_next(&prf), prf_next(&prf)};
    t->flow_key = (struct hash_key){prf_next(&prf), prf_next(&prf)};
    uint32_t slots = 2;
    while (slots < 2 * conf->max_cells)
        slots *= 2;
    t->slot_mask = slots - 1;
    t->counting = &t->table[0];
    t->leaving = &t->table[1];
    if (table_init(t->counting, conf->max_cells, slots) != 0 ||
        table_init(t->leaving, conf->max_cells, slots) != 0) {
        tally_free(t);
        return -ENOMEM;
    }
    *out = t;
    return 0;
}

void tally_free(struct tally *t)
{
    if (t == NULL)
        return;
    for (unsigned i = 0; i < 2; i++) {
        free(t->table[i].cells);
        free(t->table[i].slots);
    }
    free(t);
}

static uint64_t hash_of(struct hash_key key, const struct prefix *src, uint16_t ingress)
{
    uint64_t words[3];
    memcpy(words, src->addr.bytes, 16);
    words[2] = (uint64_t)src->addr.family << 32 | (uint64_t)src->length << 16 | ingress;
    return hash_words(key, words, 3);
}

/* The cell of (src, ingress) in the table that counts, made if it is new; NULL when all are used.
 */
static struct cell *cell_of(struct tally *t, const struct prefix *src, uint16_t ingress)
{
    struct table *c = t->counting;
    uint32_t slot = (uint32_t)hash_of(t->cell_key, src, ingress) & t->slot_mask;
    for (; c->slots[slot] != 0; slot = (slot + 1) & t->slot_mask) {
        struct cell *cell = &c->cells[c->slots[slot] - 1];
        if (cell->ingress == ingress && prefix_equal(&cell->src, src))
            return cell;
    }
    if (c->used == t->conf->max_cells)
        return NULL;
    struct cell *cell = &c->cells[c->used++];
    c->slots[slot] = c->used;
    *cell = (struct cell){.src = *src, .ingress = ingress, .slot = slot};
    return cell;
}

static bool is_all_taken(const struct table *t)
{
    return t->taken == t->used;
}

/* The running interval ends and its cells can be taken; false while older ones are not. */
static bool swap(struct tally *t, uint64_t end)
{
    if (!is_all_taken(t->leaving))
        return false;
    struct table *fresh = t->leaving;
    fresh->used = fresh->taken = 0;
    t->leaving = t->counting;
    t->leaving->end = end;
    t->counting = fresh;
    fresh->start = end;
    t->is_held = false;
    return true;
}

static uint64_t last_boundary(const struct tally *t, uint64_t now)
{
    return now - (now - t->counting->start) % t->conf->interval_ns;
}

/* Time passed the end of the interval. If it was held back, it ends at the last boundary before
 * now, for it counted all that time; else where it was due, and intervals in which no packet came
 * have no cells to tell. */
static void roll(struct tally *t, uint64_t now)
{
    if (!swap(t, t->is_held ? last_boundary(t, now) : t->due)) {
        t->is_held = true;
        return;
    }
    t->counting->start = last_boundary(t, now);
    t->due = t->counting->start + t->conf->interval_ns;
}

void tally_tick(struct tally *t, uint64_t now_ns)
{
    if (!t->is_running) {
        t->is_running = true;
        t->counting->start = now_ns;
        t->due = now_ns + t->conf->interval_ns;
    } else if (now_ns >= t->due) {
        roll(t, now_ns);
    }
}

static void mark_flow(struct tally *t, struct cell *cell, const struct packet *p)
{
    uint64_t words[5];
    memcpy(words, p->src.bytes, 16);
    memcpy(words + 2, p->dst.bytes, 16);
    words[4] = (uint64_t)p->src_port << 48 | (uint64_t)p->dst_port << 32 |
               (uint64_t)p->protocol << 8 | p->src.family;
    unsigned bit = (unsigned)(hash_words(t->flow_key, words, 5) % FLOW_BITS);
    cell->flow_bits[bit / 64] |= UINT64_C(1) << bit % 64;
}

void tally_packet(struct tally *t, const struct packet *packet, uint64_t now_ns)
{
    tally_tick(t, now_ns);
    unsigned length = packet->src.family == ADDR_V4 ? t->conf->v4_length : t->conf->v6_length;
    struct prefix src = prefix_of(&packet->src, length);
    struct cell *cell = cell_of(t, &src, packet->ingress);
    if (cell == NULL) {
        t->overflow++;
        return;
    }
    cell->packets++;
    cell->bytes += packet->frame_len;
    mark_flow(t, cell, packet);
}

void tally_add(struct tally *t, const struct prefix *src, uint16_t ingress, uint64_t packets,
               uint64_t bytes, const uint64_t flow_bits[static TALLY_FLOW_WORDS], uint64_t now_ns)
{
    tally_tick(t, now_ns);
    if (packets == 0)
        return;
    struct cell *cell = cell_of(t, src, ingress);
    if (cell == NULL) {
        t->overflow += packets;
        return;
    }
    cell->packets += packets;
    cell->bytes += bytes;
    for (unsigned i = 0; i < TALLY_FLOW_WORDS; i++)
        cell->flow_bits[i] |= flow_bits[i];
}

void tally_finish(struct tally *t, uint64_t now_ns)
{
    if (!t->is_running)
        return;
    tally_tick(t, now_ns);
    uint64_t end = now_ns > t->counting->start ? now_ns : t->counting->start;
    t->is_running = false;
    if (!swap(t, end))
        t->last_end = end;
}

static void tell(const struct tally *t, const struct cell *cell, struct event *out)
{
    memset(out, 0, sizeof *out);
    out->type = EVENT_tally;
    out->at = (int64_t)t->leaving->end;
    out->tally.started_at = (int64_t)t->leaving->start;
    out->tally.ended_at = (int64_t)t->leaving->end;
    out->tally.prefix = cell->src;
    if (cell->ingress < t->ingress->count)
        out->tally.ingress = t->ingress->row[cell->ingress];
    out->tally.packets = cell->packets;
    out->tally.bytes = cell->bytes;
    out->tally.flows = tally_flows(cell->flow_bits);
}

bool tally_take(struct tally *t, struct event *out)
{
    if (is_all_taken(t->leaving) && t->last_end != 0) {
        swap(t, t->last_end);
        t->last_end = 0;
    }
    struct table *l = t->leaving;
    if (is_all_taken(l))
        return false;
    struct cell *cell = &l->cells[l->taken++];
    l->slots[cell->slot] = 0; /* nobody looks up in this table, so its chains may break */
    tell(t, cell, out);
    return true;
}

uint64_t tally_overflow(const struct tally *t)
{
    return t->overflow;
}

uint64_t tally_flows(const uint64_t flow_bits[static TALLY_FLOW_WORDS])
{
    int ones = 0;
    for (unsigned i = 0; i < TALLY_FLOW_WORDS; i++)
        ones += __builtin_popcountll(flow_bits[i]);
    int zeros = FLOW_BITS - ones;
    /* All bits set: the estimate is infinite; say what one free bit would say. */
    if (zeros == 0)
        zeros = 1;
    return (uint64_t)(FLOW_BITS * log((double)FLOW_BITS / zeros));
}
