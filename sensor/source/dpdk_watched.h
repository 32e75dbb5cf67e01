/* Watched prefixes for DPDK: rte_lpm and rte_lpm6, exchanged as a whole.
 *
 *     main thread   fills the generation that nobody reads ── exchanges the pointer ── waits
 *     workers       look up, burst after burst; between two bursts each says "I hold nothing"
 *
 * The next filling may begin when no worker reads the old generation any more; the wait is
 * rte_rcu_qsbr's, for one quiescent state of every worker. rte_lpm could be changed in place, but
 * rte_lpm6 could not, and a list that is half old and half new would be seen.
 *
 * All memory is taken at the start, 64 MiB per family and generation: later the sensor may have
 * given up the rights that more memory would need. */
#pragma once

#include "sensor/packet/packet.h"
#include "shared/base/addr.h"
#include "shared/base/err.h"

struct dpdk_watched;

/* For so many workers; watches nothing yet. 0, or -ENOMEM with a note. */
int dpdk_watched_new(unsigned workers, struct dpdk_watched **out, struct note *note);
void dpdk_watched_free(struct dpdk_watched *w); /* no worker may be inside; NULL is fine */

/* Replaces the prefixes; returns when no worker sees the old ones. 0, or -ENOSPC with a note (more
 * than a configuration and its orders can hold), and then nothing changed. */
int dpdk_watched_set(struct dpdk_watched *w, const struct prefix *prefixes, size_t n,
                     struct note *note);

/* A worker's side. enter and leave frame its life; between two bursts it says that it rests. */
void dpdk_watched_enter(struct dpdk_watched *w, unsigned worker);
void dpdk_watched_rest(struct dpdk_watched *w, unsigned worker);
void dpdk_watched_leave(struct dpdk_watched *w, unsigned worker);

/* Sets watched[i] for each packet; one without addresses is not watched. */
void dpdk_watched_find(const struct dpdk_watched *w, const struct packet *packets, unsigned n,
                       bool *watched);
