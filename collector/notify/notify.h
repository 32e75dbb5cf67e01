/* All feeds of a collector. They begin when main() says which, once the map is loaded, and live
 * by themselves from then on: nothing in the loop calls or waits for them.
 *
 * notify_change (SIGHUP) starts and ends those whose configuration changed, and waits for none: an
 * ended one may hold its receiver a little longer, and its successor begins when it let go. Not
 * safe for several threads, but for notify_print. */
#pragma once

#include <stdio.h>

#include "collector/notify/journal_ops.h"
#include "shared/base/metrics.h"

struct notify;

/* None yet; journal is copied, its ctx must outlive the feeds. Before other threads use libcurl.
 * -ENOMEM, ERR_UNSUPPORTED, with a note. */
int notify_open(const struct journal_ops *journal, struct notify **out, struct note *note);
/* Those whose configuration is the same go on, and open their files again. */
int notify_change(struct notify *n, const struct feed_conf *feeds, size_t count, struct note *note);
/* Ends all, and waits for them. */
void notify_stop(struct notify *n);
void notify_close(struct notify *n); /* NULL is fine */

/* Adds what all feeds together counted, since the start, to sum. From any thread. */
void notify_count(struct notify *n, struct counters *sum);
/* Gauges per feed, in Prometheus' text format: does it work, how far is it? From any thread. */
void notify_print(struct notify *n, FILE *out, const char *program);
