#include "collector/loop/doubt.h"

#include <stdio.h>
#include <string.h>

void doubt_end(struct doubts *d, struct doubt *one)
{
    size_t i = (size_t)(one - d->list);
    d->count--;
    memmove(one, one + 1, (d->count - i) * sizeof *one);
}

static struct doubt *find(struct doubts *d, const char *sensor)
{
    for (unsigned i = 0; i < d->count; i++)
        if (strncmp(d->list[i].sensor, sensor, WIRE_NAME) == 0)
            return &d->list[i];
    return NULL;
}

struct doubt *doubts_of(struct doubts *d, const char *sensor, uint64_t epoch)
{
    struct doubt *one = find(d, sensor);
    if (one == NULL || one->epoch == epoch)
        return one;
    doubt_end(d, one);
    return NULL;
}

void doubts_add(struct doubts *d, const char *sensor, uint64_t epoch, uint64_t to)
{
    struct doubt *one = doubts_of(d, sensor, epoch);
    if (one != NULL) {
        one->to = to > one->to ? to : one->to;
        return;
    }
    if (d->count == DOUBTS_MAX)
        doubt_end(d, &d->list[0]);
    one = &d->list[d->count++];
    *one = (struct doubt){.epoch = epoch, .to = to, .limit = WIRE_BATCH_EVENTS};
    snprintf(one->sensor, sizeof one->sensor, "%s", sensor);
}

/* A trial that fails costs that all is read again, seconds for a large map; one that passes costs a
 * transaction. So the parts are small: of 512 events three trials fail, where halving fails ten
 * times. */
static uint32_t part_of(uint64_t count)
{
    enum { PARTS = 24 }; /* about the root of WIRE_BATCH_EVENTS */
    return (uint32_t)((count + PARTS - 1) / PARTS);
}

bool doubt_wants_rehearsal(const struct doubt *one, uint64_t first, uint64_t last)
{
    return !one->is_poisoned && one->found < first && one->rehearsed < last;
}

void doubt_rehearsed(struct doubt *one, uint64_t to)
{
    one->rehearsed = to;
}

void doubt_found(struct doubt *one, uint64_t seq, const char *reason)
{
    one->found = seq;
    one->rehearsed = seq - 1;
    snprintf(one->reason, sizeof one->reason, "%s", reason);
}

void doubt_choose(struct doubt *one, uint64_t first)
{
    one->room = one->limit;
    if (one->found < first)
        return;
    uint64_t before = one->found - first;
    if (before == 0) {
        one->is_poisoned = true;
        one->seq = first;
        one->room = 1;
    } else if (before < one->limit) {
        one->room = (uint32_t)before;
    }
}

void doubt_failed(struct doubt *one, uint64_t to, uint64_t count, const char *reason)
{
    one->to = to;
    one->found = 0; /* it will be found again: the reason is this one's */
    one->is_sure = true;
    one->is_poisoned = count == 1;
    one->seq = to;
    one->limit = part_of(count);
    snprintf(one->reason, sizeof one->reason, "%s", reason);
}

void doubt_passed(struct doubts *d, struct doubt *one, uint64_t mark)
{
    uint64_t rest = mark < one->to ? one->to - mark : 0;
    one->is_poisoned = false;
    if (rest > WIRE_BATCH_EVENTS) /* most of them are a gap */
        rest = WIRE_BATCH_EVENTS;
    if (rest > 0 && one->is_sure) /* so it is among the rest */
        one->limit = part_of(rest);
    else if (mark >= one->to && one->is_sure)
        one->limit *= 2;
    if (one->limit >= WIRE_BATCH_EVENTS && mark >= one->to)
        doubt_end(d, one);
}
