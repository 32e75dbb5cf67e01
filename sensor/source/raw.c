/* Forwarding by packet socket: whole frames leave the inner port, for ports whose driver cannot
 * send from AF_XDP. Tags and checksums are bytes like any others here.
 *
 * One sendmmsg() per burst. The queueing discipline is passed by, as AF_XDP does: a wire has no
 * queue of its own, and what a port's ring cannot take is refused. */
#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sensor/source/forward.h"
#include "shared/base/log.h"

#define SEND_BUFFER (8 << 20) /* bytes of frames under way */

/* A port's ring that is full may have room a system call later; after so many per burst it is
 * stuck, and waiting would stall reception. */
#define RETRIES_MAX 16

struct raw {
    struct forward base;
    int fd;
    struct mmsghdr messages[BURST];
    struct iovec bytes[BURST];
};

static int bind_to(struct raw *r, const char *name)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(name)};
    int on = 1, size = SEND_BUFFER;
    if (at.sll_ifindex == 0)
        return -ENODEV;
    r->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* protocol 0: it receives nothing */
    if (r->fd < 0 || bind(r->fd, (struct sockaddr *)&at, sizeof at) != 0)
        return -errno;
    if (setsockopt(r->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0)
        log_info("event=qdisc_bypass if=%s reason=\"%s\"", name, strerror(errno));
    setsockopt(r->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    return 0;
}

static void raw_close(struct forward *f)
{
    struct raw *r = (struct raw *)f;
    if (r == NULL)
        return;
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

static int raw_open(const struct forward_conf *conf, unsigned queue, struct forward **out,
                    struct note *note)
{
    *out = NULL;
    struct raw *r = calloc(1, sizeof *r);
    if (r == NULL)
        return note_set(note, -ENOMEM, "no memory for forwarding");
    r->fd = -1;
    int err = bind_to(r, conf->interface);
    if (err < 0) {
        raw_close(&r->base);
        return note_set(note, err, "forward.interface: %s: cannot open a packet socket: %s%s",
                        conf->interface, strerror(-err),
                        err == -EPERM ? ": it needs CAP_NET_RAW" : "");
    }
    for (unsigned i = 0; i < BURST; i++)
        r->messages[i].msg_hdr = (struct msghdr){.msg_iov = &r->bytes[i], .msg_iovlen = 1};
    log_info("event=forward driver=raw if=%s queue=%u", conf->interface, queue);
    *out = &r->base;
    return 0;
}

/* A frame did not go out. True: try it again. */
static bool is_worth_a_retry(struct raw *r, unsigned *retries)
{
    if (errno == EINTR)
        return true;
    r->base.is_down = errno == ENETDOWN;
    r->base.is_gone |= errno == ENXIO || errno == ENODEV;
    return (errno == ENOBUFS || errno == EAGAIN) && (*retries)++ < RETRIES_MAX;
}

/* Sends n messages. Returns how many were refused. */
static unsigned send_messages(struct raw *r, unsigned n)
{
    unsigned at = 0, refused = 0, retries = 0;
    while (at < n) {
        int sent = sendmmsg(r->fd, r->messages + at, n - at, MSG_DONTWAIT);
        if (sent > 0) {
            at += (unsigned)sent;
            r->base.is_down = false;
        } else if (!is_worth_a_retry(r, &retries)) {
            if (r->base.is_down || r->base.is_gone)
                return refused + n - at;
            refused++;
            at++;
        }
    }
    return refused;
}

static unsigned raw_send(struct forward *f, const struct frame *frames, const uint8_t *verdicts,
                         unsigned n)
{
    struct raw *r = (struct raw *)f;
    unsigned count = 0, refused = 0;
    for (unsigned i = 0; i < n; i++) {
        if (verdicts[i] == FRAME_DROP)
            continue;
        r->bytes[count++] = (struct iovec){frames[i].data, frames[i].len};
        if (count == BURST) {
            refused += send_messages(r, count);
            count = 0;
        }
    }
    return refused + send_messages(r, count);
}

/* The kernel unbinds a socket whose device is removed. */
static void raw_look(struct forward *f)
{
    struct sockaddr_ll at = {0};
    socklen_t size = sizeof at;
    if (getsockname(((struct raw *)f)->fd, (struct sockaddr *)&at, &size) == 0)
        f->is_gone |= at.sll_ifindex <= 0;
}

const struct forward_ops forward_raw = {
    .name = "raw",
    .open = raw_open,
    .send = raw_send,
    .look = raw_look,
    .close = raw_close,
};
