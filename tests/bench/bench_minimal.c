/* The least that does each of the sensor's jobs, to compare it with: no parsing, no state, no care.
 *
 *     bench_minimal pass IF…              only makes these ports' receive side run (an XDP program)
 *     bench_minimal drop IF               an XDP program drops everything
 *     bench_minimal receive IF [--busy]   an AF_XDP socket receives and gives back
 *     bench_minimal read IF [--busy]      the same, and reads each frame's headers: whoever looks
 * at frames pays for the way from one CPU's cache to the other's bench_minimal forward IF INNER
 * AF_XDP to AF_XDP over shared memory; the way back is redirected in the kernel, as the sensor's is
 *     bench_minimal tun IF TUN            AF_XDP to a TUN device, one write() a packet
 *
 * --busy: asks the ring without end instead of sleeping when it is empty. Says "ready" and runs
 * until SIGTERM; then prints how many packets it received (drop: dropped). */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <xdp/xsk.h>

#include "minimal.skel.h"

#define RING         2048
#define BUSY_TRIES   40
#define CHUNK        2048
#define BURST        64
#define WAIT_MS      50
#define ETHERNET_LEN 14
#define LOOK_AFTER   (BURST / 2)
#define LOOK_NS      50000

struct minimal {
    struct minimal_bpf *bpf;
    const char *outer, *inner;
    bool is_busy, is_looking, is_reading;
    unsigned burst; /* the last one that was not empty */
    uint8_t *area;
    struct xsk_umem *umem;
    struct xsk_socket *receiver, *sender;
    struct xsk_ring_prod fill, tx, idle_fill;
    struct xsk_ring_cons rx, completion, idle_completion;
    int receiver_fd, sender_fd, tun_fd;
    uint64_t packets, words; /* words: of headers, so that they are read */
};

static volatile sig_atomic_t must_stop;

static void stop(int signal)
{
    (void)signal;
    must_stop = 1;
}

static void die(const char *what, int err)
{
    fprintf(stderr, "bench_minimal: %s: %s\n", what, strerror(err < 0 ? -err : err));
    exit(1);
}

static void ready(void)
{
    puts("ready");
    fflush(stdout);
}

static void attach(const struct bpf_program *program, const char *interface)
{
    if (bpf_program__attach_xdp(program, (int)if_nametoindex(interface)) == NULL)
        die(interface, errno);
}

/* ---- what needs no socket ---- */

static void sleep_until_stopped(void)
{
    ready();
    while (!must_stop)
        poll(NULL, 0, WAIT_MS);
}

static void pass(struct minimal *m, char **ports)
{
    for (; *ports != NULL; ports++)
        attach(m->bpf->progs.pass, *ports);
    sleep_until_stopped();
}

static void drop(struct minimal *m)
{
    attach(m->bpf->progs.drop, m->outer);
    sleep_until_stopped();
    m->packets = m->bpf->bss->dropped;
}

/* ---- sockets ---- */

static void open_memory(struct minimal *m)
{
    const struct xsk_umem_config config = {
        .fill_size = RING, .comp_size = RING, .frame_size = CHUNK};
    size_t size = (size_t)RING * CHUNK;
    m->area =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (m->area == MAP_FAILED)
        die("memory", errno);
    int err = xsk_umem__create(&m->umem, m->area, size, &m->fill, &m->idle_completion, &config);
    if (err != 0)
        die("umem", err);
}

/* The socket of a program that just ended holds its queue for a moment. */
static bool is_to_be_tried_again(int err, int tries)
{
    return err == -EBUSY && tries < BUSY_TRIES && poll(NULL, 0, WAIT_MS) == 0;
}

static void open_receiver(struct minimal *m)
{
    const struct xsk_socket_config config = {.rx_size = RING,
                                             .tx_size = RING,
                                             .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
                                             .bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP};
    int err, tries = 0;
    do
        err = xsk_socket__create(&m->receiver, m->outer, 0, m->umem, &m->rx, NULL, &config);
    while (is_to_be_tried_again(err, tries++));
    if (err != 0)
        die(m->outer, err);
    m->receiver_fd = xsk_socket__fd(m->receiver);
}

static void open_sender(struct minimal *m)
{
    const struct xsk_socket_config config = {
        .rx_size = RING, .tx_size = RING, .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD};
    int size = 8 << 20;
    int err = xsk_socket__create_shared(&m->sender, m->inner, 0, m->umem, NULL, &m->tx,
                                        &m->idle_fill, &m->completion, &config);
    if (err != 0)
        die(m->inner, err);
    m->sender_fd = xsk_socket__fd(m->sender);
    setsockopt(m->sender_fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
}

static void feed_all(struct minimal *m)
{
    uint32_t at = 0;
    if (xsk_ring_prod__reserve(&m->fill, RING, &at) != RING)
        die("fill ring", ENOSPC);
    for (uint32_t i = 0; i < RING; i++)
        *xsk_ring_prod__fill_addr(&m->fill, at + i) = (uint64_t)i * CHUNK;
    xsk_ring_prod__submit(&m->fill, RING);
}

/* Last: from here on frames come. */
static void open_way(struct minimal *m)
{
    uint32_t zero = 0;
    feed_all(m);
    int err = bpf_map_update_elem(bpf_map__fd(m->bpf->maps.xsks), &zero, &m->receiver_fd, BPF_ANY);
    if (err != 0)
        die("xsks", err);
    attach(m->bpf->progs.to_socket, m->outer);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* As the sensor does before it sleeps (came_soon() in sensor/source/afxdp.c). */
static bool came_soon(struct minimal *m)
{
    if (!m->is_looking || m->burst < LOOK_AFTER)
        return false;
    uint64_t end = now_ns() + LOOK_NS;
    do {
        if (xsk_cons_nb_avail(&m->rx, 1) > 0)
            return true;
    } while (now_ns() < end);
    m->burst = 0;
    return false;
}

static unsigned receive(struct minimal *m, uint32_t *at)
{
    unsigned n = xsk_ring_cons__peek(&m->rx, BURST, at);
    if (n > 0)
        m->burst = n;
    if (n == 0 && !m->is_busy && !came_soon(m)) {
        struct pollfd fd = {.fd = m->receiver_fd, .events = POLLIN};
        poll(&fd, 1, WAIT_MS);
    }
    m->packets += n;
    return n;
}

/* The fill ring has room for every chunk that is not in it. */
static void give_back(struct minimal *m, uint32_t at, unsigned n)
{
    uint32_t to = 0;
    xsk_ring_prod__reserve(&m->fill, n, &to);
    for (uint32_t i = 0; i < n; i++)
        *xsk_ring_prod__fill_addr(&m->fill, to + i) = xsk_ring_cons__rx_desc(&m->rx, at + i)->addr;
    xsk_ring_prod__submit(&m->fill, n);
    xsk_ring_cons__release(&m->rx, n);
}

/* One word of the Ethernet, IP and TCP header each. */
static void read_headers(struct minimal *m, uint32_t at, unsigned n)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *frame = m->area + xsk_ring_cons__rx_desc(&m->rx, at + i)->addr;
        for (unsigned from = 0; from < 54; from += 18) {
            uint64_t word;
            memcpy(&word, frame + from, sizeof word);
            m->words += word;
        }
    }
}

static void receive_loop(struct minimal *m)
{
    open_memory(m);
    open_receiver(m);
    open_way(m);
    ready();
    while (!must_stop) {
        uint32_t at = 0;
        unsigned n = receive(m, &at);
        if (m->is_reading)
            read_headers(m, at, n);
        if (n > 0)
            give_back(m, at, n);
    }
}

/* ---- forward ---- */

static void come_home(struct minimal *m)
{
    uint32_t from = 0, to = 0;
    unsigned n = xsk_ring_cons__peek(&m->completion, RING, &from);
    if (n == 0)
        return;
    xsk_ring_prod__reserve(&m->fill, n, &to);
    for (uint32_t i = 0; i < n; i++)
        *xsk_ring_prod__fill_addr(&m->fill, to + i) =
            *xsk_ring_cons__comp_addr(&m->completion, from + i);
    xsk_ring_prod__submit(&m->fill, n);
    xsk_ring_cons__release(&m->completion, n);
}

/* Copy mode sends 32 a call and says EAGAIN when there are more. */
static void send_all(struct minimal *m)
{
    while (xsk_prod_nb_free(&m->tx, RING) < RING &&
           sendto(m->sender_fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0) {
        if (errno != EAGAIN && errno != EBUSY && errno != ENOBUFS)
            return;
        come_home(m);
    }
}

static void forward(struct minimal *m, uint32_t at, unsigned n)
{
    uint32_t to = 0;
    if (xsk_ring_prod__reserve(&m->tx, n, &to) != n)
        die("TX ring", ENOSPC);
    for (uint32_t i = 0; i < n; i++)
        *xsk_ring_prod__tx_desc(&m->tx, to + i) = *xsk_ring_cons__rx_desc(&m->rx, at + i);
    xsk_ring_prod__submit(&m->tx, n);
    xsk_ring_cons__release(&m->rx, n);
    send_all(m);
    come_home(m);
}

static void forward_loop(struct minimal *m)
{
    uint32_t zero = 0, outer = if_nametoindex(m->outer);
    open_memory(m);
    open_receiver(m);
    open_sender(m);
    int err = bpf_map_update_elem(bpf_map__fd(m->bpf->maps.outer), &zero, &outer, BPF_ANY);
    if (err != 0)
        die("devmap", err);
    attach(m->bpf->progs.way_back, m->inner);
    open_way(m);
    ready();
    while (!must_stop) {
        uint32_t at = 0;
        unsigned n = receive(m, &at);
        if (n > 0)
            forward(m, at, n);
    }
}

/* ---- one write a packet ---- */

static void open_tun(struct minimal *m)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(request.ifr_name, m->inner, IFNAMSIZ - 1);
    m->tun_fd = open("/dev/net/tun", O_RDWR);
    if (m->tun_fd < 0 || ioctl(m->tun_fd, TUNSETIFF, &request) != 0)
        die(m->inner, errno);
}

static void tun_loop(struct minimal *m)
{
    open_memory(m);
    open_receiver(m);
    open_tun(m);
    open_way(m);
    ready();
    while (!must_stop) {
        uint32_t at = 0;
        unsigned n = receive(m, &at);
        for (uint32_t i = 0; i < n; i++) {
            const struct xdp_desc *d = xsk_ring_cons__rx_desc(&m->rx, at + i);
            if (write(m->tun_fd, m->area + d->addr + ETHERNET_LEN, d->len - ETHERNET_LEN) < 0)
                m->packets--;
        }
        if (n > 0)
            give_back(m, at, n);
    }
}

/* ---- which ---- */

static int usage(void)
{
    fputs("bench_minimal pass IF… | drop IF | receive|read IF [--busy|--look] | forward IF INNER "
          "[--busy|--look] | "
          "tun IF TUN [--busy]\n",
          stderr);
    return 2;
}

static bool run(struct minimal *m, const char *job, char **ports)
{
    if (strcmp(job, "pass") == 0)
        pass(m, ports);
    else if (strcmp(job, "drop") == 0)
        drop(m);
    else if (strcmp(job, "receive") == 0 || strcmp(job, "read") == 0)
        receive_loop(m);
    else if (strcmp(job, "forward") == 0 && m->inner != NULL)
        forward_loop(m);
    else if (strcmp(job, "tun") == 0 && m->inner != NULL)
        tun_loop(m);
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct minimal m = {.is_busy = argc > 1 && strcmp(argv[argc - 1], "--busy") == 0,
                        .is_looking = argc > 1 && strcmp(argv[argc - 1], "--look") == 0};
    if (m.is_busy || m.is_looking)
        argv[--argc] = NULL;
    if (argc < 3)
        return usage();
    m.is_reading = strcmp(argv[1], "read") == 0;
    m.outer = argv[2];
    m.inner = argv[3];
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL);
    m.bpf = minimal_bpf__open_and_load();
    if (m.bpf == NULL)
        die("load", errno);
    if (!run(&m, argv[1], argv + 2))
        return usage();
    printf("%llu\n", (unsigned long long)m.packets);
    return 0; /* links and sockets go with the process */
}
