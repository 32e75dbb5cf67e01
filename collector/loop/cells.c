#include "collector/loop/cells.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "shared/base/clock.h"
#include "shared/base/hash.h"
#include "shared/base/log.h"

#define KEY_WORDS 17

/* ---- at a start: in which turn was each cell written? ---- */

/* Cells are found by a keyed hash of 64 bits, not by their name: that two of some million share one
 * is less likely than a memory that errs. */
struct mark {
    uint64_t name; /* 0: free */
    uint64_t turn;
};

struct loading {
    struct cells *cells;
    struct ingress_map *map;
    int64_t now;
    uint64_t first_turn, last_turn;
    struct hash_key key;
    struct mark *marks;
    uint64_t mask, used;
};

static unsigned char *put(unsigned char *at, const void *data, size_t len)
{
    memcpy(at, data, len);
    return at + len;
}

static unsigned char *put_text(unsigned char *at, const char *text)
{
    memcpy(at, text, strnlen(text, 31));
    return at + 32;
}

static uint64_t name_of(const struct loading *l, const struct prefix *prefix, const char *pop,
                        const struct ingress *in)
{
    unsigned char bytes[KEY_WORDS * 8] = {0}, *at = bytes;
    uint64_t words[KEY_WORDS];
    at = put(at, prefix->addr.bytes, 16);
    *at++ = prefix->addr.family;
    *at++ = prefix->length;
    at = put_text(at, pop);
    at = put_text(at, in->router);
    at = put_text(at, in->interface);
    at = put(at, &in->vlan, 8);
    at = put(at, in->mac, 6);
    put(at, &in->peer_as, 8);
    memcpy(words, bytes, sizeof words);
    return hash_words(l->key, words, KEY_WORDS) | 1;
}

static struct mark *mark_find(const struct loading *l, uint64_t name)
{
    uint64_t i = (name >> 1) & l->mask;
    while (l->marks[i].name != 0 && l->marks[i].name != name)
        i = (i + 1) & l->mask;
    return &l->marks[i];
}

static int marks_resize(struct loading *l, uint64_t room)
{
    struct mark *old = l->marks;
    uint64_t old_room = old != NULL ? l->mask + 1 : 0;
    l->marks = calloc(room, sizeof *l->marks);
    if (l->marks == NULL) {
        l->marks = old;
        return -ENOMEM;
    }
    l->mask = room - 1;
    for (uint64_t i = 0; i < old_room; i++)
        if (old[i].name != 0)
            *mark_find(l, old[i].name) = old[i];
    free(old);
    return 0;
}

static int load_cell(void *arg, const struct ingress_cell *cell, uint64_t turn)
{
    struct loading *l = arg;
    int err = ingress_map_load_cell(l->map, cell);
    if (err < 0 || turn <= l->first_turn) /* no older tally is asked for */
        return err;
    if (turn > l->last_turn)
        l->last_turn = turn;
    if (2 * (l->used + 1) > l->mask + 1)
        err = marks_resize(l, 2 * (l->mask + 1));
    if (err < 0)
        return err;
    uint64_t name = name_of(l, &cell->prefix, cell->pop, &cell->at);
    struct mark *mark = mark_find(l, name);
    l->used += mark->name == 0;
    *mark = (struct mark){.name = name, .turn = turn};
    return 0;
}

static bool is_in_its_cell(const struct loading *l, const char *pop, const struct event_tally *t,
                           uint64_t turn)
{
    if (turn > l->last_turn)
        return false;
    const struct mark *mark = mark_find(l, name_of(l, &t->prefix, pop, &t->ingress));
    return mark->name != 0 && turn <= mark->turn;
}

static int load_tally(void *arg, const char *pop, const struct event_tally *t, uint64_t turn)
{
    struct loading *l = arg;
    struct event_tally back = *t;
    cells_tally(l->cells);
    if (is_in_its_cell(l, pop, t, turn))
        return 0;
    if (back.started_at > l->now)
        back.started_at = l->now;
    if (back.ended_at > l->now)
        back.ended_at = l->now;
    int err = ingress_map_replay(l->map, pop, &back);
    if (err != ERR_FULL)
        return err;
    l->cells->refused++; /* as when it came */
    return 0;
}

static int load_all(struct loading *l, struct store *s, struct note *note)
{
    struct store_generation from;
    int err = store_load_generation(s, &from, note);
    l->first_turn = l->last_turn = from.first_turn;
    l->cells->began_at = from.began_at;
    if (err == 0)
        err = marks_resize(l, 1024);
    if (err == 0)
        err = store_load_cells(s, &from, load_cell, l, note);
    if (err == ERR_FULL)
        return note_set(note, ERR_CONF,
                        "map.max_rows: the database has more counters than it allows; make it"
                        " larger");
    if (err == 0)
        err = store_load_tallies(s, from.first_turn, load_tally, l, note);
    return err;
}

int cells_load(struct cells *c, struct ingress_map *m, struct store *s, uint64_t seed, int64_t now,
               struct note *note)
{
    *c = (struct cells){.looked_at = now};
    struct prf prf = prf_init(seed, 2);
    struct loading l = {.cells = c, .map = m, .now = now};
    l.key = (struct hash_key){prf_next(&prf), prf_next(&prf)};
    uint64_t began = clock_mono_ns();
    int err = load_all(&l, s, note);
    free(l.marks);
    if (err == 0)
        err = ingress_map_load_end(m);
    if (err == ERR_FULL)
        err = note_set(note, ERR_CONF, "map.max_rows: the database has more rows than that");
    if (err == -ENOMEM)
        note_set(note, err, "no memory for the map's counters (map.max_rows)");
    c->due = 0;
    if (err == 0)
        log_info("event=map_loaded cells=%" PRIu32 " tallies=%" PRIu64 " ms=%" PRIu64,
                 ingress_map_counts(m).cells, c->tallies, (clock_mono_ns() - began) / NS_PER_MS);
    return err;
}

/* ---- a slice ---- */

/* A clock that was set back must not stop it. */
static bool is_over(int64_t since, int64_t now, int64_t span)
{
    return now < since || now - since >= span;
}

bool cells_want(const struct cells *c, const struct ingress_map *m, int64_t now)
{
    bool is_second_over = is_over(c->looked_at, now, NS_PER_S);
    if (c->is_under_way)
        return is_second_over || c->due >= 2 * CELLS_LEAST;
    if (!is_second_over || c->tallies == 0)
        return false;
    uint64_t enough = 2 * (uint64_t)ingress_map_counts(m).cells;
    if (enough < CELLS_TALLIES)
        enough = CELLS_TALLIES;
    return c->tallies >= enough || is_over(c->began_at, now, CELLS_NS);
}

struct slice {
    struct store *store;
    struct note *note;
    uint64_t written;
    int err;
};

static void write_cell(void *arg, const struct ingress_cell *cell)
{
    struct slice *slice = arg;
    if (slice->err == 0)
        slice->err = store_put_cell(slice->store, cell, slice->note);
    slice->written++;
}

static int begin(struct cells *c, struct store *s, int64_t now, struct note *note)
{
    bool is_begun = false;
    int err = store_cells_begin(s, &is_begun, note);
    if (err < 0 || !is_begun)
        return err;
    *c = (struct cells){.is_under_way = true, .began_at = now, .looked_at = now};
    return 0;
}

int cells_write(struct cells *c, const struct ingress_map *m, struct store *s, int64_t now,
                struct note *note)
{
    struct slice slice = {.store = s, .note = note};
    c->looked_at = now;
    int err = c->is_under_way ? 0 : begin(c, s, now, note);
    if (err < 0 || !c->is_under_way)
        return err;
    uint64_t most = c->due / 2;
    most = most < CELLS_LEAST ? CELLS_LEAST : most > CELLS_MOST ? CELLS_MOST : most;
    bool is_left = true;
    while (is_left && slice.err == 0 && slice.written < most)
        is_left = ingress_map_cell_next(m, &c->cursor, write_cell, &slice);
    c->written += slice.written;
    c->due = 0;
    if (slice.err < 0 || is_left)
        return slice.err;
    c->is_under_way = false;
    log_debug("event=generation_complete cells=%" PRIu64, c->written);
    return store_cells_end(s, c->written, note);
}
