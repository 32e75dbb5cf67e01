/* What happens, and which alerts stand or go by it. */
#include <stdio.h>
#include <string.h>

#include "collector/alert/book.h"
#include "collector/alert/spoof.h"

static const struct prefix no_prefix;

/* ---- the map ---- */

static void subject_row(const struct ingress_row *row, struct alert_row *out)
{
    *out = (struct alert_row){.prefix = row->prefix, .at = row->at};
    memcpy(out->pop, row->pop, sizeof out->pop);
}

/* What the map told of this place last, if it still matters: CHANGE_MOVED here, or CHANGE_LEFT. */
static bool was_told(const struct alert *a, const struct ingress_row *row, uint64_t subject,
                     enum ingress_change_kind what)
{
    const struct move *m = move_find(a, subject, &row->prefix, row->pop, &row->at);
    return m != NULL && m->change.kind == what;
}

/* Traffic came long after the proof, and only now the condition holds: so it is the expectation
 * that changed. Routes are withdrawn when traffic leaves, and then its last packets are no matter.
 */
static bool is_old_news(const struct alert *a, const struct ingress_row *row)
{
    return row->genuine_since != 0 &&
           life_is_older(row->last_seen, row->genuine_since, a->conf.hold_down_ns);
}

/* BGP says no, but by a table that was written before the first proof: what was announced since is
 * not in it. */
static bool waits_for_table(const struct alert_case *c, const struct entry *e)
{
    bool is_by_bgp = e->kind == KIND_HIJACK_SUSPECTED ? c->row->rpki != RPKI_INVALID
                                                      : e->kind == KIND_INGRESS_UNEXPECTED &&
                                                            strcmp(c->row->expected_by, "bgp") == 0;
    int64_t written_at = c->answer == NULL ? 0 : c->answer->rib_written_at;
    int64_t since = c->row->genuine_since != 0 ? c->row->genuine_since : e->row.started_at;
    return is_by_bgp && written_at != 0 && written_at <= since;
}

/* The alert of that kind about the row, raised if it is not there; brought up to date. */
static int row_stands(struct alert *a, const struct alert_case *c, enum alert_kind kind,
                      uint64_t subject, int64_t now)
{
    struct alert_row like;
    subject_row(c->row, &like);
    struct entry *e = book_find(a, subject, kind, &like);
    if (e == NULL) {
        /* Old evidence about a place where nothing comes in any more raises nothing; so what
         * silence has resolved is not raised again by looking at it. Nor does the last traffic at a
         * place that the bulk has just left. */
        if (life_is_older(now, c->row->last_seen, a->conf.resolve_after_ns) ||
            was_told(a, c->row, subject, CHANGE_LEFT))
            return 0;
        e = life_raise(a, kind, &like, subject, now);
        if (e == NULL)
            return ERR_FULL;
        e->needs_traffic = is_old_news(a, c->row);
    }
    e->last_seen = c->row->last_seen;
    const struct move *m =
        kind == KIND_INGRESS_MOVED ? move_find(a, subject, &like.prefix, like.pop, &like.at) : NULL;
    if (m != NULL && !m->is_loaded)
        move_text(m, e->moved, sizeof e->moved);
    /* A leak and a hijack may have valid origins and paths, and a move may be as BGP says: those
     * are told. */
    e->is_routed = kind == KIND_INGRESS_UNEXPECTED && alert_is_routed(&a->conf.rules, c->row);
    e->waits_for_table = waits_for_table(c, e);
    describe_tests(a, e);
    if (describe(a, e, &(struct described){.c = c}))
        life_touched(a, e, now);
    life_stands(a, e, now);
    return 0;
}

/* Alerts about the row, of other kinds than the one that holds: they end, or (when this place
 * flaps) stand no more. */
static void others_gone(struct alert *a, const struct ingress_row *row, uint64_t subject,
                        enum alert_kind holds, unsigned nothing_said, int64_t now)
{
    bool is_final = row->is_gone || alert_is_allowed(row);
    for (struct entry *next, *e = book_first(a, subject); e != NULL; e = next) {
        next = book_next(a, e);
        if (e->kind >= KIND_ENTRIES || e->kind == holds || e->subject != subject ||
            !book_is_about(e, &row->prefix, row->pop, &row->at, ""))
            continue;
        e->last_seen = row->last_seen;
        bool may_hold = holds == KIND_NONE && (nothing_said & 1u << e->kind) != 0;
        if (!may_hold || row->is_gone)
            life_gone(a, e, now, is_final);
    }
}

int alert_row_changed(struct alert *a, const struct ingress_row *row,
                      const struct alert_answer *answer, int64_t now)
{
    int err = a->conf.rules.spoofing_rate == 0 ? 0 : spoof_note(a->spoof, row);
    bool may_alarm = row->state == STATE_GENUINE || row->state == STATE_MIXED;
    if (!may_alarm && a->live == 0)
        return err; /* by far the most common */
    uint64_t subject = book_subject(a, &row->prefix, row->pop, &row->at, "");
    struct alert_case c = {.rules = &a->conf.rules, .row = row, .answer = answer};
    unsigned nothing = 0;
    c.is_moved_to = was_told(a, row, subject, CHANGE_MOVED);
    enum alert_kind kind =
        row->is_gone ? KIND_NONE : alert_judge(c.rules, row, answer, c.is_moved_to, &nothing);
    if (a->live > 0)
        others_gone(a, row, subject, kind, nothing, now);
    if (kind == KIND_NONE)
        return err;
    int raised = row_stands(a, &c, kind, subject, now);
    return raised < 0 ? raised : err;
}

/* The bulk left `from`: what moved there before moved on, or back; and what was about to be told of
 * that place is no matter any more. */
static void moved_on(struct alert *a, const struct ingress_change *change, int64_t now)
{
    struct alert_row like = {.prefix = change->prefix, .at = change->from.at};
    memcpy(like.pop, change->from.pop, sizeof like.pop);
    uint64_t subject = book_subject(a, &like.prefix, like.pop, &like.at, "");
    struct ingress_change left = {
        .at = change->at, .kind = CHANGE_LEFT, .prefix = change->prefix, .to = change->from};
    move_add(a, &left, subject, false); /* in place of what was known of it */
    for (unsigned kind = 0; kind < KIND_ENTRIES; kind++) {
        struct entry *e = book_find(a, subject, kind, &like);
        if (e != NULL && (kind == KIND_INGRESS_MOVED || e->row.state == ALERT_PENDING))
            life_gone(a, e, now, false);
    }
}

/* Something worth naming comes in there again. */
static void appeared(struct alert *a, const struct ingress_change *change)
{
    uint64_t subject = book_subject(a, &change->prefix, change->to.pop, &change->to.at, "");
    struct move *m = move_find(a, subject, &change->prefix, change->to.pop, &change->to.at);
    if (m != NULL && m->change.kind == CHANGE_LEFT)
        move_drop(m);
}

/* Where the prefix comes home to is no new place: `to` is where it moved away from. */
static bool is_back(const struct alert *a, const struct ingress_change *change)
{
    uint64_t from = book_subject(a, &change->prefix, change->from.pop, &change->from.at, "");
    const struct move *m = move_find(a, from, &change->prefix, change->from.pop, &change->from.at);
    return m != NULL && m->change.kind == CHANGE_MOVED && m->change.from.is_there &&
           strcmp(m->change.from.pop, change->to.pop) == 0 &&
           ingress_equal(&m->change.from.at, &change->to.at);
}

void alert_moved(struct alert *a, const struct ingress_change *change, int64_t now)
{
    if (change->kind == CHANGE_APPEARED && change->to.is_there)
        appeared(a, change);
    if (change->kind != CHANGE_MOVED || !change->to.is_there)
        return;
    bool back = change->from.is_there && is_back(a, change);
    if (change->from.is_there)
        moved_on(a, change, now);
    appeared(a, change);
    if (back || a->conf.rules.kinds[KIND_INGRESS_MOVED].is_off)
        return;
    uint64_t subject = book_subject(a, &change->prefix, change->to.pop, &change->to.at, "");
    move_add(a, change, subject, false);
}

void alert_test_ended(struct alert *a, const char *pop, const struct event_test_ended *t,
                      uint64_t order_id)
{
    struct tested *kept = &a->tests[a->test_count++ % TESTS_KEPT];
    *kept = (struct tested){.prefix = t->prefix,
                            .at = t->ingress,
                            .verdict = t->verdict,
                            .order_id = order_id,
                            .drops = t->drops,
                            .retransmitted = t->retransmitted,
                            .ended_at = t->ended_at};
    memcpy(kept->test_id, t->test_id, sizeof kept->test_id);
    snprintf(kept->pop, sizeof kept->pop, "%.31s", pop);
}

/* ---- passive tests, links, sensors ---- */

/* A sensor that was taken to another point of presence: what was told of it there is over. */
static struct entry *found_here(struct alert *a, struct entry *e, const char *pop, int64_t now)
{
    if (e == NULL || strcmp(e->row.pop, pop) == 0)
        return e;
    life_gone(a, e, now, true);
    return NULL;
}

/* One subject whose condition was looked at. *out: its alert, if it has one now. */
static int look(struct alert *a, enum alert_kind kind, const struct alert_row *like,
                enum alert_says says, int64_t now, struct entry **out)
{
    uint64_t subject = book_subject(a, &like->prefix, like->pop, &like->at, like->sensor);
    struct entry *e = found_here(a, book_find(a, subject, kind, like), like->pop, now);
    *out = NULL;
    if (says == SAYS_YES && e == NULL && !a->conf.rules.kinds[kind].is_off) {
        e = life_raise(a, kind, like, subject, now);
        if (e == NULL)
            return ERR_FULL;
    }
    if (e == NULL)
        return 0;
    if (says == SAYS_NO)
        life_gone(a, e, now, false);
    *out = says == SAYS_YES ? e : NULL;
    return 0;
}

static void looked(struct alert *a, struct entry *e, const struct described *what, int64_t now)
{
    if (describe(a, e, what))
        life_touched(a, e, now);
    life_stands(a, e, now);
}

int alert_passive_total(struct alert *a, const char *pop, const struct event_passive_total *t,
                        int64_t now)
{
    struct alert_case c = {.rules = &a->conf.rules, .total = t};
    struct alert_row like = {.prefix = t->prefix, .at = t->ingress};
    struct entry *e;
    snprintf(like.pop, sizeof like.pop, "%.31s", pop);
    int err =
        look(a, KIND_PATH_ANOMALY, &like, alert_rules[KIND_PATH_ANOMALY].condition(&c), now, &e);
    if (e == NULL)
        return err;
    e->last_seen = now;
    looked(a, e, &(struct described){.c = &c}, now);
    return err;
}

int alert_sensor(struct alert *a, const struct alert_sensor *sensor, int64_t now)
{
    struct alert_case c = {.rules = &a->conf.rules, .is_silent = sensor->is_silent};
    struct alert_row like = {0};
    struct entry *e;
    snprintf(like.pop, sizeof like.pop, "%.31s", sensor->pop);
    snprintf(like.sensor, sizeof like.sensor, "%.63s", sensor->name);
    int err =
        look(a, KIND_SENSOR_SILENT, &like, alert_rules[KIND_SENSOR_SILENT].condition(&c), now, &e);
    if (e != NULL)
        looked(a, e, &(struct described){.c = &c, .sensor = sensor}, now);
    return err;
}

int alert_gap(struct alert *a, const struct alert_gap *gap, int64_t now)
{
    struct alert_case c = {.rules = &a->conf.rules, .has_gap = true};
    struct alert_row like = {0};
    struct entry *e;
    snprintf(like.pop, sizeof like.pop, "%.31s", gap->pop);
    snprintf(like.sensor, sizeof like.sensor, "%.63s", gap->sensor);
    int err = look(a, KIND_SENSOR_GAP, &like, alert_rules[KIND_SENSOR_GAP].condition(&c), now, &e);
    if (e == NULL)
        return err;
    e->last_seen = now;
    looked(a, e, &(struct described){.c = &c, .gap = gap}, now);
    return err;
}

/* Its text is written again when it is some percent off, not with every byte. */
#define LINK_OFF 0.2

static void look_at_link(struct alert *a, const struct spoof_link *l, int64_t now)
{
    struct alert_link link = {.rate = l->rate, .prefixes = l->prefixes};
    struct alert_case c = {.rules = &a->conf.rules, .link = &link};
    struct alert_row like = {.at = l->at};
    struct entry *e;
    memcpy(like.pop, l->pop, sizeof like.pop);
    uint64_t subject = book_subject(a, &no_prefix, l->pop, &l->at, "");
    c.is_alerted = book_find(a, subject, KIND_SPOOFING_SOURCE, &like) != NULL;
    if (!c.is_alerted && life_is_older(now, l->last_seen, a->conf.resolve_after_ns))
        return;
    look(a, KIND_SPOOFING_SOURCE, &like, alert_rules[KIND_SPOOFING_SOURCE].condition(&c), now, &e);
    if (e == NULL)
        return;
    e->last_seen = l->last_seen;
    double off = e->told > l->rate ? e->told - l->rate : l->rate - e->told;
    if (e->told == 0 || off > LINK_OFF * e->told) {
        e->told = l->rate;
        looked(a, e, &(struct described){.c = &c, .link = l}, now);
    }
    life_stands(a, e, now);
}

void look_at_links(struct alert *a, int64_t now)
{
    uint32_t links = 0;
    if (a->conf.rules.spoofing_rate != 0)
        spoof_sum(a->spoof, a->conf.half_life_ns, now);
    const struct spoof_link *link = spoof_links(a->spoof, &links);
    for (uint32_t i = 0; i < links; i++)
        look_at_link(a, &link[i], now);
}
