/* A subscriber of a zeromq feed that misses nothing, as docs/feeds.md describes it:
 *
 *     subscriber PUB CATCH_UP LAST >> states.jsonl
 *
 * prints each state once, in order, as a line of JSON. LAST: the event_id it had before; it asks
 * for what came since. A state whose "previous" is not the last that it has, and a heartbeat that
 * is further, mean that something is missing: then it asks again. */
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct subscriber {
    void *states, *past;
    uint64_t last;
};

/* A frame as a string of its own; NULL: nothing came. */
static char *frame(void *socket)
{
    zmq_msg_t m;
    zmq_msg_init(&m);
    char *text = NULL;
    if (zmq_msg_recv(&m, socket, 0) >= 0)
        text = strndup(zmq_msg_data(&m), zmq_msg_size(&m));
    zmq_msg_close(&m);
    return text;
}

static uint64_t number(const json_t *json, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(json, key));
}

/* Those it has already are repeats. */
static void show(struct subscriber *s, const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    if (json != NULL && number(json, "event_id") > s->last) {
        s->last = number(json, "event_id");
        printf("%s\n", text);
        fflush(stdout);
    }
    json_decref(json);
}

/* One question and its answer; true: there is more. false also when nobody answers. */
static bool ask(struct subscriber *s)
{
    char question[64];
    snprintf(question, sizeof question, "since %" PRIu64, s->last);
    zmq_send(s->past, question, strlen(question), 0);
    char *head = frame(s->past);
    json_t *told = head != NULL ? json_loads(head, 0, NULL) : NULL;
    uint64_t count = number(told, "count"), last = number(told, "last");
    bool more = json_is_true(json_object_get(told, "more"));
    for (uint64_t i = 0; i < count; i++) {
        char *text = frame(s->past);
        if (text != NULL)
            show(s, text);
        free(text);
    }
    if (last > s->last)
        s->last = last; /* what is between, this feed does not tell */
    json_decref(told);
    free(head);
    return more;
}

static void catch_up(struct subscriber *s)
{
    while (ask(s))
        ;
}

static void take(struct subscriber *s)
{
    char *topic = frame(s->states), *text = frame(s->states);
    json_t *json = text != NULL ? json_loads(text, 0, NULL) : NULL;
    if (topic != NULL && strcmp(topic, "heartbeat") == 0) {
        if (number(json, "event_id") > s->last)
            catch_up(s);
    } else if (json != NULL) {
        if (number(json, "previous") != s->last)
            catch_up(s);
        show(s, text);
    }
    json_decref(json);
    free(topic);
    free(text);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: subscriber PUB CATCH_UP LAST\n");
        return 2;
    }
    void *context = zmq_ctx_new();
    struct subscriber s = {zmq_socket(context, ZMQ_SUB), zmq_socket(context, ZMQ_REQ),
                           strtoull(argv[3], NULL, 10)};
    int one = 1, wait_ms = 5000;
    zmq_setsockopt(s.past, ZMQ_REQ_RELAXED, &one, sizeof one); /* ask again when nobody answered */
    zmq_setsockopt(s.past, ZMQ_REQ_CORRELATE, &one, sizeof one);
    zmq_setsockopt(s.past, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    zmq_setsockopt(s.states, ZMQ_SUBSCRIBE, "", 0);
    if (zmq_connect(s.states, argv[1]) != 0 || zmq_connect(s.past, argv[2]) != 0) {
        fprintf(stderr, "subscriber: %s\n", zmq_strerror(zmq_errno()));
        return 1;
    }
    catch_up(&s); /* subscribe first, then ask: nothing falls between */
    for (;;)
        take(&s);
}
