/* What a wire loses: sends numbered frames into one end at a constant rate and looks which of them
 * come out of the other.
 *   wire_loss FROM_NETNS FROM_IF TO_NETNS TO_IF RATE SECONDS [START_FILE]
 * START_FILE is made when the first frame is sent. Prints one line:
 *   sent=… lost=… twice=… longest_gap_ms=… overrun=…
 * longest_gap_ms: the longest time without an arrival, by the kernel's time stamps. overrun: frames
 * that this program itself was too slow to take; a run where it is not 0 says nothing. Frames are
 * UDP from 203.0.113.77: of a watched prefix, so they go through the sensor, and no Penny test
 * withholds them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MS        UINT64_C(1000000)
#define BATCH     512
#define PAYLOAD   150
#define HEAD      (14 + 20 + 8)
#define FRAME_LEN (HEAD + PAYLOAD)
#define REST_NS   (1000 * MS) /* after the last frame: what is late may come */
#define MAGIC     UINT64_C(0x70656e6e796c6f73)

struct count {
    int fd;
    uint64_t total;
    uint8_t *seen;
    uint64_t arrived, twice, last_ns, longest_gap_ns;
    atomic_bool must_end;
};

static void fail(const char *what)
{
    fprintf(stderr, "wire_loss: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

static int open_port(const char *ns, const char *interface, int protocol)
{
    int there = open(ns, O_RDONLY | O_CLOEXEC), size = 256 << 20;
    if (there < 0 || setns(there, CLONE_NEWNET) != 0)
        fail(ns);
    close(there);
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons((uint16_t)protocol));
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons((uint16_t)protocol),
                             .sll_ifindex = (int)if_nametoindex(interface)};
    if (fd < 0 || at.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        fail(interface);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    return fd;
}

/* ---- the far end */

static uint64_t stamp_of(struct msghdr *m)
{
    struct timespec t = {0};
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
        memcpy(&t, CMSG_DATA(c), sizeof t);
    return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

static void note_gap(struct count *c, uint64_t at_ns)
{
    if (c->last_ns != 0 && at_ns > c->last_ns + c->longest_gap_ns)
        c->longest_gap_ns = at_ns - c->last_ns;
    c->last_ns = at_ns;
}

static void note_frame(struct count *c, struct mmsghdr *m)
{
    uint64_t words[2];
    const uint8_t *frame = m->msg_hdr.msg_iov->iov_base;
    if (m->msg_len < HEAD + sizeof words)
        return;
    memcpy(words, frame + HEAD, sizeof words);
    if (words[0] != MAGIC || words[1] >= c->total)
        return;
    note_gap(c, stamp_of(&m->msg_hdr));
    c->twice += c->seen[words[1]];
    c->arrived += !c->seen[words[1]];
    c->seen[words[1]] = 1;
}

static void *count_frames(void *arg)
{
    struct count *c = arg;
    static uint8_t room[BATCH][256], stamps[BATCH][64];
    static struct iovec iov[BATCH];
    static struct mmsghdr messages[BATCH];
    while (!atomic_load(&c->must_end)) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        poll(&p, 1, 100);
        for (unsigned i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){room[i], sizeof room[i]};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
                                                  .msg_iovlen = 1,
                                                  .msg_control = stamps[i],
                                                  .msg_controllen = sizeof stamps[i]};
        }
        int n = recvmmsg(c->fd, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < n; i++)
            note_frame(c, &messages[i]);
    }
    return NULL;
}

/* ---- the near end */

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void make_frame(uint8_t f[static FRAME_LEN])
{
    static const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
    static const uint8_t addrs[8] = {203, 0, 113, 77, 198, 18, 1, 10};
    uint8_t *ip = f + 14, *udp = f + 34;
    uint32_t sum = 0;
    memset(f, 0, FRAME_LEN);
    memcpy(f, macs, sizeof macs);
    put16(f + 12, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, FRAME_LEN - 14);
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, addrs, sizeof addrs);
    for (unsigned i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    put16(ip + 10, ~sum & 0xffff);
    put16(udp, 7000);
    put16(udp + 2, 7001);
    put16(udp + 4, 8 + PAYLOAD);
}

static void send_batch(int fd, uint64_t first, unsigned n)
{
    static uint8_t frames[BATCH][FRAME_LEN];
    static struct iovec iov[BATCH];
    static struct mmsghdr messages[BATCH];
    for (unsigned i = 0; i < n; i++) {
        uint64_t words[2] = {MAGIC, first + i};
        if (frames[i][12] == 0)
            make_frame(frames[i]);
        memcpy(frames[i] + HEAD, words, sizeof words);
        iov[i] = (struct iovec){frames[i], FRAME_LEN};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    for (unsigned sent = 0; sent < n;) {
        int got = sendmmsg(fd, messages + sent, n - sent, 0);
        if (got < 0 && errno != ENOBUFS && errno != EAGAIN)
            fail("send");
        sent += got > 0 ? (unsigned)got : 0;
    }
}

/* Half a millisecond's worth at a time. */
static void send_all(int fd, uint64_t total, uint64_t rate)
{
    uint64_t start = now_ns(), sent = 0;
    while (sent < total) {
        uint64_t due = (now_ns() - start) * rate / (1000 * MS) + 1;
        due = due < total ? due : total;
        if (due - sent > BATCH)
            due = sent + BATCH;
        if (due > sent)
            send_batch(fd, sent, (unsigned)(due - sent));
        if (sent == due || due - sent < BATCH)
            nanosleep(&(struct timespec){.tv_nsec = (long)MS / 2}, NULL);
        sent = due;
    }
}

int main(int argc, char **argv)
{
    if (argc < 7)
        return 2;
    uint64_t rate = strtoull(argv[5], NULL, 10);
    struct count c = {.total = rate * strtoull(argv[6], NULL, 10)};
    struct tpacket_stats stats = {0};
    socklen_t size = sizeof stats;
    pthread_t thread;
    c.seen = calloc(c.total, 1);
    c.fd = open_port(argv[3], argv[4], ETH_P_IP);
    setsockopt(c.fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
    int near = open_port(argv[1], argv[2], 0);
    if (c.seen == NULL)
        fail("memory");
    if (pthread_create(&thread, NULL, count_frames, &c) != 0)
        fail("thread");
    if (argc > 7)
        close(open(argv[7], O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    send_all(near, c.total, rate);
    nanosleep(&(struct timespec){.tv_sec = REST_NS / (1000 * MS)}, NULL);
    atomic_store(&c.must_end, true);
    pthread_join(thread, NULL);
    getsockopt(c.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size);
    printf("sent=%lu lost=%lu twice=%lu longest_gap_ms=%.1f overrun=%u\n", (unsigned long)c.total,
           (unsigned long)(c.total - c.arrived), (unsigned long)c.twice,
           (double)c.longest_gap_ns / MS, stats.tp_drops);
    return 0;
}
