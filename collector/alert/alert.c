/* The life of alerts. What each says: describe.c; when each holds: rule.c. */
#include "collector/alert/alert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/alert/book.h"
#include "collector/alert/document.h"

const char *const alert_state_word[] = {
    [ALERT_PENDING] = "pending",           [ALERT_FIRING] = "firing",
    [ALERT_ACKNOWLEDGED] = "acknowledged", [ALERT_RESOLVED] = "resolved",
    [ALERT_SUPPRESSED] = "suppressed",
};

static const struct prefix no_prefix;
static const struct ingress no_place;

int alert_new(const struct alert_conf *conf, struct alert **out)
{
    struct alert *a = calloc(1, sizeof *a);
    if (a == NULL)
        return -ENOMEM;
    a->conf = *conf;
    if (a->conf.max_alerts == 0)
        a->conf.max_alerts = 1;
    a->next_id = 1;
    if (book_init(a) < 0) {
        alert_free(a);
        return -ENOMEM;
    }
    *out = a;
    return 0;
}

void alert_free(struct alert *a)
{
    if (a == NULL)
        return;
    book_clear(a);
    free(a);
}

void alert_configure(struct alert *a, const struct alert_conf *conf)
{
    unsigned max = a->conf.max_alerts;
    uint64_t seed = a->conf.seed;
    a->conf = *conf;
    a->conf.max_alerts = max;
    a->conf.seed = seed;
}

void alert_next_id(struct alert *a, uint64_t next)
{
    a->next_id = next;
}

struct alert_counts alert_counts(const struct alert *a)
{
    return (struct alert_counts){.live = a->live, .moves_refused = a->moves_refused};
}

void alert_each_entry(const struct alert *a, void (*each)(void *arg, const struct alert_row *row),
                      void *arg)
{
    for (uint32_t i = 0; a->live > 0 && i < a->conf.max_alerts; i++) {
        const struct entry *e = &a->entries[i];
        if (e->is_used && e->row.state != ALERT_RESOLVED && e->kind < KIND_ENTRIES)
            each(arg, &e->row);
    }
}

/* ---- fingerprints ---- */

static uint64_t chain(struct hash_key key, const unsigned char *bytes, size_t words, uint64_t len)
{
    uint64_t h = 0;
    for (size_t i = 0; i < words; i++) {
        uint64_t word = 0;
        for (unsigned b = 8; b-- > 0;)
            word = word << 8 | bytes[8 * i + b];
        h = prf_word(key, h ^ word);
    }
    return prf_word(key, h ^ len);
}

/* The longest: 31 + 49 + 3 * 31 + 2 * 20 + 17 + 63 and 9 NULs. */
static void fingerprint_of(const char *kind, const struct prefix *prefix, const char *pop,
                           const struct ingress *at, const char *sensor, char out[static 33])
{
    char prefix_text[PREFIX_TEXT], mac_text[MAC_TEXT];
    unsigned char bytes[320] = {0};
    int len = snprintf((char *)bytes, sizeof bytes,
                       "%.31s%c%s%c%.31s%c%.31s%c%.31s%c%" PRIu64 "%c%s%c%" PRIu64, kind, 0,
                       prefix_format(prefix, prefix_text), 0, pop, 0, at->router, 0, at->interface,
                       0, at->vlan, 0, mac_format(at->mac, mac_text), 0, at->peer_as) +
              1;
    if (sensor[0] != '\0')
        len += snprintf((char *)bytes + len, sizeof bytes - (size_t)len, "%.63s", sensor) + 1;
    size_t words = ((size_t)len + 7) / 8;
    uint64_t a = chain((struct hash_key){1, 2}, bytes, words, (uint64_t)len);
    uint64_t b = chain((struct hash_key){3, 4}, bytes, words, (uint64_t)len);
    snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, a, b);
}

void alert_fingerprint(const char *kind, const struct prefix *prefix, const char *pop,
                       const struct ingress *at, char out[static 33])
{
    fingerprint_of(kind, prefix, pop, at, "", out);
}

void alert_fingerprint_sensor(const char *kind, const char *pop, const char *sensor,
                              char out[static 33])
{
    fingerprint_of(kind, &no_prefix, pop, &no_place, sensor, out);
}

/* ---- states ---- */

bool life_is_older(int64_t now, int64_t then, uint64_t by)
{
    return now > then && (uint64_t)now - (uint64_t)then > by;
}

/* Where to count from: a time before `since` was told by another clock, or nobody listened from
 * then on; one in the future was told by another clock, too. */
static int64_t count_from(int64_t then, int64_t since, int64_t now)
{
    return then > now || then < since ? since : then;
}

static uint64_t hold_down_of(const struct alert *a, enum alert_kind kind)
{
    if (kind == KIND_NONE)
        return a->conf.hold_down_ns;
    const struct alert_kind_conf *own = &a->conf.rules.kinds[kind];
    if (own->has_hold_down)
        return own->hold_down_ns;
    return alert_rules[kind].is_held_down ? a->conf.hold_down_ns : 0;
}

static bool is_due(const struct alert *a, const struct entry *e, int64_t now)
{
    int64_t from = count_from(e->held_since, a->jumped_at, now);
    int64_t until = e->needs_traffic && e->last_seen < now ? e->last_seen : now;
    return e->row.is_standing && !e->waits_for_table && until >= from &&
           (uint64_t)until - (uint64_t)from >= hold_down_of(a, e->kind);
}

/* The state that it should have; why says who suppresses it. */
static enum alert_state state_of(const struct alert *a, struct entry *e, int64_t now, char *why,
                                 size_t size)
{
    why[0] = '\0';
    e->has_fired = e->has_fired || is_due(a, e, now);
    if (e->word == WORD_SUPPRESSED)
        snprintf(why, size, "%s", e->row.acknowledged_by);
    else if (e->window != 0)
        snprintf(why, size, "maintenance %" PRIu64, e->window);
    else if (e->is_routed)
        snprintf(why, size, "routing");
    if (e->word == WORD_SUPPRESSED || why[0] != '\0')
        return ALERT_SUPPRESSED;
    if (e->word == WORD_ACKNOWLEDGED)
        return ALERT_ACKNOWLEDGED;
    return e->has_fired ? ALERT_FIRING : ALERT_PENDING;
}

void life_touched(struct alert *a, struct entry *e, int64_t now)
{
    e->row.updated_at = now;
    book_changed(a, e);
}

/* Brings the state up to date, and tells it if it is another one. */
static void settle(struct alert *a, struct entry *e, int64_t now)
{
    char why[sizeof e->row.suppressed_by];
    enum alert_state state = state_of(a, e, now, why, sizeof why);
    bool is_other = strcmp(why, e->row.suppressed_by) != 0;
    if (state == e->row.state && !is_other)
        return;
    e->is_new_state |= state != e->row.state;
    e->row.state = state;
    memcpy(e->row.suppressed_by, why, sizeof why);
    life_touched(a, e, now);
}

static void end(struct alert *a, struct entry *e, int64_t now)
{
    e->row.state = ALERT_RESOLVED;
    e->row.suppressed_by[0] = '\0';
    e->row.is_standing = false;
    e->row.resolved_at = now;
    e->is_new_state = true;
    book_end(a, e); /* from now on the matter is a new one */
    life_touched(a, e, now);
}

/* ---- its condition comes and goes ---- */

void life_stands(struct alert *a, struct entry *e, int64_t now)
{
    if (!e->row.is_standing) {
        e->row.is_standing = true;
        e->held_since = now;
        life_touched(a, e, now);
    }
    settle(a, e, now);
}

/* What ends and comes back: at one place all kinds that tell of it are one matter, for where the
 * expectation goes to and fro (a routing table that flaps) they take turns. */
static const char *matter_of(const struct alert_row *row, enum alert_kind kind, char out[static 33])
{
    const char *word = kind < KIND_ENTRIES ? "" : row->kind;
    fingerprint_of(word, &row->prefix, row->pop, &row->at, row->sensor, out);
    return out;
}

void alert_load_end(struct alert *a, const struct alert_row *ended)
{
    char matter[33];
    flap_note(a, matter_of(ended, alert_kind_of(ended->kind), matter), ended->resolved_at);
}

void life_gone(struct alert *a, struct entry *e, int64_t now, bool is_final)
{
    if (!e->row.is_standing && !is_final)
        return;
    char matter[33];
    matter_of(&e->row, e->kind, matter);
    uint32_t before = flap_count(a, matter, now);
    if (e->row.is_standing)
        e->row.flaps = flap_note(a, matter, now);
    if (is_final || a->conf.flap_count == 0 || before < a->conf.flap_count) {
        end(a, e, now);
        return;
    }
    e->row.is_standing = false;
    e->gone_since = now;
    life_touched(a, e, now);
}

/* ---- new ones, and those of before ---- */

static void runbook_of(const struct alert *a, struct alert_row *row)
{
    const char *base = a->conf.runbook_base[0] != '\0' ? a->conf.runbook_base : "docs/alerts/";
    snprintf(row->runbook, sizeof row->runbook, "%s%s.md", base, row->kind);
}

/* like: its subject. NULL: no room. */
struct entry *life_raise(struct alert *a, enum alert_kind kind, const struct alert_row *like,
                         uint64_t subject, int64_t now)
{
    struct alert_row row = *like;
    char matter[33];
    row.alert_id = a->next_id;
    snprintf(row.kind, sizeof row.kind, "%s", alert_rules[kind].kind);
    fingerprint_of(row.kind, &row.prefix, row.pop, &row.at, row.sensor, row.fingerprint);
    row.started_at = now;
    row.is_standing = true;
    row.flaps = flap_count(a, matter_of(&row, kind, matter), now);
    runbook_of(a, &row);
    struct entry *e = book_add(a, &row, kind, subject);
    if (e == NULL)
        return NULL;
    a->next_id++;
    e->held_since = e->last_seen = now;
    e->row.state = ALERT_PENDING;
    e->is_new_state = true;
    e->window = window_of(a, &e->row, now);
    life_touched(a, e, now);
    return e;
}

static void word_of(struct entry *e, enum alert_state said, bool by_person)
{
    e->word = WORD_NONE;
    if (said == ALERT_ACKNOWLEDGED || (!by_person && e->row.acknowledged_by[0] != '\0'))
        e->word = WORD_ACKNOWLEDGED;
    if (said == ALERT_SUPPRESSED && by_person)
        e->word = WORD_SUPPRESSED;
}

/* Whether a person suppressed it, or the collector did. */
static bool is_own_word(const struct alert_row *row)
{
    return row->state == ALERT_SUPPRESSED && (strcmp(row->suppressed_by, "routing") == 0 ||
                                              strncmp(row->suppressed_by, "maintenance ", 12) == 0);
}

static void recall_move(struct alert *a, struct entry *e)
{
    struct ingress_change change = {
        .at = e->row.started_at, .kind = CHANGE_MOVED, .prefix = e->row.prefix};
    char from[512];
    document_find(e->row.evidence, "moved", e->moved, sizeof e->moved);
    document_find(e->moved, "from", from, sizeof from);
    change.from.is_there = document_find_place(from, "place", change.from.pop, &change.from.at);
    memcpy(change.to.pop, e->row.pop, sizeof change.to.pop);
    change.to.at = e->row.at;
    change.to.is_there = true;
    move_add(a, &change, e->subject, true);
}

int alert_load(struct alert *a, const struct alert_row *row)
{
    if (row->state == ALERT_RESOLVED)
        return 0;
    uint64_t subject = book_subject(a, &row->prefix, row->pop, &row->at, row->sensor);
    struct entry *e = book_add(a, row, alert_kind_of(row->kind), subject);
    if (e == NULL)
        return ERR_FULL;
    e->was_taken = true;
    e->last_seen = row->updated_at;
    e->held_since = row->started_at;
    e->gone_since = row->updated_at;
    e->has_fired = row->state == ALERT_FIRING;
    e->is_routed = strcmp(row->suppressed_by, "routing") == 0;
    word_of(e, row->state, !is_own_word(row));
    document_find(row->evidence, "test_list", e->tests, sizeof e->tests);
    if (e->kind == KIND_INGRESS_MOVED)
        recall_move(a, e);
    return 0;
}

/* ---- people ---- */

void alert_word(struct alert *a, uint64_t alert_id, enum alert_state said, const char *by,
                uint64_t words, int64_t now)
{
    for (uint32_t i = 0; a->live > 0 && i < a->conf.max_alerts; i++) {
        struct entry *e = &a->entries[i];
        if (!e->is_used || e->row.alert_id != alert_id || e->row.state == ALERT_RESOLVED)
            continue;
        if (words == e->row.words)
            return;
        e->row.words = words;
        snprintf(e->row.acknowledged_by, sizeof e->row.acknowledged_by, "%.63s", by);
        word_of(e, said, true);
        /* The database says that state already: what differs is to be written, and it is told. */
        e->is_new_state = e->is_new_state || said != e->row.state;
        e->row.state = said;
        life_touched(a, e, now);
        settle(a, e, now);
        return;
    }
}

/* ---- time ---- */

void alert_listens(struct alert *a, int64_t now, bool has_jumped)
{
    a->listens_since = now;
    if (has_jumped)
        a->jumped_at = now;
}

static bool ends_by_itself(const struct alert *a, const struct entry *e, int64_t now)
{
    enum alert_end how = e->kind == KIND_NONE ? END_SILENCE : alert_rules[e->kind].end;
    uint64_t after = e->kind == KIND_SENSOR_GAP ? a->conf.gap_ends_ns : a->conf.path_ends_ns;
    if (how == END_ITSELF)
        return life_is_older(now, count_from(e->last_seen, a->jumped_at, now), after);
    return how == END_SILENCE && life_is_older(now, count_from(e->last_seen, a->listens_since, now),
                                               a->conf.resolve_after_ns);
}

/* It moved long ago, and stayed: that is how it is now. */
static bool has_settled(const struct alert *a, const struct entry *e, int64_t now)
{
    return e->kind == KIND_INGRESS_MOVED && a->conf.moved_settles_ns != 0 &&
           life_is_older(now, count_from(e->row.started_at, a->jumped_at, now),
                         a->conf.moved_settles_ns);
}

static void forget_moves(struct alert *a, int64_t now)
{
    for (uint32_t i = 0; i < a->move_count; i++) {
        struct move *m = &a->moves[i];
        uint64_t after =
            m->change.kind == CHANGE_LEFT ? a->conf.resolve_after_ns : a->conf.moved_settles_ns;
        if (m->subject != 0 && after != 0 &&
            life_is_older(now, count_from(m->change.at, a->jumped_at, now), after))
            move_drop(m);
    }
}

/* Turned off while it stood. */
static bool is_off(const struct alert *a, const struct entry *e)
{
    return e->kind != KIND_NONE && a->conf.rules.kinds[e->kind].is_off;
}

static void tick_entry(struct alert *a, struct entry *e, int64_t now)
{
    bool has_calmed =
        !e->row.is_standing &&
        life_is_older(now, count_from(e->gone_since, a->jumped_at, now), a->conf.flap_window_ns);
    e->window = window_of(a, &e->row, now);
    if (has_settled(a, e, now)) {
        struct move *m = move_find(a, e->subject, &e->row.prefix, e->row.pop, &e->row.at);
        if (m != NULL)
            move_drop(m);
        life_gone(a, e, now, true);
    } else if (has_calmed || ends_by_itself(a, e, now) || is_off(a, e)) {
        life_gone(a, e, now, true);
    } else {
        settle(a, e, now);
    }
}

void alert_tick(struct alert *a, int64_t now)
{
    look_at_links(a, now);
    for (uint32_t i = 0; a->live > 0 && i < a->conf.max_alerts; i++) {
        struct entry *e = &a->entries[i];
        if (e->is_used && e->row.state != ALERT_RESOLVED)
            tick_entry(a, e, now);
    }
    forget_moves(a, now);
}
