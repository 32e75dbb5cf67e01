/* Traffic in virtual time against the engine: closed-loop senders that retransmit what was lost,
 * open-loop ones that repeat by habit, and mixtures. Independent of the engine's own arithmetic: it
 * only sees packets and says FORWARD or DROP. */
#pragma once

#include "sensor/penny/penny.h"

#define SIM_S UINT64_C(1000000000)

enum sim_end { SIM_ENDLESS, SIM_FIN, SIM_RST, SIM_SILENT };

struct sim_senders {
    unsigned flows;
    bool is_genuine;
    double rate;               /* segments per second and flow */
    double repeat;             /* open loop: share of segments that are sent again … */
    uint64_t repeat_after_ns;  /* … so much later */
    double loss_up, loss_down; /* before and (genuine only) behind the sensor */
    enum sim_end end;          /* after `segments`, then a new flow takes over */
    unsigned segments;
    bool shakes_hands;    /* SYN and ACK before the first data, a round trip apart */
    bool is_reused;       /* the new flow takes the old one's ports, with a SYN, a second later */
    bool keeps_alive;     /* a silent flow still sends one old byte, ten times, 0.5 s apart */
    unsigned pause_every; /* segments between two pauses … */
    uint64_t pause_ns;    /* … of this length */
    uint64_t rtt_ns;      /* 0: 50 ms */
    double elsewhere;     /* genuine: share of segments that pass another sensor and arrive */
    uint64_t moves_at_ns; /* genuine: from then on all pass another sensor; 0: never */
};

struct sim_case {
    const char *name;
    struct sim_senders senders[2];
    bool is_v6;
    uint32_t first_seq; /* of every flow, moved by a few thousand; 0: random */
    uint64_t stop_ns;   /* traffic ends; 0: 130 s */
    double alpha;       /* 0: 1e-4 */
    enum penny_rule rule;
    unsigned budget; /* 0: 60 */
    unsigned skip;   /* tests to end, one after the other, before the one that is reported */
};

struct sim_result {
    bool has_ended;
    struct event_test_ended ended;
    uint64_t took_ns, drop_events;
    uint64_t least_gap_ns;    /* between two first copies of one flow that were withheld */
    uint64_t repeats_dropped; /* segments that were sent before and are withheld all the same */
    uint64_t hash;            /* of all events */
};

void sim_conf(struct penny_conf *conf);
void sim_run(const struct sim_case *c, uint64_t seed, struct sim_result *out);
