/* Inside the alerts: where those without an end stand, and what is remembered beside them. Not for
 * others.
 *
 * Entries are found by their subject (prefix, place, sensor): buckets lead to chains through next,
 * for entries come and go, and a chain forgets without leaving tombstones. All kinds of one subject
 * are in one chain. */
#pragma once

#include "collector/alert/alert.h"
#include "shared/base/hash.h"

#define BOOK_NONE UINT32_MAX

enum word { WORD_NONE, WORD_ACKNOWLEDGED, WORD_SUPPRESSED };

struct entry {
    struct alert_row row;
    enum alert_kind kind; /* KIND_NONE: of another release; it ends by silence */
    uint64_t subject;     /* hash */
    int64_t last_seen;    /* what it is about; not stored */
    int64_t held_since;   /* its condition, for the hold-down */
    int64_t gone_since;   /* not standing: since when */
    enum word word;       /* what a person said last */
    uint64_t window;      /* maintenance that it is in; 0: none */
    bool is_routed;       /* routing speaks for it */
    bool has_fired;
    bool waits_for_table; /* it fires only when a newer routing table says the same */
    bool needs_traffic;   /* it fires only when traffic was seen for the hold-down, too */
    double told;          /* spoofing_source: rate that its text tells of */
    char tests[768];      /* JSON array: tests that prove it; "": none known */
    char moved[768];      /* ingress_moved, JSON object: from, to and when; "": not */
    uint32_t next;        /* in its bucket, or among the free */
    bool is_used, is_changed, is_new_state, was_taken;
};

/* When matters ended last: a table of places, of which the one unused for longest is given up. */
#define FLAPS_KEPT 16
struct flap {
    uint64_t matter; /* hash of its name; 0: free */
    int64_t ends[FLAPS_KEPT];
    uint32_t count; /* ever; the newest is ends[(count - 1) % FLAPS_KEPT] */
};

/* A move that was told by the map, and has not ended. */
#define MOVES_MAX 1024
struct move {
    uint64_t subject; /* of prefix and `to`; 0: free */
    struct ingress_change change;
    bool is_loaded; /* known from its alert alone */
};

/* Tests that ended lately. */
#define TESTS_KEPT 1024
struct tested {
    struct prefix prefix;
    char pop[32];
    struct ingress at;
    uint8_t test_id[16];
    uint8_t verdict;
    uint64_t order_id, drops, retransmitted;
    int64_t ended_at;
};

struct spoof;

struct alert {
    struct alert_conf conf;
    struct hash_key key;
    uint64_t next_id;
    int64_t listens_since, jumped_at;
    int64_t undoubted; /* what the time would be, while the clock is in doubt; 0: it is not */
    struct entry *entries;
    uint32_t first_free, live;
    uint32_t *buckets;
    uint32_t mask;
    uint32_t *queue; /* changed entries, oldest first, each once */
    uint32_t queue_at, queue_len;
    struct flap *flaps; /* mask + 1 */
    struct move *moves;
    uint32_t move_count; /* places in use or given up; the rest was never used */
    uint64_t moves_refused;
    struct tested *tests;
    uint64_t test_count; /* ever */
    struct spoof *spoof;
    struct alert_window *windows;
    size_t window_count;
};

int book_init(struct alert *a);
void book_clear(struct alert *a);

uint64_t book_subject(const struct alert *a, const struct prefix *prefix, const char *pop,
                      const struct ingress *at, const char *sensor);
/* The live alert of that kind about that subject, or NULL. */
struct entry *book_find(const struct alert *a, uint64_t subject, enum alert_kind kind,
                        const struct alert_row *like);
/* Is it about that place? */
bool book_is_about(const struct entry *e, const struct prefix *prefix, const char *pop,
                   const struct ingress *at, const char *sensor);
/* The first in the chain of a subject's bucket, and the next; NULL at the end. */
struct entry *book_first(const struct alert *a, uint64_t subject);
struct entry *book_next(const struct alert *a, const struct entry *e);
/* NULL: no room. */
struct entry *book_add(struct alert *a, const struct alert_row *row, enum alert_kind kind,
                       uint64_t subject);
/* It ended: it is found no more, but still waits to be taken. */
void book_end(struct alert *a, struct entry *e);
void book_changed(struct alert *a, struct entry *e);

/* flap.c: notes an end of what 32 digits name; how many there were within the window, this one
 * included. */
uint32_t flap_note(struct alert *a, const char *name, int64_t at);
uint32_t flap_count(const struct alert *a, const char *name, int64_t now);

/* move.c */
void move_add(struct alert *a, const struct ingress_change *change, uint64_t subject,
              bool is_loaded);
struct move *move_find(const struct alert *a, uint64_t subject, const struct prefix *prefix,
                       const char *pop, const struct ingress *at);
void move_drop(struct move *m);
/* JSON object of where from, where to, and with which shares. */
void move_text(const struct move *m, char *out, size_t size);

/* alert.c: the life of an alert. */
bool life_is_older(int64_t now, int64_t then, uint64_t by);
/* like: its subject. NULL: no room. */
struct entry *life_raise(struct alert *a, enum alert_kind kind, const struct alert_row *like,
                         uint64_t subject, int64_t now);
void life_touched(struct alert *a, struct entry *e, int64_t now);
/* Its condition holds. */
void life_stands(struct alert *a, struct entry *e, int64_t now);
/* It holds no more. is_final: it will not come back by itself. */
void life_gone(struct alert *a, struct entry *e, int64_t now, bool is_final);

/* hear.c: the links' sums, once a tick. */
void look_at_links(struct alert *a, int64_t now);

/* describe.c: writes what a case says into the alert; true if it says something else than before.
 */
struct described {
    const struct alert_case *c;
    const struct alert_gap *gap;
    const struct alert_sensor *sensor;
    const struct spoof_link *link;
};
bool describe(const struct alert *a, struct entry *e, const struct described *what);
/* Gathers the ids of the tests of that place into the entry. */
void describe_tests(const struct alert *a, struct entry *e);

/* window.c: the window that it is in; 0: none. */
uint64_t window_of(const struct alert *a, const struct alert_row *row, int64_t now);
