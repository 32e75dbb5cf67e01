/* A sensor that keeps to docs/wire.md, over the scripted network: it numbers its events from 1, has
 * some batches without acknowledgement, and goes back when it is asked to. */
#pragma once

#include "tests/collector/loop/scripted_net.h"

enum { SIM_BATCH = 50, SIM_WINDOW = 4 }; /* events; batches */

struct sim {
    char name[WIRE_NAME];
    char pop[WIRE_NAME];
    uint64_t epoch;
    uint64_t events; /* to send, in all */
    uint64_t sent, acked;
    unsigned greet_in; /* sim_say()s until it says hello again */
    bool is_welcome;
    struct event (*make)(const struct sim *sim, uint64_t seq);
};

/* What the collector says to it. */
void sim_hear(struct sim *sim, const struct wire_message *m);

/* Queues what it has to say now. */
void sim_say(struct sim *sim);
