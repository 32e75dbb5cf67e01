#include "collector/loop/loop_tell.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "collector/loop/loop_timers.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

#define OVERLAP_NS (60 * (int64_t)NS_PER_S)

void loop_answer(struct loop *l, const char *sensor, const struct wire_message *m)
{
    struct loop_answer *a = &l->answers[l->answer_count++]; /* one per message of the group */
    memcpy(a->sensor, sensor, sizeof a->sensor);
    a->message = *m;
}

void loop_answer_words(struct loop *l, const char *sensor, enum wire_kind kind, const char *reason)
{
    struct wire_message m = {.kind = kind};
    snprintf(m.reason, sizeof m.reason, "%s", reason);
    loop_answer(l, sensor, &m);
}

void loop_answer_ack(struct loop *l, const char *sensor)
{
    const struct sensor_row *row = roster_find(l->fold.roster, sensor);
    loop_answer(
        l, sensor,
        &(struct wire_message){.kind = WIRE_ACK, .epoch = row->epoch, .seq = row->last_seq});
}

void loop_answers_send(struct loop *l)
{
    for (unsigned i = 0; i < l->answer_count; i++)
        receive_send(l->receive, l->answers[i].sensor, &l->answers[i].message);
    l->answer_count = 0;
}

void loop_tell_all(struct loop *l, enum wire_kind kind, const char *reason)
{
    struct wire_message m = {.kind = kind};
    snprintf(m.reason, sizeof m.reason, "%s", reason);
    receive_send_all(l->receive, &m);
}

/* ---- orders ---- */

/* Two configurations that name the same prefix do so for as long as nobody changes them: once a
 * minute is enough. */
static void tell_overlaps(struct loop *l, const struct orders_stats *stats, int64_t now)
{
    char prefix[PREFIX_TEXT];
    const struct test_overlap *last = &stats->overlap;
    bool is_new = stats->overlaps > l->overlaps;
    if (is_new)
        counter_add(l->counters, COUNTER_tests_overlapping, stats->overlaps - l->overlaps);
    l->overlaps = stats->overlaps; /* of this memory: a load begins at 0 */
    if (!is_new || (now >= l->overlap_told_at && now - l->overlap_told_at < OVERLAP_NS))
        return;
    l->overlap_told_at = now;
    log_warn("event=tests_overlap prefix=%s sensor=%s other=%s hint=\"both watch it: "
             "penny.prefixes of the first; docs/orders.md\"",
             prefix_format(&last->prefix, prefix), last->sensor, last->other);
}

static void tell_clocks(struct loop *l, const struct orders_stats *stats)
{
    if (stats->clocks_off > l->clocks_off) {
        counter_add(l->counters, COUNTER_sensor_clocks_off, stats->clocks_off - l->clocks_off);
        log_warn(
            "event=sensor_clock_off sensor=%s ahead_s=%.1f hint=\"its steady clock runs apart from "
            "ours by more than orders.margin in a lease: it gets no order\"",
            stats->clock_off.sensor, (double)stats->clock_off.ahead / (double)NS_PER_S);
    }
    l->clocks_off = stats->clocks_off; /* of this memory: a load begins at 0 */
}

void loop_send_orders(struct loop *l)
{
    char sensor[WIRE_NAME];
    struct wire_message m;
    int64_t now = loop_now(l);
    struct orders_stats stats;
    while (orders_send(l->fold.orders, now, sensor, &m)) {
        receive_send(l->receive, sensor, &m);
        counter_add(l->counters, COUNTER_orders_told, 1);
    }
    orders_stats(l->fold.orders, &stats);
    counter_set(l->counters, COUNTER_orders_running, stats.running);
    counter_set(l->counters, COUNTER_orders_proposed, stats.proposed);
    if (stats.refused > l->orders_refused)
        counter_add(l->counters, COUNTER_orders_no_room, stats.refused - l->orders_refused);
    tell_overlaps(l, &stats, now);
    tell_clocks(l, &stats);
    l->orders_refused = stats.refused; /* of this memory: a load begins at 0 */
}
