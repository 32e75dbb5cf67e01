/* Many sensors at once: each its own connection (the publisher's link), each with a few numbered
 * events a second. When the collector comes back after a restart, all come back to it together.
 *
 *   storm --endpoint ENDPOINT --pop POP --clients N --total N --seconds S [--server FILE --sensors
 * FOLDER]
 *
 * Client i is sensor POP-i in small letters, and makes events 1 … total, five every second. Prints
 * one line a client as compare.sql's journal wants it (name pushed runs stops), and last `welcomes
 * N least M`: how many welcomes there were, and how many the client had that had fewest. Exit
 * status 0: all events of all are acknowledged. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "sensor/publish/credentials.h"
#include "sensor/publish/link.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "tests/integration/delivery/numbered.h"

#define BATCH       5
#define BATCHES_MAX 256
#define PING_NS     NS_PER_S
#define DEAD_NS     (5 * NS_PER_S)

struct batch {
    size_t len;
    uint8_t *events;
};

struct client {
    struct link link;
    struct credentials by;
    char name[WIRE_NAME];
    uint64_t epoch;
    struct batch batches[BATCHES_MAX]; /* batch i: events 1 + i * BATCH … */
    size_t made, sent, acked;
    uint64_t welcomes;
};

struct storm {
    const char *endpoint, *pop, *server, *sensors;
    uint64_t clients, total, seconds;
    struct client *list;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "storm: %s: %s\n", what, why);
    exit(1);
}

/* ---- one client ---- */

static void make_batch(struct client *c)
{
    static uint8_t bytes[WIRE_BATCH_BYTES];
    struct batch *b = &c->batches[c->made];
    for (uint64_t i = 0; i < BATCH; i++) {
        struct event e;
        numbered_event(c->made * BATCH + i + 1, clock_wall_ns(), &e);
        int len = wire_event_encode(&e, bytes + b->len, sizeof bytes - b->len);
        if (len < 0)
            die("encoding", err_text(len));
        b->len += (size_t)len;
    }
    b->events = malloc(b->len);
    if (b->events == NULL)
        die("a batch", "no memory");
    memcpy(b->events, bytes, b->len);
    c->made++;
}

static void take_mark(struct client *c, const struct wire_message *m, uint64_t now)
{
    size_t acked = m->seq / BATCH;
    if (m->epoch != c->epoch || acked <= c->acked || acked > c->made)
        return;
    c->acked = acked;
    c->link.moved_at = now;
}

static void take_welcome(struct client *c, const struct wire_message *m, uint64_t now)
{
    if (c->link.state != LINK_WAIT)
        return;
    take_mark(c, m, now);
    c->sent = c->acked;
    c->link.credit = m->credit > 0 ? m->credit : 1;
    c->welcomes++;
    link_set(&c->link, LINK_OPEN, now);
}

static void take_messages(struct client *c, uint64_t now)
{
    struct wire_message m;
    while (link_receive(&c->link, &m, now) > 0) {
        if (m.kind == WIRE_WELCOME)
            take_welcome(c, &m, now);
        else if (m.kind == WIRE_ACK)
            take_mark(c, &m, now);
        else if (m.kind == WIRE_AGAIN)
            link_greet_again(&c->link, now);
        else if (m.kind == WIRE_REFUSE)
            link_set(&c->link, LINK_REFUSED, now);
        else if (m.kind == WIRE_PING)
            link_send(&c->link, &(struct wire_message){.kind = WIRE_PONG});
    }
}

static void say_hello(struct client *c, const char *pop, uint64_t now)
{
    struct wire_message m = {.kind = WIRE_HELLO,
                             .version = WIRE_VERSION,
                             .epoch = c->epoch,
                             .first_seq = c->acked * BATCH + 1,
                             .next_seq = c->made * BATCH + 1};
    snprintf(m.name, sizeof m.name, "%s", c->name);
    snprintf(m.pop, sizeof m.pop, "%s", pop);
    snprintf(m.release, sizeof m.release, "storm");
    if (link_send(&c->link, &m))
        link_greeted(&c->link, now);
}

static void send_batches(struct client *c)
{
    while (c->link.state == LINK_OPEN && c->sent < c->made && c->sent - c->acked < c->link.credit) {
        const struct batch *b = &c->batches[c->sent];
        if (!link_send(&c->link, &(struct wire_message){.kind = WIRE_BATCH,
                                                        .epoch = c->epoch,
                                                        .first_seq = c->sent * BATCH + 1,
                                                        .count = BATCH,
                                                        .events = b->events,
                                                        .events_len = b->len}))
            return;
        c->sent++;
    }
}

static void tend(struct client *c, const char *pop, uint64_t now)
{
    struct link *l = &c->link;
    if (l->socket != NULL)
        take_messages(c, now);
    if (link_renew_due(l, now))
        link_renew(l, now);
    if (l->socket == NULL)
        return;
    if (l->state != LINK_OPEN || c->sent == c->acked)
        l->moved_at = now;
    if (now - l->moved_at > 2 * DEAD_NS) /* an acknowledgement may have been lost on its way */
        link_greet_again(l, now);
    if (link_hello_due(l, now))
        say_hello(c, pop, now);
    if (link_ping_due(l, now) && link_send(l, &(struct wire_message){.kind = WIRE_PING}))
        l->pinged_at = now;
    send_batches(c);
}

/* ---- all of them ---- */

/* Its public half stands where the collector looks before it connects. */
static void make_keys(const struct storm *s, struct client *c)
{
    char path[512];
    struct note note = {0};
    c->by.is_plain = s->server == NULL;
    if (c->by.is_plain)
        return;
    snprintf(c->by.own.name, sizeof c->by.own.name, "%s", c->name);
    snprintf(c->by.own.pop, sizeof c->by.own.pop, "%s", s->pop);
    snprintf(path, sizeof path, "%s/%s.pub", s->sensors, c->name);
    if (curve_load_public(s->server, &c->by.server, &note) < 0 || curve_new(&c->by.own) < 0 ||
        curve_save(&c->by.own, path, false, true, &note) < 0)
        die("keys", note.text);
}

static void name_client(const struct storm *s, struct client *c)
{
    snprintf(c->name, sizeof c->name, "%s-%d", s->pop, (int)(c - s->list) + 1);
    for (char *p = c->name; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
}

/* All keys before the first connection: the collector looks at its folder once a second. */
static void make_clients(struct storm *s)
{
    s->list = calloc(s->clients, sizeof *s->list);
    if (s->list == NULL)
        die("clients", "no memory");
    zsys_handler_set(NULL);
    zsys_set_max_sockets(0); /* as many as ZeroMQ can: each link has some */
    for (uint64_t i = 0; i < s->clients; i++) {
        name_client(s, &s->list[i]);
        make_keys(s, &s->list[i]);
    }
}

static void open_clients(struct storm *s)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (uint64_t i = 0; i < s->clients; i++) {
        struct client *c = &s->list[i];
        c->epoch = (uint64_t)clock_wall_ns();
        c->link.ping_ns = PING_NS;
        c->link.dead_ns = DEAD_NS;
        int err = link_open(&c->link, s->endpoint, &c->by, clock_mono_ns());
        if (err < 0)
            die(s->endpoint, err_text(err));
    }
}

static bool are_done(const struct storm *s)
{
    for (uint64_t i = 0; i < s->clients; i++)
        if (s->list[i].acked * BATCH < s->total)
            return false;
    return true;
}

/* Their seconds begin at different moments, as everywhere. */
static void make_due(const struct storm *s, struct client *c, uint64_t since_ns)
{
    uint64_t late = (uint64_t)(c - s->list) * NS_PER_S / s->clients;
    if (c->made * BATCH < s->total && since_ns >= late + c->made * NS_PER_S)
        make_batch(c);
}

static bool run(struct storm *s)
{
    uint64_t began = clock_mono_ns(), now = began;
    while (!are_done(s)) {
        if (now - began > s->seconds * NS_PER_S)
            return false;
        for (uint64_t i = 0; i < s->clients; i++) {
            make_due(s, &s->list[i], now - began);
            tend(&s->list[i], s->pop, now);
        }
        nanosleep(&(struct timespec){.tv_nsec = 5 * NS_PER_MS}, NULL);
        now = clock_mono_ns();
    }
    return true;
}

static void report(const struct storm *s)
{
    uint64_t welcomes = 0, least = UINT64_MAX;
    for (uint64_t i = 0; i < s->clients; i++) {
        const struct client *c = &s->list[i];
        printf("%s %zu 1 0\n", c->name, c->made * BATCH);
        welcomes += c->welcomes;
        least = c->welcomes < least ? c->welcomes : least;
    }
    printf("welcomes %" PRIu64 " least %" PRIu64 "\n", welcomes, least);
}

static void close_clients(struct storm *s)
{
    for (uint64_t i = 0; i < s->clients; i++) {
        struct client *c = &s->list[i];
        link_close(&c->link);
        while (c->made > 0)
            free(c->batches[--c->made].events);
    }
    free(s->list);
}

static const struct option options[] = {
    {"endpoint", required_argument, NULL, 'e'}, {"pop", required_argument, NULL, 'p'},
    {"clients", required_argument, NULL, 'c'},  {"total", required_argument, NULL, 't'},
    {"seconds", required_argument, NULL, 's'},  {"server", required_argument, NULL, 'S'},
    {"sensors", required_argument, NULL, 'd'},  {NULL, 0, NULL, 0}};

static void take_option(struct storm *s, int which)
{
    switch (which) {
    case 'e':
        s->endpoint = optarg;
        return;
    case 'p':
        s->pop = optarg;
        return;
    case 'c':
        s->clients = strtoull(optarg, NULL, 10);
        return;
    case 't':
        s->total = strtoull(optarg, NULL, 10);
        return;
    case 'S':
        s->server = optarg;
        return;
    case 'd':
        s->sensors = optarg;
        return;
    case 's':
        s->seconds = strtoull(optarg, NULL, 10);
        return;
    default:
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct storm s = {.seconds = 60};
    int which;
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1)
        take_option(&s, which);
    if (s.endpoint == NULL || s.pop == NULL || s.clients == 0 || s.total % BATCH != 0 ||
        s.total / BATCH > BATCHES_MAX || (s.server != NULL) != (s.sensors != NULL))
        die("usage", "see the beginning of storm.c");
    make_clients(&s);
    open_clients(&s);
    bool is_done = run(&s);
    report(&s);
    close_clients(&s);
    return is_done ? 0 : 3;
}
