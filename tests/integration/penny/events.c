/* penny_events: the smallest collector. Takes what sensors send, acknowledges it at once and prints
 * each event as JSON, so that a test of the sensor needs no database.
 *
 *     penny_events ENDPOINT CERTIFICATE SENSORS
 *
 * It runs until it is told to stop. */
#include <signal.h>
#include <stdio.h>

#include "collector/receive/receive.h"
#include "shared/wire/event.h"

static volatile sig_atomic_t is_stopped;

static void stop(int number)
{
    (void)number;
    is_stopped = 1;
}

static void print_events(const struct wire_message *m)
{
    size_t at = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        struct event e;
        size_t used;
        if (wire_event_decode(m->events + at, m->events_len - at, &e, &used) != 0)
            return;
        at += used;
        e.epoch = m->epoch;
        e.seq = m->first_seq + i;
        event_print(stdout, &e);
    }
    fflush(stdout);
}

static void answer(struct receive *door, const char *sensor, const struct wire_message *m)
{
    struct wire_message reply = {
        .kind = WIRE_WELCOME, .version = WIRE_VERSION, .epoch = m->epoch, .credit = 64};
    if (m->kind == WIRE_BATCH) {
        print_events(m);
        reply = (struct wire_message){
            .kind = WIRE_ACK, .epoch = m->epoch, .seq = m->first_seq + m->count - 1};
    }
    receive_send(door, sensor, &reply);
}

int main(int argc, char **argv)
{
    struct receive_conf conf = {.rate = 0};
    struct counters counters = {0};
    struct note note = {0};
    struct receive *door;
    if (argc != 4) {
        fputs("Usage: penny_events ENDPOINT CERTIFICATE SENSORS\n", stderr);
        return 2;
    }
    snprintf(conf.listen, sizeof conf.listen, "%s", argv[1]);
    snprintf(conf.certificate, sizeof conf.certificate, "%s", argv[2]);
    snprintf(conf.sensors, sizeof conf.sensors, "%s", argv[3]);
    if (receive_open(&conf, &counters, &door, &note) != 0) {
        fprintf(stderr, "penny_events: %s\n", note.text);
        return 1;
    }
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    while (!is_stopped) {
        char sensor[WIRE_NAME];
        struct wire_message m;
        if (receive_next(door, 200, sensor, &m) == 1)
            answer(door, sensor, &m);
    }
    receive_close(door);
    return 0;
}
