/* What world.c (time, paths, closed loops) and spoof.c (open loops) share. */
#pragma once

#include "tests/sim/queue.h"
#include "tests/sim/rows.h"
#include "tests/sim/tap.h"
#include "tests/sim/tcp.h"
#include "tests/sim/world.h"

#define SCENE_FLOWS 256
#define SCENE_LIVES 65536
#define TRACES      4
#define TRACE_MOST  8192

enum what {
    AT_SENSOR,
    AT_RECEIVER,
    AT_SENDER, /* an acknowledgement */
    SYN_ACK,
    TIMER,    /* of a TCP sender */
    APP,      /* the application gives more */
    ACK_LATE, /* a delayed acknowledgement is due */
    BEGIN,    /* of a flow's next life */
    EMIT,     /* the open loop's next segment */
    COPY,     /* … and repeats */
    ALIVE,    /* … and keep-alives */
    PLAY      /* the next packet of a recording */
};

struct trace_packet {
    uint64_t at_ns;
    uint32_t seq, len; /* from the flow's first number */
    uint8_t flags;
};

struct trace {
    uint32_t count;
    struct trace_packet packet[TRACE_MOST];
};

struct flow_state {
    const struct senders *conf;
    uint32_t life; /* index of scene.seen */
    uint32_t isn;
    double rtt_ns;
    bool is_hidden, leaves, is_over;
    uint64_t last_up_ns, last_down_ns; /* arrivals keep their order unless they are reordered */
    /* closed loop */
    struct tcp_sender tcp;
    struct tcp_receiver receiver;
    uint64_t timer_at_ns; /* the TIMER that is queued; 0: none */
    bool is_fin_alone;
    /* open loop */
    uint32_t next, repeated;
    const struct trace *trace;
    uint32_t played;
    uint64_t play_from_ns;
};

struct scene {
    const struct row *row;
    const struct senders *groups;
    struct tap tap;
    struct trace *record; /* TRACES of them, instead of a sensor */
    bool has_sensor;
    struct measured measured;
    struct queue queue;
    struct dice dice;
    uint64_t now_ns, sensor_ns;
    uint64_t link_free_ns;
    uint32_t life_count, flow_count;
    struct trace traces[TRACES];
    struct tap_flow seen[SCENE_LIVES];
    struct flow_state flows[SCENE_FLOWS];
};

static inline uint16_t flow_number(const struct scene *w, const struct flow_state *f)
{
    return (uint16_t)(f - w->flows);
}

static inline uint32_t segment_bytes(const struct senders *s)
{
    return s->mss != 0 ? s->mss : 1460;
}

/* An event of this flow's present life. */
void scene_push(struct scene *w, const struct flow_state *f, uint8_t what, uint64_t at_ns);

/* One packet onto its way. first, count: segments that it carries, for the receiver. */
struct sending {
    uint32_t life, seq, len, first, count;
    uint8_t flags;
    bool is_again;
};
void scene_send(struct scene *w, struct flow_state *f, const struct sending *packet);

/* The flow ends now; its next life begins after the pause. */
void scene_end(struct scene *w, struct flow_state *f);

/* Open loops. */
void spoof_begin(struct scene *w, struct flow_state *f);
void spoof_happens(struct scene *w, struct flow_state *f, const struct happening *h);
