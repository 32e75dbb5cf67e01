/* One announced state of an alert, as it goes to whoever listens: the journal's row as JSON.
 *
 * The object has the keys of the SQL columns of penstock.alert, and before them event_id (its place
 * in the journal), alert_id, at and state. A receiver tells a repeat by its event_id, and the same
 * matter by its fingerprint. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/notify/feed_conf.h"
#include "shared/base/err.h"

/* A row of the journal, borrowed while it is looked at. */
struct notice_row {
    uint64_t event_id, alert_id;
    int64_t at; /* wall ns */
    const char *state;
    const char *document; /* JSON, the whole alert */
    size_t document_len;
    unsigned peak; /* enum feed_severity: the highest that this alert had up to here */
};

struct notice {
    uint64_t event_id, alert_id;
    int64_t at;
    unsigned peak;
    json_t *alert; /* owned; an object */
    /* of that object, never NULL: "" where it does not say */
    const char *state, *kind, *severity, *fingerprint, *summary;
};

/* A document that is no JSON object becomes one with the key document, for what was announced must
 * not be lost. -ENOMEM. */
int notice_init(struct notice *n, const struct notice_row *row);
void notice_clear(struct notice *n);

/* Does the feed want it? By state and kind; and by severity: once an alert was severe enough, its
 * later states are told, too, so that nobody waits for an end that is not told. */
bool notice_is_wanted(const struct notice *n, const struct feed_conf *feed);

/* Does it end the matter for who listens (resolved, suppressed)? */
bool notice_is_end(const struct notice *n);

/* The object as one line of JSON, without a newline; malloc'd, NULL: no memory. */
char *notice_json(const struct notice *n);

/* RFC 3339 in UTC, to the microsecond. Returns out. */
#define NOTICE_TIME 32
const char *notice_time(int64_t at, char out[static NOTICE_TIME]);

/* A string of the object; "" when it is not there or none. */
const char *notice_text(const struct notice *n, const char *key);
