/* Events: what a sensor says, as C structs expanded from schema/events.def.
 *
 * struct event is a plain value: copied through rings, no pointers inside. Engines fill type and
 * the member of that name; times (TIME fields) are on the engine's own time line, and the worker
 * moves them to wall-clock time once, with event_shift(), where it pushes. The publisher numbers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shared/base/addr.h"
#include "shared/base/err.h"

#define SPAN_NONE UINT64_MAX /* a SPAN that did not happen */
#define REALS_MAX 64
#define UUID_TEXT 37
#define TIME_TEXT 32 /* "2026-11-21T10:00:00.123456789Z" */

/* Where packets enter: a place that an operator can point at. Zero and "" mean "not said". */
struct ingress {
    char router[32];
    char interface[32];
    uint64_t vlan;  /* outermost VLAN id, 1..4094; 0: none */
    uint8_t mac[6]; /* the peer's; zero: none */
    uint64_t peer_as;
};

bool ingress_equal(const struct ingress *a, const struct ingress *b);

struct reals {
    uint32_t count;
    double value[REALS_MAX];
};

enum { TEST_ACTIVE, TEST_PASSIVE };                         /* words: test_mode */
enum { DROP_RETRANSMITTED, DROP_UNANSWERED, DROP_INVALID }; /* words: drop_outcome */
enum {
    VERDICT_GENUINE,
    VERDICT_SPOOFED,
    VERDICT_MIXED,
    VERDICT_DUPLICATES_EXCEEDED,
    VERDICT_INCONCLUSIVE
};                                        /* words: verdict */
enum { SCAN_SERVER, SCAN_CLIENT };        /* words: scan_direction */
enum { PASSIVE_SYN, PASSIVE_MID_STREAM }; /* words: passive_start */
enum {
    PASSIVE_FIN,
    PASSIVE_RST,
    PASSIVE_IDLE,
    PASSIVE_REPLACED,
    PASSIVE_STOPPED,
    PASSIVE_SHUTDOWN
};                                  /* words: passive_end */
enum { ORDER_ENDED, ORDER_FAILED }; /* words: order_state */
enum {
    REASON_ENDED,           /* its tests ran to their verdicts */
    REASON_NO_TRAFFIC,      /* no packet of the prefix came in time */
    REASON_NO_TCP,          /* packets came, and none that could be tested */
    REASON_LEASE_OVER,      /* the time that the collector gave was over first */
    REASON_STOPPED,         /* the collector said stop, or the sensor was stopped */
    REASON_REFUSED,         /* not begun: a limit, a mode, a length */
    REASON_ALREADY_WATCHED, /* not begun: the prefix, or one that overlaps it, is watched */
};                          /* words: order_reason */

/* Member declarations by type. */
#define EVENT_MEMBER_U64(name, arg)                   uint64_t name;
#define EVENT_MEMBER_OPT(name, arg)                   uint64_t name;
#define EVENT_MEMBER_REAL(name, arg)                  double name;
#define EVENT_MEMBER_TIME(name, arg)                  int64_t name;
#define EVENT_MEMBER_SPAN(name, arg)                  uint64_t name;
#define EVENT_MEMBER_TEXT(name, arg)                  char name[arg];
#define EVENT_MEMBER_ADDR(name, arg)                  struct addr name;
#define EVENT_MEMBER_PREFIX(name, arg)                struct prefix name;
#define EVENT_MEMBER_MAC(name, arg)                   uint8_t name[6];
#define EVENT_MEMBER_UUID(name, arg)                  uint8_t name[16];
#define EVENT_MEMBER_WORD(name, arg)                  uint8_t name;
#define EVENT_MEMBER_REALS(name, arg)                 struct reals name;
#define EVENT_MEMBER_BOOL(name, arg)                  bool name;

#define EVENT(name, number, sentence)                 struct event_##name {
#define FIELD(event, name, type, arg, unit, sentence) EVENT_MEMBER_##type(name, arg)
#define INGRESS(event)                                struct ingress ingress;
#define END(event) \
    }              \
    ;
#include "schema/events.def"
#undef EVENT
#undef FIELD
#undef INGRESS
#undef END

enum event_type {
#define EVENT(name, number, sentence) EVENT_##name = (number),
#define FIELD(event, name, type, arg, unit, sentence)
#define INGRESS(event)
#define END(event)
#include "schema/events.def"
#undef EVENT
#undef FIELD
#undef INGRESS
#undef END
};

struct event {
    uint64_t epoch; /* the life of a spool: wall-clock ns of its making; set by the publisher */
    uint64_t seq;   /* 1, 2, 3, … within the epoch; set by the publisher */
    int64_t at;     /* ns since 1970-01-01 UTC; set by the worker */
    uint8_t type;   /* enum event_type */
    union {
#define EVENT(name, number, sentence) struct event_##name name;
#define FIELD(event, name, type, arg, unit, sentence)
#define INGRESS(event)
#define END(event)
#include "schema/events.def"
#undef EVENT
#undef FIELD
#undef INGRESS
#undef END
    };
};

/* "tally", "drop", …; NULL for a number that no event has. */
const char *event_name(unsigned type);

/* Adds offset_ns to e->at and to every TIME field that is not 0. */
void event_shift(struct event *e, int64_t offset_ns);

/* Word i of a list ("verdict", 0 -> "genuine"); NULL if there is none. The list's name is that of
 * words.def. */
const char *event_word(const char *list, unsigned i);
/* The reverse: index, or ERR_FORMAT. */
int event_word_find(const char *list, const char *word);

/* One JSON object and a newline: epoch, sequence, at, event, then the event's fields. Times are RFC
 * 3339 in UTC with nanoseconds, spans are seconds, "none" is null. */
void event_print(FILE *out, const struct event *e);

char *uuid_format(const uint8_t uuid[static 16], char text[static UUID_TEXT]);
char *time_format(int64_t ns, char text[static TIME_TEXT]);
