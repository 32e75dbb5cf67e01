/* Where the frames go: a capture file in virtual time, or an interface in real time. */
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "deploy/lab/gen.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define BATCH        64               /* frames per sendmmsg */
#define LATE_NS      NS_PER_S         /* how long a --duration may be overrun before it is cut */
#define SLEEP_NS     (50 * NS_PER_US) /* shorter waits are not worth a sleep: frames batch up */
#define RETRY_NS     (100 * NS_PER_US)
#define PCAP_NANO    UINT32_C(0xa1b23c4d)
#define PCAP_ETHER   1
#define PCAP_SNAPLEN 262144

struct totals {
    uint64_t packets, copies, bytes;
};

static volatile sig_atomic_t is_stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    is_stopped = 1;
}

static void stop_on_signals(void)
{
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void count(struct totals *t, const struct gen_packet *p, size_t len)
{
    t->packets += !p->is_copy;
    t->copies += p->is_copy;
    t->bytes += len;
}

static void log_totals(const struct totals *t, const struct gen_conf *c, uint64_t took_ns)
{
    log_info("event=done packets=%" PRIu64 " planned=%" PRIu64 " copies=%" PRIu64 " bytes=%" PRIu64
             " seconds=%.3f",
             t->packets, c->count, t->copies, t->bytes, (double)took_ns / 1e9);
}

/* ---- a capture file: pcap with nanoseconds, in this machine's byte order ---- */

static void write_file_header(FILE *out)
{
    const struct {
        uint32_t magic;
        uint16_t major, minor;
        int32_t zone;
        uint32_t accuracy, snaplen, link;
    } header = {PCAP_NANO, 2, 4, 0, 0, PCAP_SNAPLEN, PCAP_ETHER};
    fwrite(&header, sizeof header, 1, out);
}

static void write_frame(FILE *out, uint64_t at_ns, const uint8_t *bytes, size_t len)
{
    const uint32_t header[4] = {(uint32_t)(at_ns / NS_PER_S), (uint32_t)(at_ns % NS_PER_S),
                                (uint32_t)len, (uint32_t)len};
    fwrite(header, sizeof header, 1, out);
    fwrite(bytes, len, 1, out);
}

static int file_failed(const char *file)
{
    log_error("event=write_failed file=\"%s\" error=\"%s\"", file, strerror(errno));
    return 1;
}

int gen_to_file(const struct gen_conf *c)
{
    static struct gen_template template;
    static uint8_t bytes[sizeof template.bytes];
    bool is_stdout = strcmp(c->file, "-") == 0;
    FILE *out = is_stdout ? stdout : fopen(c->file, "wb");
    if (out == NULL)
        return file_failed(c->file);
    stop_on_signals();
    gen_template(&template, c);
    write_file_header(out);

    struct gen_plan plan;
    struct gen_packet p;
    struct totals totals = {0};
    uint64_t last_ns = 0;
    gen_plan_init(&plan, c);
    while (!is_stopped && !ferror(out) && gen_plan_next(&plan, &p)) {
        size_t len = gen_frame(&template, &p, bytes);
        write_frame(out, c->start_ns + p.at_ns, bytes, len);
        count(&totals, &p, len);
        last_ns = p.at_ns;
    }
    bool is_bad = ferror(out) || fflush(out) != 0;
    if (!is_stdout)
        is_bad = fclose(out) != 0 || is_bad;
    if (is_bad)
        return file_failed(c->file);
    log_totals(&totals, c, last_ns);
    return 0;
}

/* ---- an interface ---- */

struct wire {
    int socket;
    uint8_t *bytes; /* BATCH frames of `room` bytes */
    size_t room;
    struct iovec part[BATCH];
    struct mmsghdr message[BATCH];
    unsigned filled;
};

static int wire_failed(const struct gen_conf *c, const char *step)
{
    const char *hint = errno == EPERM || errno == EACCES ? " hint=\"CAP_NET_RAW is needed\""
                       : errno == EMSGSIZE ? " hint=\"the frame is longer than the MTU allows\""
                                           : "";
    log_error("event=send_failed if=%s step=%s error=\"%s\"%s", c->interface, step, strerror(errno),
              hint);
    return 1;
}

static int wire_open(struct wire *w, const struct gen_conf *c, size_t room)
{
    *w = (struct wire){.socket = -1, .room = room};
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_ifindex = (int)if_nametoindex(c->interface)};
    if (to.sll_ifindex == 0)
        return wire_failed(c, "find");
    w->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* protocol 0: receives nothing */
    if (w->socket < 0)
        return wire_failed(c, "socket");
    if (bind(w->socket, (struct sockaddr *)&to, sizeof to) != 0)
        return wire_failed(c, "bind");
    w->bytes = malloc(BATCH * room);
    if (w->bytes == NULL)
        return wire_failed(c, "memory");
    for (unsigned i = 0; i < BATCH; i++) {
        w->part[i].iov_base = w->bytes + i * room;
        w->message[i].msg_hdr = (struct msghdr){.msg_iov = &w->part[i], .msg_iovlen = 1};
    }
    return 0;
}

static void wire_close(struct wire *w)
{
    if (w->socket >= 0)
        close(w->socket);
    free(w->bytes);
}

static void sleep_ns(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    nanosleep(&t, NULL); /* a signal ends it early; the callers look at the clock again */
}

/* Sends what is filled, in order; a full queue is waited for. */
static int wire_flush(struct wire *w)
{
    unsigned sent = 0;
    while (sent < w->filled) {
        int n = sendmmsg(w->socket, w->message + sent, w->filled - sent, 0);
        if (n > 0) {
            sent += (unsigned)n;
        } else if (errno == ENOBUFS || errno == EAGAIN) {
            if (is_stopped)
                break;
            sleep_ns(RETRY_NS);
        } else if (errno != EINTR) {
            return -1;
        }
    }
    w->filled = 0;
    return 0;
}

/* Waits until the time since start is at_ns; what is filled goes out before a sleep. */
static int wire_wait(struct wire *w, uint64_t start_ns, uint64_t at_ns)
{
    uint64_t now_ns;
    while (!is_stopped && (now_ns = clock_mono_ns() - start_ns) < at_ns) {
        if (wire_flush(w) != 0)
            return -1;
        uint64_t left_ns = at_ns - now_ns;
        sleep_ns(left_ns > SLEEP_NS ? left_ns : SLEEP_NS);
    }
    return 0;
}

static bool is_overrun(const struct gen_conf *c, uint64_t start_ns)
{
    uint64_t limit_ns = c->duration_ns + c->duplicate_delay_ns + LATE_NS;
    return c->duration_ns > 0 && clock_mono_ns() - start_ns > limit_ns;
}

static int send_plan(struct wire *w, const struct gen_conf *c, const struct gen_template *t)
{
    struct gen_plan plan;
    struct gen_packet p;
    struct totals totals = {0};
    uint64_t start_ns = clock_mono_ns();
    gen_plan_init(&plan, c);
    while (!is_stopped && gen_plan_next(&plan, &p)) {
        if (wire_wait(w, start_ns, p.at_ns) != 0)
            return wire_failed(c, "send");
        size_t len = gen_frame(t, &p, w->part[w->filled].iov_base);
        w->part[w->filled++].iov_len = len;
        count(&totals, &p, len);
        if (w->filled == BATCH && wire_flush(w) != 0)
            return wire_failed(c, "send");
        if (w->filled == 0 && is_overrun(c, start_ns)) {
            log_warn("event=overrun if=%s hint=\"this machine cannot send at that rate\"",
                     c->interface);
            break;
        }
    }
    if (wire_flush(w) != 0)
        return wire_failed(c, "send");
    log_totals(&totals, c, clock_mono_ns() - start_ns);
    return 0;
}

int gen_to_interface(const struct gen_conf *c)
{
    static struct gen_template template;
    struct wire wire;
    gen_template(&template, c);
    stop_on_signals();
    int status = wire_open(&wire, c, gen_frame_max(&template));
    if (status == 0)
        status = send_plan(&wire, c, &template);
    wire_close(&wire);
    return status;
}
