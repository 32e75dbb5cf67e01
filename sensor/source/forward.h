/* Forwarders: ways out for the frames of watched prefixes that are not AF_XDP's own. The source
 * that received a frame hands its bytes over; when send() returns, they are the kernel's copy, and
 * the frame's chunk is free again.
 *
 *   tun   a router: the IP packet, without Ethernet and VLAN headers, is written into a TUN
 *         device, and the host's kernel routes it on as if it had come from there
 *   raw   a wire: the frame leaves the inner port by a packet socket, byte by byte as it came
 *
 * One forwarder per queue, used by its worker alone. A frame that could not go out is refused and
 * counted, never tried again: whoever sent it sends it again, and what waits in line behind it does
 * not get old. Which of the two, and what each cannot do: docs/forwarding.md. */
#pragma once

#include <stdbool.h>

#include "sensor/packet/frame.h"
#include "sensor/source/port.h"
#include "sensor/source/source.h"

struct forward_conf {
    char interface[IFNAMSIZ]; /* tun: made if there is none */
    unsigned mtu;             /* of the port that receives */
};

/* What its user may look at after each send() and look(). */
struct forward {
    bool is_down; /* the device takes nothing now; it may come up again */
    bool is_gone; /* the device was removed: nothing will ever go out again */
};

struct forward_ops {
    const char *name;

    /* Before anything is changed: is the machine set up for it? 0, or an error with a note. NULL:
     * there is nothing to ask. */
    int (*check)(const struct source_conf *conf, struct note *note);
    /* 0, or an error with a note. */
    int (*open)(const struct forward_conf *conf, unsigned queue, struct forward **out,
                struct note *note);
    /* Sends the frames whose verdict is not FRAME_DROP, in order. Returns how many were refused. */
    unsigned (*send)(struct forward *f, const struct frame *frames, const uint8_t *verdicts,
                     unsigned n);
    /* Is the device still there? Asked now and then, for when there is nothing to send. */
    void (*look)(struct forward *f);
    void (*close)(struct forward *f); /* NULL is fine */
};

extern const struct forward_ops forward_tun, forward_raw;
