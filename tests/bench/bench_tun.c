/* Ways to give packets to a TUN device that the kernel routes on, in turn in the same run:
 *
 *     bench_tun [seconds per turn]        (root)
 *
 * In a network namespace of its own: bench0 (TUN) is routed to a veth whose far end throws all
 * away. Segments of 1,400 bytes of one TCP flow, in order, with right checksums, so that the kernel
 * could merge them where it is allowed to. Prints the median of five turns for each way. What it
 * found is in docs/decisions/0012-one-write-per-packet.md. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "tests/support/frames.h"

#define PACKETS  64 /* a burst */
#define ETHERNET 14
#define TURNS    5

struct packet_bytes {
    uint8_t *data;
    size_t len;
};

struct uring {
    int fd;
    struct io_uring_params params;
    char *sq, *cq;
    struct io_uring_sqe *sqes;
};

static uint8_t *area; /* of PACKETS frames */
static struct packet_bytes packets[PACKETS];

static void die(const char *what)
{
    fprintf(stderr, "bench_tun: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void run(const char *command)
{
    if (system(command) != 0)
        die(command);
}

static void make_packets(void)
{
    area = mmap(NULL, PACKETS * FRAME_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0);
    if (area == MAP_FAILED)
        die("memory");
    for (uint32_t i = 0; i < PACKETS; i++) {
        struct frame_spec s =
            frame_tcp4("203.0.113.7", "198.51.100.1", 4000, 80, 1 + i * 1360, TCP_ACK, 1360);
        struct frame f = frame_make(&s, area + i * FRAME_ROOM);
        packets[i] = (struct packet_bytes){f.data + ETHERNET, f.len - ETHERNET};
    }
}

static void make_router(void)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0)
        die("a namespace");
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mount("sysfs", "/sys", "sysfs", 0, NULL) != 0)
        die("/sys");
    run("ip link add far type veth peer name near && ip link set far up && ip link set near up && "
        "ethtool -K near tx off tso off >/dev/null && ip addr add 198.51.100.254/24 dev near && "
        "ip neigh add 198.51.100.1 lladdr 02:00:00:00:00:99 dev near nud permanent && "
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 "
        "net.ipv4.conf.default.rp_filter=0");
}

static int open_tun(short flags)
{
    struct ifreq request = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE | flags)};
    strcpy(request.ifr_name, "bench0");
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0)
        die("bench0");
    run("ip link set bench0 up");
    return fd;
}

/* ---- the ways ---- */

static void write_each(int fd)
{
    for (unsigned i = 0; i < PACKETS; i++)
        if (write(fd, packets[i].data, packets[i].len) != (ssize_t)packets[i].len)
            die("write");
}

static void *map_ring(int fd, size_t size, off_t what)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);
    if (at == MAP_FAILED)
        die("io_uring's rings");
    return at;
}

static void uring_open(struct uring *u, int tun)
{
    struct iovec all = {area, PACKETS * FRAME_ROOM};
    *u = (struct uring){.params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    u->fd = (int)syscall(SYS_io_uring_setup, PACKETS, &u->params);
    if (u->fd < 0 || syscall(SYS_io_uring_register, u->fd, IORING_REGISTER_FILES, &tun, 1) != 0 ||
        syscall(SYS_io_uring_register, u->fd, IORING_REGISTER_BUFFERS, &all, 1) != 0)
        die("io_uring");
    const struct io_uring_params *p = &u->params;
    u->sq = map_ring(u->fd, p->sq_off.array + p->sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
    u->cq = map_ring(u->fd, p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe),
                     IORING_OFF_CQ_RING);
    u->sqes = map_ring(u->fd, p->sq_entries * sizeof *u->sqes, IORING_OFF_SQES);
}

/* All of a burst in one system call, from registered memory into a registered file. */
static void uring_write(struct uring *u)
{
    uint32_t *tail = (void *)(u->sq + u->params.sq_off.tail), at = *tail;
    uint32_t *array = (void *)(u->sq + u->params.sq_off.array);
    for (unsigned i = 0; i < PACKETS; i++, at++) {
        uint32_t slot = at & (u->params.sq_entries - 1);
        u->sqes[slot] = (struct io_uring_sqe){.opcode = IORING_OP_WRITE_FIXED,
                                              .flags = IOSQE_FIXED_FILE,
                                              .off = UINT64_MAX,
                                              .addr = (uintptr_t)packets[i].data,
                                              .len = (uint32_t)packets[i].len};
        array[slot] = slot;
    }
    __atomic_store_n(tail, at, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, u->fd, PACKETS, PACKETS, IORING_ENTER_GETEVENTS, NULL, 0) !=
        PACKETS)
        die("io_uring_enter");
    uint32_t *head = (void *)(u->cq + u->params.cq_off.head);
    const struct io_uring_cqe *cqes = (void *)(u->cq + u->params.cq_off.cqes);
    for (unsigned i = 0; i < PACKETS; i++)
        if (cqes[(*head + i) & (u->params.cq_entries - 1)].res < 0)
            die("a write by io_uring");
    __atomic_store_n(head, *head + PACKETS, __ATOMIC_RELEASE);
}

struct way {
    const char *name;
    bool is_uring;
    short flags;
    const char *setting;
    double rate[TURNS]; /* packets per second */
};

static double turn(const struct way *w, uint64_t ns)
{
    struct uring u = {.fd = -1};
    uint64_t n = 0, start, now;
    int fd = open_tun(w->flags);
    if (w->setting != NULL)
        run(w->setting);
    if (w->is_uring)
        uring_open(&u, fd);
    start = now = clock_mono_ns();
    for (; now - start < ns; now = clock_mono_ns(), n += PACKETS) {
        if (w->is_uring)
            uring_write(&u);
        else
            write_each(fd);
    }
    if (u.fd >= 0)
        close(u.fd);
    close(fd);
    usleep(200000); /* io_uring lets go of the device in its own time */
    return (double)n * 1e9 / (double)(now - start);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    struct way ways[] = {
        {.name = "one write per packet"},
        {.name = "io_uring, 64 per system call", .is_uring = true},
        {.name = "write, IFF_NAPI", .flags = IFF_NAPI},
        {.name = "write, IFF_NAPI, merging for 20 us",
         .flags = IFF_NAPI,
         .setting = "echo 20000 >/sys/class/net/bench0/gro_flush_timeout"},
    };
    enum { WAYS = sizeof ways / sizeof ways[0] };
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    make_packets();
    make_router();
    for (unsigned t = 0; t < TURNS; t++)
        for (unsigned i = 0; i < WAYS; i++)
            ways[i].rate[t] = turn(&ways[i], (uint64_t)(seconds * 1e9));
    for (unsigned i = 0; i < WAYS; i++)
        qsort(ways[i].rate, TURNS, sizeof(double), by_size);
    printf("| way | packets/s | of the first |\n| --- | --- | --- |\n");
    for (unsigned i = 0; i < WAYS; i++)
        printf("| %s | %.0f k | %.2f |\n", ways[i].name, ways[i].rate[TURNS / 2] / 1e3,
               ways[i].rate[TURNS / 2] / ways[0].rate[TURNS / 2]);
    return 0;
}
