/* Watched prefixes for DPDK: rte_lpm and rte_lpm6, exchanged as a whole.
 *
 *     main thread   builds the next tables ── exchanges the pointer ── waits ── frees the old
 *     workers       look up, burst after burst; between two bursts each says "I hold nothing"
 *
 * Neither table may be freed while a worker reads it; the wait is rte_rcu_qsbr's, for one quiescent
 * state of every worker. rte_lpm could be changed in place, but rte_lpm6 could not, and a list that
 * is half old and half new would be seen. Each table takes 64 MiB, so one without prefixes of its
 * family is not made. */
#pragma once

#include "sensor/packet/packet.h"
#include "shared/base/addr.h"
#include "shared/base/err.h"

struct dpdk_watched;

/* For so many workers. 0, or -ENOMEM with a note. */
int dpdk_watched_new(unsigned workers, struct dpdk_watched **out, struct note *note);
void dpdk_watched_free(struct dpdk_watched *w); /* no worker may be inside; NULL is fine */

/* Replaces the prefixes; returns when no worker sees the old ones. 0, or -ENOMEM with a note, and
 * then nothing changed. */
int dpdk_watched_set(struct dpdk_watched *w, const struct prefix *prefixes, size_t n,
                     struct note *note);

/* A worker's side. enter and leave frame its life; between two bursts it says that it rests. */
void dpdk_watched_enter(struct dpdk_watched *w, unsigned worker);
void dpdk_watched_rest(struct dpdk_watched *w, unsigned worker);
void dpdk_watched_leave(struct dpdk_watched *w, unsigned worker);

/* Sets watched[i] for each packet; one without addresses is not watched. */
void dpdk_watched_find(const struct dpdk_watched *w, const struct packet *packets, unsigned n,
                       bool *watched);
