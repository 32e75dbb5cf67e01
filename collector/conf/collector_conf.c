#include "collector/conf/collector_conf.h"

#include <errno.h>
#include <stdlib.h>

#include "collector/conf/alerts_conf.h"
#include "collector/conf/feeds_conf.h"
#include "shared/conf/conf_table.h"

/* What the table fills. */
struct keys {
    struct collector_conf conf;
    struct alerts_conf alerts;
};

#define COUNT_OF(a)         (sizeof(a) / sizeof((a)[0]))
#define AT(member)          CONF_AT(struct keys, member)
#define LIST(member, count) CONF_LIST(struct keys, member, count)
#define SECONDS(n)          ((double)(n)*1e9)

static const char *const orders_words[] = {"auto", "approve", "off", NULL}; /* enum order_mode */
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
    {"database.keep_events", CONF_DURATION, AT(conf.keep.events_ns), .value = "90d", .min = 0, .max = SECONDS(36500 * 86400.0),
     .help = "How long withheld segments, passive flows, scan windows and statuses stay in the database, in whole months; 0: for ever, else 1d or more."},
    {"database.keep_tallies", CONF_DURATION, AT(conf.keep.tallies_ns), .value = "30d", .min = 0, .max = SECONDS(36500 * 86400.0),
     .help = "The same for tallies, of which there are most; those that a start needs stay."},
    {"database.keep_history", CONF_DURATION, AT(conf.keep.history_ns), .value = "366d", .min = 0, .max = SECONDS(36500 * 86400.0),
     .help = "The same for the changes of the map (penstock.ingress_change)."},

    {"roster.silent_after", CONF_DURATION, AT(conf.roster.silent_after_ns), .value = "60s", .min = SECONDS(1), .max = SECONDS(86400),
     .help = "A sensor not heard of for so long counts as silent."},

    {"map.half_life", CONF_DURATION, AT(conf.ingress.half_life_ns), .value = "1h", .min = SECONDS(1), .max = SECONDS(30 * 86400),
     .help = "Age at which traffic counts half in the shares of a prefix's ingress points."},
    {"map.max_rows", CONF_UNSIGNED, AT(conf.ingress.max_rows), .value = "1000000", .min = 1, .max = 100000000, .unit = "rows",
     .help = "Most rows of the map: pairs of a range of prefixes and an ingress point."},
    {"map.max_cells", CONF_UNSIGNED, AT(conf.ingress.max_cells), .value = "0", .min = 0, .max = 400000000, .unit = "cells",
     .help = "Most pairs of a counted prefix and an ingress point, from which rows are made (100 bytes each); 0: four times map.max_rows."},
    {"map.recent_half_life", CONF_DURATION, AT(conf.ingress.recent_ns), .value = "1m", .min = SECONDS(1), .max = SECONDS(86400),
     .help = "Age at which traffic counts half when the map asks whether a prefix moved; some six intervals of the sensors' tallies."},
    {"map.join_after", CONF_DURATION, AT(conf.ingress.join_after_ns), .value = "10m", .min = 0, .max = SECONDS(30 * 86400),
     .help = "A prefix joins its neighbours in one wider row when it was seen for so long."},
    {"map.forget_after", CONF_DURATION, AT(conf.ingress.forget_after_ns), .value = "30d", .min = 0, .max = SECONDS(3650 * 86400.0),
     .help = "What was not seen at an ingress point for so long leaves the map; 0: never."},
    {"map.write_interval", CONF_DURATION, AT(conf.ingress.write_interval_ns), .value = "5s", .min = 0, .max = SECONDS(3600),
     .help = "A row of the map whose counters and shares change is written to the database no more often than that; what else it says is written at once. 0: with each transaction."},
    {"map.trickle", CONF_SIZE, AT(conf.ingress.trickle), .value = "64KiB", .min = 1, .max = 1e12, .unit = "bytes",
     .help = "Traffic, decayed by map.half_life, that is too little to say where a prefix enters; a move, and a row of its own in a crowd, take a quarter of it."},
    {"map.crowd", CONF_UNSIGNED, AT(conf.ingress.crowd), .value = "0", .min = 0, .max = 100000000, .unit = "rows",
     .help = "With more rows than that, lone prefixes that only trickle and that nobody knows are gathered in rows of 0.0.0.0/0 and ::/0; 0: half of map.max_rows."},

    {"evidence.half_life", CONF_DURATION, AT(conf.evidence.half_life_ns), .value = "24h", .min = SECONDS(1), .max = SECONDS(365 * 86400),
     .help = "Age at which a test counts half. So long, too, a conclusive test stands against an inconclusive newer one; what weighs less than one withheld segment is forgotten (docs/ingress.md)."},

    {"orders.mode", CONF_WORD, AT(conf.order.mode), .value = "off", .words = orders_words,
     .help = "Who orders tests (docs/orders.md). auto: the collector, where something without a verdict carries enough traffic, the unexpected first; approve: it proposes them, and somebody says requested in penstock.test_order; off: only people."},
    {"orders.never", CONF_PREFIXES, LIST(conf.order.never, conf.order.never_count),
     .help = "No order tests anything that overlaps these prefixes, whoever asked for it: peering LANs, BGP session addresses, own infrastructure. Tests by a sensor's own penny.prefixes are no orders: see its penny.never."},
    {"orders.max_per_sensor", CONF_UNSIGNED, AT(conf.order.max_per_sensor), .value = "4", .min = 1, .max = 1024, .unit = "tests",
     .help = "Most ordered tests at once per sensor."},
    {"orders.max_concurrent", CONF_UNSIGNED, AT(conf.order.max_concurrent), .value = "32", .min = 1, .max = 4096, .unit = "tests",
     .help = "Most ordered tests at once in the whole network."},
    {"orders.max_drops", CONF_UNSIGNED, AT(conf.order.max_drops), .value = "60", .min = 1, .max = 10000, .unit = "segments",
     .help = "Most segments withheld for an order, shared out evenly to the sensor's queues; penny's limits at the sensor hold besides."},
    {"orders.drops_per_prefix_hour", CONF_UNSIGNED, AT(conf.order.drops_per_prefix_hour), .value = "240", .min = 1, .max = 1000000, .unit = "segments",
     .help = "Most segments that the orders of any hour may withhold of a prefix, and of those that overlap it, at all sensors together."},
    {"orders.min_rate", CONF_REAL, AT(conf.order.min_rate), .value = "10", .min = 0, .max = 1e9, .unit = "packets/s",
     .help = "Traffic that a prefix must have at an ingress point to be tested by auto or approve."},
    {"orders.min_v4_length", CONF_UNSIGNED, AT(conf.order.min_v4), .value = "20", .min = 0, .max = 32, .unit = "bits",
     .help = "Shortest IPv4 prefix that is tested as a whole; of a wider row of the map the busiest part is. Not below the sensors' control.min_v4_length."},
    {"orders.min_v6_length", CONF_UNSIGNED, AT(conf.order.min_v6), .value = "40", .min = 0, .max = 128, .unit = "bits",
     .help = "The same for IPv6."},
    {"orders.cool_down", CONF_DURATION, AT(conf.order.cool_down_ns), .value = "1h", .min = 0, .max = SECONDS(86400),
     .help = "Pause between two orders of auto or approve for the same prefix at the same point of presence."},
    {"orders.unverifiable_after", CONF_DURATION, AT(conf.order.unverifiable_ns), .value = "24h", .min = 0, .max = SECONDS(365 * 86400),
     .help = "A prefix in which a test found no TCP data is tried again after so long."},
    {"orders.lease", CONF_DURATION, AT(conf.order.lease_ns), .value = "180s", .min = SECONDS(5), .max = SECONDS(86400),
     .help = "How long an order lasts at most, kept by the sensor's own clock. Longer than the sensors' penny.max_duration, or tests do not come to their ends."},
    {"orders.margin", CONF_DURATION, AT(conf.order.margin_ns), .value = "10s", .min = SECONDS(1), .max = SECONDS(3600),
     .help = "So much longer a prefix is left alone elsewhere, for clocks do not run alike. At least a thousandth of the lease."},
    {"orders.wait", CONF_DURATION, AT(conf.order.wait_ns), .value = "30s", .min = SECONDS(1), .max = SECONDS(86400),
     .help = "An order for whose prefix no packet comes for so long is over."},
    {"orders.expire", CONF_DURATION, AT(conf.order.expire_ns), .value = "10m", .min = SECONDS(1), .max = SECONDS(7 * 86400),
     .help = "A requested order whose turn does not come for so long is given up."},
    {"orders.resend", CONF_DURATION, AT(conf.order.resend_ns), .value = "5s", .min = SECONDS(0.1), .max = SECONDS(3600),
     .help = "How often a sensor is told again of the orders that it has."},
    {"orders.max", CONF_UNSIGNED, AT(conf.order.max_orders), .value = "4096", .min = 16, .max = 65536, .unit = "orders",
     .help = "Orders in memory: those that are open, and those of the last hours. When all of them are open or may have withheld segments in the last hour, no more begin."},

    {"policy.file", CONF_TEXT, AT(conf.policy_file),
     .help = "The operator's expectation: which prefixes should enter where (expected.yaml); \"\" for none."},
    {"policy.learn_after", CONF_DURATION, AT(conf.learn_after_ns), .value = "0s", .min = 0, .max = SECONDS(365 * 86400),
     .help = "A place where a prefix has been genuine for so long, while nobody said that it is not expected there, is expected from then on. 0s: nothing is learned."},
    {"policy.max_learned", CONF_UNSIGNED, AT(conf.max_learned), .value = "100000", .min = 1, .max = 10000000, .unit = "places",
     .help = "Most places that are learned."},
    {"policy.rib", CONF_TEXT, AT(conf.tables.rib.path),
     .help = "Routing table to expect by: MRT (TABLE_DUMP_V2, BGP4MP; plain, .gz, .bz2), read through bgpdump, or a text file of bgpdump -m. Read again when it changes; \"\" for none."},
    {"policy.own_as", CONF_UNSIGNED, AT(conf.tables.rib.own_as), .value = "0", .min = 0, .max = 4294967295.0,
     .help = "Our own AS number: left out where an AS path begins with it; 0 if no path does."},
    {"policy.max_paths", CONF_UNSIGNED, AT(conf.tables.rib.max_paths), .value = "20000000", .min = 1, .max = 1e9, .unit = "paths",
     .help = "Most paths of policy.rib, 32 bytes each while it is read; with more it is refused."},
    {"policy.read_timeout", CONF_DURATION, AT(conf.tables.rib.timeout_ns), .value = "5m", .min = SECONDS(1), .max = SECONDS(86400),
     .help = "Longest that reading policy.rib may take."},
    {"policy.rib_max_age", CONF_DURATION, AT(conf.tables.rib_max_age_ns), .value = "36h", .min = 0, .max = SECONDS(365 * 86400),
     .help = "When the file of policy.rib is older, that it has no path for a prefix counts no more, until it is written again. 0s: it counts however old the file is."},
    {"policy.vrps", CONF_TEXT, AT(conf.tables.vrps),
     .help = "Validated ROA payloads, as rpki-client, Routinator or StayRTR write them (JSON or CSV). Read again when it changes, and every hour; \"\" for none."},

#include "collector/conf/alerts_rows.def"
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

static void check_keep(struct conf *c, const struct store_keep *keep)
{
    const struct {
        const char *key;
        uint64_t ns;
    } keys[] = {{"database.keep_events", keep->events_ns},
                {"database.keep_tallies", keep->tallies_ns},
                {"database.keep_history", keep->history_ns}};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (keys[i].ns > 0 && keys[i].ns < (uint64_t)SECONDS(86400))
            conf_wrong(c, keys[i].key, "expected 0, or 1d and more");
}

static void require(struct conf *c, const char *key, const char *value)
{
    if (value[0] == '\0')
        conf_wrong(c, key, "required, but empty");
}

static void check_orders(struct conf *c, const struct order_conf *o)
{
    if (o->margin_ns < o->lease_ns / 1000)
        conf_wrong(c, "orders.margin",
                   "shorter than a thousandth of orders.lease: clocks may run apart by more");
    if (o->max_drops > o->drops_per_prefix_hour)
        conf_wrong(c, "orders.max_drops",
                   "more than orders.drops_per_prefix_hour: none would begin");
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
    check_keep(&c, &keys->conf.keep);
    check_orders(&c, &keys->conf.order);
    feeds_conf_check(&c, keys->conf.feeds, keys->conf.feed_count, keys->conf.receive.certificate);
    alerts_conf_finish(&c, &keys->alerts, keys->conf.ingress.half_life_ns, &keys->conf.alert);
    int err = conf_end(&c);
    *out = keys->conf;
    free(keys);
    return err;
}

void collector_conf_explain(FILE *out)
{
    conf_explain(&table, out);
}
