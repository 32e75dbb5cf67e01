#include "collector/notify/notice.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *const feed_type_words[] = {"jsonl", "webhook", "syslog", "zeromq", NULL};
const char *const feed_severity_words[] = {"info", "warning", "critical", NULL};

const char *notice_time(int64_t at, char out[static NOTICE_TIME])
{
    int64_t ns = at % 1000000000, s = at / 1000000000;
    if (ns < 0) {
        ns += 1000000000;
        s--;
    }
    struct tm tm = {0};
    time_t t = (time_t)s;
    gmtime_r(&t, &tm);
    /* the limits say to the compiler what a year of four digits is */
    snprintf(out, NOTICE_TIME, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
             (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
             (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
             (unsigned)tm.tm_sec % 100, (unsigned)(ns / 1000) % 1000000);
    return out;
}

const char *notice_text(const struct notice *n, const char *key)
{
    const char *text = json_string_value(json_object_get(n->alert, key));
    return text != NULL ? text : "";
}

static json_t *read_document(const struct notice_row *row)
{
    json_t *document = json_loadb(row->document, row->document_len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(document))
        return document;
    if (document == NULL)
        document = json_stringn(row->document, row->document_len);
    if (document == NULL)
        document = json_null(); /* neither JSON nor text */
    return json_pack("{s:o}", "document", document);
}

/* What says which state this is comes first, and stands against what the document says of it. */
static json_t *whole(const struct notice_row *row, json_t *document)
{
    char at[NOTICE_TIME];
    json_t *alert =
        json_pack("{s:I, s:I, s:s, s:s}", "event_id", (json_int_t)row->event_id, "alert_id",
                  (json_int_t)row->alert_id, "at", notice_time(row->at, at), "state", row->state);
    if (alert == NULL || json_object_update_missing(alert, document) != 0) {
        json_decref(alert);
        return NULL;
    }
    return alert;
}

int notice_init(struct notice *n, const struct notice_row *row)
{
    *n = (struct notice){
        .event_id = row->event_id, .alert_id = row->alert_id, .at = row->at, .peak = row->peak};
    json_t *document = read_document(row);
    if (document != NULL)
        n->alert = whole(row, document);
    json_decref(document);
    if (n->alert == NULL)
        return -ENOMEM;
    n->state = notice_text(n, "state");
    n->kind = notice_text(n, "kind");
    n->severity = notice_text(n, "severity");
    n->fingerprint = notice_text(n, "fingerprint");
    n->summary = notice_text(n, "summary");
    return 0;
}

void notice_clear(struct notice *n)
{
    json_decref(n->alert);
    *n = (struct notice){0};
}

static bool is_among(const char *word, const char *list, size_t item_size, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, list + i * item_size) == 0)
            return true;
    return false;
}

bool notice_is_wanted(const struct notice *n, const struct feed_conf *feed)
{
    if (feed->state_count == 0 && strcmp(n->state, "pending") == 0)
        return false;
    if (feed->state_count > 0 &&
        !is_among(n->state, feed->states[0], sizeof feed->states[0], feed->state_count))
        return false;
    if (feed->kind_count > 0 &&
        !is_among(n->kind, feed->kinds[0], sizeof feed->kinds[0], feed->kind_count))
        return false;
    return n->peak >= (unsigned)feed->severity;
}

bool notice_is_end(const struct notice *n)
{
    return strcmp(n->state, "resolved") == 0 || strcmp(n->state, "suppressed") == 0;
}

char *notice_json(const struct notice *n)
{
    /* fifteen digits: what was written 0.97 is not 0.96999999999999997 */
    return json_dumps(n->alert, JSON_COMPACT | JSON_REAL_PRECISION(15));
}
