/* penstock-collector: a table of stages, and the loop between their ups and their downs. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "collector/conf/collector_conf.h"
#include "collector/conf/policy.h"
#include "collector/feeds.h"
#include "collector/loop/loop.h"
#include "collector/notify/notify.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/stage.h"
#include "shared/conf/cli.h"
#include "shared/http/http.h"
#include "shared/rights/rights.h"

#define PROGRAM "penstock-collector"

/* How long a turn waits for a first message; also how late a signal may be heard. */
#define TURN_MS 100

/* Between attempts while the database is away, or another collector writes to it. */
#define PAUSE_S 1

/* For /healthz, which answers from the start on. */
enum phase { PHASE_CONNECT, PHASE_STAND_BY, PHASE_RUN };

struct collector {
    struct cli cli;
    const char *migrate;        /* command line; NULL: not given */
    struct collector_conf conf; /* as started */
    sigset_t signals;           /* blocked, and looked for where we choose to */
    bool may_execute;           /* programs: bgpdump */
    const char *ended_by;       /* the signal that ends it; NULL: none yet */
    _Atomic enum phase phase;
    struct expect expect;
    struct tables *tables;
    struct counters counters;
    struct store *store;
    struct receive *receive;
    struct loop loop;
    struct notify *notify;
    struct http *http;
};

/* ---- policy: what the operator expects ---- */

static void learn_as(struct collector *c, const struct collector_conf *conf)
{
    c->expect.learn_after_ns = conf->learn_after_ns;
    c->expect.max_learned = conf->max_learned;
}

static int policy_up(void *ctx, struct note *note)
{
    struct collector *c = ctx;
    int err = policy_load(c->conf.policy_file, &c->expect, note);
    learn_as(c, &c->conf);
    return err;
}

static void policy_down(void *ctx)
{
    struct collector *c = ctx;
    expect_clear(&c->expect);
}

/* ---- tables: what routing and RPKI expect. Read before the map is loaded, so that no row changes
 * its mind twice; a file that is not there or not good is told, and waited for no longer ---- */

static int tables_up(void *ctx, struct note *note);

static void tables_down(void *ctx)
{
    struct collector *c = ctx;
    c->expect.rib = NULL;
    c->expect.vrps = NULL;
    tables_close(c->tables);
    c->tables = NULL;
}

static bool look_at_tables(struct collector *c)
{
    const struct steady *clock = &c->loop.clock; /* files do not grow old by one that is doubted */
    uint64_t mono = clock_mono_ns();
    int64_t now = clock->is_known ? steady_undoubted(clock, mono) : clock_wall_ns();
    if (!tables_look(c->tables, mono, now, &c->expect))
        return false;
    struct tables_use is = tables_in_use(c->tables);
    counter_set(&c->counters, COUNTER_rib_prefixes, is.rib_prefixes);
    counter_set(&c->counters, COUNTER_rib_written, (uint64_t)is.rib_written_at / NS_PER_S);
    counter_set(&c->counters, COUNTER_rib_stale, is.is_rib_stale);
    counter_set(&c->counters, COUNTER_vrps, is.vrps);
    counter_set(&c->counters, COUNTER_vrps_written, (uint64_t)is.vrps_written_at / NS_PER_S);
    return true;
}

/* ---- signals: SIGHUP reads the configuration again; true when one asks for the end ---- */

static void reload(struct collector *c);

static bool is_told_to_end(struct collector *c, time_t wait_s)
{
    const struct timespec wait = {.tv_sec = wait_s};
    int signal = sigtimedwait(&c->signals, NULL, &wait);
    if (signal == SIGHUP)
        reload(c);
    else if (signal == SIGTERM)
        c->ended_by = "SIGTERM";
    else if (signal == SIGINT)
        c->ended_by = "SIGINT";
    return c->ended_by != NULL;
}

#define LOOK_NS 20000000 /* while the tables are read */

static int tables_up(void *ctx, struct note *note)
{
    struct collector *c = ctx;
    int err = tables_open(&c->conf.tables, &c->tables);
    if (err < 0)
        return note_set(note, err, "no memory for the tables");
    for (look_at_tables(c); !tables_are_read(c->tables); look_at_tables(c)) {
        const struct timespec pause = {.tv_nsec = LOOK_NS};
        if (is_told_to_end(c, 0)) {
            tables_down(c);
            return ERR_END;
        }
        nanosleep(&pause, NULL);
    }
    return 0;
}

/* ---- database: ours alone, and of this version; then all it knows. Both wait for what may heal:
 * a database that is away, another collector that writes to it ---- */

static void tell_wait(struct collector *c, int err, const struct note *why, struct note *told)
{
    char reason[sizeof why->text];
    atomic_store(&c->phase, err == ERR_BUSY ? PHASE_STAND_BY : PHASE_CONNECT);
    if (strcmp(why->text, told->text) == 0)
        return; /* once, not every second */
    *told = *why;
    log_warn("event=waiting for=%s reason=\"%s\"",
             err == ERR_BUSY ? "another_collector" : "database",
             log_quotable(why->text, reason, sizeof reason));
}

static bool may_heal(const struct collector *c, int err)
{
    return err == ERR_BUSY ||
           (err == ERR_DATABASE && (c->store == NULL || store_is_away(c->store)));
}

/* Until the attempt succeeds, or fails for good, or a signal says to end (ERR_END). */
static int try_until_done(struct collector *c, int (*attempt)(struct collector *, struct note *),
                          struct note *note)
{
    struct note told = {0};
    for (;;) {
        int err = attempt(c, note);
        if (!may_heal(c, err))
            return err;
        tell_wait(c, err, note, &told);
        if (is_told_to_end(c, PAUSE_S))
            return ERR_END;
    }
}

static void database_down(void *ctx)
{
    struct collector *c = ctx;
    store_close(c->store);
    c->store = NULL;
}

/* Who waits for another collector changes nothing: the schema is brought to this version after. */
static int connect_and_claim(struct collector *c, struct note *note)
{
    unsigned applied = 0;
    int err = c->store == NULL ? store_open(&c->conf.store, &c->store, note) : 0;
    if (err == 0)
        err = store_claim(c->store, note);
    if (err == 0)
        err = store_prepare(c->store, &applied, note);
    if (err == 0 && applied > 0)
        log_info("event=migrated steps=%u", applied);
    return err;
}

static int database_up(void *ctx, struct note *note)
{
    struct collector *c = ctx;
    int err = try_until_done(c, connect_and_claim, note);
    if (err < 0)
        database_down(c);
    return err;
}

/* ---- load: memory equals the database before the door opens ---- */

static int load_once(struct collector *c, struct note *note)
{
    struct fold_conf conf = {.roster = c->conf.roster,
                             .ingress = c->conf.ingress,
                             .evidence = c->conf.evidence,
                             .alert = c->conf.alert,
                             .alert_keep_ns = c->conf.alert_keep_ns,
                             .order = c->conf.order,
                             .keep = c->conf.keep};
    return loop_init(&c->loop, &conf, NULL, c->store, &c->expect, &c->counters, clock_wall_ns,
                     clock_mono_ns, note);
}

static int load_up(void *ctx, struct note *note)
{
    struct collector *c = ctx;
    int err = try_until_done(c, load_once, note);
    if (err == 0)
        atomic_store(&c->phase, PHASE_RUN);
    return err;
}

static void load_down(void *ctx)
{
    struct collector *c = ctx;
    atomic_store(&c->phase, PHASE_CONNECT); /* nobody asks the loop any more */
    loop_clear(&c->loop);
}

/* ---- receive: the door for sensors. Its certificates are read before anything is waited for, too:
 * a spare says at its start what is wrong with them, not when it is needed ---- */

static int certificates_up(void *ctx, struct note *note)
{
    struct collector *c = ctx;
    return receive_check(&c->conf.receive, note);
}

static int receive_up(void *ctx, struct note *note)
{
    struct collector *c = ctx;
    int err = receive_open(&c->conf.receive, &c->counters, &c->receive, note);
    c->loop.receive = c->receive;
    return err;
}

static void receive_down(void *ctx)
{
    struct collector *c = ctx;
    receive_close(c->receive);
}

/* ---- feeds: who is told of alerts. Each lives in its own thread, with its own session. The page
 * of metrics shows them, so they are there before it, and begin when the database is ready ---- */

static int notify_up(void *ctx, struct note *note)
{
    struct collector *c = ctx;
    const struct journal_ops journal = feeds_journal(&c->conf.store);
    return notify_open(&journal, &c->notify, note);
}

static void notify_down(void *ctx)
{
    struct collector *c = ctx;
    notify_close(c->notify);
}

static int feeds_up(void *ctx, struct note *note)
{
    struct collector *c = ctx;
    return notify_change(c->notify, c->conf.feeds, c->conf.feed_count, note);
}

static void feeds_down(void *ctx)
{
    struct collector *c = ctx;
    notify_stop(c->notify);
}

/* ---- http: metrics and health ---- */

static void print_metrics(void *ctx, FILE *out)
{
    struct collector *c = ctx;
    struct counters feeds = {0};
    const struct counters *sets[] = {&c->counters, &feeds};
    notify_count(c->notify, &feeds);
    metrics_print(out, PROGRAM, sets, 2);
    notify_print(c->notify, out, PROGRAM);
}

static bool is_healthy(void *ctx, char *reason, size_t size)
{
    struct collector *c = ctx;
    enum phase phase = atomic_load(&c->phase);
    if (phase == PHASE_RUN && atomic_load(&c->loop.is_loaded))
        return true;
    snprintf(reason, size,
             phase == PHASE_STAND_BY ? "standing by: another collector writes to the database"
                                     : "the database is away");
    return false;
}

static int http_up(void *ctx, struct note *note)
{
    struct collector *c = ctx;
    if (c->conf.http_listen[0] == '\0')
        return 0;
    struct http_conf conf = {c->conf.http_listen, print_metrics, is_healthy, c};
    struct note said = {0};
    int err = http_open(&conf, &c->http, &said);
    return err == 0 ? 0 : note_set(note, err, "http.%s", said.text);
}

static void http_down(void *ctx)
{
    struct collector *c = ctx;
    http_close(c->http);
}

static const struct stage stages[] = {
    {"policy", policy_up, policy_down},
    {"certificates", certificates_up, NULL},
    {"tables", tables_up, tables_down},
    {"notify", notify_up, notify_down},
    {"http", http_up, http_down}, /* first: it tells what the next two wait for */
    {"database", database_up, database_down},
    {"load", load_up, load_down},
    {"feeds", feeds_up, feeds_down},
    {"receive", receive_up, receive_down},
};
#define STAGES (sizeof stages / sizeof stages[0])

/* ---- while it runs ---- */

/* What is left of a configuration when that which can change live is taken out. */
static struct collector_conf without_live(const struct collector_conf *conf)
{
    struct collector_conf c;
    memcpy(&c, conf, sizeof c);
    memset(c.policy_file, 0, sizeof c.policy_file);
    memset(&c.tables, 0, sizeof c.tables);
    c.learn_after_ns = c.max_learned = 0;
    memset(c.feeds, 0, sizeof c.feeds);
    c.feed_count = 0;
    memset(&c.order, 0, sizeof c.order);
    c.order.max_orders = conf->order.max_orders;
    memset(&c.alert, 0, sizeof c.alert);
    c.alert.max_alerts = conf->alert.max_alerts;
    c.alert_keep_ns = 0;
    c.log_level = LOG_LEVEL_INFO;
    c.ingress.seed = c.alert.seed = c.roster.seed = 0;
    return c;
}

static void change_feeds(struct collector *c, const struct collector_conf *wanted)
{
    struct note note = {0}, text;
    if (notify_change(c->notify, wanted->feeds, wanted->feed_count, &note) != 0)
        log_error("event=reload_failed reason="
                  "\"%s\" hint=\"some feeds have not begun\"",
                  log_quotable(note.text, text.text, sizeof text.text));
}

static void adopt(struct collector *c, const struct collector_conf *wanted, struct expect *policy)
{
    expect_list_clear(&c->expect.file);
    c->expect.file = policy->file;
    learn_as(c, wanted);
    tables_again(c->tables, &wanted->tables);
    loop_believe_clock(&c->loop);
    loop_expect_changed(&c->loop);
    loop_orders_changed(&c->loop, &wanted->order);
    loop_alerts_changed(&c->loop, &wanted->alert, wanted->alert_keep_ns);
    log_level_set(wanted->log_level);
    change_feeds(c, wanted);
    struct collector_conf now = without_live(&c->conf), then = without_live(wanted);
    if (memcmp(&now, &then, sizeof now) != 0)
        log_warn("event=reload_partial reason=\"only policy, orders (but orders.max), alerts (but "
                 "alerts.max) and log.level change live; the rest needs a restart\"");
    log_info("event=reload policy_prefixes=%zu", c->expect.file.entry_count);
}

/* Who started without policy.rib has given up the right to run bgpdump. */
static int can_read_rib(const struct collector *c, const struct collector_conf *wanted,
                        struct note *note)
{
    const char *path = wanted->tables.rib.path;
    if (c->may_execute || path[0] == '\0' || rib_is_text(path))
        return 0;
    return note_set(
        note, ERR_CONF,
        "policy.rib: %s is no text of bgpdump -m, and the right to run bgpdump was given "
        "up at the start: restart needed",
        path);
}

static void reload(struct collector *c)
{
    struct note note = {0};
    char reason[sizeof note.text];
    struct expect policy = {0};
    struct collector_conf *wanted = calloc(1, sizeof *wanted);
    int err = wanted == NULL ? -ENOMEM : 0;
    if (err == 0)
        err = collector_conf_load(c->cli.config, c->cli.settings, c->cli.setting_count, wanted,
                                  &note);
    if (err == 0)
        err = can_read_rib(c, wanted, &note);
    if (err == 0)
        err = policy_load(wanted->policy_file, &policy, &note);
    if (err == 0)
        adopt(c, wanted, &policy);
    else
        log_error(
            "event=reload_failed reason=\"%s\" hint=\"nothing was changed\"",
            log_quotable(note.text[0] != '\0' ? note.text : err_text(err), reason, sizeof reason));
    free(wanted);
}

/* ---- modes ---- */

static int complain(int err, const struct note *note)
{
    fprintf(stderr, PROGRAM ": %s\n", note->text[0] != '\0' ? note->text : err_text(err));
    return err == ERR_CONF || err == ERR_USAGE ? 2 : 1;
}

/* Sensors report prefixes that strangers choose; without the key nobody can crowd one bucket. */
static int draw_seeds(struct collector *c, struct note *note)
{
    uint64_t seeds[3];
    if (getrandom(seeds, sizeof seeds, 0) != sizeof seeds)
        return note_set(note, -errno, "no random numbers: %s", err_text(-errno));
    c->conf.ingress.seed = seeds[0];
    c->conf.alert.seed = seeds[1];
    c->conf.roster.seed = seeds[2];
    return 0;
}

/* A descriptor per connection. What a system gives at first (mostly 1024) is little for hundreds of
 * sensors that come at once, some of them twice. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(struct collector *c)
{
    struct note note = {0};
    raise_descriptors();
    sigemptyset(&c->signals); /* blocked before the first thread, so that only the loop sees them */
    sigaddset(&c->signals, SIGTERM);
    sigaddset(&c->signals, SIGINT);
    sigaddset(&c->signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &c->signals, NULL);
    signal(SIGPIPE, SIG_IGN);

    /* all files: libpq reads where it wants; programs: bgpdump reads the routing table */
    c->may_execute = c->conf.tables.rib.path[0] != '\0';
    const struct rights few = {.may_execute = c->may_execute};
    int err = rights_reduce(&few, &note);
    if (err == 0)
        err = draw_seeds(c, &note);
    if (err == 0)
        err = stage_up(stages, STAGES, c, &note);
    if (err == ERR_END && c->ended_by != NULL) {
        log_info("event=stopped reason=%s", c->ended_by);
        return 0;
    }
    if (err < 0)
        return complain(err, &note);
    log_info("event=started name=%s listen=%s policy_prefixes=%zu", c->conf.name,
             receive_endpoint(c->receive), c->expect.file.entry_count);
    while (!is_told_to_end(c, 0)) {
        if (look_at_tables(c))
            loop_expect_changed(&c->loop);
        loop_turn(&c->loop, TURN_MS);
    }
    log_info("event=stopping reason=%s", c->ended_by);
    loop_end(&c->loop);
    stage_down(stages, STAGES, c);
    log_info("event=stopped");
    return 0;
}

/* By hand: nothing is waited for but other migrations. */
static int migrate(struct collector *c)
{
    struct note note = {0};
    unsigned applied = 0;
    struct store_conf *conf = &c->conf.store;
    if (conf->owner_dsn[0] != '\0')
        memcpy(conf->dsn, conf->owner_dsn, sizeof conf->dsn);
    int err = store_open(conf, &c->store, &note);
    if (err == 0)
        err = store_migrate(c->store, &applied, &note);
    if (err == 0)
        err = store_check_version(c->store, &note);
    if (err == 0)
        log_info("event=migrated steps=%u", applied);
    database_down(c);
    return err < 0 ? complain(err, &note) : 0;
}

static int check(struct collector *c)
{
    struct note note = {0};
    int err = policy_up(c, &note);
    policy_down(c);
    if (err == 0)
        err = tables_check(&c->conf.tables, clock_wall_ns(), &note);
    if (err == 0)
        err = receive_check(&c->conf.receive, &note);
    return err < 0 ? complain(err, &note) : 0;
}

static int choose(struct collector *c)
{
    struct note note = {0};
    if (c->cli.explain) {
        collector_conf_explain(stdout);
        return 0;
    }
    if (c->cli.config == NULL) {
        fprintf(stderr, PROGRAM ": needs -c FILE\nTry '" PROGRAM " --help'.\n");
        return 2;
    }
    int err =
        collector_conf_load(c->cli.config, c->cli.settings, c->cli.setting_count, &c->conf, &note);
    if (err < 0)
        return complain(err, &note);
    if (c->cli.check)
        return check(c);
    log_level_set(c->conf.log_level);
    return c->migrate != NULL ? migrate(c) : run(c);
}

static const char about[] =
    "Gathers what the sensors deliver into one map in PostgreSQL: where traffic from each source\n"
    "prefix enters this network, whether it is genuine, and whether it is expected there; raises\n"
    "alerts. The database is brought to this version at start if its role owns the schema; while\n"
    "the database is away, or another collector writes to it, it waits. SIGTERM ends it cleanly; "
    "SIGHUP\n"
    "reads the configuration again: policy (and what stands in its files), orders, alerts\n"
    "and log.level change live, the rest needs a restart.";

static const char synopsis[] = "-c FILE [--set KEY=VALUE …]\n"
                               "-c FILE --check\n"
                               "-c FILE --migrate\n"
                               "--explain";

int main(int argc, char **argv)
{
    static struct collector collector; /* too large for a stack */
    const struct cli_option own[] = {
        {"migrate", NULL, "bring the database to this version, and end", &collector.migrate},
    };
    int status = cli_parse(argc, argv, PROGRAM, about, synopsis, own, sizeof own / sizeof own[0],
                           &collector.cli);
    return status == CLI_GO_ON ? choose(&collector) : status;
}
