/* penny_path: a stretch of network between two interfaces, for machines without sch_netem. What
 * enters on one side waits in a queue for its turn at the given rate, flies for the given time, and
 * leaves on the other side, in order, both ways alike. A full queue loses what comes, as a
 * router's.
 *
 *     penny_path IF_A IF_B DELAY_MS [RATE_MBIT QUEUE_KB]
 *
 * Frames in flight lie in a ring per direction: constant delay keeps them in order, so there is
 * nothing to sort. It runs until it is told to stop. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/clock.h"

#define FRAME_MAX 4096
#define FLYING    8192 /* frames in flight, each way */

struct frame {
    uint64_t leaves_ns;
    uint32_t len;
    uint8_t bytes[FRAME_MAX];
};

struct way {
    int from, to; /* sockets */
    struct frame *ring;
    uint64_t head, tail;   /* next to leave, next to fill */
    uint64_t line_free_ns; /* when the last one taken has gone out at the line's rate */
    uint64_t lost;
};

static uint64_t delay_ns, queue_ns;
static double ns_per_byte;

static volatile sig_atomic_t is_stopped;

static void stop(int number)
{
    (void)number;
    is_stopped = 1;
}

static int fail(const char *what)
{
    fprintf(stderr, "penny_path: %s: %s\n", what, strerror(errno));
    return -1;
}

static int open_side(const char *name)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex(name)};
    struct packet_mreq all = {.mr_ifindex = at.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    int on = 1, room = 8 << 20;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        return fail(name);
    return fd;
}

/* When a frame that comes now leaves; 0: the queue is full. */
static uint64_t leaves_at(struct way *w, uint32_t len, uint64_t now_ns)
{
    uint64_t starts_ns = w->line_free_ns > now_ns ? w->line_free_ns : now_ns;
    if (ns_per_byte > 0 && starts_ns - now_ns > queue_ns)
        return 0;
    w->line_free_ns = starts_ns + (uint64_t)(len * ns_per_byte);
    return w->line_free_ns + delay_ns;
}

static void take(struct way *w)
{
    for (;;) {
        struct frame *f = &w->ring[w->tail % FLYING];
        if (w->tail - w->head == FLYING)
            return; /* waits in the socket */
        ssize_t n = recv(w->from, f->bytes, FRAME_MAX, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0)
            return;
        f->len = (uint32_t)n;
        f->leaves_ns = n <= FRAME_MAX ? leaves_at(w, f->len, clock_mono_ns()) : 0;
        if (f->leaves_ns == 0)
            w->lost++;
        else
            w->tail++;
    }
}

static void give(struct way *w, uint64_t now_ns)
{
    for (; w->head != w->tail; w->head++) {
        const struct frame *f = &w->ring[w->head % FLYING];
        if (f->leaves_ns > now_ns)
            return;
        /* no error that matters: a tc program behind us may lose it */
        (void)!send(w->to, f->bytes, f->len, 0);
    }
}

static uint64_t next_ns(const struct way *w)
{
    return w->head != w->tail ? w->ring[w->head % FLYING].leaves_ns : UINT64_MAX;
}

static void wait_for_work(struct way ways[2])
{
    struct pollfd fds[2] = {{ways[0].from, POLLIN, 0}, {ways[1].from, POLLIN, 0}};
    uint64_t a_ns = next_ns(&ways[0]), b_ns = next_ns(&ways[1]);
    uint64_t until_ns = a_ns < b_ns ? a_ns : b_ns, now_ns = clock_mono_ns();
    struct timespec left = {.tv_sec = 1};
    if (until_ns <= now_ns)
        return;
    if (until_ns - now_ns < NS_PER_S)
        left = (struct timespec){.tv_nsec = (long)(until_ns - now_ns)};
    ppoll(fds, 2, &left, NULL);
}

static int run(struct way ways[2])
{
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    while (!is_stopped) {
        for (int i = 0; i < 2; i++) {
            take(&ways[i]);
            give(&ways[i], clock_mono_ns());
        }
        wait_for_work(ways);
    }
    printf("lost %llu %llu\n", (unsigned long long)ways[0].lost, (unsigned long long)ways[1].lost);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 6) {
        fputs("Usage: penny_path IF_A IF_B DELAY_MS [RATE_MBIT QUEUE_KB]\n", stderr);
        return 2;
    }
    delay_ns = (uint64_t)(atof(argv[3]) * 1e6);
    if (argc == 6) {
        ns_per_byte = 8e3 / atof(argv[4]);
        queue_ns = (uint64_t)(atof(argv[5]) * 1e3 * ns_per_byte);
    }
    int a = open_side(argv[1]), b = open_side(argv[2]);
    struct way ways[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
    for (int i = 0; i < 2; i++)
        ways[i].ring = malloc(FLYING * sizeof *ways[i].ring);
    if (a < 0 || b < 0 || ways[0].ring == NULL || ways[1].ring == NULL)
        return 1;
    return run(ways);
}
