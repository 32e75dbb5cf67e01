#include "collector/conf/feeds_conf.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define KEY             "alerts.feeds"
#define FEED(member)    CONF_AT(struct feed_conf, member)
#define LIST(member, n) CONF_LIST(struct feed_conf, member, n)
#define SECONDS(n)      ((double)(n)*1e9)

static const char *const format_words[] = {"plain", "alertmanager", NULL};
static const char *const from_words[] = {"now", "start", NULL};
static const char *const type_words[] = {"jsonl", "webhook", "syslog", "zeromq", NULL};
static const char *const severity_words[] = {"info", "warning", "critical", NULL};
static const char *const state_words[] = {"pending",  "firing",     "acknowledged",
                                          "resolved", "suppressed", NULL};
/* RFC 5424, table 1, in its order */
static const char *const facility_words[] = {
    "kern",   "user",     "mail",   "daemon", "auth",   "syslog", "lpr",   "news",   "uucp",
    "cron",   "authpriv", "ftp",    "ntp",    "audit",  "alert",  "clock", "local0", "local1",
    "local2", "local3",   "local4", "local5", "local6", "local7", NULL};

/* clang-format off */
const struct conf_row feeds_conf_rows[FEEDS_CONF_ROWS] = {
    {"type", CONF_WORD, FEED(type), .words = type_words, .is_required = true, .help = "Kind of feed."},
    {"name", CONF_TEXT, FEED(name), .help = "Its row in penstock.alert_feed, unique; \"\" for its type."},
    {"from", CONF_WORD, FEED(from), .value = "now", .words = from_words,
     .help = "Where a new feed begins: with what comes from now on, or with the oldest state that is kept."},
    {"states", CONF_TEXTS, LIST(states, state_count),
     .help = "States that are told: pending, firing, acknowledged, resolved, suppressed; [] for all but pending."},
    {"severity", CONF_WORD, FEED(severity), .value = "info", .words = severity_words,
     .help = "Only alerts that are, or once were, as severe."},
    {"kinds", CONF_TEXTS, LIST(kinds, kind_count), .help = "Only alerts of these kinds; [] for all."},
    {"path", CONF_TEXT, FEED(path), .help = "jsonl: file to append to."},
    {"fsync", CONF_BOOL, FEED(fsync), .value = "true",
     .help = "jsonl: a state counts as told only when it is on disk."},
    {"address", CONF_TEXT, FEED(address), .value = "/dev/log",
     .help = "syslog: a Unix datagram socket's path, udp://HOST:PORT or tcp://HOST:PORT."},
    {"facility", CONF_WORD, FEED(facility), .value = "daemon", .words = facility_words, .help = "syslog: facility."},
    {"url", CONF_TEXT, FEED(url), .help = "webhook: address to post to."},
    {"format", CONF_WORD, FEED(format), .value = "plain", .words = format_words,
     .help = "webhook: one JSON object per state, or Alertmanager's API v2."},
    {"timeout", CONF_DURATION, FEED(timeout_ns), .value = "10s", .min = SECONDS(0.1), .max = SECONDS(300),
     .help = "webhook: longest wait for an answer."},
    {"repeat", CONF_DURATION, FEED(repeat_ns), .value = "1m", .min = SECONDS(1), .max = SECONDS(3600),
     .help = "webhook, alertmanager: what has not ended is told again so often; less than Alertmanager's resolve_timeout."},
    {"link", CONF_TEXT, FEED(link), .help = "webhook, alertmanager: generatorURL is this with the alert_id behind it; \"\" for none."},
    {"runbook", CONF_TEXT, FEED(runbook), .help = "webhook, alertmanager: what stands before the alert's page in the annotation runbook."},
    {"ca", CONF_TEXT, FEED(ca), .help = "webhook: file with the authorities that a server's certificate must be of; \"\" for the system's."},
    {"headers", CONF_TEXT, FEED(headers), .help = "webhook: file of mode 0600 with further headers, one a line, such as a token; \"\" for none."},
    {"listen", CONF_TEXT, FEED(listen), .help = "zeromq: endpoint that is published at."},
    {"catch_up", CONF_TEXT, FEED(catch_up), .help = "zeromq: endpoint that answers what was missed; \"\" for none."},
    {"curve", CONF_BOOL, FEED(curve), .value = "false",
     .help = "zeromq: encrypt with the key of collector.certificate, by which subscribers know this collector."},
    {"subscribers", CONF_TEXT, FEED(subscribers),
     .help = "zeromq, with curve: folder with the .pub files of those who may subscribe; \"\" for whoever knows the collector's key."},
    {"heartbeat", CONF_DURATION, FEED(heartbeat_ns), .value = "10s", .min = SECONDS(0.1), .max = SECONDS(3600),
     .help = "zeromq: after so long without a state a heartbeat is published."},
};
/* clang-format on */
static_assert(sizeof feeds_conf_rows / sizeof feeds_conf_rows[0] == FEEDS_CONF_ROWS, "all of them");

struct place {
    struct conf *conf;
    size_t number; /* from 1, as the table counts */
    const struct feed_conf *feed;
};

static void wrong(const struct place *p, const char *key, const char *sentence)
{
    conf_wrong(p->conf, KEY, "entry %zu (%s): %s: %s", p->number, type_words[p->feed->type], key,
               sentence);
}

static bool is_plain_name(const char *text)
{
    return text[0] != '\0' &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789._-")] == '\0';
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0 && text[strlen(with)] != '\0';
}

static bool is_word(const char *text, const char *const *words)
{
    while (*words != NULL && strcmp(text, *words) != 0)
        words++;
    return *words != NULL;
}

/* "udp://host:port" */
static bool is_host_and_port(const char *address)
{
    const char *colon = strrchr(address, ':');
    return (begins(address, "udp://") || begins(address, "tcp://")) && colon > address + 6 &&
           colon[1] != '\0' && colon[1 + strspn(colon + 1, "0123456789")] == '\0';
}

static void check_webhook(const struct place *p)
{
    const char *url = p->feed->url;
    if (url[0] == '\0')
        wrong(p, "url", "missing; a webhook must say where to post to");
    else if (!begins(url, "http://") && !begins(url, "https://"))
        wrong(p, "url", "expected http://… or https://…");
}

static void check_kind_of(const struct place *p)
{
    const struct feed_conf *f = p->feed;
    if (f->type == FEED_JSONL && f->path[0] != '/')
        wrong(p, "path",
              f->path[0] == '\0' ? "missing; jsonl must say which file"
                                 : "expected an absolute path");
    if (f->type == FEED_SYSLOG && f->address[0] != '/' && !is_host_and_port(f->address))
        wrong(p, "address", "expected a path, udp://HOST:PORT or tcp://HOST:PORT");
    if (f->type == FEED_WEBHOOK)
        check_webhook(p);
    if (f->type == FEED_ZEROMQ && f->listen[0] == '\0')
        wrong(p, "listen", "missing; zeromq must say where to publish");
    if (f->type == FEED_ZEROMQ && f->listen[0] != '\0' && strcmp(f->listen, f->catch_up) == 0)
        wrong(p, "catch_up", "expected another endpoint than listen");
    if (f->type == FEED_ZEROMQ && f->curve && f->certificate[0] == '\0')
        wrong(p, "curve", "needs collector.certificate");
    if (f->type == FEED_ZEROMQ && f->subscribers[0] != '\0' && !f->curve)
        wrong(p, "subscribers", "needs curve: true; without it nobody has a key");
}

/* What belongs to another kind would be ignored, and somebody believe it works. */
static void check_foreign(const struct place *p)
{
    const struct feed_conf *f = p->feed;
    const struct {
        const char *key, *value;
        enum feed_type type;
    } keys[] = {{"path", f->path, FEED_JSONL},
                {"url", f->url, FEED_WEBHOOK},
                {"link", f->link, FEED_WEBHOOK},
                {"runbook", f->runbook, FEED_WEBHOOK},
                {"ca", f->ca, FEED_WEBHOOK},
                {"headers", f->headers, FEED_WEBHOOK},
                {"listen", f->listen, FEED_ZEROMQ},
                {"catch_up", f->catch_up, FEED_ZEROMQ},
                {"subscribers", f->subscribers, FEED_ZEROMQ}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i].value[0] != '\0' && keys[i].type != f->type)
            wrong(p, keys[i].key, "not a key of this kind of feed");
    if (f->type != FEED_SYSLOG && strcmp(f->address, "/dev/log") != 0)
        wrong(p, "address", "not a key of this kind of feed");
}

static void check_one(const struct place *p, const struct feed_conf *all)
{
    const struct feed_conf *f = p->feed;
    if (!is_plain_name(f->name))
        wrong(p, "name", "expected letters, digits, \".\", \"_\" and \"-\"");
    for (size_t i = 0; i + 1 < p->number; i++)
        if (strcmp(all[i].name, f->name) == 0)
            conf_wrong(p->conf, KEY, "entry %zu (%s): name: \"%s\" is entry %zu's; say another",
                       p->number, type_words[f->type], f->name, i + 1);
    for (size_t i = 0; i < f->state_count; i++)
        if (!is_word(f->states[i], state_words))
            wrong(p, "states", "expected pending, firing, acknowledged, resolved, suppressed");
    check_kind_of(p);
    check_foreign(p);
}

void feeds_conf_check(struct conf *c, struct feed_conf *feeds, size_t n, const char *certificate)
{
    for (size_t i = 0; i < n; i++) {
        struct feed_conf *f = &feeds[i];
        if (f->name[0] == '\0')
            snprintf(f->name, sizeof f->name, "%s", type_words[f->type]);
        if (f->curve)
            snprintf(f->certificate, sizeof f->certificate, "%s", certificate);
    }
    for (size_t i = 0; i < n; i++)
        check_one(&(struct place){c, i + 1, &feeds[i]}, feeds);
}
