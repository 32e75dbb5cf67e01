/* The events that wait to be taken: a ring of fixed size. Whoever will have to say something later
 * reserves its room beforehand (`event_reserved`: a test two or three events, a block or a drop
 * one), so nothing is ever lost for want of room. */
#pragma once

#include "sensor/penny/engine.h"
#include "sensor/penny/paper.h"

#define PASSIVE_RULE "natural_loss"

/* Events that can still be reserved. */
uint32_t outbox_room(const struct penny *p);

/* Each takes one reserved event; this one is blank but for its type. */
struct event *outbox_add(struct penny *p, uint8_t type);
void outbox_started(struct penny *p, const struct test *t);
void outbox_drop(struct penny *p, const struct test *t, const struct unit *u, uint8_t outcome,
                 uint64_t now_ns);
void outbox_ended(struct penny *p, const struct test *t, int word, const char *reason,
                  struct fraction f);

/* The same for the paper's rule, which knows no e-values and no fraction: 0, and anywhere in [0,
 * 1].
 */
void outbox_paper_drop(struct penny *p, const struct test *t, const struct paper_drop *d,
                       uint8_t outcome);
void outbox_paper_ended(struct penny *p, const struct test *t, int word, const char *reason,
                        const struct paper_sum *sum);

/* The event of a test's end, without its numbers; mode and rule follow the configuration. */
struct event_test_ended *outbox_ended_add(struct penny *p, const struct test *t, int word,
                                          const char *reason);

void outbox_addresses(const struct flow_key *key, struct addr *src, struct addr *dst);
