/* All feeds of a collector. Opened by main() once the map is loaded; from then on they live by
 * themselves: nothing in the loop calls or waits for them.
 *
 * notify_change (SIGHUP) starts and ends those whose configuration changed, and waits for none: an
 * ended one may hold its receiver a little longer, and its successor begins when it let go. Not
 * safe for several threads, but for notify_print. */
#pragma once

#include <stdio.h>

#include "collector/notify/journal_ops.h"
#include "shared/base/metrics.h"

struct notify;

/* journal is copied; its ctx must outlive the feeds. -errno with a note. */
int notify_open(const struct feed_conf *feeds, size_t n, const struct journal_ops *journal,
                struct notify **out, struct note *note);
/* Those whose configuration is the same go on, and open their files again. */
int notify_change(struct notify *n, const struct feed_conf *feeds, size_t count, struct note *note);
void notify_close(struct notify *n); /* NULL is fine; waits until the last has ended */

/* Adds what all feeds together counted, since the start, to sum. From any thread. */
void notify_count(struct notify *n, struct counters *sum);
/* Gauges per feed, in Prometheus' text format: does it work, how far is it? From any thread. */
void notify_print(struct notify *n, FILE *out, const char *program);
