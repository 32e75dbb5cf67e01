/* ZeroMQ: publishing, noticing a gap, catching up; with CURVE, and a list of who may subscribe. */
#include "tests/support/feed_lab.h"
#include "tests/support/keyring.h"
#include "tests/support/read_file.h"

#include <zmq.h>

static void *context;

static struct feed_conf zeromq(struct feed_lab *lab)
{
    struct feed_conf f = {
        .type = FEED_ZEROMQ, .name = "z", .from = FEED_FROM_START, .heartbeat_ns = NS_PER_S / 10};
    snprintf(f.listen, sizeof f.listen, "ipc://%s/pub", lab->folder.path);
    snprintf(f.catch_up, sizeof f.catch_up, "ipc://%s/past", lab->folder.path);
    return f;
}

static int set_up(void **state)
{
    context = zmq_ctx_new();
    return feed_lab_open(state);
}

static int tear_down(void **state)
{
    zmq_ctx_term(context);
    return feed_lab_close(state);
}

static void *socket_of(int type)
{
    int linger = 0, wait_ms = 10000;
    void *s = zmq_socket(context, type);
    zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(s, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    return s;
}

static void *connected(int type, const char *endpoint)
{
    void *s = socket_of(type);
    assert_int_equal(zmq_connect(s, endpoint), 0);
    return s;
}

/* The next frame as text; fails after ten seconds. */
static const char *frame(void *s)
{
    static char text[2048];
    int len = zmq_recv(s, text, sizeof text - 1, 0);
    assert_in_range(len, 0, sizeof text - 1);
    text[len] = '\0';
    return text;
}

static json_t *json_frame(void *s)
{
    json_t *json = json_loads(frame(s), 0, NULL);
    assert_non_null(json);
    return json;
}

static long long number(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

/* Subscribes to all, and waits for a heartbeat: from then on nothing is missed. */
static void *subscribed(const struct feed_conf *f)
{
    void *s = connected(ZMQ_SUB, f->listen);
    zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0);
    while (strcmp(frame(s), "heartbeat") != 0)
        frame(s);
    frame(s);
    return s;
}

/* The next state, heartbeats left out; *topic its kind. */
static json_t *next_state(void *s, char topic[static 64])
{
    for (;;) {
        snprintf(topic, 64, "%.63s", frame(s));
        json_t *json = json_frame(s);
        if (strcmp(topic, "heartbeat") != 0)
            return json;
        json_decref(json);
    }
}

static void a_subscriber_hears_the_kind_and_what_came_before(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = zeromq(lab);
    char topic[64];
    feed_lab_start(lab, &f, 1);
    void *s = subscribed(&f);
    list_journal_add(&lab->list, 1, "firing", NULL);
    list_journal_add(&lab->list, 1, "resolved", NULL);
    json_t *first = next_state(s, topic), *second = next_state(s, topic);
    assert_string_equal(topic, "ingress_moved");
    assert_int_equal(number(first, "event_id"), 1);
    assert_int_equal(number(first, "previous"), 0);
    assert_int_equal(number(second, "event_id"), 2);
    assert_int_equal(number(second, "previous"), 1);
    json_decref(first);
    json_decref(second);
    zmq_close(s);
}

static void a_heartbeat_says_how_far_it_is(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = zeromq(lab);
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "z", 1));
    void *s = connected(ZMQ_SUB, f.listen);
    zmq_setsockopt(s, ZMQ_SUBSCRIBE, "heartbeat", 9);
    assert_string_equal(frame(s), "heartbeat");
    json_t *json = json_frame(s);
    assert_int_equal(number(json, "event_id"), 1);
    json_decref(json);
    zmq_close(s);
}

/* Asks, and checks that the states since+1 … come, in order; returns the head. */
static json_t *asked(void *s, const char *question, long long first, long long count)
{
    assert_true(zmq_send(s, question, strlen(question), 0) >= 0);
    json_t *head = json_frame(s);
    assert_int_equal(number(head, "count"), count);
    for (long long i = 0; i < count; i++) {
        json_t *one = json_frame(s);
        assert_int_equal(number(one, "event_id"), first + i);
        json_decref(one);
    }
    return head;
}

static void who_missed_something_asks_for_it(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = zeromq(lab);
    for (unsigned i = 1; i <= 250; i++)
        list_journal_add(&lab->list, i, i == 240 ? "pending" : "firing", NULL);
    feed_lab_start(lab, &f, 1);
    void *s = connected(ZMQ_REQ, f.catch_up);
    json_t *head = asked(s, "since 0", 1, 100);
    assert_int_equal(number(head, "last"), 100);
    assert_int_equal(number(head, "oldest"), 1);
    assert_int_equal(number(head, "newest"), 250);
    assert_true(json_is_true(json_object_get(head, "more")));
    json_decref(head);
    json_decref(asked(s, "since 230 limit 9", 231, 9));
    head = asked(s, "since 240 limit 50", 241, 10);
    assert_false(json_is_true(json_object_get(head, "more")));
    json_decref(head);
    json_decref(asked(s, "since 9999", 0, 0));
    zmq_close(s);
}

static void a_dealer_may_ask_many_times_at_once_and_nonsense_is_answered_too(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = zeromq(lab);
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    assert_true(list_journal_wait(&lab->list, "z", 1));
    void *s = connected(ZMQ_DEALER, f.catch_up);
    for (unsigned i = 0; i < 100; i++)
        assert_true(zmq_send(s, "since 0", 7, 0) >= 0);
    for (unsigned i = 0; i < 100; i++) {
        json_t *head = json_frame(s), *one = json_frame(s);
        assert_int_equal(number(head, "count"), 1);
        assert_int_equal(number(one, "event_id"), 1);
        json_decref(head);
        json_decref(one);
    }
    assert_true(zmq_send(s, "give me all", 11, 0) >= 0);
    json_t *error = json_frame(s);
    assert_non_null(json_object_get(error, "error"));
    json_decref(error);
    zmq_close(s);
}

static void a_subscriber_that_was_away_notices_and_catches_up(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = zeromq(lab);
    char topic[64];
    feed_lab_start(lab, &f, 1);
    void *s = subscribed(&f);
    list_journal_add(&lab->list, 1, "firing", NULL);
    json_decref(next_state(s, topic));
    zmq_close(s);
    for (unsigned i = 2; i <= 4; i++)
        list_journal_add(&lab->list, i, "firing", NULL);
    assert_true(list_journal_wait(&lab->list, "z", 4));
    s = subscribed(&f);
    list_journal_add(&lab->list, 5, "firing", NULL);
    json_t *live = next_state(s, topic);
    assert_int_equal(number(live, "previous"), 4); /* and it had 1 */
    void *past = connected(ZMQ_REQ, f.catch_up);
    json_decref(asked(past, "since 1", 2, 4));
    json_decref(live);
    zmq_close(past);
    zmq_close(s);
}

static void with_curve_only_who_knows_the_collector_hears(void **state)
{
    struct feed_lab *lab = *state;
    struct keyring ring;
    struct curve_key own = {.name = ""};
    keyring_open(&ring);
    assert_int_equal(curve_new(&own), 0);
    struct feed_conf f = zeromq(lab);
    f.catch_up[0] = '\0';
    snprintf(f.listen, sizeof f.listen, "ipc://%s/pub", lab->folder.path);
    f.curve = true;
    snprintf(f.certificate, sizeof f.certificate, "%s", ring.certificate);
    feed_lab_start(lab, &f, 1);
    void *plain = connected(ZMQ_SUB, f.listen), *good = socket_of(ZMQ_SUB);
    zmq_setsockopt(plain, ZMQ_SUBSCRIBE, "", 0);
    zmq_setsockopt(good, ZMQ_SUBSCRIBE, "", 0);
    zmq_setsockopt(good, ZMQ_CURVE_SERVERKEY, ring.collector.public_key, CURVE_TEXT);
    zmq_setsockopt(good, ZMQ_CURVE_PUBLICKEY, own.public_key, CURVE_TEXT);
    zmq_setsockopt(good, ZMQ_CURVE_SECRETKEY, own.secret_key, CURVE_TEXT);
    assert_int_equal(zmq_connect(good, f.listen), 0);
    assert_string_equal(frame(good), "heartbeat");
    char byte;
    assert_int_equal(zmq_recv(plain, &byte, 1, ZMQ_DONTWAIT), -1);
    zmq_close(plain);
    zmq_close(good);
    keyring_close(&ring);
}

/* ---- a list of who may subscribe ---- */

static struct keyring ring;

static struct feed_conf guarded(struct feed_lab *lab)
{
    struct feed_conf f = zeromq(lab);
    keyring_open(&ring);
    f.curve = true;
    snprintf(f.certificate, sizeof f.certificate, "%s", ring.certificate);
    snprintf(f.subscribers, sizeof f.subscribers, "%s", ring.sensors);
    return f;
}

static void *with_key(int type, const struct curve_key *key, const char *endpoint)
{
    void *s = socket_of(type);
    zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, ring.collector.public_key, CURVE_TEXT);
    zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, key->public_key, CURVE_TEXT);
    zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, key->secret_key, CURVE_TEXT);
    if (type == ZMQ_SUB)
        zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0);
    assert_int_equal(zmq_connect(s, endpoint), 0);
    return s;
}

/* Standard error into a file, from here until log_end(), when it has said that. */
static int log_begin(struct feed_lab *lab)
{
    int before = dup(2), fd = open(temp_folder_file(&lab->folder, "log"), O_WRONLY | O_CREAT, 0600);
    log_level_set(LOG_LEVEL_WARN);
    assert_true(before >= 0 && dup2(fd, 2) == 2);
    close(fd);
    return before;
}

static char *log_end(struct feed_lab *lab, int before, const char *awaited)
{
    char *text = NULL;
    for (int i = 0; i < 1000 && (text == NULL || strstr(text, awaited) == NULL); i++) {
        free(text);
        sleep_ms(10);
        text = read_file(temp_folder_file(&lab->folder, "log"));
    }
    dup2(before, 2);
    close(before);
    assert_non_null(text);
    return text;
}

static bool hears_nothing(void *s)
{
    char byte;
    return zmq_recv(s, &byte, 1, ZMQ_DONTWAIT) == -1;
}

/* Until nothing has come for thirty heartbeats: the folder is looked at once a second, so a feed
 * that had no processor for some of them is not taken for one that threw somebody out. */
static void wait_for_silence(void *s)
{
    char text[2048];
    int wait_ms = 3000;
    zmq_setsockopt(s, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    for (int i = 0; i < 1000 && zmq_recv(s, text, sizeof text, 0) >= 0; i++)
        ;
    assert_int_equal(zmq_recv(s, text, sizeof text, ZMQ_DONTWAIT), -1);
}

/* One that is published from now on: so it is connected (again). */
static void wait_for_heartbeat(void *s)
{
    char text[2048];
    while (zmq_recv(s, text, sizeof text, ZMQ_DONTWAIT) >= 0)
        ;
    assert_string_equal(frame(s), "heartbeat");
    frame(s);
}

static void only_who_stands_in_the_folder_subscribes_and_asks(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = guarded(lab);
    struct curve_key one = keyring_new_key("noc", ""), two = keyring_new_key("wall", "");
    char topic[64];
    keyring_allow(&ring, &one);
    int before = log_begin(lab);
    feed_lab_start(lab, &f, 1);
    void *stranger = with_key(ZMQ_SUB, &two, f.listen);
    void *asker = with_key(ZMQ_DEALER, &two, f.catch_up);
    zmq_send(asker, "since 0", 7, 0);
    void *good = with_key(ZMQ_SUB, &one, f.listen);
    void *past = with_key(ZMQ_REQ, &one, f.catch_up);
    assert_string_equal(frame(good), "heartbeat");
    frame(good);
    list_journal_add(&lab->list, 1, "firing", NULL);
    json_decref(next_state(good, topic));
    json_decref(asked(past, "since 0", 1, 1));
    assert_true(hears_nothing(stranger) && hears_nothing(asker));
    char *said = log_end(lab, before, "event=key_refused"),
         *refusal = strstr(said, "event=key_refused");
    assert_non_null(refusal); /* once for both sockets, and all their attempts */
    assert_non_null(strstr(refusal, two.public_key));
    assert_non_null(strstr(refusal, "subscribers does not allow it"));
    assert_null(strstr(refusal + 1, "event=key_refused"));
    free(said);
    /* without a restart: who comes into the folder, and who is taken out of it */
    keyring_allow(&ring, &two);
    void *late = with_key(ZMQ_SUB, &two, f.listen);
    wait_for_heartbeat(late);
    keyring_forbid(&ring, "noc");
    wait_for_silence(good);
    wait_for_heartbeat(late);
    list_journal_add(&lab->list, 2, "firing", NULL);
    json_t *last = next_state(late, topic);
    assert_int_equal(number(last, "event_id"), 2); /* it came back by itself */
    assert_true(hears_nothing(good));
    json_decref(last);
    void *all[] = {stranger, asker, good, past, late};
    for (size_t i = 0; i < 5; i++)
        zmq_close(all[i]);
    notify_stop(lab->notify);
    keyring_close(&ring);
}

static void while_the_folder_is_not_there_nobody_subscribes(void **state)
{
    struct feed_lab *lab = *state;
    struct feed_conf f = guarded(lab);
    struct curve_key own = keyring_new_key("noc", "");
    assert_int_equal(rmdir(ring.sensors), 0);
    feed_lab_start(lab, &f, 1);
    WAIT_UNTIL(strstr(list_journal_saved(&lab->list, "z").failure, "subscribers: ") != NULL);
    void *s = with_key(ZMQ_SUB, &own, f.listen);
    assert_int_equal(mkdir(ring.sensors, 0700), 0);
    keyring_allow(&ring, &own);
    assert_string_equal(frame(s), "heartbeat");
    zmq_close(s);
    notify_stop(lab->notify);
    keyring_close(&ring);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_subscriber_hears_the_kind_and_what_came_before),
        TEST(a_heartbeat_says_how_far_it_is),
        TEST(who_missed_something_asks_for_it),
        TEST(a_dealer_may_ask_many_times_at_once_and_nonsense_is_answered_too),
        TEST(a_subscriber_that_was_away_notices_and_catches_up),
        TEST(with_curve_only_who_knows_the_collector_hears),
        TEST(only_who_stands_in_the_folder_subscribes_and_asks),
        TEST(while_the_folder_is_not_there_nobody_subscribes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
