/* The AF_XDP source: per queue one UMEM, a socket that receives on the outer port and one that
 * sends on the inner port. Both use the same memory, so forwarding a frame is writing its address
 * into another ring (umem.h shows the way of a frame).
 *
 * What the rings of the two ports are named: a UMEM's fill and completion ring belong to a port and
 * queue, not to a socket. The outer port's fill ring feeds what we receive, the inner port's
 * completion ring returns what we sent; the other two are idle, except that in zero-copy mode the
 * inner port's driver receives from our memory, too, and must be fed. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_xdp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sensor/source/beat.h"
#include "sensor/source/forward.h"
#include "sensor/source/umem.h"
#include "sensor/source/watchdog.h"
#include "sensor/source/xdp_attach.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

/* Slots of each ring: 2,048 (RING_DEFAULT) hold 1.4 ms of 1.5 Mpps, what a sleeping worker needs to
 * wake up. Twice as many chunks: a full TX ring still leaves the fill ring full. In zero-copy mode
 * the inner port's driver holds a third share. */
#define SHARES      2
#define SHARES_ZERO 3

/* Copy mode sends 32 frames per system call and says EAGAIN when there are more: 16 calls send a
 * burst eight times over. Beyond that the port is stuck, and waiting would stall reception. */
#define KICKS_MAX   16
#define SEND_TRIES  4
#define SEND_BUFFER (8 << 20) /* bytes of skbs under way; the default stops at about 90 frames */

/* After half a burst or more the next frames are near: a port's poll hands over up to 64 at a time,
 * 50 us apart at 1.3 Mpps. To be woken up costs the core that hands them over a microsecond or two
 * (an interrupt to ours), each time, so the worker looks for them that long before it sleeps. */
#define LOOK_AFTER (BURST / 2)
#define LOOK_NS    (50 * (uint64_t)1000)

/* On close: 20 ms. A full ring leaves a 1 Gbit/s port at 1,500 bytes a frame in 25 ms, and rings
 * are all but empty when the worker has let go. */
#define REST_TRIES 20

/* After a kill the kernel takes a moment to release a queue's socket: 3 s in all. */
#define BUSY_TRIES   60
#define BUSY_WAIT_NS (50 * NS_PER_MS)

/* Busy polling: the worker's own system calls run the driver, 64 frames a call, the budget of one
 * poll; interrupts stay off as long as it comes back. */
#define BUSY_POLL_US     20
#define BUSY_POLL_BUDGET 64
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif

struct source_group {
    struct xdp_attach attach;
    enum zero_copy zero_copy;
    unsigned ring;
    bool busy_poll;
    const struct forward_ops *forward; /* NULL: by AF_XDP, or not at all */
    struct forward_conf forward_conf;
};

struct source {
    struct source_group *group;
    unsigned queue;
    struct umem umem;
    struct xsk_socket *receiver, *sender; /* sender NULL: a forwarder, or mirror */
    struct forward *forward;              /* NULL: the sender, or mirror */
    struct xsk_ring_cons rx;
    struct xsk_ring_prod tx, inner_fill;
    struct xsk_ring_cons inner_completion;
    int receiver_fd, sender_fd;
    bool is_zero_copy, is_listed, is_released, is_reported, is_busy_polled;
    bool is_gone;    /* a port was removed: neither socket will ever work again */
    bool is_stalled; /* frames stand in the TX ring that the kernel has not taken */
    bool is_down[XDP_PORTS];
    unsigned burst;     /* frames of the last recv that gave any, until we slept */
    uint32_t under_way; /* in the TX ring, with the driver, or in the completion ring */
    uint64_t refused, taken;
    struct watchdog watchdog;
    bool is_stuck;     /* the watchdog wants new sockets */
    unsigned refusals; /* by the kernel, since it wants them */
    bool is_refusal_told;
    uint64_t reopen_at_ns; /* the next try */
    uint64_t reopened, now_ns;
    uint64_t missed_before;         /* by sockets that were closed */
    struct ring_buffer *probe_ring; /* queue 0 only */
    struct packet *probe_out;       /* during probes() */
    unsigned probe_count, probe_max;
};

/* ---- the group */

static void afxdp_detach(struct source_group *g)
{
    if (g == NULL)
        return;
    xdp_attach_close(&g->attach);
    free(g);
}

static const struct forward_ops *find_forward(enum forward_driver driver)
{
    return driver == FORWARD_TUN ? &forward_tun : driver == FORWARD_RAW ? &forward_raw : NULL;
}

static int afxdp_attach(const struct source_conf *conf, struct source_group **out,
                        struct note *note)
{
    *out = NULL;
    const struct forward_ops *forward = find_forward(conf->forward);
    int err = forward != NULL && forward->check != NULL ? forward->check(conf, note) : 0;
    if (err < 0)
        return err;
    struct source_group *g = calloc(1, sizeof *g);
    if (g == NULL)
        return note_set(note, -ENOMEM, "no memory for the source");
    g->zero_copy = conf->zero_copy;
    g->busy_poll = conf->busy_poll;
    g->forward = forward;
    g->ring = conf->ring != 0 ? conf->ring : RING_DEFAULT;
    err = xdp_attach_open(conf, &g->attach, note);
    if (err < 0) {
        free(g);
        return err;
    }
    snprintf(g->forward_conf.interface, IFNAMSIZ, "%.15s", conf->forward_interface);
    g->forward_conf.mtu = g->attach.ports[XDP_PORT_OUTER].mtu;
    *out = g;
    return 0;
}

static unsigned afxdp_queues(const struct source_group *g)
{
    return g->attach.queues;
}

static int afxdp_watch(struct source_group *g, const struct prefix *prefixes, size_t n,
                       struct note *note)
{
    return watched_set(&g->attach.watched, prefixes, n, note);
}

static int afxdp_tally(struct source_group *g,
                       void (*each)(void *arg, const struct source_tally *cell), void *arg)
{
    return kernel_tally_take(&g->attach.tally, each, arg);
}

/* ---- sending */

/* Once when it goes down, once when it is back. */
static void tell_port(struct source *s, unsigned port, bool is_down)
{
    const char *name = port == XDP_PORT_INNER && s->forward != NULL
                           ? s->group->forward_conf.interface
                           : s->group->attach.ports[port].name;
    if (s->is_down[port] == is_down)
        return;
    s->is_down[port] = is_down;
    if (is_down)
        log_warn("event=port_down if=%s queue=%u hint=\"until it is up nothing %s\"", name,
                 s->queue, port == XDP_PORT_OUTER ? "comes" : "can be forwarded");
    else
        log_info("event=port_up if=%s queue=%u", name, s->queue);
}

static void reap(struct source *s)
{
    s->under_way -= umem_reap(&s->umem, &s->inner_completion);
}

/* One system call that sends. 0, or errno. */
static int send_now(struct source *s)
{
    int err = sendto(s->sender_fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 ? 0 : errno;
    s->refused += err == EBUSY;
    s->is_gone |= err == ENXIO;
    if (err == 0 || err == ENETDOWN)
        tell_port(s, XDP_PORT_INNER, err == ENETDOWN);
    return err;
}

/* Has the kernel send what stands in the TX ring. EBUSY: the device refused one frame, which is
 * gone, and there may be more; EAGAIN: there are more, or no room for completions. */
static void kick(struct source *s)
{
    s->is_stalled = false;
    for (int i = 0; i < KICKS_MAX && xsk_ring_prod__needs_wakeup(&s->tx); i++) {
        int err = send_now(s);
        s->is_stalled = err == EBUSY || err == EAGAIN || err == EINTR || err == ENOBUFS;
        if (!s->is_stalled)
            return;
        reap(s);
    }
}

/* Copy mode: the kernel has made skbs of them. Zero copy: the driver still reads our memory. */
static bool is_all_sent(struct source *s)
{
    return xsk_prod_nb_free(&s->tx, s->group->ring) == s->group->ring &&
           (!s->is_zero_copy || s->under_way == 0);
}

/* Closing a socket throws away what stands in its ring. A port that is down sends nothing, ever. */
static void send_the_rest(struct source *s)
{
    for (int i = 0; i < REST_TRIES && !is_all_sent(s); i++) {
        kick(s);
        reap(s);
        if (!is_all_sent(s))
            nanosleep(&(struct timespec){.tv_nsec = (long)NS_PER_MS}, NULL);
    }
}

/* ---- opening a queue */

static int open_receiver(struct source *s, uint16_t bind_flags)
{
    const struct xsk_socket_config config = {
        .rx_size = s->group->ring,
        .tx_size = s->group->ring,
        .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
        .bind_flags = bind_flags | XDP_USE_NEED_WAKEUP,
    };
    int err = xsk_socket__create(&s->receiver, s->group->attach.ports[XDP_PORT_OUTER].name,
                                 s->queue, s->umem.xsk, &s->rx, NULL, &config);
    if (err < 0) {
        s->receiver = NULL;
        return err;
    }
    s->receiver_fd = xsk_socket__fd(s->receiver);
    return 0;
}

/* Takes mode and wake-up flag over from the receiver: the kernel wants it so for shared memory. */
static int open_sender(struct source *s)
{
    const struct xsk_socket_config config = {
        .rx_size = s->group->ring,
        .tx_size = s->group->ring,
        .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
    };
    int size = SEND_BUFFER;
    int err = xsk_socket__create_shared(&s->sender, s->group->attach.ports[XDP_PORT_INNER].name,
                                        s->queue, s->umem.xsk, NULL, &s->tx, &s->inner_fill,
                                        &s->inner_completion, &config);
    if (err < 0) {
        s->sender = NULL;
        return err;
    }
    s->sender_fd = xsk_socket__fd(s->sender);
    setsockopt(s->sender_fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    return 0;
}

static bool set_busy_poll(int fd)
{
    const int on = 1, us = BUSY_POLL_US, budget = BUSY_POLL_BUDGET;
    return setsockopt(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof on) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &us, sizeof us) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof budget) == 0;
}

/* Without it the worker does not sleep all the same; the driver works by interrupts. */
static void poll_busily(struct source *s)
{
    s->is_busy_polled = s->group->busy_poll && set_busy_poll(s->receiver_fd);
    if (s->group->busy_poll && !s->is_busy_polled)
        log_info("event=busy_poll_fallback if=%s queue=%u mode=spin reason=\"%s (it needs Linux "
                 "5.11 and CAP_NET_ADMIN)\"",
                 s->group->attach.ports[XDP_PORT_OUTER].name, s->queue, strerror(errno));
}

static void close_sockets(struct source *s)
{
    if (s->sender != NULL)
        xsk_socket__delete(s->sender);
    if (s->receiver != NULL)
        xsk_socket__delete(s->receiver);
    s->sender = s->receiver = NULL;
    s->sender_fd = s->receiver_fd = -1;
    s->under_way = 0;
    s->is_stalled = false;
    umem_close(&s->umem);
    /* libxdp does not set all of a ring: the next one begins at 0 */
    s->rx = s->inner_completion = (struct xsk_ring_cons){0};
    s->tx = s->inner_fill = (struct xsk_ring_prod){0};
}

static int open_sockets(struct source *s, bool is_zero_copy)
{
    unsigned ring = s->group->ring;
    int err = umem_open(&s->umem, (is_zero_copy ? SHARES_ZERO : SHARES) * ring, ring);
    if (err == 0)
        err = open_receiver(s, is_zero_copy ? XDP_ZEROCOPY : XDP_COPY);
    if (err == 0 && s->group->attach.port_count == 2 && s->group->forward == NULL)
        err = open_sender(s);
    s->is_zero_copy = is_zero_copy;
    if (err < 0)
        close_sockets(s);
    else
        poll_busily(s);
    return err;
}

static int open_patiently(struct source *s, bool is_zero_copy)
{
    int err = open_sockets(s, is_zero_copy);
    for (int i = 0; err == -EBUSY && i < BUSY_TRIES; i++) {
        nanosleep(&(struct timespec){.tv_nsec = (long)BUSY_WAIT_NS}, NULL);
        err = open_sockets(s, is_zero_copy);
    }
    return err;
}

static const char *socket_hint(int err)
{
    switch (err) {
    case -EBUSY:
        return "another process has this queue's AF_XDP socket: stop it";
    case -EPERM:
        return "it needs CAP_NET_RAW and CAP_NET_ADMIN";
    case -ENOBUFS:
    case -ENOMEM:
        return "locked memory: raise RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=infinity), or grant "
               "CAP_IPC_LOCK";
    case -EAFNOSUPPORT:
        return "the kernel lacks AF_XDP, or systemd's RestrictAddressFamilies forbids it";
    case -EOPNOTSUPP:
        return "the driver cannot do this mode: set source.zero_copy to off";
    default:
        return "see the kernel's log";
    }
}

static int open_in_mode(struct source *s, struct note *note)
{
    const struct source_group *g = s->group;
    const char *name = g->attach.ports[XDP_PORT_OUTER].name;
    bool try_zero =
        g->zero_copy == ZERO_COPY_ON || (g->zero_copy == ZERO_COPY_AUTO && g->attach.is_native);
    int err = try_zero ? open_patiently(s, true) : -EOPNOTSUPP;
    if (err < 0 && err != -EBUSY && g->zero_copy != ZERO_COPY_ON) {
        if (try_zero)
            log_info("event=zero_copy_fallback if=%s queue=%u mode=copy reason=\"%s\"", name,
                     s->queue, strerror(-err));
        err = open_patiently(s, false);
    }
    if (err == 0)
        return 0;
    return note_set(note, err == -EBUSY ? ERR_BUSY : err,
                    "%s queue %u: cannot open the AF_XDP socket: %s: %s", name, s->queue,
                    strerror(-err), socket_hint(err));
}

static int take_probe(void *arg, void *data, size_t size);

static int open_probes(struct source *s, struct note *note)
{
    if (s->queue != 0)
        return 0;
    s->probe_ring = ring_buffer__new(s->group->attach.probes_fd, take_probe, s, NULL);
    if (s->probe_ring == NULL)
        return note_set(note, ERR_KERNEL, "cannot map the probe ring: %s", strerror(errno));
    return 0;
}

/* The last step: from here on the program finds our socket. The fill ring is full already. */
static int list_socket(struct source *s, struct note *note)
{
    uint32_t queue = s->queue;
    int err = bpf_map_update_elem(s->group->attach.xsks_fd, &queue, &s->receiver_fd, BPF_ANY);
    if (err < 0)
        return note_set(note, ERR_KERNEL, "queue %u: cannot list the socket: %s", queue,
                        strerror(-err));
    s->is_listed = true;
    return 0;
}

/* A poll of the port that runs just now may hand over what it holds, at most its budget. */
static void unlist_socket(struct source *s)
{
    uint32_t queue = s->queue;
    if (s->is_listed)
        bpf_map_delete_elem(s->group->attach.xsks_fd, &queue);
    s->is_listed = false;
}

static void afxdp_release(struct source *s)
{
    s->is_released = true;
    unlist_socket(s);
}

static void afxdp_close(struct source *s)
{
    if (s == NULL)
        return;
    /* First out of the map, so that frames go on in the kernel; then the sockets. */
    afxdp_release(s);
    if (s->sender != NULL)
        send_the_rest(s);
    close_sockets(s);
    if (s->forward != NULL)
        s->group->forward->close(s->forward);
    ring_buffer__free(s->probe_ring);
    free(s);
}

static void feed(struct source *s)
{
    if (s->is_zero_copy && s->sender != NULL)
        umem_feed(&s->umem, &s->inner_fill);
    umem_feed(&s->umem, &s->umem.fill);
}

static void log_open(const struct source *s)
{
    static const char *const pages[] = {"no", "transparent", "yes"};
    const struct source_group *g = s->group;
    log_info("event=open if=%s queue=%u mode=%s zero_copy=%s need_wakeup=yes busy_poll=%s ring=%u "
             "huge_pages=%s",
             g->attach.ports[XDP_PORT_OUTER].name, s->queue, g->attach.is_native ? "native" : "skb",
             s->is_zero_copy ? "yes" : "no",
             s->is_busy_polled ? "yes"
             : g->busy_poll    ? "spin"
                               : "no",
             g->ring, pages[s->umem.pages]);
}

static int afxdp_open(struct source_group *g, unsigned queue, struct source **out,
                      struct note *note)
{
    *out = NULL;
    if (queue >= g->attach.queues)
        return note_set(note, ERR_CONF, "queue %u: this source has %u", queue, g->attach.queues);
    struct source *s = calloc(1, sizeof *s);
    if (s == NULL)
        return note_set(note, -ENOMEM, "no memory for queue %u", queue);
    s->group = g;
    s->queue = queue;
    int err = open_in_mode(s, note);
    if (err == 0 && g->forward != NULL)
        err = g->forward->open(&g->forward_conf, queue, &s->forward, note);
    if (err == 0)
        err = open_probes(s, note);
    if (err == 0) {
        feed(s);
        err = list_socket(s, note);
    }
    if (err < 0) {
        afxdp_close(s);
        return err;
    }
    log_open(s);
    *out = s;
    return 0;
}

/* ---- opening it anew */

static uint64_t missed(const struct source *s);

/* One try: the kernel gives a closed socket's queue back a moment later, and until then the frames
 * go on without us. */
static int try_to_reopen(struct source *s)
{
    struct note note = {0};
    int err = open_sockets(s, s->is_zero_copy);
    if (err < 0)
        return err;
    feed(s);
    err = list_socket(s, &note);
    if (err < 0)
        close_sockets(s);
    return err;
}

/* EBUSY passes, as a rule. For the rest somebody must do something: said once per stall. */
static void tell_refusal(struct source *s, int err)
{
    bool may_pass = err == -EBUSY && ++s->refusals < BUSY_TRIES;
    if (may_pass || s->is_refusal_told || s->is_gone)
        return;
    s->is_refusal_told = true;
    log_error(
        "event=reopen_failed if=%s queue=%u reason=\"%s: %s\" hint=\"its watched frames go on "
        "untested; it is tried again and again\"",
        s->group->attach.ports[XDP_PORT_OUTER].name, s->queue, err_text(err), socket_hint(err));
}

/* The port may have gone meanwhile, and with it any hope. */
static void reopened(struct source *s, int err)
{
    const char *name = s->group->attach.ports[XDP_PORT_OUTER].name;
    if (err < 0) {
        s->is_gone |= err == -ENODEV || err == -ENXIO;
        s->reopen_at_ns = s->now_ns + BUSY_WAIT_NS;
        tell_refusal(s, err);
        return;
    }
    s->is_stuck = s->is_refusal_told = false;
    s->refusals = 0;
    s->reopened++;
    log_info("event=reopened if=%s queue=%u times=%" PRIu64, name, s->queue, s->reopened);
}

/* Only where nothing is lent: the frames' memory goes, too. First out of the map, so that frames go
 * on in the kernel. What stood in the rings is lost, as it was already. */
static void reopen(struct source *s)
{
    if (s->now_ns < s->reopen_at_ns)
        return;
    if (s->receiver != NULL) {
        log_warn("event=queue_stalled if=%s queue=%u reason=\"the XDP program hands frames over, "
                 "and the socket gives none: it is opened anew\"",
                 s->group->attach.ports[XDP_PORT_OUTER].name, s->queue);
        s->missed_before = missed(s);
        unlist_socket(s);
        close_sockets(s);
    }
    reopened(s, try_to_reopen(s));
}

/* ---- a burst */

/* Lets the driver look at the fill ring; says how the outer port is: 0, or errno. Linux 5.10 has no
 * recvmsg for these sockets: there poll() wakes the driver, and sending, without a ring for it,
 * tells of the port. */
static int wake(const struct source *s)
{
    if (recvfrom(s->receiver_fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) >= 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return errno;
    poll(&(struct pollfd){.fd = s->receiver_fd, .events = POLLIN}, 1, 0);
    return sendto(s->receiver_fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? errno : 0;
}

/* Sent frames come home, and the fill ring gets what is free. */
static void settle(struct source *s)
{
    if (s->receiver == NULL)
        return; /* it is being opened anew */
    if (s->sender != NULL) {
        if (s->is_stalled)
            kick(s);
        reap(s);
    }
    feed(s);
    /* In copy mode nobody waits for chunks: the kernel takes them as it needs them. */
    if (s->is_busy_polled || (s->is_zero_copy && xsk_ring_prod__needs_wakeup(&s->umem.fill)))
        wake(s);
}

/* Nothing to send: the kernel only says how the inner port is. */
static void look_for_inner(struct source *s)
{
    if (s->forward != NULL) {
        s->group->forward->look(s->forward);
        s->is_gone |= s->forward->is_gone;
    } else if (s->sender != NULL) {
        send_now(s);
    }
}

/* A removed interface sends no word: its socket is unbound, and poll() just sleeps. (ENETDOWN is
 * another matter: a port that is down may come up again.) */
static void look_for_ports(struct source *s)
{
    if (s->receiver == NULL)
        return;
    int err = wake(s);
    s->is_gone |= err == ENXIO;
    tell_port(s, XDP_PORT_OUTER, err == ENETDOWN);
    look_for_inner(s);
}

static int nothing_came(struct source *s)
{
    if (s->is_stuck && !s->is_gone && !s->is_released)
        reopen(s);
    settle(s);
    if (!s->is_gone)
        return 0;
    if (!s->is_reported)
        log_error("event=port_gone if=%s queue=%u reason=\"its interface, or the one that it "
                  "forwards to, was removed\"",
                  s->group->attach.ports[XDP_PORT_OUTER].name, s->queue);
    s->is_reported = true;
    return ERR_KERNEL;
}

static int afxdp_recv(struct source *s, struct frame *frames, unsigned max)
{
    if (s->is_gone && (s->forward != NULL || s->sender != NULL))
        return nothing_came(s); /* what would be lent could not be forwarded, or never comes */
    uint32_t first = 0;
    uint32_t n = s->receiver != NULL ? xsk_ring_cons__peek(&s->rx, max, &first) : 0;
    if (n == 0)
        return nothing_came(s);
    for (uint32_t i = 0; i < n; i++) {
        const struct xdp_desc *d = xsk_ring_cons__rx_desc(&s->rx, first + i);
        frames[i] = (struct frame){
            .data = s->umem.area + d->addr,
            .len = d->len,
            .wire_len = d->len,
            .token = d->addr,
        };
    }
    s->burst = n;
    s->taken += n;
    s->is_stuck = false;               /* it gives something after all */
    xsk_ring_cons__release(&s->rx, n); /* the slots; the chunks stay ours until done() */
    return (int)n;
}

/* Puts up to n frames into the TX ring. Returns how many. */
static unsigned put(struct source *s, const struct xdp_desc *out, unsigned n)
{
    uint32_t first = 0, room = xsk_prod_nb_free(&s->tx, n);
    if (room < n)
        n = room;
    if (n == 0 || xsk_ring_prod__reserve(&s->tx, n, &first) != n)
        return 0;
    for (uint32_t i = 0; i < n; i++)
        *xsk_ring_prod__tx_desc(&s->tx, first + i) = out[i];
    xsk_ring_prod__submit(&s->tx, n);
    s->under_way += n;
    return n;
}

static void send_all(struct source *s, const struct xdp_desc *out, unsigned n)
{
    unsigned sent = 0;
    for (int i = 0; i < SEND_TRIES && sent < n; i++) {
        sent += put(s, out + sent, n - sent);
        kick(s);
        reap(s);
    }
    s->refused += n - sent;
    while (sent < n)
        umem_give(&s->umem, out[sent++].addr);
}

/* The forwarder has copied what it sent, so every chunk is free. */
static void send_by_forwarder(struct source *s, const struct frame *frames, const uint8_t *verdicts,
                              unsigned n)
{
    s->refused += s->group->forward->send(s->forward, frames, verdicts, n);
    s->is_gone |= s->forward->is_gone;
    tell_port(s, XDP_PORT_INNER, s->forward->is_down);
    for (unsigned i = 0; i < n; i++)
        umem_give(&s->umem, frames[i].token);
    settle(s);
}

static void afxdp_done(struct source *s, const struct frame *frames, const uint8_t *verdicts,
                       unsigned n)
{
    struct xdp_desc out[BURST];
    unsigned count = 0;
    if (s->forward != NULL) {
        send_by_forwarder(s, frames, verdicts, n);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        if (s->sender == NULL || verdicts[i] == FRAME_DROP) {
            umem_give(&s->umem, frames[i].token);
            continue;
        }
        out[count++] = (struct xdp_desc){.addr = frames[i].token, .len = frames[i].len};
        if (count == BURST) {
            send_all(s, out, count);
            count = 0;
        }
    }
    if (count > 0)
        send_all(s, out, count);
    settle(s);
}

/* Looks at the ring for a moment instead of sleeping at once; true when frames came. */
static bool came_soon(struct source *s)
{
    if (s->burst < LOOK_AFTER || s->receiver == NULL || s->group->busy_poll)
        return false;
    uint64_t end = clock_mono_ns() + LOOK_NS;
    do {
        if (xsk_cons_nb_avail(&s->rx, 1) > 0)
            return true;
    } while (clock_mono_ns() < end);
    s->burst = 0;
    return false;
}

static void afxdp_wait(struct source *s, unsigned timeout_ms)
{
    struct pollfd fds[2] = {{.fd = s->receiver_fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    if (came_soon(s))
        return;
    settle(s);
    if (s->group->busy_poll)
        return;
    if (s->probe_ring != NULL)
        fds[1].fd = ring_buffer__epoll_fd(s->probe_ring);
    if (s->is_stalled && timeout_ms > 1)
        timeout_ms = 1; /* the inner port has frames to send: come back soon */
    if (poll(fds, 2, (int)timeout_ms) == 0)
        look_for_ports(s);
}

/* ---- probes and statistics */

static struct addr addr_of(uint8_t family, const uint8_t bytes[static 16])
{
    return family == ADDR_V4 ? addr_v4(bytes) : addr_v6(bytes);
}

static void probe_to_packet(const struct xdp_probe *p, struct packet *out)
{
    *out = (struct packet){
        .src = addr_of(p->family, p->src),
        .dst = addr_of(p->family, p->dst),
        .protocol = p->protocol,
        .tcp_flags = p->tcp_flags,
        .icmp_type = p->icmp_type,
        .opening = p->opening,
        .weight = p->weight,
        .vlan = p->vlan,
        .ingress = p->ingress,
        .src_port = p->src_port,
        .dst_port = p->dst_port,
        .seq = p->seq,
        .ack = p->ack,
        .tcp_window = p->window,
        .payload_len = p->payload_len,
        .frame_len = p->frame_len,
    };
    memcpy(out->src_mac, p->src_mac, sizeof out->src_mac);
}

/* A negative answer stops the ring's consumer, after this probe. */
static int take_probe(void *arg, void *data, size_t size)
{
    struct source *s = arg;
    if (size >= sizeof(struct xdp_probe))
        probe_to_packet(data, &s->probe_out[s->probe_count++]);
    return s->probe_count < s->probe_max ? 0 : -ENOSPC;
}

static int afxdp_probes(struct source *s, struct packet *out, unsigned max)
{
    if (s->probe_ring == NULL || max == 0)
        return 0;
    s->probe_out = out;
    s->probe_max = max;
    s->probe_count = 0;
    ring_buffer__consume(s->probe_ring);
    s->probe_out = NULL;
    return (int)s->probe_count;
}

static struct xdp_statistics ask_socket(const struct source *s)
{
    struct xdp_statistics k = {0};
    socklen_t size = sizeof k;
    if (getsockopt(s->receiver_fd, SOL_XDP, XDP_STATISTICS, &k, &size) != 0)
        return (struct xdp_statistics){0};
    return k;
}

/* Frames that reached the socket and found no slot or no chunk. */
static uint64_t missed(const struct source *s)
{
    struct xdp_statistics k = ask_socket(s);
    return s->missed_before + k.rx_dropped + k.rx_ring_full;
}

static void afxdp_stats(struct source *s, struct source_stats *out)
{
    look_for_ports(s); /* also where frames or probes leave no pause */
    *out = (struct source_stats){
        .missed = missed(s), .transmit_refused = s->refused, .reopened = s->reopened};
    if (s->queue != 0)
        return;
#define KERNEL(name, help) out->kernel_##name = xdp_attach_stat(&s->group->attach, XDP_STAT_##name);
#include "shared/base/kernel.def"
#undef KERNEL
}

/* ---- the heartbeat, and the watchdog with it */

/* Turned away for what they are: dropped though there was a chunk. */
static uint64_t turned_away(const struct source *s)
{
    struct xdp_statistics k = ask_socket(s);
    return k.rx_dropped > k.rx_fill_ring_empty_descs ? k.rx_dropped - k.rx_fill_ring_empty_descs
                                                     : 0;
}

static void watch_the_queue(struct source *s, uint64_t handed)
{
    struct watchdog *w = &s->watchdog;
    if (s->receiver == NULL || s->is_stuck)
        return;
    bool is_odd = s->taken == w->taken && handed != w->handed;
    uint64_t refused = is_odd ? turned_away(s) : w->refused;
    s->is_stuck = watchdog_is_stalled(w, s->now_ns, handed, s->taken, refused);
}

static uint64_t afxdp_beat(struct source *s, uint64_t now_ns)
{
    struct xdp_beat *b = &s->group->attach.beats[s->queue];
    s->now_ns = now_ns;
    watch_the_queue(s, __atomic_load_n(&b->handed, __ATOMIC_RELAXED));
    return beat(b, now_ns);
}

const struct source_ops source_afxdp = {
    .name = "af_xdp",
    .attach = afxdp_attach,
    .queues = afxdp_queues,
    .watch = afxdp_watch,
    .tally = afxdp_tally,
    .detach = afxdp_detach,
    .open = afxdp_open,
    .recv = afxdp_recv,
    .done = afxdp_done,
    .wait = afxdp_wait,
    .probes = afxdp_probes,
    .stats = afxdp_stats,
    .beat = afxdp_beat,
    .release = afxdp_release,
    .close = afxdp_close,
};
