/* The rules: what makes an alert, of which kind, how severe and how sure; one row per kind in
 * rule.c. Pure, and without memory: what a rule sees is its argument, so that stored rows can be
 * judged again under another policy (penstockctl explain --what-if). */
#pragma once

#include <stdbool.h>

#include "collector/ingress/ingress.h"

/* Kinds that tell of a map entry come first, the most specific one before all others. */
enum alert_kind {
    KIND_HIJACK_SUSPECTED,
    KIND_POLICY_VIOLATION,
    KIND_INGRESS_MOVED,
    KIND_INGRESS_UNEXPECTED,
    KIND_PATH_ANOMALY,
    KIND_SPOOFING_SOURCE,
    KIND_SENSOR_SILENT,
    KIND_SENSOR_GAP,
    KIND_COUNT
};
#define KIND_ENTRIES 4          /* so many of them tell of a map entry */
#define KIND_NONE    KIND_COUNT /* no kind */

/* What the operator says of a kind. */
struct alert_kind_conf {
    bool is_off;
    char severity[16]; /* "": the rule's */
    bool has_hold_down;
    uint64_t hold_down_ns;
};

struct alert_rules {
    struct alert_kind_conf kinds[KIND_COUNT];
    bool is_routing_heard;      /* RPKI-valid and expected by BGP suppresses */
    uint64_t spoofing_rate;     /* spoofing_source: proven-spoofed bytes per second; 0: never */
    unsigned spoofing_prefixes; /* of at least so many prefixes */
    /* path_anomaly: of a passive test's segments, at least path_segments (0: never) */
    uint64_t path_segments;
    double path_gaps, path_out_of_order, path_duplicates; /* ordinary shares, at most; [0, 1] */
};

/* What the expectation says about an entry, beyond what stands in its row. */
struct alert_answer {
    bool outside_cone;         /* the peer sends what lies outside its cone */
    uint32_t cone_as;          /* then: whose */
    int64_t rib_written_at;    /* the routing table that BGP's word is of; 0: not known */
    const char *expected_json; /* places that are expected instead, a JSON array; may be NULL */
};

/* A link, and what it delivers that is proven spoofed. */
struct alert_link {
    double rate; /* bytes per second, of late */
    uint32_t prefixes;
};

/* What a rule sees; of its subject, the rest is NULL or false. */
struct alert_case {
    const struct alert_rules *rules;
    const struct ingress_row *row;
    const struct alert_answer *answer; /* may be NULL */
    bool is_moved_to;                  /* the prefix's bulk moved to this row's place lately */
    bool is_alerted; /* it stands already: some rules let go later than they grip */
    const struct event_passive_total *total;
    const struct alert_link *link;
    bool is_silent, has_gap; /* of a sensor */
};

enum alert_says { SAYS_NO, SAYS_YES, SAYS_NOTHING }; /* nothing: the condition may hold or not */

/* What an alert of that kind is about, and how it ends besides by its condition. */
enum alert_end {
    END_SILENCE, /* nothing was seen for resolve_after */
    END_ITSELF,  /* some time after it was seen last */
    END_NEVER
};

struct alert_rule {
    const char *kind;
    const char *about; /* entry, link, sensor */
    enum alert_says (*condition)(const struct alert_case *c);
    const char *(*severity)(const struct alert_case *c);
    double (*confidence)(const struct alert_case *c);
    bool is_held_down; /* else it fires at once, unless the operator gives it a hold-down */
    enum alert_end end;
    const char *sentence; /* what it says */
};
extern const struct alert_rule alert_rules[KIND_COUNT];

/* KIND_NONE: no such kind. */
enum alert_kind alert_kind_of(const char *word);

/* The kind that this entry is an alert of, or KIND_NONE. is_moved: as alert_case.is_moved_to.
 * *nothing_said (may be NULL): bits 1 << kind whose rule can say neither yes nor no. */
enum alert_kind alert_judge(const struct alert_rules *rules, const struct ingress_row *row,
                            const struct alert_answer *answer, bool is_moved,
                            unsigned *nothing_said);

/* Whether routing speaks for this entry: RPKI-valid, and by BGP expected from this peer. */
bool alert_is_routed(const struct alert_rules *rules, const struct ingress_row *row);
/* Whether people (or the map's own past) said that this entry is as it should be. */
bool alert_is_allowed(const struct ingress_row *row);
