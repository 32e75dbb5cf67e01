/* What sensors are told: answers, which are kept until the commit, and orders, which are sent after
 * it. */
#pragma once

#include "collector/loop/loop.h"

void loop_answer(struct loop *l, const char *sensor, const struct wire_message *m);
void loop_answer_words(struct loop *l, const char *sensor, enum wire_kind kind, const char *reason);
/* The sensor's mark as it is now. */
void loop_answer_ack(struct loop *l, const char *sensor);
/* Committed: all of them go out. */
void loop_answers_send(struct loop *l);

/* What the database has committed is said: a sensor that hears of an order is one that it knows. */
void loop_send_orders(struct loop *l);

/* To everybody who said hello; to those who are not connected it is not even sent. */
void loop_tell_all(struct loop *l, enum wire_kind kind, const char *reason);
