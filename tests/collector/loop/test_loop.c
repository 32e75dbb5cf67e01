#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/loop/loop.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"
#include "shared/base/log.h"
#include "tests/collector/loop/scripted_doors.h"

#define T0    INT64_C(1700000000000000000)
#define EPOCH UINT64_C(1699999999000000000)

static int64_t now;
static struct counters counters;
static struct expect policy;
static struct loop loop;

static int64_t clock_off; /* by which the clock is wrong */

static int64_t test_wall(void)
{
    return now + clock_off;
}

static uint64_t test_mono(void)
{
    return (uint64_t)now;
}

static void start(void)
{
    assert_int_equal(doors_loop(&loop, &policy, &counters, test_wall, test_mono), 0);
}

static int setup(void **state)
{
    (void)state;
    log_level_set(LOG_LEVEL_ERROR);
    doors_reset();
    memset(&counters, 0, sizeof counters);
    now = T0;
    clock_off = 0;
    start();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_clear(&loop);
    expect_clear(&policy);
    return 0;
}

/* The collector dies, and another begins with what the database has. */
static void kill_and_start(void)
{
    loop_clear(&loop);
    start();
}

/* ---- a sensor by hand ---- */

static struct wire_message last_answer;
static unsigned answers;

static void keep_answer(const char *sensor, const struct wire_message *m)
{
    (void)sensor;
    last_answer = *m;
    answers++;
}

static void hello_epoch(uint64_t epoch, uint64_t first)
{
    net_queue("ams1", &(struct wire_message){.kind = WIRE_HELLO,
                                             .version = WIRE_VERSION,
                                             .pop = "AMS",
                                             .release = "0.1.0",
                                             .epoch = epoch,
                                             .first_seq = first});
}

static void hello(void)
{
    net_answer = keep_answer;
    hello_epoch(EPOCH, 1);
    loop_turn(&loop, 0);
}

static struct event tally(const char *prefix, uint64_t bytes)
{
    struct event e = {.at = now, .type = EVENT_tally};
    e.tally.started_at = now - (int64_t)NS_PER_S;
    e.tally.ended_at = now;
    e.tally.packets = 1;
    e.tally.bytes = bytes;
    snprintf(e.tally.ingress.router, sizeof e.tally.ingress.router, "r1");
    assert_int_equal(prefix_parse(prefix, &e.tally.prefix), 0);
    return e;
}

static struct event test_ended(const char *prefix, uint8_t verdict)
{
    struct event e = {.at = now, .type = EVENT_test_ended};
    e.test_ended.started_at = now - (int64_t)NS_PER_S;
    e.test_ended.ended_at = now;
    e.test_ended.verdict = verdict;
    e.test_ended.genuine_probability = 0.99;
    snprintf(e.test_ended.ingress.router, sizeof e.test_ended.ingress.router, "r1");
    assert_int_equal(prefix_parse(prefix, &e.test_ended.prefix), 0);
    return e;
}

struct bytes {
    uint8_t data[WIRE_MESSAGE_MAX];
    size_t len;
    uint32_t count;
};

static void add(struct bytes *b, const struct event *e)
{
    int len = wire_event_encode(e, b->data + b->len, sizeof b->data - b->len);
    assert_true(len > 0);
    b->len += (size_t)len;
    b->count++;
}

static void queue_bytes(const struct bytes *b, uint64_t first)
{
    net_queue("ams1", &(struct wire_message){.kind = WIRE_BATCH,
                                             .epoch = EPOCH,
                                             .first_seq = first,
                                             .count = b->count,
                                             .events = b->data,
                                             .events_len = b->len});
}

static void send_one(const struct event *e, uint64_t seq)
{
    static struct bytes b;
    b.len = b.count = 0;
    add(&b, e);
    queue_bytes(&b, seq);
    loop_turn(&loop, 0);
}

static void assert_acked(uint64_t seq)
{
    assert_int_equal(last_answer.kind, WIRE_ACK);
    assert_true(last_answer.epoch == EPOCH);
    assert_true(last_answer.seq == seq);
}

static void expect_at(const char *prefix, const char *pop)
{
    struct prefix p;
    struct expect_place place = {0};
    snprintf(place.pop, sizeof place.pop, "%s", pop);
    assert_int_equal(prefix_parse(prefix, &p), 0);
    assert_int_equal(expect_add(&policy, &p, &place, 1), 0);
}

/* ---- promises ---- */

static void a_hello_is_welcomed_with_the_committed_mark(void **state)
{
    (void)state;
    hello();
    assert_int_equal(last_answer.kind, WIRE_WELCOME);
    assert_true(last_answer.seq == 0 && last_answer.epoch == EPOCH);
    assert_true(last_answer.credit == WIRE_CREDIT);
    struct event e = tally("192.0.2.0/24", 100);
    send_one(&e, 1);
    hello();
    assert_int_equal(last_answer.kind, WIRE_WELCOME);
    assert_true(last_answer.seq == 1);
}

static void an_event_is_acknowledged_once_it_is_committed(void **state)
{
    (void)state;
    hello();
    struct event e = tally("192.0.2.0/24", 100);
    send_one(&e, 1);
    assert_acked(1);
    assert_true(db.event_count == 1 && db.row_count == 1 && db.rows[0].bytes == 100);
    assert_string_equal(db.rows[0].pop, "AMS");
    assert_true(db.sensors[0].last_seq == 1);
    assert_true(counter_get(&counters, COUNTER_events_taken) == 1);
}

static void what_waits_is_committed_together(void **state)
{
    (void)state;
    hello();
    unsigned before = db_commits;
    static struct bytes b;
    b.len = b.count = 0;
    struct event e = tally("192.0.2.0/24", 100);
    add(&b, &e);
    for (uint64_t seq = 1; seq <= 10; seq++)
        queue_bytes(&b, seq);
    loop_turn(&loop, 0);
    assert_int_equal(db_commits, before + 1);
    assert_acked(10);
    assert_true(db.rows[0].bytes == 1000);
}

static void a_group_is_bounded(void **state)
{
    (void)state;
    hello();
    static struct bytes b;
    b.len = b.count = 0;
    struct event e = tally("192.0.2.0/24", 100);
    add(&b, &e);
    for (uint64_t seq = 1; seq <= LOOP_GROUP_MAX + 5; seq++)
        queue_bytes(&b, seq);
    loop_turn(&loop, 0);
    assert_true(net_waiting() >= 5);
    while (net_waiting() > 0)
        loop_turn(&loop, 0);
    assert_acked(LOOP_GROUP_MAX + 5);
}

static void while_another_collector_writes_who_comes_is_told_and_may_come_again(void **state)
{
    (void)state;
    hello();
    db_is_away = true; /* the connection is lost, and with it the right to write */
    struct event e = tally("192.0.2.0/24", 100);
    send_one(&e, 1);
    db_is_away = false;
    db_is_taken = true;
    loop_turn(&loop, 0);
    answers = 0;
    hello();
    assert_int_equal(answers, 1);
    assert_int_equal(last_answer.kind, WIRE_REFUSE);
    assert_non_null(strstr(last_answer.reason, "another collector"));
    assert_false(atomic_load(&loop.is_loaded));
    assert_int_equal(db.event_count, 0);
    db_is_taken = false;
    loop_turn(&loop, 0);
    hello();
    assert_true(last_answer.kind == WIRE_WELCOME && last_answer.seq == 0);
}

static void a_session_that_ends_while_nothing_is_written_is_noticed_in_the_next_turn(void **state)
{
    (void)state;
    hello();
    unsigned commits = db_commits;
    db_is_session_lost = db_is_away = true;
    loop_turn(&loop, 0);
    assert_false(atomic_load(&loop.is_loaded)); /* what /healthz says */
    db_is_away = false;
    loop_turn(&loop, 0);
    assert_true(atomic_load(&loop.is_loaded));
    assert_int_equal(db_commits, commits);
}

static void what_others_say_in_sql_is_looked_at_in_the_turn_that_hears_it(void **state)
{
    (void)state;
    loop.heard = 0;
    db_heard = HEARD_ALERT_WORD | HEARD_EXPECTATION | HEARD_ORDER;
    loop_turn(&loop, 0);
    assert_int_equal(loop.heard, 0);
}

static void nothing_is_answered_when_the_commit_fails(void **state)
{
    (void)state;
    hello();
    answers = 0;
    static struct bytes b;
    b.len = b.count = 0;
    struct event e = tally("192.0.2.0/24", 100);
    add(&b, &e);
    for (int call = 1; call <= 5; call++) { /* begin, event, sensor, row, commit */
        doors_reset();
        kill_and_start();
        hello();
        answers = 0;
        db_fail_at = call;
        queue_bytes(&b, 1);
        loop_turn(&loop, 0);
        assert_int_equal(answers, 0);
        assert_int_equal(db_fail_at, 0); /* it did fail */
        assert_true(db.event_count == 0 && db.row_count == 0 && db.sensors[0].last_seq == 0);
        loop_turn(&loop, 0); /* loads, and asks */
        assert_int_equal(last_answer.kind, WIRE_AGAIN);
        hello();
        assert_true(last_answer.kind == WIRE_WELCOME && last_answer.seq == 0);
        queue_bytes(&b, 1);
        loop_turn(&loop, 0);
        assert_acked(1);
        assert_true(db.event_count == 1 && db.rows[0].bytes == 100);
    }
}

static void a_commit_of_which_nobody_knows_counts_once(void **state)
{
    (void)state;
    hello();
    struct event e = tally("192.0.2.0/24", 100);
    answers = 0;
    db_lose_commit = true;
    send_one(&e, 1);
    assert_int_equal(answers, 0);
    loop_turn(&loop, 0);
    send_one(&e, 1);
    assert_acked(1);
    assert_true(db.event_count == 1 && db.rows[0].bytes == 100);
    assert_true(counter_get(&counters, COUNTER_events_repeated) == 1);
}

static void hello_of(const char *sensor)
{
    struct wire_message m = {
        .kind = WIRE_HELLO, .version = WIRE_VERSION, .pop = "AMS", .epoch = EPOCH, .first_seq = 1};
    net_queue(sensor, &m);
    loop_turn(&loop, 0);
}

static void send_of(const char *sensor, const struct event *e, uint64_t seq)
{
    static struct bytes b;
    b.len = b.count = 0;
    add(&b, e);
    net_queue(sensor, &(struct wire_message){.kind = WIRE_BATCH,
                                             .epoch = EPOCH,
                                             .first_seq = seq,
                                             .count = 1,
                                             .events = b.data,
                                             .events_len = b.len});
    loop_turn(&loop, 0);
}

static void a_commit_that_takes_place_late_counts_once(void **state)
{
    (void)state;
    hello();
    struct event e = tally("192.0.2.0/24", 100);
    db_late_commit = true;
    send_one(&e, 1);
    loop_turn(&loop, 0); /* loads: the mark says 0 */
    hello();
    assert_true(last_answer.kind == WIRE_WELCOME && last_answer.seq == 0);
    db_late_commit = true;
    send_one(&e, 1);     /* and again in doubt */
    loop_turn(&loop, 0); /* loads: still 0 */
    db_late();
    send_one(&e, 1); /* refused: somebody else wrote */
    loop_turn(&loop, 0);
    send_one(&e, 1);
    assert_acked(1);
    assert_true(db.event_count == 1 && db.row_count == 1 && db.rows[0].bytes == 100);
}

/* Their marks say nothing of it: each one's own is right. */
static void a_late_commit_of_one_sensor_is_not_lost_to_another_at_the_same_place(void **state)
{
    (void)state;
    hello();
    hello_of("ams2");
    struct event e = tally("192.0.2.0/24", 100), other = tally("192.0.2.0/24", 7);
    db_late_commit = true;
    send_one(&e, 1);
    loop_turn(&loop, 0); /* loads */
    db_late();
    send_of("ams2", &other, 1); /* refused */
    loop_turn(&loop, 0);
    send_of("ams2", &other, 1);
    send_one(&e, 1);
    assert_true(db.event_count == 2 && db.row_count == 1 && db.rows[0].bytes == 107);
}

static void killed_between_commit_and_ack_the_repeat_is_skipped(void **state)
{
    (void)state;
    hello();
    net_answer = NULL; /* the answer goes nowhere */
    struct event e = tally("192.0.2.0/24", 100);
    send_one(&e, 1);
    kill_and_start();
    hello();
    assert_true(last_answer.kind == WIRE_WELCOME && last_answer.seq == 1);
    send_one(&e, 1);
    assert_acked(1);
    assert_true(db.event_count == 1 && db.rows[0].bytes == 100);
}

static void of_a_batch_that_is_partly_known_only_the_rest_counts(void **state)
{
    (void)state;
    hello();
    static struct bytes b;
    b.len = b.count = 0;
    struct event known = tally("192.0.2.0/24", 100), rest = tally("192.0.2.0/24", 7);
    send_one(&known, 1);
    add(&b, &known);
    add(&b, &rest);
    queue_bytes(&b, 1);
    loop_turn(&loop, 0);
    assert_acked(2);
    assert_true(db.event_count == 2 && db.rows[0].bytes == 107);
    assert_true(counter_get(&counters, COUNTER_events_repeated) == 1);
}

static void a_batch_before_hello_is_asked_again(void **state)
{
    (void)state;
    net_answer = keep_answer;
    struct event e = tally("192.0.2.0/24", 100);
    send_one(&e, 1);
    assert_int_equal(last_answer.kind, WIRE_AGAIN);
    assert_true(db.event_count == 0);
    assert_true(counter_get(&counters, COUNTER_batches_refused) == 1);
}

static void queue_epoch(uint64_t epoch, const struct event *e, uint64_t seq)
{
    static struct bytes b;
    b.len = b.count = 0;
    add(&b, e);
    net_queue("ams1", &(struct wire_message){.kind = WIRE_BATCH,
                                             .epoch = epoch,
                                             .first_seq = seq,
                                             .count = b.count,
                                             .events = b.data,
                                             .events_len = b.len});
    loop_turn(&loop, 0);
}

static void an_older_epoch_goes_on_from_its_own_mark_after_a_restart(void **state)
{
    (void)state;
    hello();
    struct event e = tally("192.0.2.0/24", 100);
    send_one(&e, 1);
    send_one(&e, 2);
    hello_epoch(EPOCH - 1, 1);
    loop_turn(&loop, 0);
    assert_true(last_answer.kind == WIRE_WELCOME && last_answer.seq == 0);
    queue_epoch(EPOCH - 1, &e, 1);
    assert_true(last_answer.kind == WIRE_ACK && last_answer.seq == 1);
    kill_and_start();
    queue_epoch(EPOCH - 1, &e, 1); /* a repeat */
    assert_true(last_answer.kind == WIRE_ACK && last_answer.seq == 1);
    hello();
    assert_true(last_answer.kind == WIRE_WELCOME && last_answer.seq == 2);
    send_one(&e, 2); /* a repeat */
    assert_acked(2);
    send_one(&e, 3);
    assert_acked(3);
    assert_true(db.event_count == 4 && db.rows[0].bytes == 400);
    assert_true(db.epoch_count == 2 && db.sensors[0].epoch == EPOCH);
}

/* A standby that took over without what its primary had acknowledged last. */
static void what_a_failover_lost_is_sent_again_or_becomes_a_gap(void **state)
{
    (void)state;
    static struct db before;
    hello();
    struct event e = tally("192.0.2.0/24", 100);
    for (uint64_t seq = 1; seq <= 10; seq++) {
        send_one(&e, seq);
        if (seq == 4)
            before = db;
    }
    assert_acked(10);
    db = before;
    send_one(&e, 11); /* refused: it is not what was read */
    loop_turn(&loop, 0);
    assert_int_equal(last_answer.kind, WIRE_AGAIN);
    hello_epoch(EPOCH, 8); /* the rest was acknowledged, and let go of */
    loop_turn(&loop, 0);
    assert_true(last_answer.kind == WIRE_WELCOME && last_answer.seq == 7);
    for (uint64_t seq = 8; seq <= 11; seq++)
        send_one(&e, seq);
    assert_acked(11);
    assert_true(db.event_count == 8 && db.rows[0].bytes == 800);
    assert_true(db.gap_count == 1 && db.gaps[0].from_seq == 5 && db.gaps[0].to_seq == 7);
}

static void one_bad_event_is_set_aside_and_the_rest_goes_on(void **state)
{
    (void)state;
    hello();
    static struct bytes b;
    b.len = b.count = 0;
    struct event good = tally("192.0.2.0/24", 100), bad = good;
    bad.tally.ingress.vlan = 70000;
    add(&b, &good);
    add(&b, &bad);
    b.data[b.len++] = 0x80; /* an empty map: msgpack, but no event */
    b.count++;
    add(&b, &good);
    queue_bytes(&b, 1);
    loop_turn(&loop, 0);
    assert_acked(4);
    assert_true(db.event_count == 2 && db.rows[0].bytes == 200);
    assert_true(db.events[1].seq == 4);
    assert_true(db.malformed_count == 2);
    assert_true(db.malformed[0].seq == 2 && db.malformed[1].seq == 3);
    assert_true(db.malformed[1].len == 1);
    assert_true(counter_get(&counters, COUNTER_events_malformed) == 2);
}

static void a_tail_that_cannot_be_read_blocks_nothing(void **state)
{
    (void)state;
    hello();
    static struct bytes b;
    b.len = b.count = 0;
    struct event good = tally("192.0.2.0/24", 100);
    add(&b, &good);
    b.data[b.len++] = 0xc1; /* never used in msgpack */
    b.data[b.len++] = 0x00;
    b.count += 3;
    queue_bytes(&b, 1);
    loop_turn(&loop, 0);
    assert_acked(4);
    assert_true(db.malformed_count == 1 && db.malformed[0].seq == 2 && db.malformed[0].len == 2);
    assert_true(counter_get(&counters, COUNTER_events_malformed) == 3);
    send_one(&good, 5);
    assert_acked(5);
    assert_true(db.event_count == 2);
}

/* ---- what is said of it ---- */

struct said {
    FILE *file;
    int before;
};

static struct said listen_from(enum log_level level)
{
    struct said s = {.file = tmpfile(), .before = dup(STDERR_FILENO)};
    assert_non_null(s.file);
    dup2(fileno(s.file), STDERR_FILENO);
    log_level_set(level);
    return s;
}

/* Lines with that text in them; *others: without. */
static unsigned heard(struct said *s, const char *text, unsigned *others)
{
    char line[512];
    unsigned n = 0;
    *others = 0;
    dup2(s->before, STDERR_FILENO);
    close(s->before);
    rewind(s->file);
    while (fgets(line, sizeof line, s->file) != NULL)
        *(strstr(line, text) != NULL ? &n : others) += 1;
    fclose(s->file);
    return n;
}

/* Else whoever sends rubbish writes the operator's log full. */
static void a_batch_of_rubbish_is_one_line_in_the_log(void **state)
{
    (void)state;
    hello();
    static struct bytes b;
    b.len = b.count = 0;
    for (; b.count < DB_GAPS; b.count++)
        b.data[b.len++] = 0x80;
    queue_bytes(&b, 1);
    unsigned others;
    struct said said = listen_from(LOG_LEVEL_WARN);
    loop_turn(&loop, 0);
    assert_int_equal(heard(&said, "event=set_aside sensor=ams1 seq=1 ", &others), 1);
    assert_int_equal(others, 0);
    assert_acked(DB_GAPS);
    assert_int_equal(db.malformed_count, DB_GAPS);
}

/* Of traffic that only adds to that of a prefix at home. */
static void a_move_that_is_refused_is_told_and_counted_once_and_is_no_history(void **state)
{
    (void)state;
    hello();
    uint64_t seq = 0;
    unsigned others, changes = 0;
    struct said said = listen_from(LOG_LEVEL_INFO);
    for (unsigned minute = 0; minute < 360; minute++) {
        struct event usual = tally("192.0.2.0/24", 100000), flood = tally("192.0.2.0/24", 500000);
        snprintf(flood.tally.ingress.router, sizeof flood.tally.ingress.router, "r 2");
        send_one(&usual, ++seq);
        if (minute == 125) /* that both places appeared is history */
            changes = db.changes;
        if (minute >= 120)
            send_one(&flood, ++seq);
        now += 60 * (int64_t)NS_PER_S;
    }
    assert_int_equal(heard(&said,
                           "event=move_refused prefix=192.0.2.0/24 from=\"AMS/r1/\" "
                           "to=\"AMS/r 2/\" state=unverified share=0.",
                           &others),
                     1);
    assert_int_equal(counter_get(&counters, COUNTER_map_moves_refused), 1);
    assert_int_equal(db.changes, changes);
}

static void bytes_behind_the_last_event_are_set_aside(void **state)
{
    (void)state;
    hello();
    static struct bytes b;
    b.len = b.count = 0;
    struct event good = tally("192.0.2.0/24", 100);
    add(&b, &good);
    b.data[b.len++] = 0x80;
    queue_bytes(&b, 1);
    loop_turn(&loop, 0);
    assert_acked(1);
    assert_true(db.event_count == 1 && db.malformed_count == 1 && db.malformed[0].len == 1);
}

static const struct ingress_row *db_row(const char *prefix)
{
    struct prefix p;
    assert_int_equal(prefix_parse(prefix, &p), 0);
    for (size_t i = 0; i < db.row_count; i++)
        if (prefix_equal(&db.rows[i].prefix, &p))
            return &db.rows[i];
    return NULL;
}

static void a_test_speaks_for_every_row_below_its_prefix(void **state)
{
    (void)state;
    hello();
    struct event before = tally("10.1.0.0/24", 5), after = tally("10.1.1.0/24", 5),
                 other = tally("10.2.0.0/24", 5),
                 ended = test_ended("10.1.0.0/16", VERDICT_GENUINE);
    send_one(&before, 1);
    send_one(&other, 2);
    send_one(&ended, 3);
    send_one(&after, 4);
    assert_int_equal(db_row("10.1.0.0/16")->state, STATE_GENUINE);
    assert_int_equal(db_row("10.1.0.0/24")->state, STATE_GENUINE);
    assert_true(db_row("10.1.0.0/24")->tests == 1);
    assert_int_equal(db_row("10.1.1.0/24")->state, STATE_GENUINE);
    assert_int_equal(db_row("10.2.0.0/24")->state, STATE_UNVERIFIED);
}

static void a_passive_test_is_kept_and_changes_nothing_in_the_map(void **state)
{
    (void)state;
    expect_at("10.2.0.0/24", "FRA");
    hello();
    struct event seen = tally("10.1.0.0/24", 5),
                 proven = test_ended("10.3.0.0/24", VERDICT_SPOOFED),
                 ended = test_ended("10.1.0.0/16", VERDICT_INCONCLUSIVE),
                 lying = test_ended("10.2.0.0/24", VERDICT_GENUINE), again = ended;
    struct event began = {.at = now, .type = EVENT_test_started};
    began.test_started = (struct event_test_started){.mode = TEST_PASSIVE,
                                                     .prefix = ended.test_ended.prefix,
                                                     .ingress = ended.test_ended.ingress,
                                                     .started_at = now};
    ended.test_ended.mode = lying.test_ended.mode = again.test_ended.mode = TEST_PASSIVE;
    again.test_ended.prefix = proven.test_ended.prefix;
    send_one(&seen, 1);
    send_one(&proven, 2);
    send_one(&began, 3);
    send_one(&ended, 4);
    send_one(&again, 5);
    send_one(&lying, 6);
    assert_int_equal(db_row("10.1.0.0/24")->state, STATE_UNVERIFIED);
    assert_true(db_row("10.1.0.0/24")->tests == 0 && !db_row("10.1.0.0/24")->has_evidence);
    assert_int_equal(db_row("10.3.0.0/24")->state, STATE_SPOOFED);
    assert_true(db_row("10.3.0.0/24")->tests == 1);
    assert_null(db_row("10.1.0.0/16"));
    assert_null(db_row("10.2.0.0/24")); /* whatever it says, and where it was not expected */
    assert_int_equal(db.alert_count, 0);
    assert_int_equal(db.event_count, 6);
}

static void genuine_traffic_at_the_wrong_place_becomes_an_alert_and_spoofed_does_not(void **state)
{
    (void)state;
    expect_at("192.0.2.0/24", "FRA");
    expect_at("198.51.100.0/24", "FRA");
    hello();
    struct event genuine = test_ended("192.0.2.0/24", VERDICT_GENUINE),
                 spoofed = test_ended("198.51.100.0/24", VERDICT_SPOOFED);
    send_one(&genuine, 1);
    send_one(&spoofed, 2);
    assert_true(db.alert_count == 1 && db.announced == 1);
    assert_int_equal(db.alerts[0].state, ALERT_PENDING);
    assert_string_equal(db.alerts[0].expected, "[{\"pop\":\"FRA\"}]");
    now += 6 * (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    assert_int_equal(db.alerts[0].state, ALERT_FIRING);
    assert_true(db.alert_count == 1 && db.announced == 2);
    assert_true(counter_get(&counters, COUNTER_alerts) == 2);
}

/* A person's word, as SQL counts it. */
static void say(enum alert_state state, const char *by)
{
    db.alerts[0].state = state;
    db.alerts[0].words++;
    snprintf(db.alerts[0].acknowledged_by, sizeof db.alerts[0].acknowledged_by, "%s", by);
    db_heard = HEARD_ALERT_WORD;
    loop_turn(&loop, 0);
}

static void what_a_person_says_of_an_alert_is_heard_and_told(void **state)
{
    (void)state;
    expect_at("192.0.2.0/24", "FRA");
    hello();
    struct event genuine = test_ended("192.0.2.0/24", VERDICT_GENUINE);
    send_one(&genuine, 1);
    now += 6 * (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    unsigned told = db.announced;
    say(ALERT_ACKNOWLEDGED, "ann");
    assert_int_equal(db.alerts[0].state, ALERT_ACKNOWLEDGED);
    assert_int_equal(db.announced, told + 1);
    kill_and_start();
    loop_turn(&loop, 0);
    assert_int_equal(db.alerts[0].state, ALERT_ACKNOWLEDGED);
    say(ALERT_FIRING, "");
    assert_int_equal(db.alerts[0].state, ALERT_FIRING);
}

static void an_alert_in_a_window_of_maintenance_is_suppressed_and_comes_out_after_it(void **state)
{
    (void)state;
    expect_at("192.0.2.0/24", "FRA");
    hello();
    db_window = (struct alert_window){
        .id = 7, .from = now, .to = now + 60 * (int64_t)NS_PER_S, .kind = "ingress_unexpected"};
    db_heard = HEARD_ALERT_WORD;
    loop_turn(&loop, 0);
    struct event genuine = test_ended("192.0.2.0/24", VERDICT_GENUINE);
    send_one(&genuine, 1);
    now += 6 * (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    assert_int_equal(db.alerts[0].state, ALERT_SUPPRESSED);
    assert_string_equal(db.alerts[0].suppressed_by, "maintenance 7");
    kill_and_start();
    now += 55 * (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    assert_int_equal(db.alerts[0].state, ALERT_FIRING);
    assert_string_equal(db.alerts[0].suppressed_by, "");
}

static size_t alerts_of(const char *kind)
{
    size_t n = 0;
    for (size_t i = 0; i < db.alert_count; i++)
        n += strcmp(db.alerts[i].kind, kind) == 0;
    return n;
}

static void an_alert_survives_a_restart_and_is_not_raised_twice(void **state)
{
    (void)state;
    expect_at("192.0.2.0/24", "FRA");
    hello();
    struct event genuine = test_ended("192.0.2.0/24", VERDICT_GENUINE);
    send_one(&genuine, 1);
    for (int64_t minute = 1; minute < 30; minute++) { /* its traffic goes on */
        now += 60 * (int64_t)NS_PER_S;
        struct event seen = tally("192.0.2.0/24", 5);
        send_one(&seen, 1 + (uint64_t)minute);
        kill_and_start();
        hello();
    }
    assert_int_equal(db.alerts[0].state, ALERT_FIRING);
    assert_int_equal(alerts_of("ingress_unexpected"), 1);
    now += 601 * (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    assert_int_equal(db.alerts[0].state, ALERT_RESOLVED);
    kill_and_start();
    loop_turn(&loop, 0);
    assert_int_equal(alerts_of("ingress_unexpected"), 1);
}

static void a_new_policy_is_applied_to_rows_that_are_there(void **state)
{
    (void)state;
    hello();
    struct event genuine = test_ended("192.0.2.0/24", VERDICT_GENUINE);
    send_one(&genuine, 1);
    assert_int_equal(db.rows[0].expected, EXPECTED_UNKNOWN);
    expect_at("192.0.2.0/24", "FRA");
    loop_expect_changed(&loop);
    loop_turn(&loop, 0);
    assert_int_equal(db.rows[0].expected, EXPECTED_NO);
    assert_string_equal(db.rows[0].expected_by, "policy");
    assert_int_equal(db.alerts[0].state, ALERT_PENDING);
    expect_clear(&policy);
    loop_expect_changed(&loop);
    loop_turn(&loop, 0);
    assert_int_equal(db.rows[0].expected, EXPECTED_UNKNOWN);
    assert_int_equal(db.alerts[0].state, ALERT_RESOLVED);
}

/* For hours the state stands; then nothing is left of it, and its last test is still told of. */
static void evidence_that_nobody_renews_is_forgotten(void **state)
{
    (void)state;
    hello();
    struct event ended = test_ended("10.1.0.0/24", VERDICT_GENUINE);
    int64_t tested_at = now;
    send_one(&ended, 1);
    for (unsigned hour = 0; hour < 40; hour++) {
        now += 3600 * (int64_t)NS_PER_S;
        loop_turn(&loop, 0);
    }
    assert_int_equal(db_row("10.1.0.0/24")->state, STATE_GENUINE);
    for (unsigned hour = 0; hour < 10; hour++) {
        now += 3600 * (int64_t)NS_PER_S;
        loop_turn(&loop, 0);
    }
    assert_int_equal(db_row("10.1.0.0/24")->state, STATE_UNVERIFIED);
    assert_false(db_row("10.1.0.0/24")->has_evidence);
    assert_true(db_row("10.1.0.0/24")->last_test_at == tested_at);
    assert_true(db_row("10.1.0.0/24")->genuine_since == 0);
}

static void passive_sums_move_a_probability_and_nothing_else(void **state)
{
    (void)state;
    hello();
    struct event seen = tally("10.1.0.0/24", 5), sums = {.at = now, .type = EVENT_passive_total};
    sums.passive_total = (struct event_passive_total){.ended_at = now + 3600 * (int64_t)NS_PER_S,
                                                      .ingress = seen.tally.ingress,
                                                      .likelihood_ratio = 40};
    assert_int_equal(prefix_parse("10.0.0.0/8", &sums.passive_total.prefix), 0);
    send_one(&seen, 1);
    send_one(&sums, 2);
    const struct ingress_row *row = db_row("10.1.0.0/24");
    assert_int_equal(row->state, STATE_UNVERIFIED);
    assert_true(row->has_evidence && row->tests == 0);
    assert_true(row->genuine_probability > 0.5 &&
                row->genuine_probability <= EVIDENCE_PASSIVE_MAX + 1e-9);
    assert_true(row->evidence_at == now); /* not when a clock that is ahead says */
    assert_null(db_row("10.0.0.0/8"));
}

static void a_silent_sensor_is_written_down(void **state)
{
    (void)state;
    hello();
    now += 61 * (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    assert_int_equal(db.sensors[0].state, SENSOR_SILENT);
}

static void a_silent_sensor_is_an_alert_until_it_is_heard_of_again(void **state)
{
    (void)state;
    hello();
    now += 61 * (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    assert_int_equal(alerts_of("sensor_silent"), 1);
    assert_int_equal(db.alerts[0].state, ALERT_PENDING);
    assert_string_equal(db.alerts[0].sensor, db.sensors[0].name);
    kill_and_start();
    now += 6 * (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    assert_int_equal(db.alerts[0].state, ALERT_FIRING);
    hello();
    loop_turn(&loop, 0);
    assert_int_equal(db.alerts[0].state, ALERT_RESOLVED);
    assert_int_equal(db.alert_count, 1);
}

static void a_sensor_that_was_deleted_from_the_database_is_silent_no_more(void **state)
{
    (void)state;
    hello();
    now += 61 * (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    assert_int_equal(alerts_of("sensor_silent"), 1);
    db.sensor_count = 0;
    kill_and_start();
    loop_turn(&loop, 0);
    assert_int_equal(db.alerts[0].state, ALERT_RESOLVED);
}

static void a_sensor_that_forgot_its_goodbye_leaves_a_gap(void **state)
{
    (void)state;
    hello();
    hello_epoch(EPOCH + 5, 1);
    loop_turn(&loop, 0);
    assert_true(db.gap_count == 1 && db.gaps[0].epoch == EPOCH && db.gaps[0].to_seq == 0);
}

static void a_clock_that_was_ahead_does_not_hold_the_map_in_the_future(void **state)
{
    (void)state;
    hello();
    struct event ahead = tally("192.0.2.0/24", 100), verdict = test_ended("192.0.2.0/24", 0);
    ahead.tally.ended_at = verdict.test_ended.ended_at = now + 365 * 86400 * (int64_t)NS_PER_S;
    verdict.test_ended.verdict = VERDICT_SPOOFED;
    send_one(&ahead, 1);
    send_one(&verdict, 2);
    assert_true(db.rows[0].last_seen == now && db.rows[0].last_test_at == now);
    assert_int_equal(counters.value[COUNTER_events_ahead], 0); /* their `at` is right */
    now += 2 * (int64_t)NS_PER_S;                              /* the clock is right again */
    struct event elsewhere = tally("192.0.2.0/24", 300);
    elsewhere.tally.ingress.vlan = 7;
    send_one(&elsewhere, 3);
    assert_true(db.rows[0].share < 0.3 && db.rows[1].share > 0.7);
    verdict = test_ended("192.0.2.0/24", VERDICT_GENUINE);
    send_one(&verdict, 4);
    assert_int_equal(db.rows[0].state, STATE_GENUINE);
}

static struct event test_started(const char *prefix)
{
    struct event e = {.at = now, .type = EVENT_test_started};
    e.test_started.started_at = now;
    snprintf(e.test_started.ingress.router, sizeof e.test_started.ingress.router, "r1");
    assert_int_equal(prefix_parse(prefix, &e.test_started.prefix), 0);
    return e;
}

static void a_test_that_died_with_its_sensor_does_not_run_for_ever(void **state)
{
    (void)state;
    hello();
    hello_of("ams2");
    struct event below = tally("10.1.0.0/24", 5), mine = test_started("10.1.0.0/16"),
                 other = test_started("10.2.0.0/16");
    send_one(&below, 1);
    send_one(&mine, 2);
    send_of("ams2", &other, 1);
    assert_int_equal(db_row("10.1.0.0/24")->state, STATE_TESTING);
    kill_and_start(); /* the collector, too: it must be in the database */
    hello_epoch(EPOCH + 5, 1);
    loop_turn(&loop, 0);
    assert_int_equal(db_row("10.1.0.0/24")->state, STATE_UNVERIFIED);
    assert_int_equal(db_row("10.1.0.0/16")->state, STATE_UNVERIFIED);
    assert_int_equal(db_row("10.2.0.0/16")->state, STATE_TESTING);
    now += 61 * (int64_t)NS_PER_S; /* and that one never comes back */
    loop_turn(&loop, 0);
    assert_int_equal(db_row("10.2.0.0/16")->state, STATE_UNVERIFIED);
}

/* A sensor whose clock is a year behind, and then a year ahead: what was said by a right one
 * stands. But first_seen goes back, for what comes late may have been the first. */
static void a_sensor_whose_clock_is_wrong_moves_no_time_of_the_map(void **state)
{
    (void)state;
    const int64_t year = 365 * 86400 * (int64_t)NS_PER_S;
    hello();
    struct event right = test_ended("192.0.2.0/24", VERDICT_GENUINE), wrong = right;
    send_one(&right, 1);
    const struct ingress_row *row = db_row("192.0.2.0/24");
    int64_t seen_at = row->last_seen, since = row->genuine_since;
    wrong.at -= year;
    wrong.test_ended.started_at -= year;
    wrong.test_ended.ended_at -= year;
    wrong.test_ended.verdict = VERDICT_SPOOFED;
    send_one(&wrong, 2);
    struct event old = tally("192.0.2.0/24", 5);
    old.at -= year;
    old.tally.started_at = old.tally.ended_at = old.at;
    old.tally.ingress = right.test_ended.ingress;
    send_one(&old, 3);
    assert_true(row->state == STATE_GENUINE && row->last_seen == seen_at &&
                row->genuine_since == since && row->last_test_at == right.test_ended.ended_at);
    assert_true(row->first_seen == old.at);
    assert_int_equal(counters.value[COUNTER_events_ahead], 0);
    old.at = now + year;
    old.tally.started_at = old.tally.ended_at = old.at;
    send_one(&old, 4);
    now += (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    assert_true(row->last_seen < now);
    assert_int_equal(counters.value[COUNTER_events_ahead], 1);
}

/* ---- a clock that is set ---- */

static const struct ingress_row *seen(const char *prefix, uint64_t seq)
{
    struct event e = tally(prefix, 5);
    send_one(&e, seq);
    return db_row(prefix);
}

/* A day ahead, a day back, for good or not: nobody fell silent, no alert ends or begins by it. */
static void a_clock_that_jumps_a_day_raises_and_ends_nothing(void **state)
{
    const int64_t day = 86400 * (int64_t)NS_PER_S;
    const int64_t jumps[] = {day, -day};
    for (size_t i = 0; i < 2; i++) {
        teardown(state);
        setup(state);
        expect_at("192.0.2.0/24", "FRA");
        expect_at("198.51.100.0/24", "FRA");
        hello();
        struct event genuine = test_ended("192.0.2.0/24", VERDICT_GENUINE),
                     later = test_ended("198.51.100.0/24", VERDICT_GENUINE);
        send_one(&genuine, 1);
        now += 6 * (int64_t)NS_PER_S;
        send_one(&later, 2);
        assert_int_equal(db.alerts[0].state, ALERT_FIRING);
        assert_int_equal(db.alerts[1].state, ALERT_PENDING);
        clock_off = jumps[i];
        for (int second = 0; second < 4; second++) {
            now += (int64_t)NS_PER_S;
            loop_turn(&loop, 0);
            assert_int_equal(db.sensors[0].state, SENSOR_UP);
            assert_int_equal(db.alerts[0].state, ALERT_FIRING);
            assert_int_equal(db.alerts[1].state, ALERT_PENDING);
        }
        now += 2 * (int64_t)NS_PER_S; /* the hold-down is over */
        loop_turn(&loop, 0);
        assert_int_equal(db.alerts[1].state, ALERT_FIRING);
        assert_true(db.alert_count == 2 && db.gap_count == 0);
        now += 61 * (int64_t)NS_PER_S; /* and real silence is still noticed */
        loop_turn(&loop, 0);
        assert_int_equal(db.sensors[0].state, SENSOR_SILENT);
        now += 600 * (int64_t)NS_PER_S;
        loop_turn(&loop, 0);
        assert_int_equal(db.alerts[0].state, ALERT_RESOLVED);
    }
}

/* What was seen by a clock that was ahead must not outweigh what is seen after it was set. */
static void entries_of_a_clock_that_was_ahead_do_not_stand_in_the_future(void **state)
{
    (void)state;
    const int64_t day = 86400 * (int64_t)NS_PER_S;
    hello();
    clock_off = day;
    loop_turn(&loop, 0);
    struct event spoofed = test_ended("192.0.2.0/24", VERDICT_SPOOFED);
    spoofed.test_ended.started_at += day; /* the sensor's clock is the same */
    spoofed.test_ended.ended_at += day;
    send_one(&spoofed, 1);
    assert_true(db_row("192.0.2.0/24")->last_test_at == now + day);
    now += (int64_t)NS_PER_S;
    clock_off = 0;
    loop_turn(&loop, 0);
    const struct ingress_row *row = db_row("192.0.2.0/24");
    assert_true(row->last_test_at == now && row->last_seen == now && row->weight_at == now);
    now += (int64_t)NS_PER_S;
    struct event genuine = test_ended("192.0.2.0/24", VERDICT_GENUINE);
    send_one(&genuine, 2);
    assert_int_equal(db_row("192.0.2.0/24")->state, STATE_GENUINE);
    assert_int_equal(seen("192.0.2.0/24", 3)->state, STATE_GENUINE);
    int64_t last = db_row("192.0.2.0/24")->last_seen;
    clock_off = -day; /* set back while the collector is down */
    kill_and_start();
    loop_turn(&loop, 0);
    assert_true(db_row("192.0.2.0/24")->last_seen == last); /* time goes on as it went */
    loop_believe_clock(&loop);
    loop_turn(&loop, 0);
    assert_true(db_row("192.0.2.0/24")->last_seen == now - day);
}

static void turns(unsigned minutes)
{
    for (unsigned i = 0; i < minutes; i++) {
        now += 60 * (int64_t)NS_PER_S;
        loop_turn(&loop, 0);
    }
}

/* The clock is a year ahead for some minutes: what was proven stays proven, and no month is
 * dropped. Only when that lasts it is so late. */
static void nothing_grows_old_by_a_clock_that_is_in_doubt(void **state)
{
    (void)state;
    hello();
    struct event genuine = test_ended("192.0.2.0/24", VERDICT_GENUINE);
    send_one(&genuine, 1);
    const struct ingress_row *row = db_row("192.0.2.0/24");
    int64_t proven_at = row->evidence_at;
    clock_off = 365 * 86400 * (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    assert_true(counters.value[COUNTER_clock_in_doubt] == 1 &&
                counters.value[COUNTER_clock_jumps] == 1);
    unsigned months = db_months_looked_at;
    turns(30);
    kill_and_start(); /* who heard nobody since knows no better after a restart */
    assert_int_equal(counters.value[COUNTER_clock_in_doubt], 1);
    turns(30);
    assert_true(row->state == STATE_GENUINE && row->evidence_at == proven_at);
    assert_int_equal(db_months_looked_at, months);
    clock_off = 0;
    turns(61);
    assert_true(row->state == STATE_GENUINE && row->evidence_at == proven_at);
    assert_int_equal(counters.value[COUNTER_clock_in_doubt], 0);
    assert_true(db_months_looked_at > months);
    clock_off = 365 * 86400 * (int64_t)NS_PER_S;
    turns(59);
    assert_int_equal(row->state, STATE_GENUINE);
    turns(2);
    assert_int_equal(row->state, STATE_UNVERIFIED);
}

/* A day back for some minutes: what is held is not drawn back, so it does not age a day too much
 * when the clock is right again; and it goes on to age. */
static void a_clock_that_is_set_back_for_a_while_changes_nothing(void **state)
{
    (void)state;
    hello();
    struct event genuine = test_ended("192.0.2.0/24", VERDICT_GENUINE);
    send_one(&genuine, 1);
    const struct ingress_row *row = db_row("192.0.2.0/24");
    int64_t proven_at = row->evidence_at;
    clock_off = -86400 * (int64_t)NS_PER_S;
    turns(30);
    struct event later = test_ended("198.51.100.0/24", VERDICT_GENUINE);
    send_one(&later, 2);
    assert_true(db_row("198.51.100.0/24")->evidence_at == now);
    clock_off = 0;
    turns(3);
    assert_true(row->evidence_at == proven_at && counters.value[COUNTER_clock_jumps] == 0);
}

/* A window of maintenance is not over because the clock says so, while it is not believed. */
static void maintenance_goes_on_while_the_clock_is_in_doubt(void **state)
{
    (void)state;
    db_window = (struct alert_window){
        .id = 7, .from = now, .to = now + 7200 * (int64_t)NS_PER_S, .pop = "AMS"};
    db_heard = HEARD_ALERT_WORD;
    expect_at("192.0.2.0/24", "FRA");
    hello();
    clock_off = 86400 * (int64_t)NS_PER_S;
    struct event genuine = test_ended("192.0.2.0/24", VERDICT_GENUINE);
    send_one(&genuine, 1);
    turns(2);
    assert_int_equal(db.alerts[0].state, ALERT_SUPPRESSED);
    loop_believe_clock(&loop);
    turns(1);
    assert_int_equal(db.alerts[0].state, ALERT_FIRING);
}

static void an_outage_of_the_database_makes_no_sensor_silent_and_ends_no_alert(void **state)
{
    (void)state;
    expect_at("192.0.2.0/24", "FRA");
    hello();
    struct event genuine = test_ended("192.0.2.0/24", VERDICT_GENUINE);
    send_one(&genuine, 1);
    now += 6 * (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    assert_int_equal(db.alerts[0].state, ALERT_FIRING);
    db_is_away = true;
    now += (int64_t)NS_PER_S;
    struct event e = tally("192.0.2.0/24", 5);
    send_one(&e, 2);
    now += 3600 * (int64_t)NS_PER_S; /* an hour later it is back */
    db_is_away = false;
    loop_turn(&loop, 0);
    loop_turn(&loop, 0);
    assert_true(atomic_load(&loop.is_loaded));
    assert_int_equal(db.sensors[0].state, SENSOR_UP);
    assert_int_equal(db.alerts[0].state, ALERT_FIRING);
    now += 61 * (int64_t)NS_PER_S;
    loop_turn(&loop, 0);
    assert_int_equal(db.sensors[0].state, SENSOR_SILENT);
}

static void while_the_database_is_away_nothing_is_taken_or_answered(void **state)
{
    (void)state;
    hello();
    db_is_away = true;
    struct event e = tally("192.0.2.0/24", 5);
    answers = 0;
    for (uint64_t seq = 1; seq <= 3; seq++)
        send_one(&e, seq);
    assert_int_equal(answers, 0);
    assert_false(atomic_load(&loop.is_loaded));
    db_is_away = false;
    loop.has_failed = false;
    loop_turn(&loop, 0);
    assert_true(answers == 1 && last_answer.kind == WIRE_AGAIN);
    hello();
    assert_true(last_answer.kind == WIRE_WELCOME && last_answer.seq == 0);
    for (uint64_t seq = 1; seq <= 3; seq++)
        send_one(&e, seq);
    assert_acked(3);
    assert_int_equal(db.event_count, 3);
}

static void many_sensors_share_the_window(void **state)
{
    (void)state;
    net_answer = keep_answer;
    for (unsigned i = 1; i <= ROSTER_MAX; i++) {
        struct sensor_row row = {.epoch = 1, .last_seen = now, .state = SENSOR_UP};
        snprintf(row.name, sizeof row.name, "s%u", i);
        if (i > 1)
            assert_int_equal(roster_load(loop.fold.roster, &row), 0);
        if (i != 1 && i != 256 && i != 512 && i != ROSTER_MAX)
            continue;
        hello();
        assert_true(last_answer.credit == (i <= 256 ? 64 : i == 512 ? 32 : LOOP_CREDIT_MIN));
    }
}

/* ---- sensors that keep to wire.h, a network that loses answers, a database that fails ---- */

enum { SENSORS = 3, EVENTS = 1500 };

static struct sim {
    char name[WIRE_NAME];
    uint64_t sent, acked; /* last sent, last acknowledged */
    bool is_welcome;
} sims[SENSORS];
static struct prf coin;

static void sim_answer(const char *sensor, const struct wire_message *m)
{
    if (prf_below(&coin, 8) == 0)
        return; /* lost with its connection */
    for (int i = 0; i < SENSORS; i++) {
        struct sim *s = &sims[i];
        if (strcmp(s->name, sensor) != 0)
            continue;
        assert_int_not_equal(m->kind, WIRE_REFUSE);
        if (m->kind == WIRE_AGAIN)
            s->is_welcome = false;
        if (m->kind != WIRE_WELCOME && m->kind != WIRE_ACK)
            continue;
        if (m->seq > s->acked)
            s->acked = m->seq;
        if (m->kind == WIRE_ACK)
            continue;
        s->is_welcome = true;
        s->sent = m->seq;
    }
}

static uint64_t bytes_of(int sensor, uint64_t seq)
{
    return 1 + seq * 7 % 13 + (uint64_t)sensor;
}

static void sim_step(int i)
{
    struct sim *s = &sims[i];
    if (!s->is_welcome) {
        struct wire_message m = {
            .kind = WIRE_HELLO, .version = WIRE_VERSION, .epoch = EPOCH, .first_seq = s->acked + 1};
        snprintf(m.pop, sizeof m.pop, "POP%d", i);
        net_queue(s->name, &m);
        return;
    }
    /* Nobody acknowledged, or just like that: from there again, in batches cut elsewhere. */
    if (s->sent == EVENTS || prf_below(&coin, 10) == 0)
        s->sent = s->acked;
    static struct bytes b;
    b.len = b.count = 0;
    uint64_t first = s->sent + 1, n = 1 + prf_below(&coin, 40);
    for (; n > 0 && s->sent < EVENTS; n--) {
        struct event e =
            tally(s->sent % 2 ? "192.0.2.0/24" : "2001:db8::/48", bytes_of(i, s->sent + 1));
        add(&b, &e);
        s->sent++;
    }
    struct wire_message m = {.kind = WIRE_BATCH,
                             .epoch = EPOCH,
                             .first_seq = first,
                             .count = b.count,
                             .events = b.data,
                             .events_len = b.len};
    if (b.count > 0)
        net_queue(s->name, &m);
}

/* Nothing that a sensor believes acknowledged may be missing in the database. */
static void assert_acked_is_committed(void)
{
    for (int i = 0; i < SENSORS; i++)
        for (size_t k = 0; k < db.sensor_count; k++)
            if (strcmp(db.sensors[k].name, sims[i].name) == 0)
                assert_true(sims[i].acked <= db.sensors[k].last_seq);
}

static void assert_each_event_is_there_once(void)
{
    static uint8_t seen[SENSORS][EVENTS + 1];
    memset(seen, 0, sizeof seen);
    for (size_t k = 0; k < db.event_count; k++)
        seen[db.events[k].sensor[1] - '0'][db.events[k].seq]++;
    uint64_t sums[SENSORS] = {0};
    for (int i = 0; i < SENSORS; i++)
        for (uint64_t seq = 1; seq <= EVENTS; seq++) {
            assert_int_equal(seen[i][seq], 1);
            sums[i] += bytes_of(i, seq);
        }
    for (size_t k = 0; k < db.row_count; k++)
        sums[db.rows[k].pop[3] - '0'] -= db.rows[k].bytes;
    for (int i = 0; i < SENSORS; i++)
        assert_true(sums[i] == 0);
    assert_true(db.row_count == 2 * SENSORS);
    assert_true(db.gap_count == 0);
}

static void whatever_fails_each_event_counts_exactly_once(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        doors_reset();
        kill_and_start();
        coin = prf_init(seed, 0);
        net_answer = sim_answer;
        unsigned failures = 0;
        memset(sims, 0, sizeof sims);
        for (int i = 0; i < SENSORS; i++)
            snprintf(sims[i].name, sizeof sims[i].name, "s%d", i);
        for (int step = 0; step < 20000; step++) {
            bool is_done = true;
            for (int i = 0; i < SENSORS; i++) {
                is_done = is_done && sims[i].acked == EVENTS;
                if (sims[i].acked < EVENTS && prf_below(&coin, 2) == 0)
                    sim_step(i);
            }
            if (is_done)
                break;
            if (prf_below(&coin, 10) == 0)
                db_fail_at = 1 + (int)prf_below(&coin, 60);
            db_lose_commit = prf_below(&coin, 10) == 0;
            loop.has_failed = false; /* no pauses: this test has no second to spare */
            failures += !atomic_load(&loop.is_loaded);
            loop_turn(&loop, 0);
            now += (int64_t)NS_PER_MS;
            assert_acked_is_committed();
            if (prf_below(&coin, 50) == 0) {
                db_fail_at = 0;
                kill_and_start();
            }
        }
        assert_true(failures > 5);
        assert_each_event_is_there_once();
    }
}

static void a_sensor_too_many_is_refused_and_not_written(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROSTER_MAX; i++) {
        struct sensor_row row = {.epoch = 1, .last_seen = now, .state = SENSOR_UP};
        snprintf(row.name, sizeof row.name, "s%u", i);
        assert_int_equal(roster_load(loop.fold.roster, &row), 0);
    }
    hello();
    assert_int_equal(last_answer.kind, WIRE_REFUSE);
    assert_int_equal(db.sensor_count, 0);
    assert_int_equal(loop.fold.sensors_refused, 0); /* told by the tick of the same turn */
}

int main(void)
{
#define PROMISE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        PROMISE(a_hello_is_welcomed_with_the_committed_mark),
        PROMISE(an_event_is_acknowledged_once_it_is_committed),
        PROMISE(what_waits_is_committed_together),
        PROMISE(a_group_is_bounded),
        PROMISE(while_another_collector_writes_who_comes_is_told_and_may_come_again),
        PROMISE(a_session_that_ends_while_nothing_is_written_is_noticed_in_the_next_turn),
        PROMISE(what_others_say_in_sql_is_looked_at_in_the_turn_that_hears_it),
        PROMISE(nothing_is_answered_when_the_commit_fails),
        PROMISE(a_commit_of_which_nobody_knows_counts_once),
        PROMISE(a_commit_that_takes_place_late_counts_once),
        PROMISE(a_late_commit_of_one_sensor_is_not_lost_to_another_at_the_same_place),
        PROMISE(killed_between_commit_and_ack_the_repeat_is_skipped),
        PROMISE(of_a_batch_that_is_partly_known_only_the_rest_counts),
        PROMISE(a_batch_before_hello_is_asked_again),
        PROMISE(an_older_epoch_goes_on_from_its_own_mark_after_a_restart),
        PROMISE(what_a_failover_lost_is_sent_again_or_becomes_a_gap),
        PROMISE(one_bad_event_is_set_aside_and_the_rest_goes_on),
        PROMISE(a_batch_of_rubbish_is_one_line_in_the_log),
        PROMISE(a_move_that_is_refused_is_told_and_counted_once_and_is_no_history),
        PROMISE(a_tail_that_cannot_be_read_blocks_nothing),
        PROMISE(bytes_behind_the_last_event_are_set_aside),
        PROMISE(a_test_speaks_for_every_row_below_its_prefix),
        PROMISE(a_passive_test_is_kept_and_changes_nothing_in_the_map),
        PROMISE(genuine_traffic_at_the_wrong_place_becomes_an_alert_and_spoofed_does_not),
        PROMISE(an_alert_survives_a_restart_and_is_not_raised_twice),
        PROMISE(a_new_policy_is_applied_to_rows_that_are_there),
        PROMISE(evidence_that_nobody_renews_is_forgotten),
        PROMISE(passive_sums_move_a_probability_and_nothing_else),
        PROMISE(a_silent_sensor_is_written_down),
        PROMISE(what_a_person_says_of_an_alert_is_heard_and_told),
        PROMISE(an_alert_in_a_window_of_maintenance_is_suppressed_and_comes_out_after_it),
        PROMISE(a_silent_sensor_is_an_alert_until_it_is_heard_of_again),
        PROMISE(a_sensor_that_was_deleted_from_the_database_is_silent_no_more),
        PROMISE(a_sensor_that_forgot_its_goodbye_leaves_a_gap),
        PROMISE(a_sensor_whose_clock_is_wrong_moves_no_time_of_the_map),
        PROMISE(a_clock_that_was_ahead_does_not_hold_the_map_in_the_future),
        PROMISE(a_test_that_died_with_its_sensor_does_not_run_for_ever),
        PROMISE(whatever_fails_each_event_counts_exactly_once),
        PROMISE(a_sensor_too_many_is_refused_and_not_written),
        PROMISE(a_clock_that_jumps_a_day_raises_and_ends_nothing),
        PROMISE(entries_of_a_clock_that_was_ahead_do_not_stand_in_the_future),
        PROMISE(nothing_grows_old_by_a_clock_that_is_in_doubt),
        PROMISE(a_clock_that_is_set_back_for_a_while_changes_nothing),
        PROMISE(maintenance_goes_on_while_the_clock_is_in_doubt),
        PROMISE(an_outage_of_the_database_makes_no_sensor_silent_and_ends_no_alert),
        PROMISE(while_the_database_is_away_nothing_is_taken_or_answered),
        PROMISE(many_sensors_share_the_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
