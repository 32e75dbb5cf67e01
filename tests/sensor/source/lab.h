/* A lab of three network namespaces, made and removed by the test:
 *
 *     namespace a          this process's own           namespace b
 *     a0 10.77.0.1  ──veth── outer      inner ──veth──  b0 10.77.0.2
 *
 * Nothing of it touches the machine's own network. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/bpf/frames.h"

struct lab {
    int home;                    /* our namespace */
    int a, b;                    /* packet sockets on a0 and b0 */
    char a_path[64], b_path[64]; /* for nsenter --net= */
    char pins[64];
};

/* Runs a shell command; 0 when it said so. */
__attribute__((format(printf, 1, 2))) static inline int shell(const char *format, ...)
{
    char command[768];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int status = system(command);
    if (status != 0)
        fprintf(stderr, "status %d: %s\n", status, command);
    return status;
}

/* A packet socket in another namespace; it stays there when we come back. */
static inline int packet_socket(const struct lab *lab, const char *ns, const char *interface)
{
    int there = open(ns, O_RDONLY | O_CLOEXEC), size = 32 << 20;
    if (there < 0 || setns(there, CLONE_NEWNET) != 0)
        return -1;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex(interface)};
    int err = bind(fd, (struct sockaddr *)&at, sizeof at);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    close(there);
    return setns(lab->home, CLONE_NEWNET) == 0 && err == 0 ? fd : -1;
}

static inline int make_end(const char *ns, const char *ours, const char *theirs, const char *addr,
                           unsigned queues)
{
    /* At the far ends: NAPI, or redirects into the veth would be lost; and no offloads, or frames
     * would carry unfinished checksums. IPv6 off: no chatter between the frames of a test. */
    return shell("ip link add %s numrxqueues %u numtxqueues %u type veth peer name %s "
                 "numrxqueues %u numtxqueues %u && ip link set %s netns %s && "
                 "sysctl -qw net.ipv6.conf.%s.disable_ipv6=1 && ip link set %s up && "
                 "nsenter --net=%s sh -c 'sysctl -qw net.ipv6.conf.all.disable_ipv6=1; "
                 "ip addr add %s/24 dev %s; ip link set %s up; "
                 "ethtool -K %s tx off tso off gso off gro on >/dev/null'",
                 ours, queues, queues, theirs, queues, queues, theirs, strrchr(ns, '/') + 1, ours,
                 ours, ns, addr, theirs, theirs, theirs);
}

/* queues: receive and transmit queues of each port */
static inline int lab_open(struct lab *lab, unsigned queues)
{
    int pid = (int)getpid();
    snprintf(lab->a_path, sizeof lab->a_path, "/run/netns/pn-source-%d-a", pid);
    snprintf(lab->b_path, sizeof lab->b_path, "/run/netns/pn-source-%d-b", pid);
    snprintf(lab->pins, sizeof lab->pins, "/run/pn-source-%d/bpf", pid);
    if (shell("ip netns add pn-source-%d-a && ip netns add pn-source-%d-b", pid, pid) != 0 ||
        unshare(CLONE_NEWNET) != 0)
        return -1;
    lab->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (make_end(lab->a_path, "outer", "a0", "10.77.0.1", queues) != 0 ||
        make_end(lab->b_path, "inner", "b0", "10.77.0.2", queues) != 0)
        return -1;
    lab->a = packet_socket(lab, lab->a_path, "a0");
    lab->b = packet_socket(lab, lab->b_path, "b0");
    return lab->a >= 0 && lab->b >= 0 ? 0 : -1;
}

static inline int lab_close(struct lab *lab)
{
    int pid = (int)getpid();
    close(lab->a);
    close(lab->b);
    umount2(lab->pins, MNT_DETACH);
    return shell("ip netns del pn-source-%d-a; ip netns del pn-source-%d-b; "
                 "ip link del outer; ip link del inner; rmdir %s /run/pn-source-%d",
                 pid, pid, lab->pins, pid);
}

/* Forgets what a packet socket has received. */
static inline void drain(int fd)
{
    struct bytes gone;
    while (recv(fd, gone.data, sizeof gone.data, MSG_DONTWAIT) >= 0)
        ;
}

/* Next frame on a packet socket that begins like f (its first 34 bytes: Ethernet and IPv4), within
 * the time; its length, or -1. What the socket itself sent is skipped. */
static inline int next_like(int fd, const struct bytes *f, struct bytes *out, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, timeout_ms) > 0) {
        struct sockaddr_ll from;
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(fd, out->data, sizeof out->data, 0, (struct sockaddr *)&from, &size);
        if (n < 34 || from.sll_pkttype == PACKET_OUTGOING || memcmp(out->data, f->data, 34) != 0)
            continue;
        out->len = (size_t)n;
        return (int)n;
    }
    return -1;
}
