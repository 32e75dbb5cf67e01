/* What sensors test by their own configuration. They do not ask before, so two may begin at once:
 * who came second is held, by a message that is sent again until its test has ended. */
#include <stdio.h>
#include <string.h>

#include "collector/order/order_table.h"

int64_t own_is_tested(struct orders *o, const struct prefix *p, const char *but, int64_t now)
{
    struct tree_overlap over = tree_overlapping(&o->tests_by_prefix, 0, p);
    int64_t at;
    while ((at = tree_overlap_next(&over)) >= 0)
        if (o->tests[at].until > now && strcmp(o->tests[at].sensor, but) != 0)
            return at;
    return -1;
}

/* Whoever waits for its end may go on. */
static void over(struct orders *o, struct static_test *t)
{
    t->until = 0;
    tree_out(&o->tests_by_prefix, &t->by_prefix);
    orders_ring_all(o, BELL(BELL_OWN, t - o->tests));
}

void own_tests_gone(struct orders *o, const char *sensor)
{
    for (unsigned i = 0; i < TESTS_MAX; i++)
        if (o->tests[i].until != 0 && strcmp(o->tests[i].sensor, sensor) == 0)
            over(o, &o->tests[i]);
}

void own_tests_moved(struct orders *o, int64_t by)
{
    for (unsigned i = 0; i < TESTS_MAX; i++)
        if (o->tests[i].until != 0) {
            o->tests[i].until += by;
            o->tests[i].told_at = 0;
        }
    o->yield_until += by;
}

static bool is_before(const struct static_test *t, const struct static_test *s, int64_t now)
{
    return t->until > now && !t->must_yield && strcmp(t->sensor, s->sensor) != 0;
}

static bool is_leased(const struct order *x, const struct static_test *s, int64_t now)
{
    return x->row.lease_until > now && strcmp(x->row.sensor, s->sensor) != 0;
}

/* Until when somebody else withholds, or may, of what it tests, and who; 0: nobody does. */
static int64_t taken_until(struct orders *o, const struct static_test *s, int64_t now,
                           const char **who)
{
    struct tree_overlap tests = tree_overlapping(&o->tests_by_prefix, 0, &s->prefix);
    struct tree_overlap leases = tree_overlapping(&o->book[BOOK_LEASED], 0, &s->prefix);
    int64_t until = 0, at;
    while ((at = tree_overlap_next(&tests)) >= 0)
        if (is_before(&o->tests[at], s, now) && o->tests[at].until > until) {
            until = o->tests[at].until;
            *who = o->tests[at].sensor;
        }
    while ((at = tree_overlap_next(&leases)) >= 0)
        if (is_leased(&o->list[at], s, now) && o->list[at].row.lease_until > until) {
            until = o->list[at].row.lease_until;
            *who = o->list[at].row.sensor;
        }
    return until;
}

static bool can_hold(struct orders *o, const char *sensor)
{
    const struct order_sensor *s = orders_sensor(o, sensor);
    return s != NULL && s->process != 0 && s->stamp != 0;
}

static void must_yield(struct orders *o, struct static_test *t)
{
    t->must_yield = true;
    if (t->until > o->yield_until)
        o->yield_until = t->until;
}

/* Its sensor takes no word of ours (an old one, or control.enabled: false), so the others make way
 * as far as they do. */
static void others_yield(struct orders *o, const struct static_test *s, int64_t now)
{
    struct tree_overlap tests = tree_overlapping(&o->tests_by_prefix, 0, &s->prefix);
    struct tree_overlap leases = tree_overlapping(&o->book[BOOK_LEASED], 0, &s->prefix);
    int64_t at;
    while ((at = tree_overlap_next(&tests)) >= 0)
        if (is_before(&o->tests[at], s, now) && can_hold(o, o->tests[at].sensor))
            must_yield(o, &o->tests[at]);
    while ((at = tree_overlap_next(&leases)) >= 0) {
        struct order *x = &o->list[at];
        if (!is_leased(x, s, now) || x->row.state != STATUS_RUNNING)
            continue;
        x->sent_at = 0; /* stop goes out at once */
        order_over(o, x, STATUS_FAILED, "stopped", "another sensor tests it by its configuration",
                   now);
    }
}

static struct static_test *add(struct orders *o, const char *sensor,
                               const struct event_test_started *t, int64_t now)
{
    unsigned at = o->test_next++ % TESTS_MAX;
    struct static_test *s = &o->tests[at];
    over(o, s); /* the oldest, if there are that many */
    *s = (struct static_test){.prefix = t->prefix,
                              .until = now + (int64_t)(o->conf->lease_ns + o->conf->margin_ns)};
    snprintf(s->sensor, sizeof s->sensor, "%s", sensor);
    memcpy(s->id, t->test_id, sizeof s->id);
    struct tree_key key = tree_prefix_key(0, &s->prefix, at);
    tree_put(&o->tests_by_prefix, &s->by_prefix, &key);
    return s;
}

void own_test_began(struct orders *o, const char *sensor, const struct event_test_started *t,
                    int64_t now)
{
    const char *other;
    struct static_test *s = add(o, sensor, t, now);
    if (taken_until(o, s, now, &other) == 0)
        return;
    o->overlaps++;
    o->overlap.prefix = s->prefix;
    snprintf(o->overlap.sensor, sizeof o->overlap.sensor, "%s", sensor);
    snprintf(o->overlap.other, sizeof o->overlap.other, "%s", other);
    if (can_hold(o, sensor))
        must_yield(o, s);
    else
        others_yield(o, s, now);
}

void own_test_ended(struct orders *o, const char *sensor, const struct event_test_ended *t)
{
    for (unsigned i = 0; i < TESTS_MAX; i++)
        if (o->tests[i].until != 0 && memcmp(o->tests[i].id, t->test_id, 16) == 0 &&
            strcmp(o->tests[i].sensor, sensor) == 0)
            over(o, &o->tests[i]);
}

/* One message holds all of its tests: of each queue, and each place where the prefix enters. */
static void told(struct orders *o, const struct static_test *t, int64_t now)
{
    for (unsigned i = 0; i < TESTS_MAX; i++)
        if (strcmp(o->tests[i].sensor, t->sensor) == 0 &&
            prefix_equal(&o->tests[i].prefix, &t->prefix))
            o->tests[i].told_at = now;
}

static bool is_due(struct orders *o, const struct static_test *t, int64_t now)
{
    return t->must_yield && t->until > now && can_hold(o, t->sensor) &&
           (t->told_at == 0 || now - t->told_at >= (int64_t)o->conf->resend_ns);
}

bool own_hold(struct orders *o, int64_t now, char sensor[static WIRE_NAME],
              struct wire_message *out)
{
    const char *other;
    for (unsigned i = 0; i < TESTS_MAX && now < o->yield_until; i++) {
        struct static_test *t = &o->tests[i];
        if (!is_due(o, t, now))
            continue;
        const struct order_sensor *s = orders_sensor(o, t->sensor);
        int64_t until = taken_until(o, t, now, &other);
        t->must_yield = until != 0; /* who was before is done: it is a test like others */
        if (until == 0)
            continue;
        *out = (struct wire_message){.kind = WIRE_HOLD,
                                     .prefix = t->prefix,
                                     .stamp = s->stamp,
                                     .lease = (uint64_t)(until - s->heard_at)};
        memcpy(sensor, t->sensor, WIRE_NAME);
        told(o, t, now);
        return true;
    }
    return false;
}
