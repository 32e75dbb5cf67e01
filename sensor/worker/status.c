#include "sensor/worker/status.h"

#include <string.h>

/* Ours and the kernel's: it keeps malformed frames to itself, so none is in both. What is no IP
 * (ARP, say) is well-formed, and not ours. */
static uint64_t malformed(const struct counters *c)
{
    uint64_t sum = 0;
#define REASON(name, counter, help)     \
    if (PACKET_##name != PACKET_NOT_IP) \
        sum += counter_get(c, COUNTER_##counter) + counter_get(c, COUNTER_kernel_##counter);
#include "shared/base/reasons.def"
#undef REASON
    return sum;
}

static struct status sums(struct worker *const *workers, unsigned n)
{
    struct status sum = {0};
    for (unsigned i = 0; i < n; i++) {
        const struct counters *c = worker_counters(workers[i]);
        sum.packets += counter_get(c, COUNTER_packets);
        sum.bytes += counter_get(c, COUNTER_bytes);
        sum.forwarded += counter_get(c, COUNTER_forwarded);
        sum.dropped += counter_get(c, COUNTER_dropped);
        sum.malformed += malformed(c);
        sum.missed += counter_get(c, COUNTER_source_missed);
    }
    return sum;
}

bool status_is_behind(const struct status *s, struct worker *const *workers, unsigned n)
{
    return sums(workers, n).packets != s->packets;
}

bool status_take(struct status *s, struct worker *const *workers, unsigned n, struct event *out)
{
    if (s->end == 0)
        return false;
    struct status now = sums(workers, n);
    memset(out, 0, sizeof *out);
    out->type = EVENT_sensor_status;
    out->sensor_status = (struct event_sensor_status){
        .started_at = (int64_t)s->start,
        .ended_at = (int64_t)s->end,
        .packets = now.packets - s->packets,
        .bytes = now.bytes - s->bytes,
        .forwarded = now.forwarded - s->forwarded,
        .dropped = now.dropped - s->dropped,
        .malformed = now.malformed - s->malformed,
        .missed = now.missed - s->missed,
    };
    now.start = s->end;
    *s = now;
    return true;
}
