#include "collector/receive/door.h"

#include <errno.h>

#include "shared/base/clock.h"
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

#define TRY_NS      (20 * NS_PER_MS) /* ZeroMQ gives an address back some ms after the close */
#define COMPLAIN_NS (5 * NS_PER_S)   /* an address that somebody else took meanwhile */

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
    if (d->guard.zap == NULL)
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
    d->open_at = d->closed_at = now;
}

static void open_again(struct door *d, uint64_t now)
{
    if (open_socket(d, d->endpoint) == 0) {
        log_info("event=door_opened listen=%s allowed=%zu", d->endpoint, d->guard.allowed.count);
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

static const char *reason_of(const struct door *d, enum handshake_failure failure)
{
    switch (failure) {
    case HANDSHAKE_MISMATCH:
        return d->guard.zap != NULL
                   ? "it came without encryption (publish.insecure: true there), this "
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
    uint64_t refused = d->guard.refused;
    bool is_renewed = guard_tend(&d->guard, now);
    counter_add(d->counters, COUNTER_keys_refused, d->guard.refused - refused);
    if (is_renewed)
        renew(d, now);
    note_failures(d, now);
    if (d->socket == NULL && now >= d->open_at)
        open_again(d, now);
    return is_renewed;
}

void door_wait(struct door *d, int timeout_ms)
{
    zmq_pollitem_t items[3];
    int n = 0;
    void *sockets[] = {d->socket, d->guard.zap, d->monitor};
    for (size_t i = 0; i < 3; i++)
        if (sockets[i] != NULL)
            items[n++] =
                (zmq_pollitem_t){.socket = zsock_resolve(sockets[i]), .events = ZMQ_POLLIN};
    if (d->socket == NULL && timeout_ms > (int)(TRY_NS / NS_PER_MS))
        timeout_ms = (int)(TRY_NS / NS_PER_MS);
    zmq_poll(items, n, timeout_ms);
}

/* ---- opening ---- */

static int read_own(struct door *d, struct note *note)
{
    struct note why = {0};
    int err = curve_load_secret(d->conf.certificate, &d->own, &why);
    return err == 0 ? 0 : note_set(note, err, "collector.certificate: %s", why.text);
}

static struct guard_conf guard_of(const struct receive_conf *conf)
{
    return (struct guard_conf){.folder = conf->sensors,
                               .key = "collector.sensors",
                               .who = "sensor",
                               .kind = ALLOWED_SENSORS};
}

int door_check(const struct receive_conf *conf, struct note *note)
{
    struct door d = {.conf = *conf};
    const struct guard_conf guard = guard_of(&d.conf);
    int err = read_own(&d, note);
    if (err == 0)
        err = guard_read(&d.guard, &guard, note);
    door_close(&d);
    return err;
}

static int open_guard(struct door *d, struct note *note)
{
    const struct guard_conf guard = guard_of(&d->conf);
    int err = read_own(d, note);
    return err == 0 ? guard_open(&d->guard, &guard, zsys_init(), note) : err;
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
        err = open_guard(d, note);
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
    guard_close(&d->guard);
    zstr_free(&d->endpoint);
    curve_forget(&d->own);
    memset(d, 0, sizeof *d);
}
