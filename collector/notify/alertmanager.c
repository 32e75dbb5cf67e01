#include "collector/notify/alertmanager.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Strings and numbers alike: Alertmanager's values are all text. "" is no label. */
static int put(json_t *map, const char *name, const json_t *value)
{
    char number[40] = "";
    if (json_is_integer(value))
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(number, sizeof number, "%.6g", json_real_value(value));
    const char *text = json_is_string(value) ? json_string_value(value) : number;
    return text[0] != '\0' ? json_object_set_new(map, name, json_string(text)) : 0;
}

static int put_all(json_t *map, const json_t *from, const char *const *keys)
{
    int err = 0;
    for (size_t i = 0; err == 0 && keys[i] != NULL; i++)
        err = put(map, keys[i], json_object_get(from, keys[i]));
    return err;
}

static json_t *labels_of(const struct notice *n)
{
    static const char *const keys[] = {"severity",  "prefix",      "pop", "router",
                                       "interface", "vlan",        "mac", "peer_as",
                                       "sensor",    "fingerprint", NULL};
    json_t *labels = json_object();
    const char *name = n->kind[0] != '\0' ? n->kind : "penstock";
    if (labels == NULL || json_object_set_new(labels, "alertname", json_string(name)) != 0 ||
        put_all(labels, n->alert, keys) != 0) {
        json_decref(labels);
        return NULL;
    }
    return labels;
}

static json_t *annotations_of(const struct notice *n, const struct feed_conf *feed)
{
    static const char *const keys[] = {"summary",    "state",           "alert_id", "event_id",
                                       "confidence", "acknowledged_by", NULL};
    const char *page = notice_text(n, "runbook");
    json_t *annotations = json_object();
    int err = annotations == NULL ? -1 : put_all(annotations, n->alert, keys);
    if (err == 0 && page[0] != '\0')
        err =
            json_object_set_new(annotations, "runbook", json_sprintf("%s%s", feed->runbook, page));
    if (err == 0)
        return annotations;
    json_decref(annotations);
    return NULL;
}

json_t *alertmanager_alert(const struct notice *n, const struct feed_conf *feed)
{
    char at[NOTICE_TIME];
    const char *started = notice_text(n, "started_at");
    notice_time(n->at, at);
    json_t *alert =
        json_pack("{s:o, s:o, s:s}", "labels", labels_of(n), "annotations", annotations_of(n, feed),
                  "startsAt", started[0] != '\0' ? started : at);
    int err = alert == NULL ? -1 : 0;
    if (err == 0 && feed->link[0] != '\0')
        err = json_object_set_new(alert, "generatorURL",
                                  json_sprintf("%s%" PRIu64, feed->link, n->alert_id));
    if (err == 0 && notice_is_end(n))
        err = json_object_set_new(alert, "endsAt", json_string(at));
    if (err == 0)
        return alert;
    json_decref(alert);
    return NULL;
}

bool alertmanager_is_same(const json_t *a, const json_t *b)
{
    return json_equal(json_object_get(a, "labels"), json_object_get(b, "labels")) == 1;
}

json_t *alertmanager_ended(const json_t *alert, int64_t at)
{
    char text[NOTICE_TIME];
    json_t *ended = json_copy((json_t *)alert); /* its parts are shared, and not changed */
    if (ended != NULL &&
        json_object_set_new(ended, "endsAt", json_string(notice_time(at, text))) == 0)
        return ended;
    json_decref(ended);
    return NULL;
}
