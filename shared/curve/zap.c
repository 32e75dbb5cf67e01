#include "shared/curve/zap.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <zmq.h>

#define ENDPOINT "inproc://zeromq.zap.01"

int zap_open(void *context, void **out)
{
    int linger = 0;
    void *zap = zmq_socket(context, ZMQ_REP);
    if (zap == NULL)
        return -zmq_errno();
    zmq_setsockopt(zap, ZMQ_LINGER, &linger, sizeof linger);
    if (zmq_bind(zap, ENDPOINT) != 0) {
        int err = -zmq_errno();
        zmq_close(zap);
        return err;
    }
    *out = zap;
    return 0;
}

void zap_close(void *zap)
{
    if (zap == NULL)
        return;
    zmq_unbind(zap, ENDPOINT); /* free at once; closing alone does it some time later */
    zmq_close(zap);
}

/* One frame, as text; length, or -1: there is none, or it is too long. */
static int frame(void *socket, char *to, size_t size)
{
    int more = 0;
    size_t len = sizeof more;
    if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &len) != 0 || more == 0)
        return -1;
    int got = zmq_recv(socket, to, size - 1, ZMQ_DONTWAIT);
    if (got < 0 || (size_t)got >= size)
        return -1;
    to[got] = '\0';
    return got;
}

static void skip_rest(void *socket)
{
    char rest[256];
    int more = 1;
    size_t len = sizeof more;
    while (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &len) == 0 && more != 0 &&
           zmq_recv(socket, rest, sizeof rest, ZMQ_DONTWAIT) >= 0) {
    }
}

/* version, id, domain, address, routing id, mechanism, credentials */
bool zap_next(void *zap, struct zap_question *q)
{
    char version[8], domain[256], routing[256], mechanism[16], key[64];
    memset(q, 0, sizeof *q);
    int len = zmq_recv(zap, version, sizeof version, ZMQ_DONTWAIT);
    if (len < 0)
        return false;
    int id_len = frame(zap, q->id, sizeof q->id);
    q->id_len = id_len > 0 ? (size_t)id_len : 0;
    bool is_whole =
        frame(zap, domain, sizeof domain) >= 0 && frame(zap, q->address, sizeof q->address) >= 0 &&
        frame(zap, routing, sizeof routing) >= 0 && frame(zap, mechanism, sizeof mechanism) >= 0;
    if (is_whole && strcmp(mechanism, "CURVE") == 0 && frame(zap, key, sizeof key) == 32)
        zmq_z85_encode(q->key, (const uint8_t *)key, 32);
    skip_rest(zap);
    return true;
}

static void send_text(void *socket, const char *text)
{
    zmq_send(socket, text, strlen(text), ZMQ_DONTWAIT | ZMQ_SNDMORE);
}

/* version, id, status, reason, user id, metadata */
void zap_answer(void *zap, const struct zap_question *q, bool yes)
{
    send_text(zap, "1.0");
    zmq_send(zap, q->id, q->id_len, ZMQ_DONTWAIT | ZMQ_SNDMORE);
    send_text(zap, yes ? "200" : "400");
    send_text(zap, yes ? "OK" : "this key is not allowed here");
    send_text(zap, yes ? q->key : "");
    zmq_send(zap, "", 0, ZMQ_DONTWAIT);
}
