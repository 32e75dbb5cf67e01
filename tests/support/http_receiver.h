/* An HTTP or HTTPS server that keeps what is posted to it, and answers as it is told. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define RECEIVER_POSTS 512
#define RECEIVER_PEM   4096

struct http_receiver {
    pthread_mutex_t lock;
    void *daemon;
    uint16_t port;
    unsigned status;             /* of every answer; 200: it is kept */
    char refused[64];            /* a body that contains it is answered 400; "": none is */
    char *posts[RECEIVER_POSTS]; /* those that were answered 200 */
    unsigned count, refusals, asked;
    char header[64];                                   /* of the last request: Authorization */
    char certificate[RECEIVER_PEM], key[RECEIVER_PEM]; /* PEM; "": without TLS */
};

/* From its next opening on it speaks TLS with these, two files of PEM. */
void http_receiver_secure(struct http_receiver *r, const char *certificate, const char *key);
/* port 0: any. -1: it cannot listen. */
int http_receiver_open(struct http_receiver *r, uint16_t port);
void http_receiver_close(struct http_receiver *r); /* keeps the posts */
void http_receiver_clear(struct http_receiver *r);

void http_receiver_answer(struct http_receiver *r, unsigned status);
unsigned http_receiver_count(struct http_receiver *r);
unsigned http_receiver_asked(struct http_receiver *r);
/* Until so many were taken; false after ten seconds. */
bool http_receiver_wait(struct http_receiver *r, unsigned count);
