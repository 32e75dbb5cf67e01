#include "collector/loop/fold_expect.h"

#include <string.h>

struct lists {
    struct expect_list entries, learned;
};

static int load_row(void *arg, const struct expect_row *row)
{
    struct lists *lists = arg;
    return expect_list_take(row->is_learned ? &lists->learned : &lists->entries, row);
}

int fold_expect_load(struct fold *f, struct store *store, struct note *note)
{
    struct lists lists = {0};
    int err = store_load_expectation(store, load_row, &lists, note);
    if (err < 0) {
        expect_list_clear(&lists.entries);
        expect_list_clear(&lists.learned);
        return err;
    }
    expect_list_clear(&f->entries);
    expect_list_clear(&f->learned);
    f->entries = lists.entries;
    f->learned = lists.learned;
    return 0;
}

struct expect fold_expect(const struct fold *f)
{
    struct expect all = *f->expect;
    all.entries = &f->entries;
    all.learned = &f->learned;
    return all;
}

/* ---- a source changed ---- */

struct looking {
    struct fold *f;
    int64_t now;
};

static void judge(void *arg, struct ingress_row *row)
{
    const struct looking *l = arg;
    fold_expect_row(l->f, row, l->now);
}

static void judge_alerted(void *arg, const struct alert_row *alert)
{
    struct looking *l = arg;
    struct ingress_row *row = ingress_map_find(l->f->map, &alert->prefix, alert->pop, &alert->at);
    if (row != NULL)
        judge(l, row);
}

/* From where the last one stands: one that changes again and again comes round all the same. */
void fold_expect_begin(struct fold *f, int64_t now)
{
    struct looking l = {.f = f, .now = now};
    f->is_judging = true;
    f->has_come_round = false;
    f->judge_from = f->judge_cursor;
    alert_each_entry(f->alert, judge_alerted, &l);
}

void fold_expect_start(struct fold *f, int64_t now)
{
    f->is_starting = true;
    fold_expect_begin(f, now);
}

void fold_expect_some(struct fold *f, int64_t now)
{
    struct looking l = {.f = f, .now = now};
    if (!f->is_judging)
        return;
    ingress_map_some(f->map, &f->judge_cursor, f->judge_slice, judge, &l);
    if (f->judge_cursor == 0) {
        f->has_come_round = true;
        f->is_starting = false;
    }
    f->is_judging = !f->has_come_round || f->judge_cursor < f->judge_from;
}

void fold_expect_late(struct fold *f, struct ingress_row *row)
{
    if (!f->is_judging || row->is_gone)
        return;
    struct ingress_row *entry = ingress_map_find(f->map, &row->prefix, row->pop, &row->at);
    if (entry == NULL)
        return;
    struct expect_answer answer = fold_judge(f, entry);
    expect_write(&answer, entry);
    expect_write(&answer, row);
}

/* ---- learning ---- */

static bool is_for_long(const struct fold *f, const struct ingress_row *row, int64_t now)
{
    uint64_t after = f->expect->learn_after_ns;
    return row->state == STATE_GENUINE && row->genuine_since != 0 && now > row->genuine_since &&
           (uint64_t)(now - row->genuine_since) >= after && row->last_seen > row->genuine_since &&
           (uint64_t)(row->last_seen - row->genuine_since) >= after;
}

static void learn(void *arg, struct ingress_row *row)
{
    struct looking *l = arg;
    struct fold *f = l->f;
    if (row->expected != EXPECTED_UNKNOWN || !is_for_long(f, row, l->now))
        return;
    struct expect_answer said = fold_judge(f, row); /* the row may say what was said before */
    if (said.expected != EXPECTED_UNKNOWN || said.rpki == RPKI_INVALID || said.is_uneven ||
        f->learned_new == FOLD_LEARN_MAX)
        return;
    if (f->learned.entry_count >= f->expect->max_learned) {
        f->learned_refused++;
        return;
    }
    struct expect_row learned = {.is_learned = true, .prefix = row->prefix};
    memcpy(learned.place.pop, row->pop, sizeof learned.place.pop);
    memcpy(learned.place.router, row->at.router, sizeof learned.place.router);
    memcpy(learned.place.interface, row->at.interface, sizeof learned.place.interface);
    memcpy(learned.place.mac, row->at.mac, sizeof learned.place.mac);
    learned.place.vlan = row->at.vlan;
    learned.place.peer_as = row->at.peer_as;
    if (expect_list_take(&f->learned, &learned) < 0)
        return;
    f->learned_new++;
    fold_expect_row(f, row, l->now);
}

void fold_expect_tick(struct fold *f, int64_t now)
{
    struct looking l = {.f = f, .now = now};
    if (f->expect->learn_after_ns != 0)
        ingress_map_some(f->map, &f->learn_cursor, FOLD_LEARN_SLICE, learn, &l);
}

/* They stand at the end of the list. */
bool fold_expect_take(struct fold *f, struct expect_row *out)
{
    if (f->learned_new == 0)
        return false;
    const struct expect_entry *e = &f->learned.entries[f->learned.entry_count - f->learned_new--];
    *out = (struct expect_row){
        .is_learned = true, .prefix = e->prefix, .place = f->learned.places[e->first]};
    return true;
}
