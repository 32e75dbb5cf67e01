#include "collector/alert/alert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/hash.h"

/* Alerts without an end, and ended ones that were not taken yet, stand in entries. Those without
 * an end are found by fingerprint: buckets lead to chains through next (entries come and go, and
 * a chain forgets without leaving tombstones). */

#define NONE UINT32_MAX
#define KIND "ingress_unexpected"

const char *const alert_state_word[] = {
    [ALERT_PENDING] = "pending",           [ALERT_FIRING] = "firing",
    [ALERT_ACKNOWLEDGED] = "acknowledged", [ALERT_RESOLVED] = "resolved",
    [ALERT_SUPPRESSED] = "suppressed",
};

struct entry {
    struct alert_row row;
    int64_t last_seen; /* of the map row's traffic; not stored, the map row has it */
    uint32_t next;     /* in its bucket, or among the free */
    bool is_used, is_changed, is_new_state;
};

struct alert {
    struct alert_conf conf;
    struct hash_key key;
    uint64_t next_id;
    int64_t listens_since, jumped_at;
    struct entry *entries;
    uint32_t first_free, live;
    uint32_t *buckets;
    uint32_t mask;
    uint32_t *queue; /* changed entries, oldest first, each once */
    uint32_t queue_at, queue_len;
};

int alert_new(const struct alert_conf *conf, struct alert **out)
{
    struct alert *a = calloc(1, sizeof *a);
    if (a == NULL)
        return -ENOMEM;
    uint32_t n = conf->max_alerts > 0 ? conf->max_alerts : 1, buckets = 16;
    while (buckets < n && buckets < UINT32_C(1) << 31)
        buckets *= 2;
    struct prf prf = prf_init(conf->seed, 2);
    a->conf = *conf;
    a->conf.max_alerts = n;
    a->key.k0 = prf_next(&prf);
    a->key.k1 = prf_next(&prf);
    a->next_id = 1;
    a->mask = buckets - 1;
    a->entries = calloc(n, sizeof *a->entries);
    a->buckets = malloc(buckets * sizeof *a->buckets);
    a->queue = calloc(n, sizeof *a->queue);
    if (a->entries == NULL || a->buckets == NULL || a->queue == NULL) {
        alert_free(a);
        return -ENOMEM;
    }
    memset(a->buckets, 0xff, buckets * sizeof *a->buckets);
    for (uint32_t i = 0; i < n; i++)
        a->entries[i].next = i + 1 < n ? i + 1 : NONE;
    *out = a;
    return 0;
}

void alert_free(struct alert *a)
{
    if (a == NULL)
        return;
    free(a->queue);
    free(a->buckets);
    free(a->entries);
    free(a);
}

void alert_next_id(struct alert *a, uint64_t next)
{
    a->next_id = next;
}

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

void alert_fingerprint(const char *kind, const struct prefix *prefix, const char *pop,
                       const struct ingress *at, char out[static 33])
{
    char prefix_text[PREFIX_TEXT], mac_text[MAC_TEXT];
    /* The longest: 31 + 49 + 3 * 31 + 2 * 20 + 17 and 8 NULs. */
    unsigned char bytes[256] = {0};
    int len = snprintf((char *)bytes, sizeof bytes,
                       "%.31s%c%s%c%.31s%c%.31s%c%.31s%c%" PRIu64 "%c%s%c%" PRIu64, kind, 0,
                       prefix_format(prefix, prefix_text), 0, pop, 0, at->router, 0, at->interface,
                       0, at->vlan, 0, mac_format(at->mac, mac_text), 0, at->peer_as) +
              1;
    size_t words = ((size_t)len + 7) / 8;
    uint64_t a = chain((struct hash_key){1, 2}, bytes, words, (uint64_t)len);
    uint64_t b = chain((struct hash_key){3, 4}, bytes, words, (uint64_t)len);
    snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, a, b);
}

static uint32_t *bucket_of(struct alert *a, const char fingerprint[static 33])
{
    uint64_t words[4];
    memcpy(words, fingerprint, sizeof words);
    return &a->buckets[(uint32_t)hash_words(a->key, words, 4) & a->mask];
}

/* The link that leads to the matter's live alert, or to NONE. */
static uint32_t *link_to(struct alert *a, const char fingerprint[static 33])
{
    uint32_t *link = bucket_of(a, fingerprint);
    while (*link != NONE && memcmp(a->entries[*link].row.fingerprint, fingerprint, 32) != 0)
        link = &a->entries[*link].next;
    return link;
}

static struct entry *entry_make(struct alert *a, const struct alert_row *row)
{
    if (a->first_free == NONE)
        return NULL;
    uint32_t i = a->first_free;
    struct entry *e = &a->entries[i];
    a->first_free = e->next;
    uint32_t *bucket = bucket_of(a, row->fingerprint);
    *e = (struct entry){.row = *row, .next = *bucket, .is_used = true};
    *bucket = i;
    a->live++;
    return e;
}

int alert_load(struct alert *a, const struct alert_row *row)
{
    if (row->state == ALERT_RESOLVED)
        return 0;
    struct entry *e = entry_make(a, row);
    if (e == NULL)
        return ERR_FULL;
    e->last_seen = row->updated_at;
    return 0;
}

static void changed(struct alert *a, struct entry *e)
{
    if (e->is_changed)
        return;
    e->is_changed = true;
    a->queue[(a->queue_at + (uint64_t)a->queue_len++) % a->conf.max_alerts] =
        (uint32_t)(e - a->entries);
}

static void enter(struct alert *a, struct entry *e, enum alert_state state, int64_t now)
{
    e->row.state = state;
    e->row.updated_at = now;
    e->is_new_state = true;
    if (state == ALERT_RESOLVED) {
        e->row.resolved_at = now;
        *link_to(a, e->row.fingerprint) = e->next; /* from now on the matter is a new one */
        a->live--;
    }
    changed(a, e);
}

static bool older(int64_t now, int64_t then, uint64_t by)
{
    return now > then && (uint64_t)now - (uint64_t)then > by;
}

void alert_listens(struct alert *a, int64_t now, bool has_jumped)
{
    a->listens_since = now;
    if (has_jumped)
        a->jumped_at = now;
}

/* Where to count from: a time before `since` was told by another clock, or nobody listened from
 * then on; one in the future was told by another clock, too. */
static int64_t count_from(int64_t then, int64_t since, int64_t now)
{
    return then > now || then < since ? since : then;
}

static bool is_silent(const struct alert *a, const struct entry *e, int64_t now)
{
    return older(now, count_from(e->last_seen, a->listens_since, now), a->conf.resolve_after_ns);
}

static void fire_if_due(struct alert *a, struct entry *e, int64_t now)
{
    int64_t from = count_from(e->row.started_at, a->jumped_at, now);
    if (e->row.state == ALERT_PENDING && now >= from &&
        (uint64_t)now - (uint64_t)from >= a->conf.hold_down_ns)
        enter(a, e, ALERT_FIRING, now);
}

void alert_tick(struct alert *a, int64_t now)
{
    for (uint32_t i = 0; a->live > 0 && i < a->conf.max_alerts; i++) {
        struct entry *e = &a->entries[i];
        if (!e->is_used || e->row.state == ALERT_RESOLVED)
            continue;
        if (is_silent(a, e, now))
            enter(a, e, ALERT_RESOLVED, now);
        else
            fire_if_due(a, e, now);
    }
}

bool alert_take(struct alert *a, struct alert_row *out, bool *announce)
{
    if (a->queue_len == 0)
        return false;
    uint32_t i = a->queue[a->queue_at];
    struct entry *e = &a->entries[i];
    a->queue_at = (uint32_t)((a->queue_at + UINT64_C(1)) % a->conf.max_alerts);
    a->queue_len--;
    *out = e->row;
    *announce = e->is_new_state;
    e->is_changed = e->is_new_state = false;
    if (e->row.state == ALERT_RESOLVED) {
        e->is_used = false;
        e->next = a->first_free;
        a->first_free = i;
    }
    return true;
}

static void evidence_text(const struct ingress_row *row, char *out, size_t size)
{
    snprintf(out, size,
             "{\"rule\":\"" KIND "\",\"state\":\"%s\",\"genuine_probability\":%.9g,"
             "\"genuine_fraction\":%.9g,\"genuine_low\":%.9g,\"genuine_high\":%.9g,"
             "\"tests\":%" PRIu64 "}",
             ingress_state_word[row->state], row->genuine_probability, row->genuine_fraction,
             row->genuine_low, row->genuine_high, row->tests);
}

static void summary_text(const struct ingress_row *row, char *out, size_t size)
{
    char prefix[PREFIX_TEXT], mac[MAC_TEXT], place[160];
    static const uint8_t no_mac[6];
    int n = snprintf(place, sizeof place, "%.31s %.31s %.31s", row->pop, row->at.router,
                     row->at.interface);
    if (row->at.vlan != 0)
        n += snprintf(place + n, sizeof place - (size_t)n, " vlan %" PRIu64, row->at.vlan);
    if (memcmp(row->at.mac, no_mac, 6) != 0)
        snprintf(place + n, sizeof place - (size_t)n, " mac %s", mac_format(row->at.mac, mac));
    snprintf(out, size, "%s traffic from %s enters at %s, where it is not expected",
             row->state == STATE_GENUINE ? "Genuine" : "Partly genuine",
             prefix_format(&row->prefix, prefix), place);
}

/* Writes what the map row says now; true if the alert says something else than before. */
static bool describe(struct alert_row *alert, const struct ingress_row *row, const char *expected)
{
    struct alert_row next = *alert;
    snprintf(next.severity, sizeof next.severity, "%s",
             row->state == STATE_GENUINE ? "critical" : "warning");
    snprintf(next.expected, sizeof next.expected, "%s", expected == NULL ? "[]" : expected);
    next.confidence = row->genuine_probability;
    summary_text(row, next.summary, sizeof next.summary);
    evidence_text(row, next.evidence, sizeof next.evidence);
    if (strcmp(next.severity, alert->severity) == 0 && next.confidence == alert->confidence &&
        strcmp(next.expected, alert->expected) == 0 && strcmp(next.summary, alert->summary) == 0 &&
        strcmp(next.evidence, alert->evidence) == 0)
        return false;
    *alert = next;
    return true;
}

static int raise_new(struct alert *a, const struct ingress_row *row, const char *fingerprint,
                     const char *expected, int64_t now)
{
    struct alert_row alert = {.alert_id = a->next_id,
                              .kind = KIND,
                              .prefix = row->prefix,
                              .at = row->at,
                              .started_at = now,
                              .is_standing = true};
    memcpy(alert.fingerprint, fingerprint, sizeof alert.fingerprint);
    memcpy(alert.pop, row->pop, sizeof alert.pop);
    describe(&alert, row, expected);
    struct entry *e = entry_make(a, &alert);
    if (e == NULL)
        return ERR_FULL;
    a->next_id++;
    e->last_seen = row->last_seen;
    enter(a, e, ALERT_PENDING, now);
    fire_if_due(a, e, now);
    return 0;
}

static bool is_alarming(const struct ingress_row *row)
{
    return (row->state == STATE_GENUINE || row->state == STATE_MIXED) &&
           row->expected == EXPECTED_NO;
}

int alert_row_changed(struct alert *a, const struct ingress_row *row, const char *expected_json,
                      int64_t now)
{
    bool alarming = is_alarming(row);
    if (!alarming && a->live == 0)
        return 0; /* by far the most common */
    char fingerprint[33];
    alert_fingerprint(KIND, &row->prefix, row->pop, &row->at, fingerprint);
    uint32_t i = *link_to(a, fingerprint);
    if (i == NONE) {
        /* Old evidence about a place where nothing comes in any more raises nothing; so what
         * silence has resolved is not raised again by looking at it. */
        if (!alarming || older(now, row->last_seen, a->conf.resolve_after_ns))
            return 0;
        return raise_new(a, row, fingerprint, expected_json, now);
    }
    struct entry *e = &a->entries[i];
    e->last_seen = row->last_seen;
    if (alarming) {
        if (describe(&e->row, row, expected_json)) {
            e->row.updated_at = now;
            changed(a, e);
        }
        fire_if_due(a, e, now);
    } else if (row->state != STATE_TESTING || row->expected != EXPECTED_NO) {
        enter(a, e, ALERT_RESOLVED, now);
    }
    return 0;
}
