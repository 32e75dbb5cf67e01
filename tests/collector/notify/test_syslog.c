/* Syslog to a Unix socket, over UDP and over TCP; receivers that go away and come back. */
#include "tests/support/feed_lab.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct feed_conf syslog_to(const char *address)
{
    struct feed_conf f = {
        .type = FEED_SYSLOG, .name = "s", .from = FEED_FROM_START, .facility = 16};
    snprintf(f.address, sizeof f.address, "%s", address);
    return f;
}

static int bound_unix(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    assert_true(len < sizeof at.sun_path);
    memcpy(at.sun_path, path, len + 1);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* On loopback; port 0: any, and *port says which. */
static int bound_inet(int type, uint16_t *port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*port)};
    socklen_t len = sizeof in;
    int one = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 4), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static ssize_t received(int fd, char *out, size_t size)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    ssize_t n = recv(fd, out, size - 1, 0);
    out[n < 0 ? 0 : n] = '\0';
    return n;
}

/* The event_id of the next message. */
static long next_id(int fd)
{
    char text[2048];
    assert_true(received(fd, text, sizeof text) > 0);
    const char *id = strstr(text, "event_id=\"");
    assert_non_null(id);
    assert_memory_equal(text, "<130>1 ", 7);
    return strtol(id + strlen("event_id=\""), NULL, 10);
}

static void a_unix_socket_that_is_replaced_hears_what_it_missed(void **state)
{
    struct feed_lab *lab = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/log", lab->folder.path);
    int fd = bound_unix(path);
    struct feed_conf f = syslog_to(path);
    list_journal_add(&lab->list, 1, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    assert_int_equal(next_id(fd), 1);
    assert_true(list_journal_wait(&lab->list, "s", 1));
    close(fd);
    unlink(path);
    list_journal_add(&lab->list, 2, "firing", NULL);
    list_journal_add(&lab->list, 3, "firing", NULL);
    WAIT_UNTIL(list_journal_saved(&lab->list, "s").failure[0] != '\0');
    fd = bound_unix(path);
    assert_int_equal(next_id(fd), 2);
    assert_int_equal(next_id(fd), 3);
    assert_true(list_journal_wait(&lab->list, "s", 3));
    close(fd);
}

/* Its queue is full: the socket says so, and nothing is thrown away. */
static void a_unix_socket_that_nobody_reads_holds_only_this_feed_back(void **state)
{
    struct feed_lab *lab = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/log", lab->folder.path);
    int fd = bound_unix(path);
    struct feed_conf f = syslog_to(path);
    for (unsigned i = 1; i <= 200; i++)
        list_journal_add(&lab->list, i, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    for (long i = 1; i <= 200; i++)
        assert_int_equal(next_id(fd), i);
    assert_true(list_journal_wait(&lab->list, "s", 200));
    close(fd);
}

static void udp_has_a_message_per_datagram(void **state)
{
    struct feed_lab *lab = *state;
    uint16_t port = 0;
    char address[64];
    int fd = bound_inet(SOCK_DGRAM, &port);
    snprintf(address, sizeof address, "udp://127.0.0.1:%u", port);
    struct feed_conf f = syslog_to(address);
    list_journal_add(&lab->list, 1, "firing", NULL);
    list_journal_add(&lab->list, 2, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    assert_int_equal(next_id(fd), 1);
    assert_int_equal(next_id(fd), 2);
    close(fd);
}

/* "LEN MESSAGE" (RFC 6587); the next event_id of the stream. */
static long next_of_stream(int fd)
{
    char text[2048], digit;
    size_t len = 0;
    while (recv(fd, &digit, 1, MSG_WAITALL) == 1 && digit != ' ')
        len = len * 10 + (size_t)(digit - '0');
    assert_true(len > 0 && len < sizeof text);
    assert_int_equal(recv(fd, text, len, MSG_WAITALL), len);
    text[len] = '\0';
    const char *id = strstr(text, "event_id=\"");
    assert_non_null(id);
    return strtol(id + strlen("event_id=\""), NULL, 10);
}

static int accepted(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

static void tcp_counts_octets_and_comes_back_after_the_receiver_was_away(void **state)
{
    struct feed_lab *lab = *state;
    uint16_t port = 0;
    char address[64];
    int door = bound_inet(SOCK_STREAM, &port);
    snprintf(address, sizeof address, "tcp://127.0.0.1:%u", port);
    struct feed_conf f = syslog_to(address);
    list_journal_add(&lab->list, 1, "firing", NULL);
    list_journal_add(&lab->list, 2, "firing", NULL);
    feed_lab_start(lab, &f, 1);
    int fd = accepted(door);
    assert_int_equal(next_of_stream(fd), 1);
    assert_int_equal(next_of_stream(fd), 2);
    assert_true(list_journal_wait(&lab->list, "s", 2));
    close(fd);
    close(door);
    list_journal_add(&lab->list, 3, "firing", NULL);
    list_journal_add(&lab->list, 4, "firing", NULL);
    WAIT_UNTIL(list_journal_saved(&lab->list, "s").failure[0] != '\0');
    door = bound_inet(SOCK_STREAM, &port);
    fd = accepted(door);
    assert_int_equal(next_of_stream(fd), 3);
    assert_int_equal(next_of_stream(fd), 4);
    assert_true(list_journal_wait(&lab->list, "s", 4));
    close(fd);
    close(door);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(a_unix_socket_that_is_replaced_hears_what_it_missed),
        LAB_TEST(a_unix_socket_that_nobody_reads_holds_only_this_feed_back),
        LAB_TEST(udp_has_a_message_per_datagram),
        LAB_TEST(tcp_counts_octets_and_comes_back_after_the_receiver_was_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
