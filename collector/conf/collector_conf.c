#include "collector/conf/collector_conf.h"

#include <errno.h>
#include <stdlib.h>

#include "collector/conf/feeds_conf.h"
#include "shared/conf/conf_table.h"

enum orders_mode { ORDERS_AUTO, ORDERS_APPROVE, ORDERS_OFF };

/* What the table fills: the configuration, and keys that this release reads only to refuse. */
struct keys {
    struct collector_conf conf;
    enum orders_mode orders;
    unsigned max_per_sensor;
};

#define COUNT_OF(a)         (sizeof(a) / sizeof((a)[0]))
#define AT(member)          CONF_AT(struct keys, member)
#define LIST(member, count) CONF_LIST(struct keys, member, count)
#define SECONDS(n)          ((double)(n)*1e9)

static const char *const orders_words[] = {"auto", "approve", "off", NULL};
static const char *const log_words[] = {"error", "warn", "info", "debug", NULL};

/* clang-format off */
static const struct conf_row rows[] = {
    {"collector.name", CONF_TEXT, AT(conf.name), .value = "core",
     .help = "Name of this collector."},
    {"collector.listen", CONF_TEXT, AT(conf.receive.listen), .value = "tcp://*:5560",
     .help = "Endpoint that sensors connect to."},
    {"collector.certificate", CONF_TEXT, AT(conf.receive.certificate), .example = "/etc/penstock/collector.cert",
     .help = "The collector's certificate with its secret key, of mode 0600 (penstockctl keys new collector). Required unless insecure."},
    {"collector.sensors", CONF_TEXT, AT(conf.receive.sensors), .example = "/etc/penstock/sensors.d",
     .help = "Folder with the public certificate of each sensor that may connect; looked at once a second. Required unless insecure."},
    {"collector.rate", CONF_SIZE, AT(conf.receive.rate), .value = "64MiB", .min = 0, .max = 64.0 * (1 << 30), .unit = "bytes/s",
     .help = "Most that one sensor may send per second, before compression, 1MiB or more: one that sends more waits longer for its acknowledgements, and loses nothing. 0: any."},
    {"collector.insecure", CONF_BOOL, AT(conf.receive.insecure), .value = "false",
     .help = "Take sensors without encryption, and believe them their names. The network up to the sensors must be trusted."},

    {"database.dsn", CONF_TEXT, AT(conf.store.dsn), .value = "host=/run/postgresql dbname=penstock", .is_secret = true,
     .help = "The PostgreSQL database, as a libpq connection string; of a role that is a member of penstock_collector, or owns the schema. Several hosts: add target_session_attrs=read-write."},
    {"database.owner_dsn", CONF_TEXT, AT(conf.store.owner_dsn), .is_secret = true,
     .help = "The same as the role that owns the schema: for --migrate only, a start never uses it; \"\" for database.dsn."},

    {"roster.silent_after", CONF_DURATION, AT(conf.roster.silent_after_ns), .value = "60s", .min = SECONDS(1), .max = SECONDS(86400),
     .help = "A sensor not heard of for so long counts as silent."},

    {"map.half_life", CONF_DURATION, AT(conf.ingress.half_life_ns), .value = "1h", .min = SECONDS(1), .max = SECONDS(30 * 86400),
     .help = "Age at which traffic counts half in the shares of a prefix's ingress points."},
    {"map.max_rows", CONF_UNSIGNED, AT(conf.ingress.max_rows), .value = "1000000", .min = 1, .max = 100000000, .unit = "rows",
     .help = "Most pairs of prefix and ingress point in the map."},

    {"evidence.half_life", CONF_DURATION, AT(conf.evidence.half_life_ns), .value = "24h", .min = SECONDS(1), .max = SECONDS(365 * 86400),
     .help = "How long a conclusive test stands against an inconclusive newer one."},

    {"orders.mode", CONF_WORD, AT(orders), .value = "off", .words = orders_words,
     .help = "Who starts tests. This release gives sensors no orders: only off is taken."},
    {"orders.max_per_sensor", CONF_UNSIGNED, AT(max_per_sensor), .value = "4", .min = 1, .max = 1024, .unit = "tests",
     .help = "Most ordered tests at once per sensor; used by a later release, this one orders none."},

    {"policy.file", CONF_TEXT, AT(conf.policy_file),
     .help = "The operator's expectation: which prefixes should enter where (expected.yaml); \"\" for none."},
    {"policy.learn_after", CONF_DURATION, AT(conf.learn_after_ns), .value = "0s", .min = 0, .max = SECONDS(365 * 86400),
     .help = "A place where a prefix has been genuine for so long, while nobody said that it is not expected there, is expected from then on. 0s: nothing is learned."},
    {"policy.max_learned", CONF_UNSIGNED, AT(conf.max_learned), .value = "100000", .min = 1, .max = 10000000, .unit = "places",
     .help = "Most places that are learned."},
    {"policy.rib", CONF_TEXT, AT(conf.tables.rib.path), .example = "/var/lib/bird/rib.mrt",
     .help = "Routing table to expect by: MRT (TABLE_DUMP_V2, BGP4MP; plain, .gz, .bz2), read through bgpdump, or a text file of bgpdump -m. Read again when it changes; \"\" for none."},
    {"policy.own_as", CONF_UNSIGNED, AT(conf.tables.rib.own_as), .value = "0", .min = 0, .max = 4294967295.0,
     .help = "Our own AS number: left out where an AS path begins with it; 0 if no path does."},
    {"policy.max_paths", CONF_UNSIGNED, AT(conf.tables.rib.max_paths), .value = "20000000", .min = 1, .max = 1e9, .unit = "paths",
     .help = "Most paths of policy.rib, 32 bytes each while it is read; with more it is refused."},
    {"policy.read_timeout", CONF_DURATION, AT(conf.tables.rib.timeout_ns), .value = "5m", .min = SECONDS(1), .max = SECONDS(86400),
     .help = "Longest that reading policy.rib may take."},
    {"policy.vrps", CONF_TEXT, AT(conf.tables.vrps), .example = "/var/db/rpki-client/json",
     .help = "Validated ROA payloads, as rpki-client, Routinator or StayRTR write them (JSON or CSV). Read again when it changes, and every hour; \"\" for none."},

    {"alerts.hold_down", CONF_DURATION, AT(conf.alert.hold_down_ns), .value = "5s", .min = 0, .max = SECONDS(86400),
     .help = "An alert must hold for so long before it fires."},
    {"alerts.resolve_after", CONF_DURATION, AT(conf.alert.resolve_after_ns), .value = "10m", .min = SECONDS(1), .max = SECONDS(30 * 86400),
     .help = "An alert also ends when no traffic was seen for so long. When its cause is gone, it ends at once."},
    {"alerts.max", CONF_UNSIGNED, AT(conf.alert.max_alerts), .value = "10000", .min = 1, .max = 1000000, .unit = "alerts",
     .help = "Most alerts without an end."},
    {"alerts.feeds", CONF_RECORDS, LIST(conf.feeds, conf.feed_count), .rows = feeds_conf_rows, .row_count = FEEDS_CONF_ROWS,
     .help = "Where alerts are told, besides NOTIFY penstock_alert and the tables; docs/feeds.md."},

    {"http.listen", CONF_TEXT, AT(conf.http_listen), .value = "127.0.0.1:9560",
     .help = "Address and port of /metrics and /healthz; \"\" for none."},
    {"log.level", CONF_WORD, AT(conf.log_level), .value = "info", .words = log_words,
     .help = "Least important lines that are logged."},
};
/* clang-format on */

static const struct conf_table table = {
    "Configuration of penstock-collector: every key. Commented lines tell what a key is for, what "
    "it takes and its default. Keys that stand here as their default may be left out.",
    rows, COUNT_OF(rows)};

static void check_dsn(struct conf *c, const char *key, const char *dsn)
{
    struct note why = {0};
    if (store_check_dsn(dsn, &why) != 0)
        conf_wrong(c, key, "%s", why.text);
}

static void require(struct conf *c, const char *key, const char *value)
{
    if (value[0] == '\0')
        conf_wrong(c, key, "required, but empty");
}

/* What a later release will understand is refused, not ignored: nobody shall believe it works. */
static void check_release(struct conf *c, const struct keys *k)
{
    if (k->orders != ORDERS_OFF)
        conf_wrong(c, "orders.mode",
                   "%s is not in this release, which gives sensors no orders; "
                   "use off",
                   orders_words[k->orders]);
}

/* Below it an acknowledgement could wait longer than a sensor does (collector/receive/pace.h). */
#define RATE_MIN (1024 * 1024)

static void check_receive(struct conf *c, const struct receive_conf *r)
{
    require(c, "collector.listen", r->listen);
    if (r->rate != 0 && r->rate < RATE_MIN)
        conf_wrong(c, "collector.rate", "expected 0, or 1MiB and more");
    if (r->insecure)
        return;
    require(c, "collector.certificate", r->certificate);
    require(c, "collector.sensors", r->sensors);
}

int collector_conf_load(const char *path, const char *const *settings, size_t n,
                        struct collector_conf *out, struct note *note)
{
    struct keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return note_set(note, -ENOMEM, "no memory for the configuration");
    struct conf c;
    conf_begin(&c, &table, keys, note);
    if (path != NULL)
        conf_file(&c, path);
    for (size_t i = 0; i < n; i++)
        conf_set(&c, settings[i]);
    require(&c, "collector.name", keys->conf.name);
    check_receive(&c, &keys->conf.receive);
    check_dsn(&c, "database.dsn", keys->conf.store.dsn);
    check_dsn(&c, "database.owner_dsn", keys->conf.store.owner_dsn);
    check_release(&c, keys);
    feeds_conf_check(&c, keys->conf.feeds, keys->conf.feed_count, keys->conf.receive.certificate);
    int err = conf_end(&c);
    *out = keys->conf;
    free(keys);
    return err;
}

void collector_conf_explain(FILE *out)
{
    conf_explain(&table, out);
}
