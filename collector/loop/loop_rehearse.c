#include "collector/loop/loop_rehearse.h"

#include <inttypes.h>

#include "shared/base/log.h"

/* What is rehearsed: of that batch the events from the n-th on; those before are stored. */
struct part {
    const char *sensor, *pop;
    const struct wire_message *m;
    uint32_t from;
};

static int put_events(struct loop *l, const struct part *p, uint32_t end, struct note *note)
{
    const struct wire_message *m = p->m;
    size_t at = 0;
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < end && at < m->events_len; i++) {
        struct event e;
        size_t used = 0;
        int unread = wire_event_decode(m->events + at, m->events_len - at, &e, &used);
        if (used == 0)
            break; /* what cannot be read is set aside, and so is nothing here */
        at += used;
        if (i < p->from || unread < 0 || fold_why_not(&e) != NULL)
            continue;
        e.epoch = m->epoch;
        e.seq = m->first_seq + i;
        err = store_put_event(l->store, p->sensor, p->pop, &e, note);
    }
    return err;
}

/* Would the database take the events before the end-th? *is_refused, with a note. */
static int ask(struct loop *l, const struct part *p, uint32_t end, bool *is_refused,
               struct note *note)
{
    int err = store_begin(l->store, note);
    if (err < 0)
        return err;
    err = put_events(l, p, end, note);
    if (err == 0)
        err = store_try(l->store, note);
    store_rollback(l->store);
    *is_refused = err == ERR_DATA;
    return *is_refused ? 0 : err;
}

/* The fewest events, from the first on, that are refused: `*count`, the last of them is it. */
static int halve(struct loop *l, const struct part *p, uint32_t *count, struct note *note)
{
    uint32_t taken = p->from, refused = *count;
    while (refused - taken > 1) {
        uint32_t middle = taken + (refused - taken) / 2;
        bool is_refused;
        int err = ask(l, p, middle, &is_refused, note);
        if (err < 0)
            return err;
        *(is_refused ? &refused : &taken) = middle;
    }
    *count = refused;
    return 0;
}

static int rehearse(struct loop *l, const struct part *p, struct doubt *doubt, struct note *note)
{
    struct note why = {0};
    uint32_t count = p->m->count;
    bool is_refused;
    int err = ask(l, p, count, &is_refused, &why);
    if (err == 0 && is_refused)
        err = halve(l, p, &count, &why);
    if (err < 0) {
        *note = why;
        return err;
    }
    if (is_refused)
        doubt_found(doubt, p->m->first_seq + count - 1, why.text);
    else
        doubt_rehearsed(doubt, p->m->first_seq + count - 1);
    log_debug("event=rehearsed sensor=%s first_seq=%" PRIu64 " events=%" PRIu32 " refused=%d",
              p->sensor, p->m->first_seq + p->from, p->m->count - p->from, is_refused);
    return 0;
}

int loop_rehearse(struct loop *l, const char *sensor, const struct wire_message *m,
                  struct doubt *doubt, struct note *note)
{
    const struct sensor_row *row = roster_find(l->fold.roster, sensor);
    struct part p = {.sensor = sensor, .pop = row->pop, .m = m};
    if (row->last_seq >= m->first_seq)
        p.from = (uint32_t)(row->last_seq + 1 - m->first_seq);
    uint64_t first = m->first_seq + p.from;
    int err = 0;
    if (doubt_wants_rehearsal(doubt, first, m->first_seq + m->count - 1))
        err = rehearse(l, &p, doubt, note);
    if (err == 0)
        doubt_choose(doubt, first);
    return err;
}
