/* A TCP relay that breaks connections, for tests of delivery.
 *
 *   relay LISTEN-PORT TARGET-PORT SECONDS     both on 127.0.0.1; ends after so many seconds
 *
 * Orders come on standard input, one a line; each is answered by one line with a count:
 *
 *   reset      RST to both ends of every connection               how many connections
 *   stall      moves no bytes until `clear`; none is lost         how many connections
 *   hole       the other end is gone, and nobody says so: what comes is swallowed, also on new
 *              connections until `clear`; and one end's going is not told to the other
 *                                                                 how many connections
 *   delay MS   each piece is passed on so much later              how many connections
 *   record     the first bytes of connections made from now on are kept; older ones are forgotten
 *                                                                 how many connections
 *   replay     for each of these: a new connection to the target, on which it gets the same bytes
 *              once more, as a listener on the wire could send them       how many it took all of
 *   clear      stall, hole and delay are over; swallowed connections stay so     how many
 * connections
 *
 * The first bytes of each connection are recorded. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"

#define PAIRS_MAX    2048
#define PIECE        16384
#define RECORDS_MAX  16
#define RECORD_BYTES (256 * 1024)

/* One direction of a connection: at most one piece is on its way. */
struct way {
    uint8_t piece[PIECE];
    size_t at, len;
    uint64_t due; /* mono ns: passed on not before */
};

struct pair {
    int end[2]; /* who connected; the target. -1: gone */
    bool is_hole;
    struct way way[2]; /* from end[0], from end[1] */
    struct record *record;
};

struct record {
    size_t len;
    uint8_t bytes[RECORD_BYTES];
};

struct relay {
    int listener;
    uint16_t target;
    bool is_stalled, is_hole, is_recording;
    uint64_t delay_ns;
    struct pair *pairs[PAIRS_MAX];
    size_t count;
    struct record *records[RECORDS_MAX];
    size_t record_count;
    struct pollfd polls[2 + 2 * PAIRS_MAX];
    char order[128];
    size_t order_len;
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- connections ---- */

static struct sockaddr_in local(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int open_listener(uint16_t port)
{
    struct sockaddr_in at = local(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 1024) != 0)
        die("listening");
    return fd;
}

/* -1: nobody listens there now. Loopback answers at once. */
static int connect_target(const struct relay *r)
{
    struct sockaddr_in at = local(r->target);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void reset(int *fd)
{
    struct linger now = {.l_onoff = 1};
    if (*fd < 0)
        return;
    setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(*fd);
    *fd = -1;
}

static void leave(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static struct record *new_record(struct relay *r)
{
    if (!r->is_recording || r->record_count == RECORDS_MAX)
        return NULL;
    struct record *record = calloc(1, sizeof *record);
    if (record != NULL)
        r->records[r->record_count++] = record;
    return record;
}

static void take_connection(struct relay *r)
{
    int fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    int target = r->is_hole ? -1 : connect_target(r);
    struct pair *p = r->count < PAIRS_MAX ? calloc(1, sizeof *p) : NULL;
    if (p == NULL || (target < 0 && !r->is_hole)) { /* as a port at which nobody listens */
        reset(&fd);
        leave(&target);
        free(p);
        return;
    }
    p->end[0] = fd;
    p->end[1] = target;
    p->is_hole = r->is_hole;
    p->record = r->is_hole ? NULL : new_record(r);
    r->pairs[r->count++] = p;
}

/* ---- bytes ---- */

static void record_piece(struct record *record, const struct way *w)
{
    if (record == NULL || record->len + w->len > sizeof record->bytes)
        return;
    memcpy(record->bytes + record->len, w->piece, w->len);
    record->len += w->len;
}

/* Reads from one end. The other end hears of its closing, unless the connection is a hole. */
static void take_piece(struct relay *r, struct pair *p, int from)
{
    struct way *w = &p->way[from];
    ssize_t n = read(p->end[from], w->piece, sizeof w->piece);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        leave(&p->end[from]);
        if (!p->is_hole)
            leave(&p->end[1 - from]);
        return;
    }
    if (p->is_hole)
        return; /* swallowed */
    w->at = 0;
    w->len = (size_t)n;
    w->due = r->delay_ns > 0 ? clock_mono_ns() + r->delay_ns : 0;
    if (from == 0)
        record_piece(p->record, w);
}

static void give_piece(struct pair *p, int from)
{
    struct way *w = &p->way[from];
    ssize_t n = send(p->end[1 - from], w->piece + w->at, w->len - w->at, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        leave(&p->end[0]);
        leave(&p->end[1]);
        return;
    }
    w->at += (size_t)n;
    if (w->at == w->len)
        w->at = w->len = 0;
}

/* ---- orders ---- */

static bool replay_one(const struct relay *r, const struct record *record)
{
    int fd = connect_target(r);
    size_t at = 0;
    uint8_t ignored[PIECE];
    uint64_t until = clock_mono_ns() + NS_PER_S;
    /* replies are read, so that nobody waits; the last ones get 200 ms */
    while (fd >= 0 && clock_mono_ns() < until) {
        ssize_t n = send(fd, record->bytes + at, record->len - at, MSG_NOSIGNAL);
        if (n > 0)
            at += (size_t)n;
        else if (n < 0 && errno != EAGAIN)
            break;
        while (read(fd, ignored, sizeof ignored) > 0)
            continue;
        if (at == record->len && until > clock_mono_ns() + NS_PER_S / 5)
            until = clock_mono_ns() + NS_PER_S / 5;
        poll(NULL, 0, 1);
    }
    leave(&fd);
    return record->len > 0 && at == record->len;
}

static uint64_t replay(const struct relay *r)
{
    uint64_t sent = 0;
    for (size_t i = 0; i < r->record_count; i++)
        sent += replay_one(r, r->records[i]);
    return sent;
}

static void record_anew(struct relay *r)
{
    for (size_t i = 0; i < r->count; i++)
        r->pairs[i]->record = NULL;
    for (size_t i = 0; i < r->record_count; i++)
        free(r->records[i]);
    r->record_count = 0;
    r->is_recording = true;
}

/* How many connections there are. */
static uint64_t each_pair(struct relay *r, void (*act)(struct pair *p))
{
    uint64_t n = 0;
    for (size_t i = 0; i < r->count; i++) {
        if (r->pairs[i]->is_hole)
            continue;
        act(r->pairs[i]);
        n++;
    }
    return n;
}

static void reset_pair(struct pair *p)
{
    reset(&p->end[0]);
    reset(&p->end[1]);
}

static void make_hole(struct pair *p)
{
    p->is_hole = true;
    p->way[0].len = p->way[1].len = 0;
}

static void leave_alone(struct pair *p)
{
    (void)p;
}

static uint64_t obey(struct relay *r, const char *order)
{
    if (strcmp(order, "reset") == 0)
        return each_pair(r, reset_pair);
    if (strcmp(order, "replay") == 0)
        return replay(r);
    if (strcmp(order, "hole") == 0) {
        r->is_hole = true;
        return each_pair(r, make_hole);
    }
    if (strcmp(order, "clear") == 0) {
        r->is_hole = r->is_stalled = false;
        r->delay_ns = 0;
    } else if (strcmp(order, "stall") == 0) {
        r->is_stalled = true;
    } else if (strcmp(order, "record") == 0) {
        record_anew(r);
    } else if (strncmp(order, "delay ", 6) == 0) {
        r->delay_ns = strtoull(order + 6, NULL, 10) * NS_PER_MS;
    } else {
        fprintf(stderr, "relay: no such order: %s\n", order);
    }
    return each_pair(r, leave_alone);
}

/* False: standard input is closed. */
static bool take_orders(struct relay *r)
{
    ssize_t n = read(STDIN_FILENO, r->order + r->order_len, sizeof r->order - 1 - r->order_len);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    r->order_len += (size_t)n;
    r->order[r->order_len] = '\0';
    for (char *end; (end = strchr(r->order, '\n')) != NULL;) {
        *end = '\0';
        printf("%s %llu\n", r->order, (unsigned long long)obey(r, r->order));
        fflush(stdout);
        r->order_len -= (size_t)(end + 1 - r->order);
        memmove(r->order, end + 1, r->order_len + 1);
    }
    return r->order_len < sizeof r->order - 1;
}

/* ---- the loop ---- */

static bool may_read(const struct relay *r, const struct pair *p, int from)
{
    return p->is_hole || (!r->is_stalled && p->way[from].len == 0);
}

static bool may_write(const struct relay *r, const struct pair *p, int from, uint64_t now)
{
    return !p->is_hole && !r->is_stalled && p->way[from].len > 0 && now >= p->way[from].due;
}

/* A descriptor of -1 is skipped by poll. */
static nfds_t ask(struct relay *r, uint64_t now)
{
    nfds_t n = 2;
    r->polls[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    r->polls[1] = (struct pollfd){.fd = r->listener, .events = POLLIN};
    for (size_t i = 0; i < r->count; i++) {
        const struct pair *p = r->pairs[i];
        for (int e = 0; e < 2; e++) {
            short events = may_read(r, p, e) ? POLLIN : 0;
            if (may_write(r, p, 1 - e, now))
                events |= POLLOUT;
            r->polls[n++] = (struct pollfd){.fd = events != 0 ? p->end[e] : -1, .events = events};
        }
    }
    return n;
}

static void move_bytes(struct relay *r, struct pair *p, const struct pollfd polls[2])
{
    for (int e = 0; e < 2; e++) {
        if (p->end[e] >= 0 && p->end[e] == polls[e].fd && polls[e].revents & POLLOUT)
            give_piece(p, 1 - e);
        if (p->end[e] >= 0 && p->end[e] == polls[e].fd && polls[e].events & POLLIN &&
            polls[e].revents & (POLLIN | POLLHUP | POLLERR))
            take_piece(r, p, e);
    }
}

static void forget_closed(struct relay *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        struct pair *p = r->pairs[i];
        if (p->end[0] >= 0 || p->end[1] >= 0)
            r->pairs[kept++] = p;
        else
            free(p);
    }
    r->count = kept;
}

static void run(struct relay *r, uint64_t until)
{
    for (uint64_t now = clock_mono_ns(); now < until; now = clock_mono_ns()) {
        size_t count = r->count;
        nfds_t n = ask(r, now);
        if (poll(r->polls, n, r->delay_ns > 0 ? 1 : 100) < 0 && errno != EINTR)
            die("poll");
        for (size_t i = 0; i < count; i++)
            move_bytes(r, r->pairs[i], &r->polls[2 + 2 * i]);
        if (r->polls[1].revents != 0)
            take_connection(r);
        if (r->polls[0].revents != 0 && !take_orders(r))
            return;
        forget_closed(r);
    }
}

int main(int argc, char **argv)
{
    static struct relay r;
    if (argc != 4) {
        fprintf(stderr, "usage: relay LISTEN-PORT TARGET-PORT SECONDS\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    r.listener = open_listener((uint16_t)atoi(argv[1]));
    r.target = (uint16_t)atoi(argv[2]);
    run(&r, clock_mono_ns() + strtoull(argv[3], NULL, 10) * NS_PER_S);
    return 0;
}
