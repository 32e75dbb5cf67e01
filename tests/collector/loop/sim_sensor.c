#include "tests/collector/loop/sim_sensor.h"

#include <assert.h>
#include <stdio.h>

/* As 200 ms and 1 s are to a sensor. */
enum { SOON = 4, LATER = 20 };

void sim_hear(struct sim *sim, const struct wire_message *m)
{
    if (m->kind == WIRE_AGAIN && (sim->is_welcome || sim->greet_in > SOON))
        sim->greet_in = SOON;
    if (m->kind == WIRE_AGAIN)
        sim->is_welcome = false;
    if (m->kind != WIRE_WELCOME && m->kind != WIRE_ACK)
        return;
    assert(m->epoch == sim->epoch && m->seq >= sim->acked && m->seq <= sim->events);
    sim->acked = m->seq;
    if (m->kind == WIRE_ACK)
        return;
    sim->is_welcome = true;
    sim->sent = m->seq;
}

static void say_hello(struct sim *sim)
{
    struct wire_message m = {.kind = WIRE_HELLO,
                             .version = WIRE_VERSION,
                             .epoch = sim->epoch,
                             .first_seq = sim->acked + 1,
                             .next_seq = sim->events + 1};
    snprintf(m.pop, sizeof m.pop, "%s", sim->pop);
    net_queue(sim->name, &m);
    sim->greet_in = LATER;
}

static void say_batch(struct sim *sim)
{
    static uint8_t bytes[WIRE_MESSAGE_MAX];
    struct wire_message m = {
        .kind = WIRE_BATCH, .epoch = sim->epoch, .first_seq = sim->sent + 1, .events = bytes};
    for (; m.count < SIM_BATCH && sim->sent < sim->events; m.count++) {
        struct event e = sim->make(sim, ++sim->sent);
        int len = wire_event_encode(&e, bytes + m.events_len, sizeof bytes - m.events_len);
        assert(len > 0);
        m.events_len += (size_t)len;
    }
    net_queue(sim->name, &m);
}

void sim_say(struct sim *sim)
{
    if (!sim->is_welcome && (sim->greet_in == 0 || --sim->greet_in == 0))
        say_hello(sim);
    while (sim->is_welcome && sim->sent < sim->events &&
           sim->sent - sim->acked < SIM_WINDOW * SIM_BATCH)
        say_batch(sim);
}
