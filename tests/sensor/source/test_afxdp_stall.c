/* The AF_XDP source from inside: queues that stall, rings that run full, ports that go down, and
 * what the source says about its modes. */
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>
#include <linux/if_link.h>
#include <sys/mman.h>

#include <errno.h>
#include <sys/socket.h>

/* Linux 5.10: these sockets have no recvmsg. */
static bool is_old_kernel;

static ssize_t maybe_recvfrom(int fd, void *to, size_t room, int flags, struct sockaddr *from,
                              socklen_t *size)
{
    errno = EOPNOTSUPP;
    return is_old_kernel ? -1 : recvfrom(fd, to, room, flags, from, size);
}

#define put      put_into_ring /* lab.h has a put() of its own */
#define recvfrom maybe_recvfrom
#include "sensor/source/afxdp.c"
#undef put
#undef recvfrom
#include "tests/sensor/source/lab.h"

#define WATCHED "203.0.113.7"

static struct lab lab;
static struct prefix watched;
static struct bytes segment;

static struct source_conf conf_of_wire(void)
{
    struct source_conf conf = {
        .driver = SOURCE_AF_XDP,
        .interface = "outer",
        .forward = FORWARD_AF_XDP,
        .forward_interface = "inner",
        .tally_v4_length = 24,
        .tally_v6_length = 48,
        .watched = &watched,
        .watched_count = 1,
    };
    snprintf(conf.pin_dir, sizeof conf.pin_dir, "%s", lab.pins);
    return conf;
}

static struct source *start(const struct source_conf *conf)
{
    struct source_group *group;
    struct source *s = NULL;
    struct note note = {0};
    if (source_afxdp.attach(conf, &group, &note) != 0 ||
        source_afxdp.open(group, 0, &s, &note) != 0)
        fail_msg("%s", note.text);
    return s;
}

static void stop(struct source *s, const struct source_conf *conf)
{
    struct source_group *group = s->group;
    source_afxdp.close(s);
    source_afxdp.detach(group);
    assert_int_equal(source_afxdp_remove(conf, NULL), 0);
}

static void send_some(unsigned n)
{
    while (n-- > 0)
        assert_int_equal(send(lab.a, segment.data, segment.len, 0), segment.len);
}

/* What a worker does in a step; returns the frames that it got. */
static unsigned step(struct source *s, enum verdict_frame verdict)
{
    struct frame frames[BURST];
    uint8_t verdicts[BURST];
    memset(verdicts, verdict, sizeof verdicts);
    int n = source_afxdp.recv(s, frames, BURST);
    assert_true(n >= 0);
    source_afxdp.beat(s, clock_mono_ns());
    if (n == 0)
        source_afxdp.wait(s, 5);
    else
        source_afxdp.done(s, frames, verdicts, (unsigned)n);
    return (unsigned)n;
}

static unsigned steps_for(struct source *s, uint64_t ns, enum verdict_frame verdict)
{
    unsigned n = 0;
    for (uint64_t end = clock_mono_ns() + ns; clock_mono_ns() < end;)
        n += step(s, verdict);
    return n;
}

/* Until so many have come, and what else comes at once. */
static unsigned steps_taking(struct source *s, unsigned expected, enum verdict_frame verdict)
{
    unsigned n = 0;
    for (uint64_t end = clock_mono_ns() + 60 * NS_PER_S; n < expected && clock_mono_ns() < end;)
        n += step(s, verdict);
    return n + steps_for(s, 10 * NS_PER_MS, verdict);
}

/* The same at the far end. */
static unsigned arrived(unsigned expected)
{
    struct bytes got;
    unsigned n = 0;
    while (next_like(lab.b, &segment, &got, n < expected ? 60000 : 50) > 0)
        n++;
    return n;
}

/* Chunks that nobody else has: in the fill ring or on the free stack. */
static uint32_t at_hand(struct source *s)
{
    uint32_t ring = s->group->ring;
    return s->umem.free_count + ring - xsk_prod_nb_free(&s->umem.fill, ring);
}

/* ---- a stall, and the way out */

/* Takes frames and gives none back, until the fill ring is empty: as a driver that lost its chunks.
 * From then on the program hands frames over, and none comes. */
static void starve(struct source *s)
{
    struct frame frames[BURST];
    s->umem.free_count = 0;
    for (unsigned i = 0; i < 100 && at_hand(s) > 0; i++) {
        send_some(50);
        usleep(1000);
        while (source_afxdp.recv(s, frames, BURST) > 0)
            ;
    }
    assert_int_equal(at_hand(s), 0);
}

static void a_stalled_queue_is_opened_anew_and_receives_again(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    struct source_stats stats;
    conf.ring = RING_MIN;
    struct source *s = start(&conf);
    send_some(10);
    assert_int_equal(steps_taking(s, 10, FRAME_FORWARD), 10);
    starve(s);
    drain(lab.b);
    uint64_t end = clock_mono_ns() + 60 * NS_PER_S;
    while (s->reopened == 0 && clock_mono_ns() < end) {
        send_some(5);
        steps_for(s, 20 * NS_PER_MS, FRAME_FORWARD);
    }
    assert_int_equal(s->reopened, 1);
    arrived(0);
    send_some(200);
    assert_int_equal(steps_taking(s, 200, FRAME_FORWARD), 200);
    assert_int_equal(arrived(200), 200);
    source_afxdp.stats(s, &stats);
    assert_int_equal(stats.reopened, 1);
    assert_true(stats.missed > 0); /* not forgotten with the old socket */
    stop(s, &conf);
}

/* What goes to the log until end_of_log(). */
static int log_before, log_file;

static void begin_log(void)
{
    log_before = dup(STDERR_FILENO);
    log_file = memfd_create("log", 0);
    assert_true(log_before >= 0 && log_file >= 0);
    fflush(stderr);
    dup2(log_file, STDERR_FILENO);
}

static void end_of_log(char *out, size_t room)
{
    fflush(stderr);
    dup2(log_before, STDERR_FILENO);
    ssize_t n = pread(log_file, out, room - 1, 0);
    out[n > 0 ? n : 0] = '\0';
    close(log_before);
    close(log_file);
}

static void expect_words(const char *log, const char *words)
{
    if (strstr(log, words) == NULL)
        fail_msg("\"%s\" is not in:\n%s", words, log);
}

/* While there is no socket, frames go on; the worker is told how many it did not see, and the
 * operator why, once. */
static void while_it_cannot_be_opened_anew_frames_go_on_in_the_kernel(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    struct source *s = start(&conf);
    char log[8192];
    uint64_t before = source_afxdp.beat(s, clock_mono_ns());
    unsigned ring = s->group->ring;
    s->group->ring = 3; /* the kernel wants a power of two */
    s->is_stuck = true;
    drain(lab.b);
    begin_log();
    for (unsigned tries = 0; tries < 3; tries++) {
        s->reopen_at_ns = 0;
        step(s, FRAME_FORWARD);
    }
    end_of_log(log, sizeof log);
    assert_true(s->is_stuck);
    expect_words(log, "event=queue_stalled if=outer queue=0");
    expect_words(log, "event=reopen_failed if=outer queue=0 reason=\"");
    assert_null(strstr(strstr(log, "reopen_failed") + 1, "reopen_failed"));
    send_some(10);
    assert_int_equal(arrived(10), 10);
    assert_int_equal(source_afxdp.beat(s, clock_mono_ns()), before + 10);
    s->group->ring = ring;
    for (uint64_t end = clock_mono_ns() + 60 * NS_PER_S; s->is_stuck && clock_mono_ns() < end;)
        step(s, FRAME_FORWARD);
    assert_int_equal(s->reopened, 1);
    drain(lab.b);
    send_some(10);
    assert_int_equal(steps_taking(s, 10, FRAME_FORWARD), 10);
    stop(s, &conf);
}

/* A worker that stood still may look stalled, until it reads its ring. */
static void a_queue_that_gives_after_all_is_not_opened_anew(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    struct source *s = start(&conf);
    drain(lab.b);
    send_some(10);
    assert_int_equal(poll(&(struct pollfd){.fd = s->receiver_fd, .events = POLLIN}, 1, 10000), 1);
    s->is_stuck = true;
    assert_int_equal(steps_taking(s, 10, FRAME_FORWARD), 10);
    assert_int_equal(s->reopened, 0);
    assert_int_equal(arrived(10), 10);
    stop(s, &conf);
}

/* The worker let go: from then on nothing may come back into the map. */
static void a_released_queue_is_not_opened_anew(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    struct source *s = start(&conf);
    drain(lab.b);
    s->is_stuck = true;
    source_afxdp.release(s);
    for (unsigned i = 0; i < 50; i++)
        step(s, FRAME_FORWARD);
    send_some(10);
    assert_int_equal(steps_for(s, 100 * NS_PER_MS, FRAME_FORWARD), 0);
    assert_int_equal(arrived(10), 10);
    assert_int_equal(s->reopened, 0);
    stop(s, &conf);
}

static void a_port_that_goes_down_and_up_receives_again(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    struct source *s = start(&conf);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(shell("ip link set %s down", i == 0 ? "outer" : "inner"), 0);
        steps_for(s, 300 * NS_PER_MS, FRAME_FORWARD);
        assert_int_equal(shell("ip link set %s up", i == 0 ? "outer" : "inner"), 0);
        unsigned got = 0;
        for (uint64_t end = clock_mono_ns() + 60 * NS_PER_S; got == 0 && clock_mono_ns() < end;) {
            ssize_t n = send(lab.a, segment.data, segment.len, 0); /* its link comes up, too */
            got += steps_for(s, 20 * NS_PER_MS, FRAME_FORWARD) * (n > 0);
        }
        drain(lab.b);
        send_some(50);
        assert_int_equal(steps_taking(s, 50, FRAME_FORWARD), 50);
        assert_int_equal(arrived(50), 50);
    }
    assert_int_equal(s->reopened, 0);
    stop(s, &conf);
}

static void a_kernel_without_recvmsg_tells_of_the_port_all_the_same(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    struct source_stats stats;
    is_old_kernel = true;
    struct source *s = start(&conf);
    source_afxdp.stats(s, &stats);
    assert_false(s->is_down[XDP_PORT_OUTER]);
    assert_int_equal(shell("ip link set outer down"), 0);
    source_afxdp.stats(s, &stats);
    assert_true(s->is_down[XDP_PORT_OUTER]);
    assert_int_equal(shell("ip link set outer up"), 0);
    source_afxdp.stats(s, &stats);
    assert_false(s->is_down[XDP_PORT_OUTER]);
    is_old_kernel = false;
    stop(s, &conf);
}

/* ---- the fill ring is fed, whatever becomes of the frames */

static void expect_fed(struct source *s)
{
    uint32_t ring = s->group->ring;
    assert_int_equal(ring - xsk_prod_nb_free(&s->umem.fill, ring), ring);
}

static void the_fill_ring_stays_full_while_the_inner_port_is_down(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    conf.ring = RING_MIN;
    struct source *s = start(&conf);
    struct source_stats stats;
    assert_int_equal(shell("ip link set inner down"), 0);
    unsigned taken = 0;
    for (unsigned i = 0; i < 10; i++) { /* twice what all rings hold */
        send_some(200);
        taken += steps_taking(s, 200, i % 2 == 0 ? FRAME_FORWARD : FRAME_DROP);
        expect_fed(s);
    }
    assert_int_equal(taken, 2000);
    source_afxdp.stats(s, &stats);
    assert_int_equal(stats.missed, 0);
    assert_int_equal(at_hand(s) + s->under_way, s->umem.chunks); /* none leaked */
    assert_int_equal(shell("ip link set inner up"), 0);
    for (unsigned i = 0; i < 100 && s->under_way > 0; i++)
        step(s, FRAME_FORWARD);
    drain(lab.b);
    send_some(50);
    assert_int_equal(steps_taking(s, 50, FRAME_FORWARD), 50);
    assert_true(arrived(50) >= 50);
    assert_int_equal(at_hand(s) + s->under_way, s->umem.chunks);
    stop(s, &conf);
}

static void the_fill_ring_stays_full_while_the_tx_ring_is(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    conf.ring = RING_MIN;
    struct source *s = start(&conf);
    int fd = s->sender_fd;
    s->sender_fd = -1; /* nobody sends what stands in the ring */
    unsigned taken = 0;
    for (unsigned i = 0; i < 10; i++) {
        send_some(200);
        taken += steps_taking(s, 200, FRAME_FORWARD);
        expect_fed(s);
    }
    assert_int_equal(taken, 2000);
    assert_int_equal(s->under_way, RING_MIN);
    assert_int_equal(s->refused, 2000 - RING_MIN);
    s->sender_fd = fd;
    s->is_stalled = true;
    for (unsigned i = 0; i < 100 && s->under_way > 0; i++)
        step(s, FRAME_FORWARD);
    assert_int_equal(s->under_way, 0);
    assert_int_equal(at_hand(s), s->umem.chunks);
    assert_int_equal(arrived(RING_MIN), RING_MIN);
    stop(s, &conf);
}

/* ---- options */

static void the_smallest_and_the_largest_ring_work(void **state)
{
    (void)state;
    for (unsigned ring = RING_MIN; ring <= RING_MAX; ring *= RING_MAX / RING_MIN) {
        struct source_conf conf = conf_of_wire();
        conf.ring = ring;
        struct source *s = start(&conf);
        drain(lab.b);
        send_some(100);
        assert_int_equal(steps_taking(s, 100, FRAME_FORWARD), 100);
        assert_int_equal(arrived(100), 100);
        assert_int_equal(s->umem.chunks, 2 * ring);
        stop(s, &conf);
    }
}

static void busy_polling_is_asked_of_the_socket_and_receives(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    conf.busy_poll = true;
    struct source *s = start(&conf);
    int on = 0, us = 0;
    socklen_t size = sizeof on;
    assert_true(s->is_busy_polled);
    assert_int_equal(getsockopt(s->receiver_fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, &size), 0);
    assert_int_equal(getsockopt(s->receiver_fd, SOL_SOCKET, SO_BUSY_POLL, &us, &size), 0);
    assert_int_equal(on, 1);
    assert_int_equal(us, BUSY_POLL_US);
    drain(lab.b);
    send_some(100);
    assert_int_equal(steps_taking(s, 100, FRAME_FORWARD), 100);
    assert_int_equal(arrived(100), 100);
    stop(s, &conf);
}

/* ---- what is said at the start */

/* What a start writes to the log; the source is closed again. */
static void log_of_start(const struct source_conf *conf, char *out, size_t room)
{
    begin_log();
    struct source_group *group = NULL;
    struct source *s = NULL;
    struct note note = {0};
    int err = source_afxdp.attach(conf, &group, &note);
    if (err == 0)
        err = source_afxdp.open(group, 0, &s, &note);
    end_of_log(out, room);
    source_afxdp.close(s);
    source_afxdp.detach(group);
    source_afxdp_remove(conf, NULL);
    if (err != 0 && s == NULL)
        snprintf(out + strlen(out), room - strlen(out), "%s", note.text);
}

static void a_start_says_its_mode_and_why_it_is_no_better(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    char log[8192];
    log_of_start(&conf, log, sizeof log);
    expect_words(log, "event=attach if=outer mode=native mtu=1500");
    expect_words(log, "event=zero_copy_fallback if=outer queue=0 mode=copy reason=");
    expect_words(log, "event=open if=outer queue=0 mode=native zero_copy=no need_wakeup=yes "
                      "busy_poll=no ring=2048 huge_pages=");
    assert_null(strstr(log, "event=port_down"));
    assert_null(strstr(log, "event=mtu_differs"));
}

static void a_port_that_is_down_at_the_start_is_named(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    char log[8192];
    assert_int_equal(shell("ip link set inner down"), 0);
    log_of_start(&conf, log, sizeof log);
    assert_int_equal(shell("ip link set inner up"), 0);
    expect_words(log, "event=port_down if=inner");
    expect_words(log, "ip link set dev inner up");
    assert_null(strstr(log, "event=port_down if=outer"));
}

static void ports_of_different_mtu_are_told_what_will_be_lost(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    char log[8192];
    assert_int_equal(shell("ip link set inner mtu 1400"), 0);
    log_of_start(&conf, log, sizeof log);
    expect_words(log, "event=mtu_differs if=outer mtu=1500 other=inner other_mtu=1400");
    expect_words(log, "packets of more than 1400 bytes that come in at outer are lost");
    assert_int_equal(shell("ip link set inner mtu 1600"), 0);
    log_of_start(&conf, log, sizeof log);
    assert_int_equal(shell("ip link set inner mtu 1500"), 0);
    expect_words(log, "packets of more than 1500 bytes that come in at inner are lost");
}

static void jumbo_frames_are_refused_with_what_to_do(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    char log[8192];
    assert_int_equal(shell("ip link set inner mtu 9000"), 0);
    log_of_start(&conf, log, sizeof log);
    assert_int_equal(shell("ip link set inner mtu 1500"), 0);
    expect_words(log, "forward.interface: the MTU of inner is 9000, but AF_XDP frames hold at most "
                      "3498: ip link set dev inner mtu 3498");
}

/* ---- others at the port */

static void the_dispatcher_of_libxdp_is_named_with_the_way_to_unload_it(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    struct source_group *group;
    struct note note = {0};
    struct bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS},
                              {.code = BPF_JMP | BPF_EXIT}};
    LIBBPF_OPTS(bpf_prog_load_opts, opts);
    int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "xdp_dispatcher", "GPL", pass, 2, &opts);
    int outer = (int)if_nametoindex("outer");
    assert_true(fd >= 0);
    assert_int_equal(bpf_xdp_attach(outer, fd, 0, NULL), 0);
    assert_int_equal(source_afxdp.attach(&conf, &group, &note), ERR_BUSY);
    assert_non_null(strstr(note.text, "outer: libxdp's dispatcher is attached (xdp_dispatcher"));
    assert_non_null(strstr(note.text, "`xdp-loader unload outer --all`"));
    assert_int_equal(bpf_xdp_detach(outer, 0, NULL), 0);
    close(fd);
}

/* By its own loader: behind a dispatcher where the kernel lets libxdp make one, else alone. */
static void a_program_of_xdp_tools_is_refused_by_name(void **state)
{
    (void)state;
    struct source_conf conf = conf_of_wire();
    struct source_group *group;
    struct note note = {0};
    assert_int_equal(shell("mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf"), 0);
    assert_int_equal(shell("xdp-filter load outer >/dev/null 2>&1"), 0);
    int err = source_afxdp.attach(&conf, &group, &note);
    shell("xdp-filter unload outer >/dev/null 2>&1");
    assert_int_equal(err, ERR_BUSY);
    if (strstr(note.text, "libxdp's dispatcher is attached (xdp_dispatcher") == NULL &&
        strstr(note.text, "another XDP program is attached (xdpfilt") == NULL)
        fail_msg("%s", note.text);
}

static int up(void **state)
{
    (void)state;
    prefix_parse("203.0.113.0/24", &watched);
    segment = tcp4(WATCHED, 1000, 80, FLAG_ACK);
    return lab_open(&lab, 1);
}

static int down(void **state)
{
    (void)state;
    return lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stalled_queue_is_opened_anew_and_receives_again),
        cmocka_unit_test(while_it_cannot_be_opened_anew_frames_go_on_in_the_kernel),
        cmocka_unit_test(a_queue_that_gives_after_all_is_not_opened_anew),
        cmocka_unit_test(a_released_queue_is_not_opened_anew),
        cmocka_unit_test(a_port_that_goes_down_and_up_receives_again),
        cmocka_unit_test(a_kernel_without_recvmsg_tells_of_the_port_all_the_same),
        cmocka_unit_test(the_fill_ring_stays_full_while_the_inner_port_is_down),
        cmocka_unit_test(the_fill_ring_stays_full_while_the_tx_ring_is),
        cmocka_unit_test(the_smallest_and_the_largest_ring_work),
        cmocka_unit_test(busy_polling_is_asked_of_the_socket_and_receives),
        cmocka_unit_test(a_start_says_its_mode_and_why_it_is_no_better),
        cmocka_unit_test(a_port_that_is_down_at_the_start_is_named),
        cmocka_unit_test(ports_of_different_mtu_are_told_what_will_be_lost),
        cmocka_unit_test(jumbo_frames_are_refused_with_what_to_do),
        cmocka_unit_test(the_dispatcher_of_libxdp_is_named_with_the_way_to_unload_it),
        cmocka_unit_test(a_program_of_xdp_tools_is_refused_by_name),
    };
    return cmocka_run_group_tests_name("afxdp, stalls", tests, up, down);
}
