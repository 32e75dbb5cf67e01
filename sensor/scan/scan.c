#include "sensor/scan/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/packet/opening.h"
#include "sensor/scan/port_bitmap.h"
#include "shared/base/lpm.h"

/* Closed windows that wait to be taken; each is two events. With the default of 60 s that is eight
 * minutes of a full ring before the running window has to be held longer. */
#define WAITING_WINDOWS 8
#define WAITING         (2 * WAITING_WINDOWS)

struct direction {
    struct port_bitmap ports;
    uint64_t probes[OPENING_COUNT];
};

struct scan {
    const struct scan_conf *conf;
    struct lpm home;
    struct openings *openings;
    struct direction direction[2]; /* by SCAN_SERVER, SCAN_CLIENT */
    uint64_t start, end;           /* of the running window */
    bool is_running;               /* the first packet or tick came */
    bool is_held;                  /* over, but there was no room to close it */
    uint64_t last_end;             /* scan_finish found no room: close at this time; 0: not so */
    struct event waiting[WAITING];
    unsigned first, count;
};

static int home_fill(struct scan *s)
{
    int err = lpm_init(&s->home);
    for (size_t i = 0; i < s->conf->home_count && err == 0; i++)
        err = lpm_set(&s->home, &s->conf->home[i], 1);
    return err;
}

static int fill(struct scan *s)
{
    int err = home_fill(s);
    for (unsigned i = 0; i < 2 && err == 0; i++)
        err = port_bitmap_init(&s->direction[i].ports, s->conf->bits, s->conf->bins);
    return err;
}

int scan_new(const struct scan_conf *conf, uint64_t seed, struct scan **out)
{
    struct scan *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->conf = conf;
    int err = conf->window_ns != 0 ? fill(s) : ERR_CONF;
    if (err == 0)
        err = openings_new(seed, &s->openings);
    if (err != 0) {
        scan_free(s);
        return err;
    }
    *out = s;
    return 0;
}

void scan_free(struct scan *s)
{
    if (s == NULL)
        return;
    lpm_clear(&s->home);
    openings_free(s->openings);
    for (unsigned i = 0; i < 2; i++)
        port_bitmap_clear(&s->direction[i].ports);
    free(s);
}

static void start_at(struct scan *s, uint64_t start)
{
    s->start = start;
    s->end = start + s->conf->window_ns;
    s->is_running = true;
    s->is_held = false;
}

static void emit(struct scan *s, unsigned which, uint64_t end)
{
    struct direction *d = &s->direction[which];
    struct event *e = &s->waiting[(s->first + s->count++) % WAITING];
    memset(e, 0, sizeof *e);
    e->type = EVENT_scan_window;
    e->at = (int64_t)end;
    e->scan_window.started_at = (int64_t)s->start;
    e->scan_window.ended_at = (int64_t)end;
    e->scan_window.direction = (uint8_t)which;
    e->scan_window.total_entropy = port_bitmap_entropy(&d->ports, &e->scan_window.bin_entropy);
    e->scan_window.probes = d->probes[OPENING_SYN];
    e->scan_window.probes_fin = d->probes[OPENING_FIN];
    e->scan_window.probes_null = d->probes[OPENING_NULL];
    e->scan_window.probes_xmas = d->probes[OPENING_XMAS];
    e->scan_window.probes_udp = d->probes[OPENING_UDP];
    e->scan_window.probes_icmp = d->probes[OPENING_ICMP];
    port_bitmap_reset(&d->ports);
    memset(d->probes, 0, sizeof d->probes);
}

/* Both directions, also when quiet: a window of zero says that nothing came, none says nothing. */
static bool close_at(struct scan *s, uint64_t end)
{
    if (s->count + 2 > WAITING)
        return false;
    emit(s, SCAN_SERVER, end);
    emit(s, SCAN_CLIENT, end);
    start_at(s, end);
    return true;
}

static uint64_t last_boundary(const struct scan *s, uint64_t now)
{
    return now - (now - s->start) % s->conf->window_ns;
}

/* Time passed the end of the running window. A held window ends at the last boundary before now:
 * it was open all that time. Else time jumped (a pause in a capture): the empty windows of the gap
 * are told one by one while there is room for them, the rest is skipped and shows as a gap between
 * one ended_at and the next started_at. */
static void roll(struct scan *s, uint64_t now)
{
    if (s->is_held && !close_at(s, last_boundary(s, now)))
        return;
    if (now < s->end)
        return;
    if (!close_at(s, s->end)) {
        s->is_held = true;
        return;
    }
    while (now >= s->end && close_at(s, s->end))
        ;
    if (now >= s->end)
        start_at(s, last_boundary(s, now));
}

/* What the kernel reported was the first of its flow there; asking our own table again, whose clock
 * is another, would lose some. */
static enum opening kind_of(struct scan *s, const struct packet *p, uint64_t now)
{
    if (p->opening != OPENING_NONE)
        return p->opening < OPENING_COUNT ? (enum opening)p->opening : OPENING_NONE;
    return openings_find(s->openings, p, now);
}

void scan_packet(struct scan *s, const struct packet *packet, uint64_t now_ns)
{
    enum opening kind = s->conf->enabled ? kind_of(s, packet, now_ns) : OPENING_NONE;
    if (kind == OPENING_NONE)
        return;
    scan_tick(s, now_ns);
    bool is_home = lpm_find(&s->home, &packet->dst) != LPM_NONE;
    struct direction *d = &s->direction[is_home ? SCAN_SERVER : SCAN_CLIENT];
    if (kind == OPENING_SYN)
        port_bitmap_mark(&d->ports, packet->dst_port);
    d->probes[kind] += packet->weight != 0 ? packet->weight : 1;
}

void scan_tick(struct scan *s, uint64_t now_ns)
{
    if (!s->conf->enabled)
        return;
    if (!s->is_running)
        start_at(s, now_ns);
    else if (now_ns >= s->end)
        roll(s, now_ns);
}

static bool is_quiet(const struct direction *d)
{
    for (unsigned kind = 0; kind < OPENING_COUNT; kind++)
        if (d->probes[kind] != 0)
            return false;
    return true;
}

static void finish(struct scan *s)
{
    bool is_empty = s->last_end == s->start && is_quiet(&s->direction[SCAN_SERVER]) &&
                    is_quiet(&s->direction[SCAN_CLIENT]);
    if (is_empty || close_at(s, s->last_end)) {
        s->is_running = false;
        s->last_end = 0;
    }
}

void scan_finish(struct scan *s, uint64_t now_ns)
{
    if (!s->is_running)
        return;
    scan_tick(s, now_ns);
    s->last_end = now_ns > s->start ? now_ns : s->start;
    finish(s);
}

bool scan_take(struct scan *s, struct event *out)
{
    if (s->count == 0)
        return false;
    *out = s->waiting[s->first];
    s->first = (s->first + 1) % WAITING;
    s->count--;
    if (s->last_end != 0)
        finish(s);
    return true;
}
