#include "shared/http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A scraper or two and an operator's hand; more is somebody else's idea. */
#define CONNECTIONS  16
#define IDLE_SECONDS 10

struct http {
    struct http_conf conf;
    struct MHD_Daemon *daemon;
    uint16_t port;
};

union endpoint {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* "host:port" or "[host]:port" into its two parts; host loses its brackets. */
static bool split(const char *listen, char *host, size_t size, unsigned long *port)
{
    const char *colon = strrchr(listen, ':');
    if (colon == NULL || colon == listen || colon[1] < '0' || colon[1] > '9')
        return false;
    char *end;
    *port = strtoul(colon + 1, &end, 10);
    size_t length = (size_t)(colon - listen);
    bool is_bracketed = listen[0] == '[' && listen[length - 1] == ']';
    if (is_bracketed) {
        listen++;
        length -= 2;
    }
    if (*end != '\0' || *port > 65535 || length >= size)
        return false;
    memcpy(host, listen, length);
    host[length] = '\0';
    return is_bracketed || strchr(host, ':') == NULL;
}

static int endpoint_parse(const char *listen, union endpoint *out, struct note *note)
{
    char host[INET6_ADDRSTRLEN];
    unsigned long port;
    memset(out, 0, sizeof *out);
    if (split(listen, host, sizeof host, &port)) {
        if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
            out->v4.sin_family = AF_INET;
            out->v4.sin_port = htons((uint16_t)port);
            return 0;
        }
        if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
            out->v6.sin6_family = AF_INET6;
            out->v6.sin6_port = htons((uint16_t)port);
            return 0;
        }
    }
    return note_set(note, ERR_CONF,
                    "listen: \"%s\" is not an address and port (as in \"127.0.0.1:9559\" or "
                    "\"[::1]:9559\")",
                    listen);
}

int http_check(const char *listen, struct note *note)
{
    union endpoint at;
    return endpoint_parse(listen, &at, note);
}

/* Our own socket rather than the library's: so that the error is ours to explain. */
static int listen_on(const char *listen_text, uint16_t *port, struct note *note)
{
    union endpoint at;
    int err = endpoint_parse(listen_text, &at, note);
    if (err != 0)
        return err;
    socklen_t size = at.any.sa_family == AF_INET ? sizeof at.v4 : sizeof at.v6;
    int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, &at.any, size) == 0 && listen(fd, CONNECTIONS) == 0 &&
        getsockname(fd, &at.any, &size) == 0) {
        *port = ntohs(at.any.sa_family == AF_INET ? at.v4.sin_port : at.v6.sin6_port);
        return fd;
    }
    err = errno;
    if (fd >= 0)
        close(fd);
    return note_set(note, ERR_NETWORK, "listen: cannot listen on \"%s\": %s%s", listen_text,
                    strerror(err),
                    err == EADDRINUSE      ? " (does another program run here?)"
                    : err == EACCES        ? " (a port below 1024 needs a right that is given up "
                                             "at start: take a higher one)"
                    : err == EADDRNOTAVAIL ? " (no interface of this machine has that address)"
                                           : "");
}

/* Takes text (malloc'd), or frees it when the answer cannot be made. */
static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, char *text, size_t size)
{
    struct MHD_Response *r =
        text != NULL ? MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE) : NULL;
    if (r == NULL) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; version=0.0.4");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result say(struct MHD_Connection *c, unsigned status, const char *sentence)
{
    char *text = NULL;
    int size = asprintf(&text, "%s\n", sentence);
    return size < 0 ? MHD_NO : answer(c, status, text, (size_t)size);
}

static enum MHD_Result metrics(const struct http *h, struct MHD_Connection *c)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        return MHD_NO;
    h->conf.metrics(h->conf.ctx, out);
    fclose(out);
    return answer(c, MHD_HTTP_OK, text, size);
}

static enum MHD_Result health(const struct http *h, struct MHD_Connection *c)
{
    char reason[256] = "not healthy";
    if (h->conf.is_healthy(h->conf.ctx, reason, sizeof reason))
        return say(c, MHD_HTTP_OK, "ok");
    return say(c, MHD_HTTP_SERVICE_UNAVAILABLE, reason);
}

static enum MHD_Result request(void *ctx, struct MHD_Connection *c, const char *url,
                               const char *method, const char *version, const char *upload,
                               size_t *upload_size, void **state)
{
    (void)version, (void)upload, (void)upload_size, (void)state;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return say(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
    if (strcmp(url, "/metrics") == 0)
        return metrics(ctx, c);
    if (strcmp(url, "/healthz") == 0)
        return health(ctx, c);
    return say(c, MHD_HTTP_NOT_FOUND, "only /metrics and /healthz");
}

int http_open(const struct http_conf *conf, struct http **out, struct note *note)
{
    struct http *h = calloc(1, sizeof *h);
    if (h == NULL)
        return note_set(note, -ENOMEM, "listen: no memory for the HTTP server");
    h->conf = *conf;
    h->conf.listen = NULL;
    int fd = listen_on(conf->listen, &h->port, note);
    if (fd < 0) {
        free(h);
        return fd;
    }
    h->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, request, h,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_END);
    if (h->daemon == NULL) {
        close(fd);
        free(h);
        return note_set(note, ERR_NETWORK, "listen: the HTTP server did not start");
    }
    *out = h;
    return 0;
}

void http_close(struct http *h)
{
    if (h == NULL)
        return;
    MHD_stop_daemon(h->daemon);
    free(h);
}

uint16_t http_port(const struct http *h)
{
    return h->port;
}
