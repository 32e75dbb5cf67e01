/* The capture file as a packet source: pcap and pcapng, through libpcap. There is no wire behind
 * it, so forwarding and dropping are the same: the frame's slot is free again. Time is the
 * capture's own, in nanoseconds.
 *
 * A damaged file must not cost what was read before the damage: those frames are lent first, and
 * only then recv says ERR_FORMAT, after a log line with the file and libpcap's sentence. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include "sensor/source/source.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define LINE 64 /* bytes of a cache line */

/* Longest Ethernet frame that libpcap gives, whatever a file says of itself (a header may say 2
 * GiB; 64 slots of that are no machine's memory). */
#define FRAME_MAX 262144

static_assert((BURST & (BURST - 1)) == 0, "slots are found by masking");

struct source_group {
    pcap_t *pcap;
    char file[sizeof((struct source_conf *)NULL)->interface];
    bool is_open; /* its only queue */
};

/* One slot per frame lent, used in turn: a frame that pcap_next_ex gives is gone with the next. */
struct source {
    struct source_group *group;
    uint8_t *slots;
    size_t stride, room; /* bytes from slot to slot, and for a frame */
    uint64_t taken;      /* frames read from the file */
    unsigned lent;
    int end; /* 0, or what recv says when the frames are through */
};

/* Takes over the file's ownership in every case. */
static int open_stream(FILE *stream, const char *file, struct source_group *g, struct note *note)
{
    char text[PCAP_ERRBUF_SIZE] = "";
    g->pcap = pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, text);
    if (g->pcap == NULL) {
        if (stream != stdin)
            fclose(stream);
        return note_set(note, ERR_FORMAT,
                        "capture %s: %s (expected: a pcap or pcapng file, not compressed)", file,
                        text);
    }
    int link = pcap_datalink(g->pcap);
    if (link == DLT_EN10MB)
        return 0;
    const char *name = pcap_datalink_val_to_name(link);
    return note_set(note, ERR_UNSUPPORTED,
                    "capture %s: link type %s (%d); only Ethernet (EN10MB) is understood: "
                    "capture on one interface, not on \"any\" or a tunnel",
                    file, name != NULL ? name : "unknown", link);
}

static void pcap_detach(struct source_group *g)
{
    if (g == NULL)
        return;
    if (g->pcap != NULL)
        pcap_close(g->pcap);
    free(g);
}

static int pcap_attach(const struct source_conf *conf, struct source_group **out, struct note *note)
{
    *out = NULL;
    if (conf->interface[0] == '\0')
        return note_set(note, ERR_CONF, "source.interface is empty (expected: a capture file)");
    struct source_group *g = calloc(1, sizeof *g);
    if (g == NULL)
        return note_set(note, -ENOMEM, "capture %s: out of memory", conf->interface);
    bool is_stdin = strcmp(conf->interface, "-") == 0;
    snprintf(g->file, sizeof g->file, "%s", is_stdin ? "(standard input)" : conf->interface);

    int err;
    FILE *stream = is_stdin ? stdin : fopen(conf->interface, "rb");
    if (stream == NULL)
        err = note_set(note, -errno, "capture %s: %s", g->file, strerror(errno));
    else
        err = open_stream(stream, g->file, g, note);
    if (err != 0) {
        pcap_detach(g);
        return err;
    }
    *out = g;
    return 0;
}

static unsigned pcap_queues(const struct source_group *g)
{
    (void)g;
    return 1;
}

/* Everything of a capture is seen; there is nothing to select. */
static int pcap_watch(struct source_group *g, const struct prefix *prefixes, size_t n,
                      struct note *note)
{
    (void)g, (void)prefixes, (void)n, (void)note;
    return 0;
}

static int pcap_queue_open(struct source_group *g, unsigned queue, struct source **out,
                           struct note *note)
{
    *out = NULL;
    if (queue != 0 || g->is_open)
        return note_set(note, ERR_BUSY, "capture %s: a capture has one queue, read once", g->file);
    int snapshot = pcap_snapshot(g->pcap);
    struct source *s = calloc(1, sizeof *s);
    if (s == NULL)
        return note_set(note, -ENOMEM, "capture %s: out of memory", g->file);
    s->group = g;
    s->room = snapshot <= 0 ? 1 : snapshot < FRAME_MAX ? (size_t)snapshot : FRAME_MAX;
    /* one line more than needed: a snapshot length is often a power of two, and slots at such a
     * distance would share their sets in the cache */
    s->stride = (s->room + 2 * LINE - 1) / LINE * LINE;
    s->slots = malloc(s->stride * BURST);
    if (s->slots == NULL) {
        int err = note_set(note, -ENOMEM, "capture %s: no memory for %d frames of %zu bytes",
                           g->file, BURST, s->room);
        free(s);
        return err;
    }
    g->is_open = true;
    *out = s;
    return 0;
}

/* The capture's time; never 0, which would mean "none". */
static uint64_t time_of(const struct pcap_pkthdr *header)
{
    uint64_t at_ns = (uint64_t)header->ts.tv_sec * NS_PER_S + (uint64_t)header->ts.tv_usec;
    return at_ns > 0 ? at_ns : 1;
}

static void lend(struct source *s, const struct pcap_pkthdr *header, const uint8_t *bytes,
                 struct frame *frame)
{
    uint8_t *slot = s->slots + (s->taken & (BURST - 1)) * s->stride;
    uint32_t len = header->caplen < s->room ? header->caplen : (uint32_t)s->room;
    memcpy(slot, bytes, len);
    *frame = (struct frame){
        .data = slot,
        .len = len,
        .wire_len = header->len > len ? header->len : len,
        .at_ns = time_of(header),
        .token = s->taken,
    };
    s->taken++;
    s->lent++;
}

/* What ended the file: its end, or damage, which is told once. */
static int end_of(const struct source *s, int result)
{
    if (result == PCAP_ERROR_BREAK)
        return ERR_END;
    char text[PCAP_ERRBUF_SIZE];
    log_error("event=capture_damaged file=\"%s\" frames_read=%llu error=\"%s\" "
              "hint=\"frames before the damage were used\"",
              s->group->file, (unsigned long long)s->taken,
              log_quotable(pcap_geterr(s->group->pcap), text, sizeof text));
    return ERR_FORMAT;
}

static int pcap_recv(struct source *s, struct frame *frames, unsigned max)
{
    unsigned n = 0;
    while (n < max && s->lent < BURST && s->end == 0) {
        struct pcap_pkthdr *header;
        const uint8_t *bytes;
        int result = pcap_next_ex(s->group->pcap, &header, &bytes);
        if (result == 1)
            lend(s, header, bytes, &frames[n++]);
        else if (result < 0)
            s->end = end_of(s, result);
        else
            break;
    }
    return n > 0 ? (int)n : s->end;
}

static void pcap_done(struct source *s, const struct frame *frames, const uint8_t *verdicts,
                      unsigned n)
{
    (void)frames, (void)verdicts;
    assert(n <= s->lent);
    s->lent -= n;
}

/* A file is always ready; standard input is waited for in recv. */
static void pcap_wait(struct source *s, unsigned timeout_ms)
{
    (void)s, (void)timeout_ms;
}

/* What the capturing program missed is not in the frames. */
static void pcap_queue_stats(struct source *s, struct source_stats *out)
{
    (void)s;
    *out = (struct source_stats){0};
}

static void pcap_queue_close(struct source *s)
{
    if (s == NULL)
        return;
    s->group->is_open = false;
    free(s->slots);
    free(s);
}

const struct source_ops source_pcap = {
    .name = "pcap",
    .attach = pcap_attach,
    .queues = pcap_queues,
    .watch = pcap_watch,
    .tally = NULL,
    .detach = pcap_detach,
    .open = pcap_queue_open,
    .recv = pcap_recv,
    .done = pcap_done,
    .wait = pcap_wait,
    .probes = NULL,
    .stats = pcap_queue_stats,
    .close = pcap_queue_close,
};
