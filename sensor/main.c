/* penstock-sensor: a table of stages, and what happens between their ups and their downs. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "sensor/capture.h"
#include "sensor/conf/sensor_conf.h"
#include "sensor/publish/publish.h"
#include "sensor/publish/spool_look.h"
#include "sensor/reduce.h"
#include "sensor/worker/worker.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/stage.h"
#include "shared/conf/cli.h"
#include "shared/http/http.h"

#define PROGRAM "penstock-sensor"

/* How often the main thread looks whether a worker has ended by itself, and whether an order of the
 * collector is to be watched for, or no longer. */
#define LOOK_NS (50 * NS_PER_MS)

/* How often a list that some queue or the kernel had no room for is handed over again. */
#define AGAIN_NS NS_PER_S

/* What is watched: the configuration's prefixes, and behind them those of the collector's orders.
 */
struct watch_list {
    struct prefix prefixes[PENNY_PREFIXES_MAX + CONTROL_ORDERS_MAX];
    struct penny_limit limits[PENNY_PREFIXES_MAX + CONTROL_ORDERS_MAX];
    size_t count, home_count;
    struct control_watch ordered[CONTROL_ORDERS_MAX];
    size_t ordered_count;
};

struct sensor {
    struct cli cli;
    const char *capture, *detach, *seed, *spool; /* command line; NULL: not given */
    struct sensor_conf conf;                     /* as started; fixed, for everybody borrows it */
    const struct source_ops *ops;
    struct source_group *group;
    struct worker **workers;
    struct ring **rings;
    unsigned count;   /* queues: workers and rings */
    unsigned running; /* of them, threads that were started */
    struct credentials credentials;
    struct publish *publish;
    struct counters publish_counters;
    struct http *http;
    uint64_t watch_version; /* of the orders that are watched for */
    uint64_t watch_until;   /* mono ns; then one of them is to be let go; 0: none is watched for */
    bool is_watch_taken;    /* by every worker, and the publisher knows */
    bool is_watch_refused;  /* by the kernel, for now */
    uint64_t again_at;      /* mono ns; then the list is handed over again; 0: never */
    struct watch_list list; /* the last that was handed over; for the last queue, and the kernel */
    const char *stop_reason;
    int result; /* of the workers: 0, or the first error */
};

/* ---- credentials: read while we may still read every file ---- */

static int credentials_up(void *ctx, struct note *note)
{
    struct sensor *s = ctx;
    s->conf.publish.credentials = &s->credentials;
    return credentials_load(&s->credentials, &s->conf.publish, note);
}

static void credentials_down(void *ctx)
{
    struct sensor *s = ctx;
    credentials_forget(&s->credentials);
}

/* ---- source: the XDP program and its maps, or the opened capture ---- */

static int source_up(void *ctx, struct note *note)
{
    struct sensor *s = ctx;
    s->ops = source_find(s->conf.source.driver);
    if (s->ops == NULL)
        return note_set(note, ERR_UNSUPPORTED, "this build has no source of that driver");
    int err = s->ops->attach(&s->conf.source, &s->group, note);
    s->count = err == 0 ? s->ops->queues(s->group) : 0;
    return err;
}

static void source_down(void *ctx)
{
    struct sensor *s = ctx;
    s->ops->detach(s->group);
}

/* ---- rights: all but a few go, before there is a thread that would keep them ---- */

static int rights_up(void *ctx, struct note *note)
{
    struct sensor *s = ctx;
    return reduce(&s->conf, s->cli.config, note);
}

/* ---- workers: engines and rings, one of each per queue ---- */

static void workers_down(void *ctx)
{
    struct sensor *s = ctx;
    for (unsigned i = 0; s->workers != NULL && i < s->count; i++)
        worker_free(s->workers[i]);
    free(s->workers);
    free(s->rings);
}

/* Senders must not know our draws, so a live run's seed is the kernel's. */
static int random_seed(uint64_t *seed, struct note *note)
{
    if (getrandom(seed, sizeof *seed, 0) == sizeof *seed)
        return 0;
    return note_set(note, -errno, "no random numbers: %s", err_text(-errno));
}

static int make_workers(struct sensor *s, struct note *note)
{
    struct worker_conf conf = {
        .ops = s->ops,
        .group = s->group,
        .penny = &s->conf.penny,
        .scan = &s->conf.scan,
        .tally = &s->conf.tally,
        .ingress = &s->conf.ingress,
        .is_capture = s->conf.source.driver == SOURCE_PCAP,
        .workers = s->workers,
        .worker_count = s->count,
    };
    int err = random_seed(&conf.seed, note);
    for (conf.queue = 0; err == 0 && conf.queue < s->count; conf.queue++) {
        err = worker_new(&conf, &s->workers[conf.queue], note);
        if (err == 0)
            s->rings[conf.queue] = worker_ring(s->workers[conf.queue]);
    }
    return err;
}

static int workers_up(void *ctx, struct note *note)
{
    struct sensor *s = ctx;
    s->workers = calloc(s->count, sizeof(struct worker *));
    s->rings = calloc(s->count, sizeof(struct ring *));
    int err = -ENOMEM;
    if (s->workers != NULL && s->rings != NULL)
        err = make_workers(s, note);
    if (err != 0)
        workers_down(s);
    return err;
}

/* ---- publisher: reads the rings, delivers to the collector ---- */

/* Why this sensor can run no order; NULL: it can. */
static const char *why_no_orders(const struct sensor_conf *conf)
{
    if (conf->penny.mode != PENNY_ACTIVE)
        return "penny.mode is not active";
    return conf->penny.rule == PENNY_PAPER ? "penny.rule is paper" : NULL;
}

static int publisher_up(void *ctx, struct note *note)
{
    struct sensor *s = ctx;
    s->conf.control.why_not = why_no_orders(&s->conf);
    s->conf.control.home = s->conf.penny.prefixes; /* copied, as it is now */
    s->conf.control.home_count = s->conf.penny.mode == PENNY_OFF ? 0 : s->conf.penny.prefix_count;
    s->conf.publish.control = &s->conf.control;
    int err = random_seed(&s->conf.publish.seed, note);
    if (err < 0)
        return err;
    return publish_open(&s->conf.publish, s->rings, s->count, &s->publish_counters, &s->publish,
                        note);
}

static void publisher_down(void *ctx)
{
    struct sensor *s = ctx;
    uint64_t lost = publish_close(s->publish, s->stop_reason);
    if (lost != 0)
        log_warn("event=events_lost count=%llu reason=\"neither acknowledged nor spooled\"",
                 (unsigned long long)lost);
}

/* ---- threads: the workers run ---- */

static void join(struct sensor *s, unsigned i)
{
    int err = worker_join(s->workers[i]);
    if (err != 0)
        log_error("event=worker_failed queue=%u error=%s reason=\"%s\"", i, err_name(err),
                  err_text(err));
    if (s->result == 0)
        s->result = err;
}

/* Worker 0 last: its last status counts what all of them did. */
static void threads_down(void *ctx)
{
    struct sensor *s = ctx;
    for (unsigned i = 1; i < s->running; i++)
        worker_stop(s->workers[i]);
    for (unsigned i = 1; i < s->running; i++)
        join(s, i);
    if (s->running > 0) {
        worker_stop(s->workers[0]);
        join(s, 0);
    }
    s->running = 0;
}

static int threads_up(void *ctx, struct note *note)
{
    struct sensor *s = ctx;
    for (; s->running < s->count; s->running++) {
        int err = worker_start(s->workers[s->running], note);
        if (err != 0) {
            threads_down(s);
            return err;
        }
    }
    return 0;
}

/* ---- metrics ---- */

static void print_metrics(void *ctx, FILE *out)
{
    struct sensor *s = ctx;
    const struct counters **sets = calloc(s->count + 1, sizeof *sets);
    if (sets == NULL)
        return;
    for (unsigned i = 0; i < s->count; i++)
        sets[i] = worker_counters(s->workers[i]);
    sets[s->count] = &s->publish_counters;
    metrics_print(out, PROGRAM, sets, s->count + 1);
    free(sets);
}

static bool is_healthy(void *ctx, char *reason, size_t size)
{
    struct sensor *s = ctx;
    for (unsigned i = 0; i < s->count; i++)
        if (worker_has_ended(s->workers[i])) {
            snprintf(reason, size, "the worker of queue %u has ended", i);
            return false;
        }
    return true;
}

static int metrics_up(void *ctx, struct note *note)
{
    struct sensor *s = ctx;
    if (s->conf.metrics_listen[0] == '\0')
        return 0;
    struct http_conf conf = {s->conf.metrics_listen, print_metrics, is_healthy, s};
    struct note said = {0};
    int err = http_open(&conf, &s->http, &said);
    return err == 0 ? 0 : note_set(note, err, "metrics.%s", said.text);
}

static void metrics_down(void *ctx)
{
    struct sensor *s = ctx;
    http_close(s->http);
}

/* Threads end before the publisher, so that it can say sensor_stopped after everything else. */
static const struct stage stages[] = {
    {"credentials", credentials_up, credentials_down},
    {"source", source_up, source_down}, /* needs privileges for af_xdp */
    {"rights", rights_up, NULL},        /* from here on few are left */
    {"workers", workers_up, workers_down},
    {"publisher", publisher_up, publisher_down},
    {"threads", threads_up, threads_down},
    {"metrics", metrics_up, metrics_down},
};
#define STAGES (sizeof stages / sizeof stages[0])

/* ---- while it runs ---- */

/* What is left of a configuration when that which can change live is taken out. */
static void blank_live(struct sensor_conf *c)
{
    memset(c->penny.prefixes, 0, sizeof c->penny.prefixes);
    c->penny.prefix_count = 0;
    c->source.ingress = NULL; /* these point into the struct itself */
    c->source.watched = NULL;
    c->source.watched_count = 0;
    c->publish.credentials = NULL;
    c->publish.control = NULL;
    c->publish.seed = 0;
    c->control.why_not = NULL;
    c->control.home = NULL;
    c->control.home_count = 0;
    c->log_level = LOG_LEVEL_INFO;
}

static bool needs_restart(const struct sensor_conf *running, const struct sensor_conf *wanted)
{
    struct sensor_conf *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    bool differs = true;
    if (a != NULL && b != NULL) {
        memcpy(a, running, sizeof *a);
        memcpy(b, wanted, sizeof *b);
        blank_live(a);
        blank_live(b);
        differs = memcmp(a, b, sizeof *a) != 0;
    }
    free(a);
    free(b);
    return differs;
}

/* An order's drops are shared out to the queues, which do not know of each other: one without a
 * part does not watch for it, and its worker forwards what comes. queues 1, queue 0: all of it. */
static void list_orders(struct watch_list *list, unsigned queue, unsigned queues)
{
    list->count = list->home_count;
    for (size_t i = 0; i < list->ordered_count; i++) {
        const struct control_watch *o = &list->ordered[i];
        uint32_t share = control_share(o, queue, queues);
        if (share == 0)
            continue;
        list->prefixes[list->count] = o->prefix;
        list->limits[list->count++] = (struct penny_limit){share, o->until_ns};
    }
}

/* What is over is left out here, too, so that a lease ends even if the publisher's thread hangs;
 * and workers look at its end themselves, so that it ends even if this thread does. */
static void read_orders(struct sensor *s, struct watch_list *list, uint64_t now)
{
    size_t n = publish_ordered(s->publish, list->ordered, &s->watch_version);
    s->watch_until = 0;
    for (size_t i = 0; i < n; i++) {
        struct control_watch o = list->ordered[i];
        if (o.until_ns <= now)
            continue;
        list->ordered[list->ordered_count++] = o;
        if (s->watch_until == 0 || o.until_ns < s->watch_until)
            s->watch_until = o.until_ns;
    }
}

/* Workers first: a packet that the kernel hands over finds its prefix known. */
static void watch_now(struct sensor *s, struct watch_list *list)
{
    struct note note = {0};
    char reason[sizeof note.text];
    for (unsigned i = 0; i < s->count; i++) {
        list_orders(list, i, s->count);
        worker_watch(s->workers[i], list->prefixes, list->limits, list->count);
    }
    list_orders(list, 0, 1);
    s->is_watch_refused = s->ops->watch(s->group, list->prefixes, list->count, &note) != 0;
    if (s->is_watch_refused)
        log_error("event=watch_failed reason=\"%s\"",
                  log_quotable(note.text, reason, sizeof reason));
    else
        log_info("event=watch prefixes=%zu", list->count);
}

/* The configuration's prefixes and the orders'. */
static void watch(struct sensor *s)
{
    memset(&s->list, 0, sizeof s->list);
    read_orders(s, &s->list, clock_mono_ns());
    s->list.home_count = publish_home_free(s->publish, s->list.prefixes, PENNY_PREFIXES_MAX);
    watch_now(s, &s->list);
    s->is_watch_taken = false;
    s->again_at = 0;
}

static bool have_taken(const struct sensor *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (!worker_has_watch(s->workers[i]))
            return false;
    return true;
}

/* Is there a queue without memory for the list? It is told at once, and at each new try. */
static bool is_lacking(const struct sensor *s)
{
    bool is_lacking = false;
    for (unsigned i = 0; i < s->count; i++)
        if (worker_lacks_watch(s->workers[i])) {
            log_error("event=watch_failed queue=%u reason=\"no memory\"", i);
            is_lacking = true;
        }
    return is_lacking;
}

/* An order that is not watched for everywhere is none: those that are new go, and what they leave
 * is tried at once. What still finds no room then is what was watched for before, too: that is
 * tried now and then. */
static void look_whether_taken(struct sensor *s, uint64_t now)
{
    if (s->again_at == 0 && (is_lacking(s) || s->is_watch_refused)) {
        publish_not_watched(s->publish, s->watch_version);
        s->again_at = now + AGAIN_NS;
    }
    if (s->is_watch_taken || !have_taken(s))
        return;
    publish_watched(s->publish, s->watch_version);
    s->is_watch_taken = true;
}

/* Orders that came, went or are over since the last look. */
static void look_at_orders(struct sensor *s)
{
    struct control_watch ordered[CONTROL_ORDERS_MAX];
    uint64_t version, now = clock_mono_ns();
    publish_ordered(s->publish, ordered, &version);
    if (version != s->watch_version || (s->watch_until != 0 && now >= s->watch_until) ||
        (s->again_at != 0 && now >= s->again_at))
        watch(s);
    look_whether_taken(s, now);
}

static void watch_home(struct sensor *s, const struct prefix *prefixes, size_t n)
{
    if (publish_home(s->publish, prefixes, n) < 0) {
        log_error("event=watch_failed reason=\"no memory\"");
        return;
    }
    watch(s);
}

static void reload(struct sensor *s)
{
    struct note note = {0};
    char reason[sizeof note.text];
    struct sensor_conf *wanted = calloc(1, sizeof *wanted);
    if (wanted == NULL) {
        log_error("event=reload_failed reason=\"no memory\"");
        return;
    }
    if (sensor_conf_load(s->cli.config, s->cli.settings, s->cli.setting_count, false, wanted,
                         &note) != 0) {
        log_error("event=reload_failed reason=\"%s\" hint=\"nothing was changed\"",
                  log_quotable(note.text, reason, sizeof reason));
    } else {
        log_level_set(wanted->log_level);
        if (s->conf.penny.mode != PENNY_OFF) /* else nobody would test what is handed over */
            watch_home(s, wanted->penny.prefixes, wanted->penny.prefix_count);
        if (needs_restart(&s->conf, wanted))
            log_warn("event=reload_partial reason=\"only penny.prefixes and log.level change "
                     "live; the rest needs a restart\"");
        log_info("event=reload");
    }
    free(wanted);
}

/* Somebody failed, or all have come to an end. */
static bool is_over(const struct sensor *s)
{
    unsigned ended = 0;
    for (unsigned i = 0; i < s->count; i++)
        ended += worker_has_ended(s->workers[i]);
    /* A live source never ends by itself: one worker less is traffic unseen. */
    return s->conf.source.driver == SOURCE_PCAP ? ended == s->count : ended != 0;
}

static void wait_for_end(struct sensor *s, const sigset_t *signals)
{
    const struct timespec look = {.tv_nsec = LOOK_NS};
    for (;;) {
        int signal = sigtimedwait(signals, NULL, &look);
        if (signal == SIGHUP) {
            reload(s);
        } else if (signal == SIGTERM || signal == SIGINT) {
            s->stop_reason = signal == SIGTERM ? "SIGTERM" : "SIGINT";
            return;
        } else if (look_at_orders(s), is_over(s)) {
            s->stop_reason = s->conf.source.driver == SOURCE_PCAP ? "end of capture"
                                                                  : "the packet source failed";
            return;
        }
    }
}

/* ---- modes ---- */

static int complain(int err, const struct note *note)
{
    fprintf(stderr, PROGRAM ": %s\n", note->text[0] != '\0' ? note->text : err_text(err));
    return err == ERR_CONF || err == ERR_USAGE ? 2 : 1;
}

static void warn_of_rule(const struct penny_conf *penny)
{
    if (penny->mode == PENNY_ACTIVE && penny->rule == PENNY_PAPER)
        log_warn(
            "event=rule_paper reason=\"penny.rule is paper, for comparison: its bound does not "
            "hold against senders that repeat their segments\"");
}

static int run(struct sensor *s)
{
    struct note note = {0};
    sigset_t signals; /* blocked before the first thread, so that only wait_for_end sees them */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);

    s->stop_reason = "start failed";
    int err = stage_up(stages, STAGES, s, &note);
    if (err < 0) {
        complain(err, &note);
        return 1; /* the configuration was accepted: whatever this is, it is the machine's */
    }
    log_info("event=started name=%s pop=%s driver=%s queues=%u", s->conf.name, s->conf.pop,
             s->ops->name, s->count);
    warn_of_rule(&s->conf.penny);
    wait_for_end(s, &signals);
    log_info("event=stopping reason=\"%s\"", s->stop_reason);
    sigdelset(&signals, SIGHUP); /* stays blocked: who rotates logs does not mean to kill */
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL); /* whoever asks twice does not want to wait */
    stage_down(stages, STAGES, s);
    log_info("event=stopped");
    return s->result == 0 ? 0 : 1;
}

static int detach(struct sensor *s)
{
    struct note note = {0};
    int err = source_afxdp_remove(&s->conf.source, &note);
    if (err == 0)
        return 0;
    complain(err, &note);
    return 1;
}

/* Nobody can withhold what has long arrived, and a verdict over drops that never were would be
 * false. So a capture is tested only by who asks for it by name: replays and golden runs. */
static int capture(struct sensor *s, uint64_t seed)
{
    bool is_asked = false;
    for (size_t i = 0; i < s->cli.setting_count; i++)
        is_asked |= strncmp(s->cli.settings[i], "penny.mode=", 11) == 0;
    if (!is_asked)
        s->conf.penny.mode = PENNY_OFF;
    warn_of_rule(&s->conf.penny);
    return capture_run(&s->conf, s->capture, seed);
}

static int parse_seed(const char *text, uint64_t *seed)
{
    *seed = 1;
    if (text == NULL)
        return 0;
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 0);
    bool is_number = text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
    return is_number ? 0 : ERR_USAGE;
}

static int bad_usage(const char *sentence)
{
    fprintf(stderr, PROGRAM ": %s\nTry '" PROGRAM " --help'.\n", sentence);
    return 2;
}

static int load(struct sensor *s, struct note *note)
{
    struct note said = {0};
    int err = sensor_conf_load(s->cli.config, s->cli.settings, s->cli.setting_count,
                               s->capture != NULL, &s->conf, note);
    if (err != 0 || s->conf.metrics_listen[0] == '\0')
        return err;
    err = http_check(s->conf.metrics_listen, &said);
    return err == 0 ? 0 : note_set(note, err, "metrics.%s", said.text);
}

/* What start would find wrong with the certificates; a capture needs none. */
static int check(struct sensor *s)
{
    struct note note = {0};
    int err = s->capture == NULL ? credentials_up(s, &note) : 0;
    credentials_down(s);
    return err == 0 ? 0 : complain(ERR_CONF, &note);
}

static int choose(struct sensor *s)
{
    struct note note = {0};
    uint64_t seed;
    if (s->cli.explain) {
        sensor_conf_explain(stdout);
        return 0;
    }
    if (s->cli.config == NULL && s->capture == NULL)
        return bad_usage("needs -c FILE or --capture FILE");
    if (s->seed != NULL && s->capture == NULL)
        return bad_usage("--seed: only a capture has a seed of choice");
    if (s->detach != NULL && s->capture != NULL)
        return bad_usage("--detach: a capture is attached to nothing");
    if (s->spool != NULL && (s->capture != NULL || s->detach != NULL))
        return bad_usage("--spool: neither with --capture nor with --detach");
    if (parse_seed(s->seed, &seed) != 0)
        return bad_usage("--seed: expected a number");
    int err = load(s, &note);
    if (err != 0)
        return complain(err, &note);
    if (s->cli.check)
        return check(s);
    log_level_set(s->conf.log_level);
    if (s->spool != NULL)
        return spool_command(s->spool, s->conf.state_dir);
    if (s->detach != NULL)
        return detach(s);
    return s->capture != NULL ? capture(s, seed) : run(s);
}

static const char about[] =
    "Tells where traffic from a prefix enters this network and whether it is genuine: tests "
    "watched\n"
    "prefixes, tallies all traffic per source prefix and ingress, measures scans, and delivers "
    "what\n"
    "it found to the collector. SIGTERM ends it cleanly; SIGHUP reads the configuration again:\n"
    "penny.prefixes and log.level change live, the rest needs a restart.\n"
    "\n"
    "Events that the collector has not committed yet stand in a spool on disk (sensor.state_dir).\n"
    "--spool looks at it, also beside a running sensor: show says what is in it, check verifies\n"
    "every record, export prints its events as JSON.\n"
    "\n"
    "With --capture it reads a file instead and prints its events, one JSON object per line, in "
    "the\n"
    "capture's time. Nothing can be withheld from a capture, so the Penny test is off there "
    "unless\n"
    "--set penny.mode=active asks for it; its verdict then says nothing about the traffic, for "
    "what\n"
    "it withheld went its way when the capture was made. --set penny.mode=passive with\n"
    "--set penny.prefixes=[…] watches the capture's flows, as on a mirror.";

static const char synopsis[] = "-c FILE [--set KEY=VALUE …]\n"
                               "-c FILE --check\n"
                               "-c FILE --detach\n"
                               "-c FILE --spool show|check|export\n"
                               "--capture FILE [-c FILE] [--seed NUMBER] [--set KEY=VALUE …]\n"
                               "--explain";

int main(int argc, char **argv)
{
    static struct sensor sensor; /* too large for a stack */
    const struct cli_option own[] = {
        {"capture", "FILE", "print the events of a pcap or pcapng file (- is standard input)",
         &sensor.capture},
        {"seed", "NUMBER", "with --capture: start of the engines' random numbers (default 1)",
         &sensor.seed},
        {"spool", "WHAT", "show, check or export what waits for the collector, and end",
         &sensor.spool},
        {"detach", NULL, "remove what an af_xdp sensor left in the kernel, and end",
         &sensor.detach},
    };
    int status = cli_parse(argc, argv, PROGRAM, about, synopsis, own, sizeof own / sizeof own[0],
                           &sensor.cli);
    return status == CLI_GO_ON ? choose(&sensor) : status;
}
