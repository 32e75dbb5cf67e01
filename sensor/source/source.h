/* Packet sources: where frames come from and go back to. One const table per source, called per
 * burst, never per packet.
 *
 * A source has two parts. The group is made once per process (attach): the XDP program and its
 * maps, the opened capture. A source proper is one RX queue of it, owned by one worker thread.
 *
 *   recv  lends up to max frames; their data stays valid until done()
 *   done  takes all of them back, in order, each forwarded or dropped by its verdict
 *
 * Fail-open is the group's duty: when this process ends, however it ends, frames go on to the other
 * interface in the kernel. So they do when it stands still, by SIGSTOP say: a worker that gives no
 * beat for 200 ms gets no more frames until the next one. Those that it has by then wait for it, as
 * many as a ring holds; what finds the ring full before is lost. (DPDK has no kernel to fall back
 * to: docs/dpdk.md.) */
#pragma once

#include "sensor/packet/ingress_table.h"
#include "sensor/packet/packet.h"
#include "shared/base/err.h"

enum source_driver { SOURCE_AF_XDP, SOURCE_DPDK, SOURCE_PCAP };
enum xdp_mode { XDP_MODE_AUTO, XDP_MODE_NATIVE, XDP_MODE_SKB };
enum zero_copy { ZERO_COPY_AUTO, ZERO_COPY_ON, ZERO_COPY_OFF };
enum forward_driver { FORWARD_AF_XDP, FORWARD_DPDK, FORWARD_TUN, FORWARD_RAW, FORWARD_NONE };

#define EAL_MAX      32
#define RING_MIN     512
#define RING_DEFAULT 2048
#define RING_MAX     16384

struct source_conf {
    enum source_driver driver;
    /* af_xdp, dpdk: the outer port, for dpdk a PCI address or a virtual device with its arguments;
     * pcap: file, "-" is standard input */
    char interface[256];
    unsigned queues; /* 0: all */
    enum xdp_mode xdp_mode;
    enum zero_copy zero_copy;
    unsigned ring;          /* slots of each ring, a power of two; 0: RING_DEFAULT */
    bool busy_poll;         /* workers never sleep */
    char pin_dir[128];      /* bpffs folder for links and maps; mounted by us if it is none */
    char sensor[64];        /* dpdk: names what its environment layer keeps on this machine */
    unsigned mtu;           /* dpdk: of its ports; 0: as they have it */
    char eal[EAL_MAX][128]; /* dpdk: arguments for its environment layer */
    size_t eal_count;
    enum forward_driver forward;
    char forward_interface[256];               /* the inner port */
    unsigned tally_v4_length, tally_v6_length; /* bits: what the kernel counts per */
    const struct ingress_table *ingress;       /* borrowed */
    const struct prefix *watched;              /* borrowed during attach */
    size_t watched_count;
};

struct source_group;
struct source;

struct source_stats {
    uint64_t missed;           /* frames lost before recv, cumulative */
    uint64_t transmit_refused; /* frames that could not be forwarded, cumulative */
    uint64_t reopened;         /* times that a stalled queue was opened anew */
    uint64_t moved_back; /* frames of the way back that this queue forwarded itself, cumulative */
    /* What the XDP program counted of all queues, cumulative; told by queue 0 only, so that queues
     * can be summed. */
#define KERNEL(name, help) uint64_t kernel_##name;
#include "shared/base/kernel.def"
#undef KERNEL
};

/* One cell of the kernel's tally, taken out (its counts start from zero again). */
struct source_tally {
    struct prefix src;
    uint16_t ingress;
    uint64_t packets, bytes;
    uint64_t flow_bits[4]; /* linear counting over 256 bits, see tally.h */
};

struct source_ops {
    const char *name;

    /* Once per process. 0, or ERR_* with a note that says interface, cause and remedy. */
    int (*attach)(const struct source_conf *conf, struct source_group **out, struct note *note);
    unsigned (*queues)(const struct source_group *g); /* number of queues = workers */
    /* Replaces the watched prefixes, live. 0 or ERR_*. */
    int (*watch)(struct source_group *g, const struct prefix *prefixes, size_t n,
                 struct note *note);
    /* Takes out the kernel's tally since the last call. NULL: this source has none, the worker
     * counts packets itself. Called by one thread. */
    int (*tally)(struct source_group *g, void (*each)(void *arg, const struct source_tally *cell),
                 void *arg);
    void (*detach)(struct source_group *g); /* leaves traffic flowing in the kernel; NULL is fine */

    /* Per queue, on its worker's thread. */
    int (*open)(struct source_group *g, unsigned queue, struct source **out, struct note *note);
    /* Count, 0, or ERR_END. Any other error is logged by the source, once, after all frames that
     * came before it were lent: a damaged capture (ERR_FORMAT), a socket that is gone. */
    int (*recv)(struct source *s, struct frame *frames, unsigned max);
    /* Which of the burst's packets the Penny test may judge: their source is watched, and they are
     * not spared (SSH, fragments). Sets may_judge[i]. NULL: all that recv lends are. Called between
     * recv and done; a packet without addresses (family 0) is never to be judged. */
    void (*sift)(struct source *s, const struct packet *packets, unsigned n, bool *may_judge);
    void (*done)(struct source *s, const struct frame *frames, const uint8_t *verdicts, unsigned n);
    void (*wait)(struct source *s, unsigned timeout_ms); /* until there may be frames or probes */
    /* Openings (sensor/packet/opening.h) of all traffic, watched or not, as packets that say which
     * kind they are and for how many they stand. NULL: this source has none, the scan engine sees
     * the frames themselves. Only queue 0 gives any. */
    int (*probes)(struct source *s, struct packet *out, unsigned max);
    void (*stats)(struct source *s, struct source_stats *out);
    /* The worker is there; now_ns is the steady clock's, read after recv. Once per step, at least
     * each 100 ms. Returns how many watched frames of this queue went past the worker so far
     * without being lost: Penny must not wait for them. NULL: none ever does. A source that was
     * never given a beat waits for none. */
    uint64_t (*beat)(struct source *s, uint64_t now_ns);
    /* Hands over no more frames: from now on the kernel forwards them. recv still gives those that
     * are here or on their way. NULL: what nobody receives is not lost (a capture). */
    void (*release)(struct source *s);
    void (*close)(struct source *s); /* NULL is fine */
};

extern const struct source_ops source_afxdp, source_dpdk, source_pcap;

/* The table for a driver, or NULL when this build has none (DPDK, where it was not installed). */
const struct source_ops *source_find(enum source_driver driver);

/* Removes everything that an af_xdp source of this configuration left in the kernel: links, maps,
 * pins. 0 also when there was nothing. */
int source_afxdp_remove(const struct source_conf *conf, struct note *note);
