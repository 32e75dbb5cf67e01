/* Scan detection: Peng's measure. Every connection opening (TCP with SYN, without ACK) marks its
 * destination port in a bitmap of bins; at the end of each window the bins' entropy, folded to
 * [0, 2], says how many different ports were asked for. The other kinds of openings
 * (sensor/packet/opening.h) are counted beside it, and mark no port: the measure stays Peng's.
 *
 * An opening that the kernel reported (packet.opening) is taken as it is, with its weight: where
 * the kernel reports only one of eight, counts are estimates, and the bitmap sees an eighth of
 * them. Source: alessio-perugini/peng, pkg/portbitmap and inspection.go. Pure: time is an argument.
 */
#pragma once

#include "sensor/packet/packet.h"
#include "shared/wire/event.h"

#define SCAN_HOME_MAX 256

struct scan_conf {
    bool enabled;
    uint64_t window_ns;
    unsigned bits;                     /* of the bitmap, all bins together */
    unsigned bins;                     /* divides bits; at most REALS_MAX */
    struct prefix home[SCAN_HOME_MAX]; /* destinations inside count as server, others as client */
    size_t home_count;
};

struct scan;

/* conf is borrowed until scan_free; the seed keys the table of UDP flows. 0, -ENOMEM, or ERR_CONF
 * when bins do not divide bits. */
int scan_new(const struct scan_conf *conf, uint64_t seed, struct scan **out);
void scan_free(struct scan *s);

void scan_packet(struct scan *s, const struct packet *packet, uint64_t now_ns);

/* Ends the window when it is over (windows are aligned to the first packet or tick). */
void scan_tick(struct scan *s, uint64_t now_ns);

/* Ends the window now, as it is. */
void scan_finish(struct scan *s, uint64_t now_ns);

bool scan_take(struct scan *s, struct event *out);
