/* Asked over a raw socket, as a scraper asks. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/http/http.h"

static bool is_well;

static void print(void *ctx, FILE *out)
{
    fprintf(out, "penstock_%s_total 7\n", (const char *)ctx);
}

static bool healthy(void *ctx, char *reason, size_t size)
{
    (void)ctx;
    snprintf(reason, size, "worker 0 has ended");
    return is_well;
}

static struct http_conf conf_for(const char *listen)
{
    return (struct http_conf){listen, print, healthy, (void *)(uintptr_t) "packets"};
}

static int setup(void **state)
{
    is_well = true;
    struct http_conf conf = conf_for("127.0.0.1:0");
    struct http *h;
    struct note note = {0};
    assert_int_equal(http_open(&conf, &h, &note), 0);
    *state = h;
    return 0;
}

static int teardown(void **state)
{
    http_close(*state);
    return 0;
}

/* Sends the request and reads all of the answer. */
static void ask(struct http *h, const char *request, char *answer, size_t size)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(http_port(h))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    size_t used = 0;
    ssize_t n;
    while (used + 1 < size && (n = read(fd, answer + used, size - 1 - used)) > 0)
        used += (size_t)n;
    answer[used] = '\0';
    close(fd);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void metrics_are_what_the_callback_prints(void **state)
{
    char answer[4096];
    ask(*state, GET("/metrics"), answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 200"));
    assert_non_null(strstr(answer, "text/plain"));
    assert_non_null(strstr(answer, "\r\n\r\npenstock_packets_total 7\n"));
}

static void health_is_200_or_503_with_the_reason(void **state)
{
    char answer[4096];
    ask(*state, GET("/healthz"), answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 200"));
    assert_non_null(strstr(answer, "\r\n\r\nok\n"));
    is_well = false;
    ask(*state, GET("/healthz"), answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 503"));
    assert_non_null(strstr(answer, "worker 0 has ended"));
}

static void other_pages_and_other_methods_are_refused(void **state)
{
    char answer[4096];
    ask(*state, GET("/metrics/x"), answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 404"));
    ask(*state, "DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer,
        sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 405"));
    assert_null(strstr(answer, "penstock_packets"));
}

static void an_address_that_is_none_is_explained(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",          "9559",        "127.0.0.1",    "127.0.0.1:",
        "host:9559", "127.0.0.1:x", ":9559",        "127.0.0.1:65536",
        "::1:9559",  "[::1:9559",   "127.0.0.1:80x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct http_conf conf = conf_for(wrong[i]);
        struct http *h;
        struct note note = {0};
        assert_int_equal(http_open(&conf, &h, &note), ERR_CONF);
        assert_non_null(strstr(note.text, "127.0.0.1:9559"));
    }
}

static void a_port_that_is_taken_is_explained(void **state)
{
    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%u", http_port(*state));
    struct http_conf conf = conf_for(listen);
    struct http *h;
    struct note note = {0};
    assert_int_equal(http_open(&conf, &h, &note), ERR_NETWORK);
    assert_non_null(strstr(note.text, listen));
    assert_non_null(strstr(note.text, "another program"));
}

static void an_address_of_another_machine_is_explained(void **state)
{
    (void)state;
    struct http_conf conf = conf_for("192.0.2.1:9559");
    struct http *h;
    struct note note = {0};
    assert_int_equal(http_open(&conf, &h, &note), ERR_NETWORK);
    assert_non_null(strstr(note.text, "no interface"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(metrics_are_what_the_callback_prints),
        TEST(health_is_200_or_503_with_the_reason),
        TEST(other_pages_and_other_methods_are_refused),
        TEST(an_address_that_is_none_is_explained),
        TEST(a_port_that_is_taken_is_explained),
        TEST(an_address_of_another_machine_is_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
