/* Syslog (RFC 5424) to a Unix datagram socket (/dev/log), over UDP (RFC 5426) or over TCP with
 * octet counting (RFC 6587).
 *
 * How sure it is: a Unix socket takes a message or says no. UDP says mostly nothing. TCP waits
 * until the receiver's machine has acknowledged all bytes before the cursor moves, and looks
 * whether the receiver has closed before it writes; what stood in the receiver's kernel when its
 * process was killed is lost. */
#include <errno.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "collector/notify/rfc5424.h"
#include "collector/notify/sink.h"
#include "shared/base/clock.h"

#define WAIT_NS (5 * NS_PER_S) /* for a connection, room, and the last acknowledgement */

struct sink {
    const struct feed_conf *conf;
    const struct stop *stop;
    struct rfc5424_sender sender;
    int fd; /* -1: to be connected */
    bool is_stream;
};

static int fail(struct sink *s, int err, const char *what, struct note *note)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    return note_set(note, -err, "%s %s: %s", what, s->conf->address, err_text(-err));
}

/* 0 when the socket is ready for that, else an errno. */
static int wait_for(const struct sink *s, short events)
{
    struct pollfd fds[] = {{.fd = s->fd, .events = events}, {.fd = s->stop->fd, .events = POLLIN}};
    int n;
    do
        n = poll(fds, 2, (int)(WAIT_NS / NS_PER_MS));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno;
    if (fds[1].revents != 0)
        return ECANCELED;
    return n == 0 ? ETIMEDOUT : 0;
}

static int connect_to(struct sink *s, const struct sockaddr *to, socklen_t len, int type)
{
    s->fd = socket(to->sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd < 0)
        return errno;
    int err = connect(s->fd, to, len) == 0 ? 0 : errno;
    if (err == EINPROGRESS) {
        socklen_t size = sizeof err;
        err = wait_for(s, POLLOUT);
        if (err == 0 && getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &size) != 0)
            err = errno;
    }
    if (err != 0) {
        close(s->fd);
        s->fd = -1;
    }
    return err;
}

static int connect_unix(struct sink *s, struct note *note)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (strlen(s->conf->address) >= sizeof to.sun_path)
        return fail(s, ENAMETOOLONG, "connecting to", note);
    memcpy(to.sun_path, s->conf->address, strlen(s->conf->address) + 1);
    int err = connect_to(s, (const struct sockaddr *)&to, sizeof to, SOCK_DGRAM);
    return err == 0 ? 0 : fail(s, err, "connecting to", note);
}

/* "host:port" or "[host]:port" */
static bool split(const char *text, char host[static 256], char port[static 16])
{
    const char *colon = strrchr(text, ':');
    bool is_bracketed = text[0] == '[' && colon != NULL && colon > text && colon[-1] == ']';
    if (colon == NULL)
        return false;
    snprintf(host, 256, "%.*s", (int)(colon - text) - 2 * is_bracketed, text + is_bracketed);
    snprintf(port, 16, "%s", colon + 1);
    return true;
}

static int connect_inet(struct sink *s, struct note *note)
{
    char host[256], port[16];
    struct addrinfo hints = {.ai_socktype = s->is_stream ? SOCK_STREAM : SOCK_DGRAM}, *list;
    if (!split(s->conf->address + strlen("udp://"), host, port))
        return fail(s, EINVAL, "connecting to", note);
    int said = getaddrinfo(host, port, &hints, &list), err = EADDRNOTAVAIL;
    if (said != 0)
        return note_set(note, ERR_NETWORK, "looking up %s: %s", s->conf->address,
                        gai_strerror(said));
    for (const struct addrinfo *a = list; a != NULL && s->fd < 0 && err != ECANCELED;
         a = a->ai_next)
        err = connect_to(s, a->ai_addr, a->ai_addrlen, hints.ai_socktype);
    freeaddrinfo(list);
    return s->fd >= 0 ? 0 : fail(s, err, "connecting to", note);
}

static int connect_any(struct sink *s, struct note *note)
{
    return s->conf->address[0] == '/' ? connect_unix(s, note) : connect_inet(s, note);
}

/* A receiver of syslog says nothing: what is readable is its end. */
static bool has_ended(const struct sink *s)
{
    char byte;
    ssize_t n = recv(s->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static int put(struct sink *s, const char *bytes, size_t len, struct note *note)
{
    while (len > 0) {
        ssize_t n = send(s->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        int err = n >= 0 ? 0 : errno;
        if (err == EINTR)
            continue;
        if (err == EMSGSIZE && !s->is_stream)
            return note_set(note, ERR_DATA, "%s: %zu bytes are too long for a datagram",
                            s->conf->address, len);
        if (err == EAGAIN)
            err = wait_for(s, POLLOUT);
        if (err != 0)
            return fail(s, err, "writing to", note);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int put_notice(struct sink *s, const struct notice *n, struct note *note)
{
    size_t len = 0;
    char frame[32] = "", *text = rfc5424_message(n, &s->sender, &len);
    if (text == NULL)
        return note_set(note, -ENOMEM, "out of memory");
    if (s->is_stream)
        snprintf(frame, sizeof frame, "%zu ", len);
    int err = put(s, frame, strlen(frame), note);
    if (err == 0)
        err = put(s, text, len, note);
    free(text);
    return err;
}

/* Until nothing of it is on the way any more. */
static int settle(struct sink *s, struct note *note)
{
    uint64_t end = clock_mono_ns() + WAIT_NS;
    int on_its_way = 0;
    while (ioctl(s->fd, SIOCOUTQ, &on_its_way) == 0 && on_its_way > 0) {
        struct pollfd stop = {.fd = s->stop->fd, .events = POLLIN};
        if (clock_mono_ns() > end)
            return fail(s, ETIMEDOUT, "writing to", note);
        if (poll(&stop, 1, 2) > 0)
            return fail(s, ECANCELED, "writing to", note);
    }
    return has_ended(s) ? fail(s, ECONNRESET, "writing to", note) : 0;
}

static int syslog_send(struct sink *s, const struct notice *list, size_t n, size_t *done,
                       struct note *note)
{
    if (s->fd >= 0 && s->is_stream && has_ended(s)) {
        close(s->fd);
        s->fd = -1;
    }
    int err = s->fd >= 0 ? 0 : connect_any(s, note);
    size_t put_so_far = 0;
    for (; err == 0 && put_so_far < n; put_so_far += err == 0)
        err = put_notice(s, &list[put_so_far], note);
    if (!s->is_stream)
        *done = put_so_far;
    else if (err == 0 && (err = settle(s, note)) == 0)
        *done = n;
    return err;
}

static int syslog_open(const struct feed_conf *conf, const struct stop *stop,
                       const struct past *past, struct sink **out, struct note *note)
{
    (void)past;
    struct sink *s = calloc(1, sizeof *s);
    if (s == NULL)
        return note_set(note, -ENOMEM, "out of memory");
    *s = (struct sink){.conf = conf, .stop = stop, .fd = -1};
    s->is_stream = strncmp(conf->address, "tcp://", 6) == 0;
    s->sender.facility = conf->facility;
    s->sender.pid = getpid();
    if (gethostname(s->sender.host, sizeof s->sender.host - 1) != 0)
        s->sender.host[0] = '\0';
    int err = connect_any(s, note); /* so that a wrong address is told at the start */
    if (err < 0) {
        free(s);
        return err;
    }
    *out = s;
    return 0;
}

static void syslog_close(struct sink *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

const struct sink_ops sink_syslog = {
    .open = syslog_open, .send = syslog_send, .close = syslog_close, .batch = 32};
