/* The least that moves the same bytes encrypted: messages of the delivery protocol from a DEALER to
 * a ROUTER in another process, CURVE with keys by zcert, nothing done with them. One answer ends
 * it. Prints "NAME NUMBER" lines.
 *
 *   bench_curve KIND EVENTS [--plain] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <czmq.h>

#include "shared/base/clock.h"
#include "tests/bench/delivery_events.h"

enum { MESSAGES = 64, TIMEOUT_MS = 20000 };

static struct event events[DELIVERY_EVENTS];
static struct {
    uint8_t bytes[WIRE_MESSAGE_MAX];
    size_t len;
    uint32_t count;
} messages[MESSAGES];

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_curve: %s\n", what);
    exit(1);
}

static void make_messages(void)
{
    uint8_t batch[WIRE_BATCH_BYTES + WIRE_EVENT_MAX];
    size_t first = 0, len;
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct wire_message m = {.kind = WIRE_BATCH, .first_seq = 1 + first, .events = batch};
        m.count = delivery_batch(events, &first, batch, &len);
        m.events_len = len;
        int used = m.count > 0 ? wire_encode(&m, messages[i].bytes, sizeof messages[i].bytes) : -1;
        if (used < 0)
            die("events that cannot be encoded");
        messages[i].len = (size_t)used;
        messages[i].count = m.count;
    }
}

/* The collector's end, in a process of its own: takes the messages, answers the last. */
static void receive_all(int say, zcert_t *own, uint64_t total)
{
    static uint8_t in[WIRE_MESSAGE_MAX];
    uint8_t id[255];
    int id_len = 0;
    zsock_t *s = zsock_new(ZMQ_ROUTER);
    zsock_set_rcvhwm(s, 2 * WIRE_CREDIT);
    zsock_set_linger(s, TIMEOUT_MS); /* the answer must still go out */
    zsock_set_rcvtimeo(s, TIMEOUT_MS);
    if (own != NULL) {
        zsock_set_curve_server(s, 1);
        zcert_apply(own, s);
    }
    if (zsock_bind(s, "tcp://127.0.0.1:*") < 0)
        die("bind");
    char *endpoint = zsock_last_endpoint(s);
    if (write(say, endpoint, strlen(endpoint)) < 0)
        die("telling the endpoint");
    zstr_free(&endpoint);
    for (uint64_t n = 0; n < total; n++) {
        id_len = zmq_recv(zsock_resolve(s), id, sizeof id, 0);
        if (id_len < 0 || zmq_recv(zsock_resolve(s), in, sizeof in, 0) < 0)
            die("receiving");
    }
    zmq_send(zsock_resolve(s), id, (size_t)id_len, ZMQ_SNDMORE);
    zmq_send(zsock_resolve(s), "", 0, 0);
    zsock_destroy(&s);
    zsys_shutdown(); /* waits until the answer is out */
}

static zsock_t *sender(const char *endpoint, zcert_t *own, const char *server_key)
{
    zsock_t *s = zsock_new(ZMQ_DEALER);
    zsock_set_sndhwm(s, 2 * WIRE_CREDIT);
    zsock_set_rcvtimeo(s, TIMEOUT_MS);
    zsock_set_sndtimeo(s, TIMEOUT_MS);
    zsock_set_linger(s, 0);
    if (own != NULL) {
        zcert_apply(own, s);
        zsock_set_curve_serverkey(s, server_key);
    }
    if (zsock_connect(s, "%s", endpoint) < 0)
        die("connect");
    return s;
}

static void send_all(zsock_t *s, uint64_t total, uint64_t *bytes, uint64_t *count)
{
    for (uint64_t n = 0; n < total; n++) {
        unsigned i = (unsigned)(n % MESSAGES);
        if (zmq_send(zsock_resolve(s), messages[i].bytes, messages[i].len, 0) < 0)
            die("sending");
        *bytes += messages[i].len;
        *count += messages[i].count;
    }
    if (zmq_recv(zsock_resolve(s), messages[0].bytes, 1, 0) < 0)
        die("no answer");
}

static double cpu_of(int who)
{
    struct rusage r;
    getrusage(who, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    bool is_plain = argc == 4 && strcmp(argv[3], "--plain") == 0;
    if ((argc != 3 && !is_plain) || !delivery_events(argv[1], events)) {
        fprintf(stderr, "usage: bench_curve drop|tally|mixed EVENTS [--plain]\n");
        return 2;
    }
    make_messages();
    uint64_t total = strtoull(argv[2], NULL, 10) / messages[0].count + 1, bytes = 0, count = 0;
    char endpoint[64] = "";
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");
    zcert_t *server = is_plain ? NULL : zcert_new(), *client = is_plain ? NULL : zcert_new();
    char key[41] = "";
    if (server != NULL)
        snprintf(key, sizeof key, "%s", zcert_public_txt(server));
    pid_t child = fork(); /* before there is any thread of ZeroMQ's */
    if (child == 0) {
        receive_all(ends[1], server, total);
        _exit(0);
    }
    if (read(ends[0], endpoint, sizeof endpoint - 1) <= 0)
        die("no endpoint");
    zsock_t *s = sender(endpoint, client, key);
    uint64_t from = clock_mono_ns();
    send_all(s, total, &bytes, &count);
    double seconds = (double)(clock_mono_ns() - from) / 1e9;
    zsock_destroy(&s);
    zcert_destroy(&server);
    zcert_destroy(&client);
    int status = 0;
    waitpid(child, &status, 0);
    printf("rate %.2f\n", (double)count / seconds / 1e3);
    printf("bytes_rate %.3f\n", (double)bytes / seconds / 1e6);
    printf("cpu %.4f\n", (cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN)) / (double)count * 1e6);
    return status == 0 ? 0 : 1;
}
