/* Forwarding into a TUN device: the host routes what the sensor has looked at.
 *
 * One queue of the device per worker, one write() per packet: the kernel routes and sends it before
 * write() returns, and that is most of its cost. Batches of writes, and the kernel merging
 * segments, were measured and are no faster (docs/decisions/0012-one-write-per-packet.md).
 *
 * The device is ours and lives as long as this process, unless the operator made it beforehand.
 * Nothing depends on it: when we end, the XDP program passes watched frames to the same host. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sensor/source/forward.h"
#include "shared/base/log.h"

#define ETHERNET_ADDRESSES 12
#define TAG_BYTES          4

enum { TYPE_IPV4 = 0x0800, TYPE_IPV6 = 0x86dd, TYPE_VLAN = 0x8100, TYPE_QINQ = 0x88a8 };

struct tun {
    struct forward base;
    int fd;
};

/* ---- is the host a router? ---- */

/* A setting below /proc/sys/net of this thread's network namespace; -1: there is none. */
static int setting(const char *family, const char *interface, const char *name)
{
    char path[96];
    int value = -1;
    snprintf(path, sizeof path, "/proc/sys/net/%s/conf/%.15s/%s", family, interface, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    if (fscanf(file, "%d", &value) != 1)
        value = -1;
    fclose(file);
    return value;
}

static int set(const char *family, const char *interface, const char *name, const char *value)
{
    char path[96];
    snprintf(path, sizeof path, "/proc/sys/net/%s/conf/%.15s/%s", family, interface, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = write(fd, value, strlen(value)) < 0 ? -errno : 0;
    close(fd);
    return err;
}

static bool is_watched(const struct source_conf *conf, uint8_t family)
{
    for (size_t i = 0; i < conf->watched_count; i++)
        if (conf->watched[i].addr.family == family)
            return true;
    return false;
}

/* A prefix of a family that is not routed may still come to be watched later: so that is said. */
static int check_family(const struct source_conf *conf, uint8_t family, bool is_routed,
                        const char *remedy, struct note *note)
{
    if (is_routed)
        return 0;
    if (is_watched(conf, family))
        return note_set(note, ERR_CONF,
                        "forward.driver: tun needs a host that routes, but this one does not "
                        "forward %s: sysctl -w %s=1",
                        family == ADDR_V4 ? "IPv4" : "IPv6", remedy);
    log_warn("event=not_routed family=%s hint=\"sysctl -w %s=1, before such prefixes are watched\"",
             family == ADDR_V4 ? "ipv4" : "ipv6", remedy);
    return 0;
}

static int check_host(const struct source_conf *conf, struct note *note)
{
    bool v4 = setting("ipv4", "all", "forwarding") == 1 ||
              setting("ipv4", conf->interface, "forwarding") == 1;
    bool v6 = setting("ipv6", "all", "forwarding") > 0;
    if (setting("ipv4", "all", "rp_filter") == 1)
        return note_set(note, ERR_CONF,
                        "forward.driver: net.ipv4.conf.all.rp_filter is strict, so the host would "
                        "throw away what comes from a TUN device: set it to 0, and rp_filter of "
                        "each interface that should be strict to 1");
    int err = check_family(conf, ADDR_V4, v4, "net.ipv4.ip_forward", note);
    return err < 0 ? err : check_family(conf, ADDR_V6, v6, "net.ipv6.conf.all.forwarding", note);
}

/* ---- the device ---- */

static const char *attach_hint(int err)
{
    switch (err) {
    case -EINVAL:
        return "it exists and is no TUN device with several queues: choose another name, or make "
               "it by `ip tuntap add mode tun multi_queue`";
    case -EBUSY:
        return "another program has it";
    case -EPERM:
        return "it needs CAP_NET_ADMIN";
    default:
        return "see `ip -details link`";
    }
}

/* Makes the device if there is none, and a queue of it. *is_ours: it ends with its last queue. */
static int attach_queue(struct tun *t, const char *name, bool *is_ours, struct note *note)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE};
    memcpy(request.ifr_name, name, IFNAMSIZ);
    t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (t->fd < 0)
        return note_set(note, -errno, "forward.driver: cannot open /dev/net/tun: %s%s",
                        strerror(errno), errno == ENOENT ? ": modprobe tun" : "");
    if (ioctl(t->fd, TUNSETIFF, &request) != 0 || ioctl(t->fd, TUNGETIFF, &request) != 0)
        return note_set(note, -errno, "forward.interface: %s: cannot open a queue of it: %s: %s",
                        name, strerror(errno), attach_hint(-errno));
    *is_ours = (request.ifr_flags & IFF_PERSIST) == 0;
    return 0;
}

/* The host's own words on the device would only fill a queue that nobody reads. */
static int set_our_own(const char *name)
{
    set("ipv6", name, "addr_gen_mode", "1"); /* none; fails where there is no IPv6 */
    int err = set("ipv4", name, "rp_filter", "0");
    return err == 0 ? set("ipv4", name, "forwarding", "1") : err;
}

static int check_theirs(const char *name, struct note *note)
{
    if (setting("ipv4", name, "rp_filter") == 1)
        return note_set(note, ERR_CONF,
                        "forward.interface: rp_filter of %s is strict, so the host would throw "
                        "away all that comes from it: sysctl -w net.ipv4.conf.%s.rp_filter=0",
                        name, name);
    if (setting("ipv4", name, "forwarding") == 0)
        return note_set(note, ERR_CONF,
                        "forward.interface: the host does not forward what comes from %s: "
                        "sysctl -w net.ipv4.conf.%s.forwarding=1",
                        name, name);
    return 0;
}

static int raise_mtu(int fd, const struct forward_conf *conf)
{
    struct ifreq request = {0};
    memcpy(request.ifr_name, conf->interface, IFNAMSIZ);
    if (ioctl(fd, SIOCGIFMTU, &request) != 0)
        return -errno;
    if (request.ifr_mtu >= (int)conf->mtu)
        return 0;
    request.ifr_mtu = (int)conf->mtu;
    return ioctl(fd, SIOCSIFMTU, &request) == 0 ? 0 : -errno;
}

static int bring_up(int fd, const struct forward_conf *conf)
{
    struct ifreq request = {0};
    memcpy(request.ifr_name, conf->interface, IFNAMSIZ);
    if (ioctl(fd, SIOCGIFFLAGS, &request) != 0)
        return -errno;
    request.ifr_flags |= IFF_UP;
    return ioctl(fd, SIOCSIFFLAGS, &request) == 0 ? 0 : -errno;
}

static int set_up(const struct forward_conf *conf, bool is_ours, struct note *note)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int err = fd < 0 ? -errno : is_ours ? set_our_own(conf->interface) : 0;
    if (err == 0)
        err = raise_mtu(fd, conf);
    if (err == 0)
        err = bring_up(fd, conf);
    if (fd >= 0)
        close(fd);
    if (err < 0)
        return note_set(note, err, "forward.interface: cannot set %s up: %s", conf->interface,
                        strerror(-err));
    return is_ours ? 0 : check_theirs(conf->interface, note);
}

static void tun_close(struct forward *f)
{
    struct tun *t = (struct tun *)f;
    if (t == NULL)
        return;
    if (t->fd >= 0)
        close(t->fd);
    free(t);
}

static int open_queue(struct tun *t, const struct forward_conf *conf, bool *is_ours,
                      struct note *note)
{
    t->fd = -1;
    int err = attach_queue(t, conf->interface, is_ours, note);
    return err < 0 ? err : set_up(conf, *is_ours, note);
}

/* Tries it out, too: a device that cannot be had is told before a program is attached. */
static int tun_check(const struct source_conf *conf, struct note *note)
{
    struct forward_conf try = {.mtu = 0};
    struct tun t;
    bool is_ours;
    int err = check_host(conf, note);
    if (err < 0)
        return err;
    snprintf(try.interface, sizeof try.interface, "%.15s", conf->forward_interface);
    err = open_queue(&t, &try, &is_ours, note);
    if (t.fd >= 0)
        close(t.fd);
    return err;
}

static int tun_open(const struct forward_conf *conf, unsigned queue, struct forward **out,
                    struct note *note)
{
    *out = NULL;
    bool is_ours = false;
    struct tun *t = calloc(1, sizeof *t);
    if (t == NULL)
        return note_set(note, -ENOMEM, "no memory for forwarding");
    int err = open_queue(t, conf, &is_ours, note);
    if (err < 0) {
        tun_close(&t->base);
        return err;
    }
    log_info("event=forward driver=tun if=%s queue=%u device=%s", conf->interface, queue,
             is_ours ? "ours" : "found");
    *out = &t->base;
    return 0;
}

/* ---- packets ---- */

static unsigned type_at(const struct frame *f, uint32_t at)
{
    return at + 2 <= f->len ? (unsigned)f->data[at] << 8 | f->data[at + 1] : 0;
}

/* Where the IP header stands; 0: this is not IP. */
static uint32_t ip_at(const struct frame *f)
{
    uint32_t at = ETHERNET_ADDRESSES;
    unsigned type = type_at(f, at);
    while (type == TYPE_VLAN || type == TYPE_QINQ) {
        at += TAG_BYTES;
        type = type_at(f, at);
    }
    return type == TYPE_IPV4 || type == TYPE_IPV6 ? at + 2 : 0;
}

/* True when the kernel has taken it. What follows the packet in its frame (padding of short ones)
 * the IP layer cuts off. */
static bool put(struct tun *t, const struct frame *f)
{
    uint32_t at = ip_at(f);
    if (at == 0)
        return false;
    ssize_t sent;
    do {
        sent = write(t->fd, f->data + at, f->len - at);
    } while (sent < 0 && errno == EINTR);
    t->base.is_down = sent < 0 && errno == EIO;
    t->base.is_gone |= sent < 0 && errno == EBADFD;
    return sent >= 0;
}

static unsigned tun_send(struct forward *f, const struct frame *frames, const uint8_t *verdicts,
                         unsigned n)
{
    unsigned refused = 0;
    for (unsigned i = 0; i < n; i++)
        if (verdicts[i] != FRAME_DROP && !put((struct tun *)f, &frames[i]))
            refused++;
    return refused;
}

static void tun_look(struct forward *f)
{
    struct ifreq request;
    if (ioctl(((struct tun *)f)->fd, TUNGETIFF, &request) != 0)
        f->is_gone |= errno == EBADFD;
}

const struct forward_ops forward_tun = {
    .name = "tun",
    .check = tun_check,
    .open = tun_open,
    .send = tun_send,
    .look = tun_look,
    .close = tun_close,
};
