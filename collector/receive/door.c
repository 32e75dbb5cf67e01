#include "collector/receive/door.h"

#include <errno.h>

#include "collector/receive/zap.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"
#include "shared/base/log.h"
#include "shared/wire/wire.h"

/* To and from each sensor: its credit window and the small talk beside it. */
enum { QUEUE = 2 * WIRE_CREDIT };
/* After so long without a sign ZeroMQ closes a TCP connection whose other end is gone. */
enum { HEARTBEAT_MS = 5000, DEAD_MS = 15000 };
/* Who connects and says nothing holds a descriptor for so long. A sensor that was not answered in
 * time, because the loop waited for the database, comes again. */
enum { HANDSHAKE_MS = 10000 };
/* Five hundred sensors that come at once: more than the kernel's usual queue. */
enum { BACKLOG = 1024 };
/* Answers at once; a storm must not keep the loop from messages. */
enum { ANSWERS = 256 };

#define LOOK_NS     NS_PER_S
#define LOOK_NOW_NS (100 * NS_PER_MS) /* at once for a key that is not known, but not for each */
#define TRY_NS      (20 * NS_PER_MS)  /* ZeroMQ gives an address back some ms after the close */
#define COMPLAIN_NS (5 * NS_PER_S)    /* an address that somebody else took meanwhile */

/* ---- the list of those who may come in ---- */

struct complaints {
    uint64_t hash;
    bool is_silent; /* only count them */
};

static void complain(void *ctx, const char *file, const char *reason)
{
    struct complaints *all = ctx;
    struct note quotable;
    char name[256];
    for (const char *c = reason; *c != '\0'; c++)
        all->hash = all->hash * 131 + (unsigned char)*c;
    if (!all->is_silent)
        log_warn("event=certificate_unusable file=\"%s\" reason=\"%s\" hint=\"nobody may connect "
                 "by this file\"",
                 log_quotable(file, name, sizeof name),
                 log_quotable(reason, quotable.text, sizeof quotable.text));
}

/* What is wrong with files is said when it is not what was said before. */
static int read_list(struct door *d, struct allowed *list, struct note *note)
{
    struct complaints first = {.is_silent = true}, second = {.is_silent = false};
    int err = allowed_read(list, d->conf.sensors, complain, &first, note);
    if (err < 0 || first.hash == d->complaints)
        return err;
    d->complaints = first.hash;
    allowed_clear(list);
    return allowed_read(list, d->conf.sensors, complain, &second, note);
}

/* Is a connection alive that the new list would not let in, or not under that name? */
static const struct allowed_key *revoked(const struct allowed *before, const struct allowed *after)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct allowed_key *was = &before->list[i], *is = allowed_find(after, was->key);
        if (was->is_connected && (is == NULL || strcmp(is->name, was->name) != 0))
            return was;
    }
    return NULL;
}

static void take_over(const struct allowed *before, struct allowed *after)
{
    for (size_t i = 0; i < after->count; i++) {
        const struct allowed_key *was = allowed_find(before, after->list[i].key);
        after->list[i].is_connected = was != NULL && was->is_connected;
    }
}

/* ---- the socket ---- */

/* Every option before bind: ZeroMQ ignores most of them afterwards. Handover stays off: a routing
 * id that is taken is not given to the last comer; who speaks for a name is decided by hello. */
static void set_options(const struct door *d, zsock_t *s)
{
    zsock_set_linger(s, 0);
    /* a message to a sensor that is gone: an error, not silence */
    zsock_set_router_mandatory(s, 1);
    zsock_set_sndhwm(s, QUEUE);
    zsock_set_rcvhwm(s, QUEUE);
    zsock_set_maxmsgsize(s, WIRE_MESSAGE_MAX);
    zsock_set_ipv6(s, 1);
    zsock_set_backlog(s, BACKLOG);
    zsock_set_handshake_ivl(s, HANDSHAKE_MS);
    zsock_set_heartbeat_ivl(s, HEARTBEAT_MS);
    zsock_set_heartbeat_timeout(s, DEAD_MS);
    if (d->zap == NULL)
        return;
    zsock_set_curve_server(s, 1);
    zsock_set_curve_publickey(s, d->own.public_key);
    zsock_set_curve_secretkey(s, d->own.secret_key);
    zsock_set_zap_domain(s, "penstock");
}

static int open_socket(struct door *d, const char *endpoint)
{
    d->socket = zsock_new(ZMQ_ROUTER);
    if (d->socket == NULL)
        return ERR_NETWORK;
    set_options(d, d->socket);
    d->monitor = handshake_open(d->socket);
    if (zsock_bind(d->socket, "%s", endpoint) >= 0)
        return 0;
    int err = zmq_errno() == EINVAL || zmq_errno() == EPROTONOSUPPORT ? ERR_CONF : ERR_NETWORK;
    int saved = zmq_errno();
    handshake_close(&d->monitor, d->socket);
    zsock_destroy(&d->socket);
    errno = saved;
    return err;
}

static void close_socket(struct door *d)
{
    handshake_close(&d->monitor, d->socket);
    zsock_destroy(&d->socket);
}

static void renew(struct door *d, uint64_t now)
{
    close_socket(d);
    counter_add(d->counters, COUNTER_doors_renewed, 1);
    for (size_t i = 0; i < d->allowed.count; i++)
        d->allowed.list[i].is_connected = false;
    d->open_at = d->closed_at = now;
}

static void open_again(struct door *d, uint64_t now)
{
    if (open_socket(d, d->endpoint) == 0) {
        log_info("event=door_opened listen=%s allowed=%zu", d->endpoint, d->allowed.count);
        return;
    }
    d->open_at = now + TRY_NS;
    if (now - d->closed_at < COMPLAIN_NS)
        return;
    d->closed_at = now;
    log_error("event=door_closed listen=%s reason=\"%s\" hint=\"tried again\"", d->endpoint,
              zmq_strerror(zmq_errno()));
}

/* ---- while it is open ---- */

/* The folder cannot be looked into. That it is gone is an answer: nobody may connect. All else (no
 * descriptor left, no right to read) says nothing, so who was allowed stays so. */
static int list_is_gone(struct door *d, int err, struct allowed *list)
{
    if (!d->is_blind)
        log_error("event=sensors_unreadable folder=\"%s\" reason=\"%s\" hint=\"%s\"",
                  d->conf.sensors, err == ERR_CONF ? "there is no such folder" : err_text(err),
                  err == ERR_CONF ? "nobody may connect" : "the list stays as it was");
    d->is_blind = true;
    d->is_settled = false; /* it may come back as it was: its print alone would say "no change" */
    memset(list, 0, sizeof *list);
    return err == ERR_CONF ? 0 : err;
}

static bool adopt(struct door *d, struct allowed *list, uint64_t now)
{
    const struct allowed_key *gone = revoked(&d->allowed, list);
    char name[CURVE_NAME] = "";
    if (gone != NULL)
        memcpy(name, gone->name, sizeof name);
    take_over(&d->allowed, list);
    allowed_clear(&d->allowed);
    d->allowed = *list;
    if (gone == NULL)
        return false;
    log_warn("event=revoked sensor=%s hint=\"all connections are closed and made anew; nothing is "
             "lost\"",
             name);
    renew(d, now);
    return true;
}

/* true: somebody was thrown out. */
static bool look(struct door *d, uint64_t now)
{
    struct allowed list = {0};
    struct note note = {0};
    uint64_t print = d->print;
    bool is_settled = true;
    size_t before = d->allowed.count;
    int err = allowed_print(d->conf.sensors, &print, &is_settled);
    if (err == 0 && print == d->print && d->is_settled)
        return false;
    if (err == 0)
        err = read_list(d, &list, &note);
    else
        err = err == -ENOENT || err == -ENOTDIR ? ERR_CONF : err;
    if (err < 0 && list_is_gone(d, err, &list) < 0)
        return false;
    if (err == 0) {
        if (print != d->print || d->is_blind)
            log_info("event=sensors_read allowed=%zu before=%zu", list.count, before);
        d->is_blind = false;
        d->print = print;
        d->is_settled = is_settled;
    }
    return adopt(d, &list, now);
}

/* As people write it: ::ffff:192.0.2.1 is how a socket of both families says 192.0.2.1. */
static const char *plain_address(const char *address)
{
    return strncmp(address, "::ffff:", 7) == 0 ? address + 7 : address;
}

static void refuse(struct door *d, const struct zap_question *q, uint64_t now)
{
    unsigned more;
    counter_add(d->counters, COUNTER_keys_refused, 1);
    if (quiet_ends(&d->said_key, now, &more))
        log_warn("event=key_refused address=%s key=\"%s\" more=%u hint=\"collector.sensors does "
                 "not allow it (penstockctl keys check)\"",
                 plain_address(q->address), q->key, more);
}

static bool look_after(struct door *d, uint64_t pause_ns, uint64_t now)
{
    if (d->zap == NULL || now - d->looked_at < pause_ns)
        return false;
    d->looked_at = now;
    return look(d, now);
}

/* A key that is not known may have been put into the folder a moment ago. */
static struct allowed_key *find_key(struct door *d, const char *key, uint64_t now, bool *is_renewed)
{
    struct allowed_key *who = key[0] != '\0' ? allowed_find(&d->allowed, key) : NULL;
    if (who != NULL || key[0] == '\0')
        return who;
    *is_renewed |= look_after(d, LOOK_NOW_NS, now);
    return allowed_find(&d->allowed, key);
}

/* true: somebody was thrown out. */
static bool answer_questions(struct door *d, uint64_t now)
{
    struct zap_question q;
    bool is_renewed = false;
    for (unsigned i = 0; i < ANSWERS && d->zap != NULL && zap_next(d->zap, &q); i++) {
        struct allowed_key *who = find_key(d, q.key, now, &is_renewed);
        zap_answer(d->zap, &q, who != NULL);
        if (who != NULL)
            who->is_connected = true;
        else
            refuse(d, &q, now);
    }
    return is_renewed;
}

static const char *reason_of(const struct door *d, enum handshake_failure failure)
{
    switch (failure) {
    case HANDSHAKE_MISMATCH:
        return d->zap != NULL ? "it came without encryption (publish.insecure: true there), this "
                                "collector wants CURVE"
                              : "it came with CURVE, this collector is plain (collector.insecure: "
                                "true here)";
    case HANDSHAKE_CRYPT:
        return "it was given another public key than this collector's (publish.server there)";
    case HANDSHAKE_CLOSED:
        return "it closed the connection (its own log may know why), or said nothing for too long";
    default:
        return "it does not speak our protocol";
    }
}

/* Each reason has its own quiet: one failure has several faces. A sensor that finds first that it
 * is plain and we are not, or the other way about, closes without a word: CLOSED, until a try is
 * ours. */
static void note_failures(struct door *d, uint64_t now)
{
    enum handshake_failure failure;
    unsigned more;
    while ((failure = handshake_next(d->monitor)) != HANDSHAKE_NONE) {
        if (failure == HANDSHAKE_KEY)
            continue; /* told where the question was answered */
        counter_add(d->counters, COUNTER_handshakes_failed, 1);
        if (quiet_ends(&d->said_handshake[failure], now, &more))
            log_warn("event=handshake_failed reason=\"%s\" more=%u", reason_of(d, failure), more);
    }
}

bool door_tend(struct door *d, uint64_t now)
{
    bool is_renewed = look_after(d, LOOK_NS, now);
    is_renewed |= answer_questions(d, now);
    note_failures(d, now);
    if (d->socket == NULL && now >= d->open_at)
        open_again(d, now);
    return is_renewed;
}

void door_wait(struct door *d, int timeout_ms)
{
    zmq_pollitem_t items[3];
    int n = 0;
    zsock_t *sockets[] = {d->socket, d->zap, d->monitor};
    for (size_t i = 0; i < 3; i++)
        if (sockets[i] != NULL)
            items[n++] =
                (zmq_pollitem_t){.socket = zsock_resolve(sockets[i]), .events = ZMQ_POLLIN};
    if (d->socket == NULL && timeout_ms > (int)(TRY_NS / NS_PER_MS))
        timeout_ms = (int)(TRY_NS / NS_PER_MS);
    zmq_poll(items, n, timeout_ms);
}

/* ---- opening ---- */

static int read_certificates(struct door *d, struct note *note)
{
    struct note why = {0};
    int err = curve_load_secret(d->conf.certificate, &d->own, &why);
    if (err < 0)
        return note_set(note, err, "collector.certificate: %s", why.text);
    err = allowed_print(d->conf.sensors, &d->print, &d->is_settled);
    if (err < 0)
        return note_set(note, ERR_CONF, "collector.sensors: %s: %s", d->conf.sensors,
                        strerror(-err));
    err = read_list(d, &d->allowed, &why);
    if (err < 0)
        return note_set(note, err, "collector.sensors: %s", why.text);
    if (d->allowed.count == 0)
        log_warn("event=nobody_allowed folder=\"%s\" hint=\"put the sensors' .pub files there\"",
                 d->conf.sensors);
    return 0;
}

int door_check(const struct receive_conf *conf, struct note *note)
{
    struct door d = {.conf = *conf};
    int err = read_certificates(&d, note);
    door_close(&d);
    return err;
}

static int guard_open(struct door *d, struct note *note)
{
    int err = read_certificates(d, note);
    if (err < 0)
        return err;
    err = zap_open(&d->zap);
    return err == 0 ? 0
                    : note_set(note, ERR_NETWORK, "ZeroMQ's door keeper cannot be opened: %s",
                               zmq_strerror(-err));
}

int door_open(struct door *d, const struct receive_conf *conf, struct counters *counters,
              struct note *note)
{
    int err = 0;
    *d = (struct door){.conf = *conf, .counters = counters};
    zsys_handler_set(NULL); /* czmq would take SIGINT and SIGTERM for itself */
    if (conf->insecure)
        log_warn("event=insecure listen=%s hint=\"collector.insecure is true: every sensor is "
                 "believed its name, and nothing is encrypted\"",
                 conf->listen);
    else
        err = guard_open(d, note);
    if (err == 0 && (err = open_socket(d, conf->listen)) < 0)
        note_set(note, err, "collector.listen \"%s\" cannot be used: %s", conf->listen,
                 zmq_strerror(zmq_errno()));
    if (err == 0)
        d->endpoint = zsock_last_endpoint(d->socket);
    else
        door_close(d);
    return err;
}

/* The socket first: without a door keeper ZeroMQ would let everybody in. */
void door_close(struct door *d)
{
    close_socket(d);
    zap_close(&d->zap);
    allowed_clear(&d->allowed);
    zstr_free(&d->endpoint);
    curve_forget(&d->own);
    memset(d, 0, sizeof *d);
}
