#include "tests/support/http_receiver.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct body {
    char *text;
    size_t len;
};

static unsigned judge(struct http_receiver *r, struct MHD_Connection *c, struct body *b)
{
    const char *said = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
    pthread_mutex_lock(&r->lock);
    unsigned status = r->status;
    r->asked++;
    snprintf(r->header, sizeof r->header, "%s", said != NULL ? said : "");
    if (r->refused[0] != '\0' && b->text != NULL && strstr(b->text, r->refused) != NULL) {
        status = 400;
        r->refusals++;
    } else if (status == 200 && r->count < RECEIVER_POSTS) {
        r->posts[r->count++] = b->text;
        b->text = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    return status;
}

static enum MHD_Result take(void *ctx, struct MHD_Connection *c, const char *url,
                            const char *method, const char *version, const char *data, size_t *len,
                            void **of_request)
{
    (void)url, (void)method, (void)version;
    struct body *b = *of_request;
    if (b == NULL) {
        *of_request = calloc(1, sizeof *b);
        return MHD_YES;
    }
    if (*len > 0) {
        b->text = realloc(b->text, b->len + *len + 1);
        memcpy(b->text + b->len, data, *len);
        b->len += *len;
        b->text[b->len] = '\0';
        *len = 0;
        return MHD_YES;
    }
    unsigned status = judge(ctx, c, b);
    struct MHD_Response *a =
        MHD_create_response_from_buffer(3, (void *)"so\n", MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result = MHD_queue_response(c, status, a);
    MHD_destroy_response(a);
    return result;
}

static void forget(void *ctx, struct MHD_Connection *c, void **of_request,
                   enum MHD_RequestTerminationCode why)
{
    struct body *b = *of_request;
    (void)ctx, (void)c, (void)why;
    if (b != NULL)
        free(b->text);
    free(b);
}

static void read_pem(const char *path, char to[static RECEIVER_PEM])
{
    FILE *in = fopen(path, "re");
    size_t len = in == NULL ? 0 : fread(to, 1, RECEIVER_PEM - 1, in);
    if (len == 0)
        abort();
    to[len] = '\0';
    fclose(in);
}

void http_receiver_secure(struct http_receiver *r, const char *certificate, const char *key)
{
    read_pem(certificate, r->certificate);
    read_pem(key, r->key);
}

int http_receiver_open(struct http_receiver *r, uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    bool is_secure = r->certificate[0] != '\0';
    const struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, r->certificate},
                                         {MHD_OPTION_HTTPS_MEM_KEY, 0, r->key},
                                         {MHD_OPTION_END, 0, NULL}};
    if (r->count == 0 && r->asked == 0)
        pthread_mutex_init(&r->lock, NULL);
    r->daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | (is_secure ? MHD_USE_TLS : 0), 0, NULL,
                         NULL, take, r, MHD_OPTION_SOCK_ADDR, &at,
                         MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_NOTIFY_COMPLETED,
                         forget, NULL, MHD_OPTION_ARRAY, is_secure ? tls : &tls[2], MHD_OPTION_END);
    if (r->daemon == NULL)
        return -1;
    r->port = MHD_get_daemon_info(r->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    return 0;
}

void http_receiver_close(struct http_receiver *r)
{
    MHD_stop_daemon(r->daemon);
    r->daemon = NULL;
}

void http_receiver_clear(struct http_receiver *r)
{
    for (unsigned i = 0; i < r->count; i++)
        free(r->posts[i]);
    pthread_mutex_destroy(&r->lock);
    memset(r, 0, sizeof *r);
}

void http_receiver_answer(struct http_receiver *r, unsigned status)
{
    pthread_mutex_lock(&r->lock);
    r->status = status;
    pthread_mutex_unlock(&r->lock);
}

unsigned http_receiver_count(struct http_receiver *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned n = r->count;
    pthread_mutex_unlock(&r->lock);
    return n;
}

unsigned http_receiver_asked(struct http_receiver *r)
{
    pthread_mutex_lock(&r->lock);
    unsigned n = r->asked;
    pthread_mutex_unlock(&r->lock);
    return n;
}

bool http_receiver_wait(struct http_receiver *r, unsigned count)
{
    for (int i = 0; i < 1000; i++) {
        if (http_receiver_count(r) >= count)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}
