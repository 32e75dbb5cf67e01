#include "sensor/source/port.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/rights/rights.h"

/* In all a second: a killed process needs a moment to end. */
#define LOCK_TRIES   20
#define LOCK_WAIT_NS (50 * NS_PER_MS)

/* /sys/class/net would do as well, but under nsenter it shows another namespace's interfaces. */
static void ask_queues(int fd, struct port *port)
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    struct ifreq request = {.ifr_data = (void *)&channels};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", port->name);
    port->rx_queues = port->tx_queues = 1;
    if (ioctl(fd, SIOCETHTOOL, &request) != 0)
        return; /* a driver that cannot say has one queue */
    unsigned rx = channels.rx_count + channels.combined_count;
    unsigned tx = channels.tx_count + channels.combined_count;
    port->rx_queues = rx > 0 ? rx : 1;
    port->tx_queues = tx > 0 ? tx : 1;
}

static int ask_mtu(int fd, struct port *port)
{
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", port->name);
    if (ioctl(fd, SIOCGIFMTU, &request) != 0)
        return -errno;
    port->mtu = (unsigned)request.ifr_mtu;
    return 0;
}

/* Stays zero where there is none. */
static void ask_mac(int fd, struct port *port)
{
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", port->name);
    if (ioctl(fd, SIOCGIFHWADDR, &request) == 0)
        memcpy(port->mac, request.ifr_hwaddr.sa_data, sizeof port->mac);
}

static void ask_state(int fd, struct port *port)
{
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", port->name);
    port->is_up = ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0;
}

static int check_mtu(const struct port *port, const char *role, struct note *note)
{
    if (port->mtu <= PORT_MTU_MAX)
        return 0;
    return note_set(note, ERR_CONF,
                    "%s: the MTU of %s is %u, but AF_XDP frames hold at most %d: "
                    "ip link set dev %s mtu %d, and switch off LRO and jumbo frames on that link",
                    role, port->name, port->mtu, PORT_MTU_MAX, port->name, PORT_MTU_MAX);
}

int port_find(const char *name, const char *role, struct port *out, struct note *note)
{
    *out = (struct port){0};
    if (name[0] == '\0')
        return note_set(note, ERR_CONF, "%s: no interface is named", role);
    unsigned ifindex = strlen(name) < sizeof out->name ? if_nametoindex(name) : 0;
    if (ifindex == 0) /* no error of the configuration: it may come yet, so a restart may help */
        return note_set(note, -ENODEV,
                        "%s: no interface %s in this network namespace: see `ip link`, or start "
                        "the sensor in the namespace that has it (nsenter --net=…)",
                        role, name);
    snprintf(out->name, sizeof out->name, "%s", name);
    out->ifindex = (int)ifindex;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return note_set(note, -errno, "%s: cannot ask about %s: %s", role, name, strerror(errno));
    int err = ask_mtu(fd, out);
    ask_queues(fd, out);
    ask_mac(fd, out);
    ask_state(fd, out);
    close(fd);
    if (err < 0)
        return note_set(note, err, "%s: cannot ask for the MTU of %s: %s", role, name,
                        strerror(-err));
    return check_mtu(out, role, note);
}

void port_warn_if_down(const struct port *port)
{
    if (!port->is_up)
        log_warn("event=port_down if=%s reason=\"nothing passes until it is up: ip link set dev %s "
                 "up\"",
                 port->name, port->name);
}

void port_warn_of_pair(const struct port *outer, const struct port *inner)
{
    const struct port *wide = outer->mtu > inner->mtu ? outer : inner;
    const struct port *narrow = wide == outer ? inner : outer;
    if (wide->mtu != narrow->mtu)
        log_warn("event=mtu_differs if=%s mtu=%u other=%s other_mtu=%u reason=\"packets of more "
                 "than %u bytes that come in at %s are lost: a wire fragments nothing\"",
                 wide->name, wide->mtu, narrow->name, narrow->mtu, narrow->mtu, wide->name);
}

int port_check_capabilities(struct note *note)
{
    char missing[128];
    const uint64_t needed = RIGHTS_BIT(CAP_NET_ADMIN) | RIGHTS_BIT(CAP_NET_RAW) |
                            RIGHTS_BIT(CAP_PERFMON) | RIGHTS_BIT(CAP_BPF);
    if (rights_missing(needed, missing, sizeof missing)[0] == '\0')
        return 0;
    return note_set(note, -EPERM,
                    "af_xdp: this process lacks%s: start it as root, or grant them (systemd: "
                    "AmbientCapabilities=)",
                    missing);
}

static void pause_ns(uint64_t ns)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

int port_lock(const struct port *port, struct note *note)
{
    /* An abstract socket: its name belongs to the network namespace, and needs no file. */
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length =
        snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "penstock-sensor/%s", port->name);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return note_set(note, -errno, "cannot lock %s: %s", port->name, strerror(errno));
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (bind(fd, (struct sockaddr *)&name, size) == 0)
            return fd;
        if (errno != EADDRINUSE)
            break;
        pause_ns(LOCK_WAIT_NS);
    }
    int err = errno;
    close(fd);
    if (err != EADDRINUSE)
        return note_set(note, -err, "cannot lock %s: %s", port->name, strerror(err));
    return note_set(note, ERR_BUSY,
                    "%s: another sensor is running on this interface: stop it first", port->name);
}

static int change_flags(int fd, const char *name, bool on, bool *was)
{
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%.15s", name);
    if (ioctl(fd, SIOCGIFFLAGS, &request) != 0)
        return -errno;
    *was = (request.ifr_flags & IFF_PROMISC) != 0;
    if (*was == on)
        return 0;
    request.ifr_flags =
        (short)(on ? request.ifr_flags | IFF_PROMISC : request.ifr_flags & ~IFF_PROMISC);
    return ioctl(fd, SIOCSIFFLAGS, &request) == 0 ? 0 : -errno;
}

int port_set_promiscuous(const char *name, bool on, bool *was, struct note *note)
{
    bool before = false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int err = fd >= 0 ? change_flags(fd, name, on, &before) : -errno;
    if (fd >= 0)
        close(fd);
    if (was != NULL)
        *was = before;
    return err == 0 ? 0
                    : note_set(note, err, "%s: cannot switch promiscuous mode %s: %s", name,
                               on ? "on" : "off", strerror(-err));
}
