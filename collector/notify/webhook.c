/* HTTP POST by libcurl: one JSON object per state (plain), or lists in Alertmanager's shape.
 *
 * Alertmanager forgets what it is not told again: so what has not ended is told again each
 * webhook's repeat, from the last state told. Its labels are the alert's identity there; when they
 * change (its severity rose), the old ones are ended in the same message.
 *
 * Which answers say that the document is to blame: 4xx, but not those that speak of the address,
 * the token or the moment (401, 403, 404, 405, 407, 408, 421, 423, 425, 429), for with those every
 * document would be refused, and skipped. They and 3xx, 5xx are an outage. */
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "collector/notify/alertmanager.h"
#include "collector/notify/sink.h"
#include "shared/base/clock.h"

#define ANSWER_KEPT 256 /* of what the receiver says, for the log */
#define HEADERS_MAX 16
#define REPEATS     256 /* alerts per message */
#define CONNECT_MS  5000
#define CONTENT     "Content-Type: application/json"

struct sink {
    const struct feed_conf *conf;
    const struct stop *stop;
    CURL *curl;
    struct curl_slist *headers;
    char answer[ANSWER_KEPT], error[CURL_ERROR_SIZE];
    size_t answer_len;
    json_t *standing;   /* alert_id: alert in Alertmanager's shape */
    uint64_t repeat_at; /* mono */
};

/* ---- one POST ---- */

static size_t keep_answer(char *data, size_t one, size_t len, void *arg)
{
    struct sink *s = arg;
    size_t room = sizeof s->answer - 1 - s->answer_len, n = len < room ? len : room;
    for (size_t i = 0; i < n; i++)
        s->answer[s->answer_len++] = (unsigned char)data[i] < ' ' ? ' ' : data[i];
    s->answer[s->answer_len] = '\0';
    return one * len; /* the rest is read, and thrown away */
}

static int shall_stop(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return stop_is_set(((const struct sink *)arg)->stop);
}

static int judge(const struct sink *s, long status, struct note *note)
{
    static const long not_the_document[] = {401, 403, 404, 405, 407, 408, 421, 423, 425, 429};
    if (status >= 200 && status < 300)
        return 0;
    int err = status >= 400 && status < 500 ? ERR_DATA : ERR_NETWORK;
    for (size_t i = 0; i < sizeof not_the_document / sizeof not_the_document[0]; i++)
        if (status == not_the_document[i])
            err = ERR_NETWORK;
    return note_set(note, err, "the receiver answers %ld%s%s", status,
                    s->answer[0] != '\0' ? ": " : "", s->answer);
}

/* The URL may have a password in it: say the host's error only. */
static int tell_failure(const struct sink *s, CURLcode code, struct note *note)
{
    const char *what = "the receiver does not take it";
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        what = "the receiver's certificate is not trusted, nothing was sent to it";
    else if (code == CURLE_SSL_CACERT_BADFILE)
        what = s->conf->ca[0] != '\0'
                   ? "ca"
                   : "no ca is set, and this machine knows no authorities (ca-certificates)";
    return note_set(note, ERR_NETWORK, "%s: %s", what,
                    s->error[0] != '\0' ? s->error : curl_easy_strerror(code));
}

static int post(struct sink *s, const char *body, struct note *note)
{
    long status = 0;
    s->answer[0] = s->error[0] = '\0';
    s->answer_len = 0;
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDS, body);
    CURLcode code = curl_easy_perform(s->curl);
    if (code != CURLE_OK)
        return tell_failure(s, code, note);
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    return judge(s, status, note);
}

static int post_json(struct sink *s, const json_t *json, struct note *note)
{
    char *body = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
    int err = body == NULL ? note_set(note, -ENOMEM, "out of memory") : post(s, body, note);
    free(body);
    return err;
}

/* ---- Alertmanager ---- */

static const char *key_of(const struct notice *n, char out[static 24])
{
    snprintf(out, 24, "%" PRIu64, n->alert_id);
    return out;
}

static int webhook_standing(struct sink *s, const struct notice *n)
{
    char key[24];
    if (s->conf->format != FEED_ALERTMANAGER)
        return 0;
    json_t *alert = alertmanager_alert(n, s->conf);
    return alert != NULL && json_object_set_new(s->standing, key_of(n, key), alert) == 0 ? 0
                                                                                         : -ENOMEM;
}

/* The notice's alert, and before it the end of what it was known as. */
static int append(json_t *list, json_t *known, const struct notice *n, const struct sink *s)
{
    char key[24];
    json_t *alert = alertmanager_alert(n, s->conf);
    const json_t *before = json_object_get(known, key_of(n, key));
    int err = alert == NULL ? -ENOMEM : 0;
    if (err == 0 && before != NULL && !alertmanager_is_same(before, alert))
        err = json_array_append_new(list, alertmanager_ended(before, n->at));
    if (err == 0)
        err = json_array_append(list, alert);
    if (err == 0 && notice_is_end(n))
        json_object_del(known, key);
    else if (err == 0)
        err = json_object_set(known, key, alert);
    json_decref(alert);
    return err == 0 ? 0 : -ENOMEM;
}

/* What is known changes only when the message has arrived. */
static int send_alerts(struct sink *s, const struct notice *list, size_t n, size_t *done,
                       struct note *note)
{
    json_t *known = json_copy(s->standing), *alerts = json_array();
    int err = known == NULL || alerts == NULL ? -ENOMEM : 0;
    for (size_t i = 0; err == 0 && i < n; i++)
        err = append(alerts, known, &list[i], s);
    if (err == 0)
        err = post_json(s, alerts, note);
    if (err == 0) {
        json_t *was = s->standing;
        s->standing = known;
        known = was;
        *done = n;
    }
    json_decref(known);
    json_decref(alerts);
    return err;
}

static int repeat_all(struct sink *s, struct note *note)
{
    const char *key;
    json_t *alert, *list = json_array();
    int err = list == NULL ? -ENOMEM : 0;
    json_object_foreach(s->standing, key, alert)
    {
        if (err == 0)
            err = json_array_append(list, alert) == 0 ? 0 : -ENOMEM;
        if (err == 0 && json_array_size(list) == REPEATS) {
            err = post_json(s, list, note);
            json_array_clear(list);
        }
    }
    if (err == 0 && json_array_size(list) > 0)
        err = post_json(s, list, note);
    json_decref(list);
    /* said again a minute later anyway; refused repeats are no reason to stop what follows */
    return err == ERR_DATA ? 0 : err;
}

static int webhook_tick(struct sink *s, uint64_t now, int *wait_ms, struct note *note)
{
    if (s->conf->format != FEED_ALERTMANAGER)
        return 0;
    int err = 0;
    if (now >= s->repeat_at) {
        err = repeat_all(s, note);
        if (err == 0)
            s->repeat_at = now + s->conf->repeat_ns;
    }
    if (err == 0 && (s->repeat_at - now) / NS_PER_MS < (uint64_t)*wait_ms)
        *wait_ms = (int)((s->repeat_at - now) / NS_PER_MS) + 1;
    return err;
}

/* ---- plain ---- */

static int send_plain(struct sink *s, const struct notice *n, size_t *done, struct note *note)
{
    char *body = notice_json(n);
    int err = body == NULL ? note_set(note, -ENOMEM, "out of memory") : post(s, body, note);
    free(body);
    *done = err == 0;
    return err;
}

static int webhook_send(struct sink *s, const struct notice *list, size_t n, size_t *done,
                        struct note *note)
{
    if (s->conf->format == FEED_ALERTMANAGER)
        return send_alerts(s, list, n, done, note);
    int err = 0;
    size_t one = 0;
    for (*done = 0; err == 0 && *done < n; *done += one)
        err = send_plain(s, &list[*done], &one, note);
    return err;
}

/* ---- open and close ---- */

/* Tokens stand there, so nobody else may read it. */
static int read_headers(struct sink *s, struct note *note)
{
    const char *path = s->conf->headers;
    char line[4096];
    struct stat is;
    s->headers = curl_slist_append(NULL, CONTENT);
    if (path[0] == '\0')
        return 0;
    FILE *in = fopen(path, "re");
    if (in == NULL || fstat(fileno(in), &is) != 0 || (is.st_mode & 077) != 0) {
        int err = in == NULL ? errno : EPERM;
        if (in != NULL)
            fclose(in);
        return note_set(note, -err, "headers %s: %s%s", path, err_text(-err),
                        err == EPERM ? " (a file with tokens must be its owner's alone: mode 0600)"
                                     : "");
    }
    for (unsigned i = 0; i < HEADERS_MAX && fgets(line, sizeof line, in) != NULL; i++) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0' && line[0] != '#')
            s->headers = curl_slist_append(s->headers, line);
    }
    fclose(in);
    return 0;
}

/* libcurl has a folder of authorities built in that counts besides the file, and would keep what
 * it read of a file for a day; so who mends one would have to restart the collector. */
static void trust_only(struct sink *s)
{
    if (s->conf->ca[0] != '\0') {
        curl_easy_setopt(s->curl, CURLOPT_CAINFO, s->conf->ca);
        curl_easy_setopt(s->curl, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(s->curl, CURLOPT_CA_CACHE_TIMEOUT, 0L);
}

static void set_options(struct sink *s)
{
    CURL *c = s->curl;
    curl_easy_setopt(c, CURLOPT_URL, s->conf->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_POST, 1L);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, s->headers);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "penstock-collector/" PENSTOCK_VERSION);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(s->conf->timeout_ns / NS_PER_MS));
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, s->error);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, keep_answer);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L); /* it is asked at least once a second */
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, shall_stop);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, s);
    trust_only(s);
}

static void webhook_close(struct sink *s)
{
    curl_easy_cleanup(s->curl);
    curl_slist_free_all(s->headers);
    json_decref(s->standing);
    free(s);
}

static int webhook_open(const struct feed_conf *conf, const struct stop *stop,
                        const struct past *past, struct sink **out, struct note *note)
{
    (void)past;
    struct sink *s = calloc(1, sizeof *s);
    if (s == NULL)
        return note_set(note, -ENOMEM, "out of memory");
    *s = (struct sink){
        .conf = conf, .stop = stop, .curl = curl_easy_init(), .standing = json_object()};
    int err = s->curl == NULL || s->standing == NULL ? note_set(note, -ENOMEM, "out of memory")
                                                     : read_headers(s, note);
    if (err < 0) {
        webhook_close(s);
        return err;
    }
    set_options(s);
    *out = s;
    return 0;
}

const struct sink_ops sink_webhook = {.open = webhook_open,
                                      .standing = webhook_standing,
                                      .send = webhook_send,
                                      .tick = webhook_tick,
                                      .close = webhook_close,
                                      .batch = 64};
