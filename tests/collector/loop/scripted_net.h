/* A network of the test's own, behind the interface of receive.h: it hands over what tests queue,
 * and shows each answer to a callback. */
#pragma once

#include "collector/receive/receive.h"

extern void (*net_answer)(const char *sensor, const struct wire_message *m);

void net_reset(void);

/* Queues a message (events are copied). */
void net_queue(const char *sensor, const struct wire_message *m);
unsigned net_waiting(void);
