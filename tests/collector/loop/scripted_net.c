#include "tests/collector/loop/scripted_net.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void (*net_answer)(const char *sensor, const struct wire_message *m);

enum { QUEUE = 512 };
static struct {
    char sensor[WIRE_NAME];
    struct wire_message m;
    uint8_t events[WIRE_MESSAGE_MAX];
} queue[QUEUE];
static unsigned head, tail;

void net_reset(void)
{
    net_answer = NULL;
    head = tail = 0;
    for (unsigned i = 0; i < QUEUE; i++)
        queue[i].sensor[0] = '\0';
}

void net_queue(const char *sensor, const struct wire_message *m)
{
    assert(tail - head < QUEUE && m->events_len <= WIRE_MESSAGE_MAX);
    unsigned i = tail++ % QUEUE;
    snprintf(queue[i].sensor, sizeof queue[i].sensor, "%s", sensor);
    queue[i].m = *m;
    if (m->events_len > 0)
        memcpy(queue[i].events, m->events, m->events_len);
    queue[i].m.events = queue[i].events;
}

unsigned net_waiting(void)
{
    return tail - head;
}

int receive_next(struct receive *r, int timeout_ms, char sensor[static WIRE_NAME],
                 struct wire_message *m)
{
    (void)r, (void)timeout_ms;
    if (head == tail)
        return 0;
    unsigned i = head++ % QUEUE;
    memcpy(sensor, queue[i].sensor, WIRE_NAME);
    *m = queue[i].m;
    return 1;
}

void receive_send(struct receive *r, const char *sensor, const struct wire_message *m)
{
    (void)r;
    if (net_answer != NULL)
        net_answer(sensor, m);
}

/* The same to everybody who ever spoke: what stands in the queue's slots. */
void receive_send_all(struct receive *r, const struct wire_message *m)
{
    for (unsigned i = 0; i < QUEUE; i++) {
        bool is_repeat = queue[i].sensor[0] == '\0';
        for (unsigned j = 0; j < i && !is_repeat; j++)
            is_repeat = strcmp(queue[j].sensor, queue[i].sensor) == 0;
        if (!is_repeat)
            receive_send(r, queue[i].sensor, m);
    }
}
