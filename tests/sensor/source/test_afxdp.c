/* The AF_XDP source on real (virtual) wires: frames, verdicts, killed processes, clear refusals. */
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>
#include <dirent.h>
#include <grp.h>
#include <limits.h>
#include <linux/if_link.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "sensor/packet/opening.h"
#include "sensor/source/source.h"
#include "shared/base/clock.h"
#include "tests/sensor/source/lab.h"

#define WATCHED   "203.0.113.7"
#define UNWATCHED "192.0.2.7"

static struct lab lab;
static struct prefix watched[2]; /* 203.0.113.0/24 and the lab's own 10.77.0.0/24 */
static struct ingress_table ingress;

static struct source_conf conf_of(enum forward_driver forward)
{
    struct source_conf conf = {
        .driver = SOURCE_AF_XDP,
        .interface = "outer",
        .forward = forward,
        .tally_v4_length = 24,
        .tally_v6_length = 48,
        .ingress = &ingress,
        .watched = watched,
        .watched_count = 1,
    };
    snprintf(conf.pin_dir, sizeof conf.pin_dir, "%s", lab.pins);
    if (forward == FORWARD_AF_XDP)
        snprintf(conf.forward_interface, sizeof conf.forward_interface, "inner");
    return conf;
}

struct running {
    struct source_group *group;
    struct source *source;
};

static struct running start(const struct source_conf *conf)
{
    struct running r = {0};
    struct note note = {0};
    if (source_afxdp.attach(conf, &r.group, &note) != 0 ||
        source_afxdp.open(r.group, 0, &r.source, &note) != 0)
        fail_msg("%s", note.text);
    return r;
}

static void stop(struct running *r)
{
    source_afxdp.close(r->source);
    source_afxdp.detach(r->group);
}

static void stop_and_remove(struct running *r, const struct source_conf *conf)
{
    struct note note = {0};
    stop(r);
    if (source_afxdp_remove(conf, &note) != 0)
        fail_msg("%s", note.text);
}

static void send_frame(int fd, const struct bytes *f)
{
    assert_int_equal(send(fd, f->data, f->len, 0), f->len);
}

/* Receives until a frame like f comes; others are forwarded. 1 or, after half a second, 0. */
static int receive_like(struct source *s, const struct bytes *f, struct frame *out)
{
    uint64_t end = clock_mono_ns() + 500 * NS_PER_MS;
    while (clock_mono_ns() < end) {
        uint8_t forward = FRAME_FORWARD;
        if (source_afxdp.recv(s, out, 1) == 0)
            source_afxdp.wait(s, 10);
        else if (out->len >= 34 && memcmp(out->data, f->data, 34) == 0)
            return 1;
        else
            source_afxdp.done(s, out, &forward, 1);
    }
    return 0;
}

/* ---- frames and verdicts */

static void a_watched_frame_is_lent_and_forwarded_unchanged(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK), got;
    struct frame frame;
    uint8_t verdict = FRAME_FORWARD;
    put_zero(&f, 1300);
    send_frame(lab.a, &f);
    assert_true(receive_like(r.source, &f, &frame));
    assert_int_equal(frame.len, f.len);
    assert_int_equal(frame.wire_len, f.len);
    assert_memory_equal(frame.data, f.data, f.len);
    assert_int_equal(next_like(lab.b, &f, &got, 50), -1); /* not before its verdict */
    source_afxdp.done(r.source, &frame, &verdict, 1);
    assert_int_equal(next_like(lab.b, &f, &got, 60000), f.len);
    assert_memory_equal(got.data, f.data, f.len);
    stop_and_remove(&r, &conf);
}

static void a_frame_with_the_verdict_drop_goes_nowhere(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK), got;
    struct frame frame;
    uint8_t verdict = FRAME_DROP;
    send_frame(lab.a, &f);
    assert_true(receive_like(r.source, &f, &frame));
    source_afxdp.done(r.source, &frame, &verdict, 1);
    assert_int_equal(next_like(lab.b, &f, &got, 100), -1);
    stop_and_remove(&r, &conf);
}

static void unwatched_frames_and_the_way_back_go_in_the_kernel(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct bytes f = tcp4(UNWATCHED, 1000, 80, FLAG_ACK), back = tcp4(WATCHED, 1, 2, FLAG_ACK), got;
    struct frame frame;
    send_frame(lab.a, &f);
    send_frame(lab.b, &back);
    assert_int_equal(next_like(lab.b, &f, &got, 60000), f.len);
    assert_int_equal(next_like(lab.a, &back, &got, 60000), back.len);
    assert_int_equal(source_afxdp.recv(r.source, &frame, 1), 0);
    stop_and_remove(&r, &conf);
}

static void the_watched_prefixes_change_live(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK), g = tcp4(UNWATCHED, 1, 80, FLAG_ACK), got;
    struct prefix other;
    struct frame frame;
    uint8_t verdict = FRAME_DROP;
    assert_int_equal(prefix_parse("192.0.2.0/24", &other), 0);
    assert_int_equal(source_afxdp.watch(r.group, &other, 1, NULL), 0);
    send_frame(lab.a, &f);
    send_frame(lab.a, &g);
    assert_int_equal(next_like(lab.b, &f, &got, 60000), f.len);
    assert_true(receive_like(r.source, &g, &frame));
    source_afxdp.done(r.source, &frame, &verdict, 1);
    assert_int_equal(source_afxdp.watch(r.group, NULL, 0, NULL), 0);
    send_frame(lab.a, &g);
    assert_int_equal(next_like(lab.b, &g, &got, 60000), g.len);
    stop_and_remove(&r, &conf);
}

static void a_mirror_lends_frames_and_forwards_none(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_NONE);
    struct running r = start(&conf);
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK), got;
    struct frame frame;
    uint8_t verdict = FRAME_FORWARD;
    send_frame(lab.a, &f);
    assert_true(receive_like(r.source, &f, &frame));
    source_afxdp.done(r.source, &frame, &verdict, 1);
    assert_int_equal(next_like(lab.b, &f, &got, 100), -1);
    stop_and_remove(&r, &conf);
}

static int mode_of(const char *interface)
{
    LIBBPF_OPTS(bpf_xdp_query_opts, opts);
    assert_int_equal(bpf_xdp_query((int)if_nametoindex(interface), 0, &opts), 0);
    return opts.attach_mode;
}

static void native_mode_is_preferred(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    assert_int_equal(mode_of("outer"), XDP_ATTACHED_DRV);
    assert_int_equal(mode_of("inner"), XDP_ATTACHED_DRV);
    stop_and_remove(&r, &conf);
}

static void skb_mode_and_copy_mode_can_be_asked_for(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    conf.xdp_mode = XDP_MODE_SKB;
    conf.zero_copy = ZERO_COPY_OFF;
    struct running r = start(&conf);
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK), got;
    struct frame frame;
    uint8_t verdict = FRAME_FORWARD;
    assert_int_equal(mode_of("outer"), XDP_ATTACHED_SKB);
    assert_int_equal(mode_of("inner"), XDP_ATTACHED_SKB);
    send_frame(lab.a, &f);
    assert_true(receive_like(r.source, &f, &frame));
    source_afxdp.done(r.source, &frame, &verdict, 1);
    assert_int_equal(next_like(lab.b, &f, &got, 60000), f.len);
    stop_and_remove(&r, &conf);
}

static void send_many(int fd, unsigned n, const struct bytes *f)
{
    struct iovec iov = {.iov_base = (void *)f->data, .iov_len = f->len};
    struct mmsghdr messages[32];
    for (unsigned i = 0; i < 32; i++)
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
    while (n > 0) {
        int sent = sendmmsg(fd, messages, n < 32 ? n : 32, 0);
        if (sent <= 0)
            _exit(1);
        n -= (unsigned)sent;
    }
}

/* Takes all frames that come until there are so many, or the line was quiet for 200 ms; every third
 * is dropped. */
static unsigned serve(struct source *s, unsigned expected, unsigned *forwarded)
{
    unsigned total = 0;
    uint64_t quiet = clock_mono_ns() + 200 * NS_PER_MS;
    while (total < expected && clock_mono_ns() < quiet) {
        struct frame frames[BURST];
        uint8_t verdicts[BURST];
        int n = source_afxdp.recv(s, frames, BURST);
        if (n == 0) {
            source_afxdp.wait(s, 20);
            continue;
        }
        for (int i = 0; i < n; i++) {
            verdicts[i] = total++ % 3 == 0 ? FRAME_DROP : FRAME_FORWARD;
            *forwarded += verdicts[i] == FRAME_FORWARD;
        }
        source_afxdp.done(s, frames, verdicts, (unsigned)n);
        quiet = clock_mono_ns() + 200 * NS_PER_MS;
    }
    return total;
}

static unsigned count_until(int fd, const struct bytes *f, unsigned expected)
{
    struct bytes got;
    unsigned n = 0;
    while (n < expected && next_like(fd, f, &got, expected < UINT_MAX ? 2000 : 200) > 0)
        n++;
    return n;
}

static unsigned count_like(int fd, const struct bytes *f)
{
    return count_until(fd, f, UINT_MAX);
}

static void every_frame_is_accounted_for_and_none_leaks(void **state)
{
    (void)state;
    enum { MANY = 60000 }; /* each chunk is used about fifteen times */
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK);
    struct source_stats stats;
    unsigned forwarded = 0, arrived = 0, taken = 0;
    for (unsigned sent = 0; sent < MANY; sent += 1500) { /* fits the RX ring: none is missed */
        send_many(lab.a, 1500, &f);
        taken += serve(r.source, 1500, &forwarded);
        arrived += count_until(lab.b, &f, forwarded - arrived);
    }
    taken += serve(r.source, UINT_MAX, &forwarded); /* those too many, of all rounds */
    arrived += count_like(lab.b, &f);
    source_afxdp.stats(r.source, &stats);
    assert_int_equal(taken + stats.missed, MANY);
    assert_int_equal(stats.missed, 0);
    assert_int_equal(arrived + stats.transmit_refused, forwarded);
    stop_and_remove(&r, &conf);
}

/* While it is down its TX ring fills, which takes half of the chunks; the other half goes on. */
static void a_wire_whose_inner_port_was_down_starves_not_and_flows_again(void **state)
{
    (void)state;
    enum { MANY = 9000, AFTER = 500 };
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK), g = tcp4("203.0.113.8", 1, 80, FLAG_ACK);
    struct source_stats stats;
    unsigned forwarded = 0, taken = 0, before;
    assert_int_equal(shell("ip link set inner down"), 0);
    for (unsigned sent = 0; sent < MANY; sent += 1500) {
        send_many(lab.a, 1500, &f);
        taken += serve(r.source, 1500, &forwarded);
    }
    assert_int_equal(taken, MANY);
    assert_int_equal(shell("ip link set inner up"), 0);
    for (unsigned sent = 0; sent < AFTER;
         sent += 100) { /* which also pushes out what stood there */
        send_many(lab.a, 100, &g);
        serve(r.source, UINT_MAX, &forwarded);
    }
    source_afxdp.stats(r.source, &stats);
    assert_int_equal(stats.missed, 0);
    assert_int_equal(count_like(lab.b, &f) + stats.transmit_refused, MANY - MANY / 3);
    before = forwarded;
    send_many(lab.a, 100, &g);
    serve(r.source, UINT_MAX, &forwarded);
    assert_in_range(forwarded - before, 60, 70);
    assert_int_equal(count_like(lab.b, &g), forwarded - before);
    stop_and_remove(&r, &conf);
}

/* ---- what the kernel tells */

static void probes_come_bounded_and_in_order(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct packet out[4];
    for (unsigned i = 0; i < 6; i++) {
        struct bytes f = tcp4(UNWATCHED, 2000 + i, 22, FLAG_SYN);
        send_frame(lab.a, &f);
    }
    usleep(50000);
    assert_int_equal(source_afxdp.probes(r.source, out, 4), 4);
    for (unsigned i = 0; i < 4; i++) {
        char text[ADDR_TEXT];
        assert_string_equal(addr_format(&out[i].src, text), UNWATCHED);
        assert_int_equal(out[i].src_port, 2000 + i);
        assert_int_equal(out[i].dst_port, 22);
        assert_int_equal(out[i].protocol, IPPROTO_TCP);
        assert_int_equal(out[i].tcp_flags, TCP_SYN);
        assert_int_equal(out[i].ingress, 1);
    }
    assert_int_equal(source_afxdp.probes(r.source, out, 4), 2);
    assert_int_equal(out[1].src_port, 2005);
    assert_int_equal(source_afxdp.probes(r.source, out, 4), 0);
    stop_and_remove(&r, &conf);
}

static void probes_say_which_kind_of_opening_they_are(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct packet out[8];
    struct bytes frames[] = {tcp4(UNWATCHED, 1, 2, FLAG_FIN), udp4(UNWATCHED, 3, 53),
                             udp4(UNWATCHED, 3, 53), icmp4(UNWATCHED, 8)};
    for (unsigned i = 0; i < 4; i++)
        send_frame(lab.a, &frames[i]);
    usleep(50000);
    assert_int_equal(source_afxdp.probes(r.source, out, 8), 3); /* the UDP flow once */
    assert_int_equal(out[0].opening, OPENING_FIN);
    assert_int_equal(out[1].opening, OPENING_UDP);
    assert_int_equal(out[1].protocol, IPPROTO_UDP);
    assert_int_equal(out[1].dst_port, 53);
    assert_int_equal(out[2].opening, OPENING_ICMP);
    assert_int_equal(out[2].protocol, IPPROTO_ICMP);
    assert_int_equal(out[2].icmp_type, 8);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(out[i].weight, 1);
    stop_and_remove(&r, &conf);
}

static void what_the_kernel_cannot_parse_is_forwarded_and_told_by_its_reason(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct bytes bad = tcp4(WATCHED, 1000, 80, FLAG_ACK), got;
    struct frame frame;
    struct source_stats stats;
    bad.data[46] = 0x10; /* a TCP header of four bytes */
    send_frame(lab.a, &bad);
    assert_int_equal(next_like(lab.b, &bad, &got, 60000), bad.len);
    assert_int_equal(source_afxdp.recv(r.source, &frame, 1), 0);
    source_afxdp.stats(r.source, &stats);
    assert_int_equal(stats.kernel_malformed_bad_tcp, 1);
    assert_int_equal(stats.kernel_malformed_short_ip, 0);
    assert_int_equal(stats.kernel_handed, 0);
    stop_and_remove(&r, &conf);
}

struct sum {
    uint64_t packets, bytes;
    unsigned ingress[3];
};

static void add_cell(void *arg, const struct source_tally *cell)
{
    struct sum *sum = arg;
    struct prefix p;
    if (prefix_parse("192.0.2.0/24", &p) == 0 && prefix_equal(&p, &cell->src)) {
        sum->packets += cell->packets;
        sum->bytes += cell->bytes;
    }
    sum->ingress[cell->ingress] = 1;
}

static void the_tally_loses_no_packet_over_many_generations_under_load(void **state)
{
    (void)state;
    enum { MANY = 400000 };
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct bytes f = tcp4(UNWATCHED, 1000, 80, FLAG_ACK);
    struct sum sum = {0};
    unsigned flips = 0;
    int status = -1;
    pid_t sender = fork();
    if (sender == 0) {
        send_many(lab.a, MANY, &f);
        _exit(0);
    }
    while (waitpid(sender, &status, WNOHANG) == 0) {
        assert_int_equal(source_afxdp.tally(r.group, add_cell, &sum), 0);
        flips++;
    }
    usleep(100000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(source_afxdp.tally(r.group, add_cell, &sum), 0);
    assert_int_equal(status, 0);
    assert_true(flips > 10);
    assert_int_equal(sum.packets, MANY);
    assert_int_equal(sum.bytes, MANY * f.len);
    stop_and_remove(&r, &conf);
}

static void the_configured_ingress_rows_number_the_cells(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct sum sum = {0};
    struct bytes plain = tcp4(UNWATCHED, 1, 2, FLAG_ACK), peer = {0};
    put_ethernet_from(&peer, 7, 0x0800);
    put_ipv4(&peer, UNWATCHED, "198.51.100.1", 6, 20);
    put_tcp(&peer, 1, 2, FLAG_ACK);
    send_frame(lab.a, &peer);
    usleep(50000);
    assert_int_equal(source_afxdp.tally(r.group, add_cell, &sum), 0);
    assert_int_equal(sum.ingress[0], 1);
    assert_int_equal(sum.ingress[1], 0);
    send_frame(lab.a, &plain);
    usleep(50000);
    assert_int_equal(source_afxdp.tally(r.group, add_cell, &sum), 0);
    assert_int_equal(sum.ingress[1], 1);
    stop_and_remove(&r, &conf);
}

/* ---- fail-open */

static uint32_t program_on(const char *interface)
{
    uint32_t id = 0;
    bpf_xdp_query_id((int)if_nametoindex(interface), 0, &id);
    return id;
}

/* A sensor in a process of its own, which forwards everything and counts in shared memory. */
static pid_t sensor_process(const struct source_conf *conf, _Atomic unsigned *frames_seen)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nobody behind */
    struct running r = start(conf);
    for (;;) {
        struct frame frames[BURST];
        static const uint8_t verdicts[BURST] = {FRAME_FORWARD};
        int n = source_afxdp.recv(r.source, frames, BURST);
        if (n == 0)
            source_afxdp.wait(r.source, 100);
        source_afxdp.done(r.source, frames, verdicts, (unsigned)n);
        atomic_fetch_add(frames_seen, (unsigned)n);
    }
}

static void wait_until_above(_Atomic unsigned *value, unsigned than)
{
    for (int i = 0; i < 6000 && atomic_load(value) <= than; i++)
        usleep(10000);
    assert_true(atomic_load(value) > than);
}

static void kill_hard(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

/* Reads iperf3's report per second; the number of seconds with traffic, -1 if one had none. */
static int seconds_with_traffic(FILE *report)
{
    char line[256];
    int seconds = 0;
    while (fgets(line, sizeof line, report) != NULL) {
        double from, to, amount, rate;
        char unit[16];
        if (strstr(line, "sender") != NULL || strstr(line, "receiver") != NULL ||
            sscanf(line, "[%*d] %lf-%lf sec %lf %15s %lf", &from, &to, &amount, unit, &rate) != 5)
            continue;
        if (amount <= 0)
            return -1;
        seconds++;
    }
    return seconds;
}

static void a_transfer_survives_kill_9_and_the_restart_that_takes_over(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    conf.watched_count = 2; /* the transfer itself passes the sensor's process */
    _Atomic unsigned *seen =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t first = sensor_process(&conf, &seen[0]);
    assert_int_equal(shell("nsenter --net=%s timeout 90 iperf3 -s -1 >/dev/null &", lab.b_path), 0);
    for (int i = 0; i < 6000 && program_on("inner") == 0; i++)
        usleep(10000);
    usleep(300000);
    char command[256];
    snprintf(command, sizeof command,
             "nsenter --net=%s iperf3 -c 10.77.0.2 -t 6 -i 1 -b 100M --forceflush -f k",
             lab.a_path);
    FILE *report = popen(command, "r");
    wait_until_above(&seen[0], 1000);
    uint32_t program = program_on("outer");
    kill_hard(first);
    usleep(1500000);
    assert_int_equal(program_on("outer"), program); /* alone, and still a wire */
    pid_t second = sensor_process(&conf, &seen[1]);
    wait_until_above(&seen[1], 1000);
    assert_int_not_equal(program_on("outer"), program);
    assert_int_equal(seconds_with_traffic(report), 6);
    assert_int_equal(pclose(report), 0);
    kill_hard(second);
    assert_int_equal(source_afxdp_remove(&conf, NULL), 0);
    munmap((void *)seen, 4096);
    drain(lab.a); /* they saw the whole transfer */
    drain(lab.b);
}

/* Forwards all that comes for so long. Returns how many. */
static unsigned forward_for(struct source *s, uint64_t ns)
{
    uint64_t end = clock_mono_ns() + ns;
    unsigned total = 0;
    while (clock_mono_ns() < end) {
        struct frame frames[BURST];
        static const uint8_t verdicts[BURST] = {FRAME_FORWARD};
        int n = source_afxdp.recv(s, frames, BURST);
        if (n == 0)
            source_afxdp.wait(s, 5);
        source_afxdp.done(s, frames, verdicts, (unsigned)n);
        total += (unsigned)n;
    }
    return total;
}

static void a_stream_through_a_graceful_stop_loses_no_frame(void **state)
{
    (void)state;
    enum { MANY = 20000, PORTION = 50 };
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK);
    int status = -1;
    pid_t sender = fork();
    if (sender == 0) {
        for (unsigned i = 0; i < MANY; i += PORTION) {
            send_many(lab.a, PORTION, &f);
            usleep(2000);
        }
        _exit(0);
    }
    unsigned served = forward_for(r.source, 300 * NS_PER_MS);
    source_afxdp.release(r.source);
    served += forward_for(r.source, 20 * NS_PER_MS);
    assert_in_range(served, 1000, MANY - 5000); /* the stop came in the middle */
    usleep(300000);                             /* as when a worker's events drain */
    stop(&r);
    assert_int_equal(waitpid(sender, &status, 0), sender);
    assert_int_equal(status, 0);
    assert_int_equal(count_like(lab.b, &f), MANY);
    assert_int_equal(source_afxdp_remove(&conf, NULL), 0);
    drain(lab.a);
}

static void a_clean_stop_leaves_a_wire_until_it_is_removed(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK), got;
    stop(&r);
    send_frame(lab.a, &f);
    assert_int_equal(next_like(lab.b, &f, &got, 60000), f.len);
    assert_int_equal(source_afxdp_remove(&conf, NULL), 0);
    assert_int_equal(program_on("outer"), 0);
    assert_int_equal(program_on("inner"), 0);
    send_frame(lab.a, &f);
    assert_int_equal(next_like(lab.b, &f, &got, 100), -1);
    DIR *dir = opendir(lab.pins);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        assert_true(strchr(e->d_name, '.') != NULL); /* the kernel's own maps.debug, progs.debug */
    closedir(dir);
    assert_int_equal(source_afxdp_remove(&conf, NULL), 0); /* nothing there is fine */
}

static bool is_promiscuous(const char *interface)
{
    return shell("ip link show dev %s | grep -q PROMISC", interface) == 0;
}

static void a_wire_that_becomes_a_mirror_lets_go_of_the_inner_port(void **state)
{
    (void)state;
    struct source_conf wire = conf_of(FORWARD_AF_XDP), mirror = conf_of(FORWARD_NONE);
    struct running r = start(&wire);
    stop(&r);
    assert_int_not_equal(program_on("inner"), 0);
    assert_true(is_promiscuous("inner"));
    r = start(&mirror);
    assert_int_equal(program_on("inner"), 0);
    assert_false(is_promiscuous("inner"));
    assert_int_not_equal(program_on("outer"), 0);
    assert_true(is_promiscuous("outer"));
    stop_and_remove(&r, &mirror);
    assert_int_equal(program_on("outer"), 0);
}

/* ---- refusals */

static void expect_refusal(const struct source_conf *conf, int err, const char *words)
{
    struct source_group *group;
    struct note note = {0};
    assert_int_equal(source_afxdp.attach(conf, &group, &note), err);
    assert_null(group);
    if (strstr(note.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", note.text, words);
}

static void what_cannot_work_is_refused_with_cause_and_remedy(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    snprintf(conf.interface, sizeof conf.interface, "nowhere0");
    expect_refusal(&conf, -ENODEV, "source.interface: no interface nowhere0");
    conf = conf_of(FORWARD_AF_XDP);
    snprintf(conf.forward_interface, sizeof conf.forward_interface, "nowhere1");
    expect_refusal(&conf, -ENODEV, "forward.interface: no interface nowhere1");
    snprintf(conf.forward_interface, sizeof conf.forward_interface, "outer");
    expect_refusal(&conf, ERR_CONF, "is the source's interface, too");
    conf = conf_of(FORWARD_DPDK);
    expect_refusal(&conf, ERR_UNSUPPORTED, "forward.driver");
    conf = conf_of(FORWARD_AF_XDP);
    conf.queues = 2;
    expect_refusal(&conf, ERR_CONF, "outer has 1 receive queues");
    assert_int_equal(program_on("outer"), 0); /* a refusal leaves nothing behind */
    assert_int_equal(program_on("inner"), 0);
    assert_int_equal(shell("ip link set outer mtu 4000"), 0);
    conf = conf_of(FORWARD_AF_XDP);
    expect_refusal(&conf, ERR_CONF, "the MTU of outer is 4000");
    assert_int_equal(shell("ip link set outer mtu 1500"), 0);
}

static void somebody_elses_program_is_named_and_left_alone(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS},
                              {.code = BPF_JMP | BPF_EXIT}};
    LIBBPF_OPTS(bpf_prog_load_opts, opts);
    int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "stranger", "GPL", pass, 2, &opts);
    assert_true(fd >= 0);
    int inner = (int)if_nametoindex("inner");
    assert_int_equal(bpf_xdp_attach(inner, fd, 0, NULL), 0);
    uint32_t stranger = program_on("inner");
    expect_refusal(&conf, ERR_BUSY, "inner: another XDP program is attached (stranger");
    assert_int_equal(program_on("inner"), stranger);
    assert_int_equal(program_on("outer"), 0);
    assert_int_equal(bpf_xdp_detach(inner, 0, NULL), 0);
    close(fd);
}

static void two_sensors_on_one_port_are_one_too_many(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    uint32_t program = program_on("outer");
    expect_refusal(&conf, ERR_BUSY, "another sensor is running");
    assert_int_equal(source_afxdp_remove(&conf, NULL), ERR_BUSY);
    assert_int_equal(program_on("outer"), program);
    stop_and_remove(&r, &conf);
}

static void missing_capabilities_are_named(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct source_group *group;
        struct note note = {0};
        if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
            _exit(3);
        int err = source_afxdp.attach(&conf, &group, &note);
        _exit(err == -EPERM && strstr(note.text, "CAP_NET_ADMIN CAP_NET_RAW CAP_PERFMON CAP_BPF")
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- several queues */

/* Takes what there is, and forwards it. Returns how many. */
static unsigned forward_once(struct source *s)
{
    struct frame frames[BURST];
    static const uint8_t verdicts[BURST] = {FRAME_FORWARD};
    int n = source_afxdp.recv(s, frames, BURST);
    source_afxdp.done(s, frames, verdicts, (unsigned)n);
    return (unsigned)n;
}

static void serve_both(struct source *const sources[2], unsigned taken[2])
{
    uint64_t quiet = clock_mono_ns() + 200 * NS_PER_MS;
    while (clock_mono_ns() < quiet)
        for (unsigned i = 0; i < 2; i++) {
            unsigned n = forward_once(sources[i]);
            taken[i] += n;
            if (n != 0)
                quiet = clock_mono_ns() + 200 * NS_PER_MS;
        }
}

static void all_queues_are_served_and_none_loses_a_frame(void **state)
{
    (void)state;
    enum { FLOWS = 1000 };
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct note note = {0};
    struct source *sources[2] = {r.source};
    struct source_stats stats[2];
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK);
    unsigned taken[2] = {0};
    assert_int_equal(source_afxdp.queues(r.group), 2); /* 0 in the configuration: all */
    assert_int_equal(source_afxdp.open(r.group, 1, &sources[1], &note), 0);
    for (unsigned i = 0; i < FLOWS; i++) {
        struct bytes one = tcp4(WATCHED, 1000 + i, 80, FLAG_ACK);
        send_frame(lab.a, &one);
    }
    serve_both(sources, taken);
    assert_in_range(taken[0], FLOWS / 10, FLOWS - FLOWS / 10); /* both get their share */
    assert_int_equal(taken[0] + taken[1], FLOWS);
    assert_int_equal(count_like(lab.b, &f), FLOWS);
    for (unsigned i = 0; i < 2; i++) {
        source_afxdp.stats(sources[i], &stats[i]);
        assert_int_equal(stats[i].missed + stats[i].transmit_refused, 0);
    }
    assert_int_equal(stats[0].kernel_handed + stats[1].kernel_handed, FLOWS); /* told once */
    source_afxdp.close(sources[1]);
    stop_and_remove(&r, &conf);
}

static void a_queue_that_is_released_flows_on_while_the_other_is_served(void **state)
{
    (void)state;
    enum { FLOWS = 1000 };
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct note note = {0};
    struct source *sources[2] = {r.source};
    struct source_stats stats;
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK);
    unsigned taken[2] = {0};
    assert_int_equal(source_afxdp.open(r.group, 1, &sources[1], &note), 0);
    source_afxdp.release(sources[1]);
    for (unsigned i = 0; i < FLOWS; i++) {
        struct bytes one = tcp4(WATCHED, 1000 + i, 80, FLAG_ACK);
        send_frame(lab.a, &one);
    }
    serve_both(sources, taken);
    assert_int_equal(taken[1], 0);
    assert_in_range(taken[0], FLOWS / 10, FLOWS - FLOWS / 10);
    assert_int_equal(count_like(lab.b, &f), FLOWS);
    source_afxdp.stats(sources[0], &stats);
    assert_int_equal(stats.kernel_unserved, FLOWS - taken[0]);
    source_afxdp.close(sources[1]);
    stop_and_remove(&r, &conf);
}

/* The last one: it takes the lab's port away. */
static void a_removed_port_is_an_error_and_not_an_endless_silence(void **state)
{
    (void)state;
    struct source_conf conf = conf_of(FORWARD_AF_XDP);
    struct running r = start(&conf);
    struct frame frame;
    int err = 0;
    source_afxdp.wait(r.source, 1);
    assert_int_equal(source_afxdp.recv(r.source, &frame, 1), 0);
    assert_int_equal(shell("ip link set outer down"), 0);
    source_afxdp.wait(r.source, 1);
    assert_int_equal(source_afxdp.recv(r.source, &frame, 1), 0); /* it may come up again */
    assert_int_equal(shell("ip link del outer"), 0);
    for (int i = 0; i < 100 && err == 0; i++) {
        source_afxdp.wait(r.source, 10);
        err = source_afxdp.recv(r.source, &frame, 1);
    }
    assert_int_equal(err, ERR_KERNEL);
    assert_int_equal(source_afxdp.recv(r.source, &frame, 1), ERR_KERNEL);
    stop_and_remove(&r, &conf);
}

static int up_with(unsigned queues)
{
    prefix_parse("203.0.113.0/24", &watched[0]);
    prefix_parse("10.77.0.0/24", &watched[1]);
    ingress.count = 2;
    ingress.row[0] = (struct ingress){.mac = {2, 0, 0, 0, 0, 7}};
    return lab_open(&lab, queues);
}

static int up(void **state)
{
    (void)state;
    return up_with(1);
}

static int up_with_two_queues(void **state)
{
    (void)state;
    return up_with(2);
}

static int down(void **state)
{
    (void)state;
    return lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_watched_frame_is_lent_and_forwarded_unchanged),
        cmocka_unit_test(a_frame_with_the_verdict_drop_goes_nowhere),
        cmocka_unit_test(unwatched_frames_and_the_way_back_go_in_the_kernel),
        cmocka_unit_test(the_watched_prefixes_change_live),
        cmocka_unit_test(a_mirror_lends_frames_and_forwards_none),
        cmocka_unit_test(native_mode_is_preferred),
        cmocka_unit_test(skb_mode_and_copy_mode_can_be_asked_for),
        cmocka_unit_test(every_frame_is_accounted_for_and_none_leaks),
        cmocka_unit_test(a_wire_whose_inner_port_was_down_starves_not_and_flows_again),
        cmocka_unit_test(probes_come_bounded_and_in_order),
        cmocka_unit_test(probes_say_which_kind_of_opening_they_are),
        cmocka_unit_test(what_the_kernel_cannot_parse_is_forwarded_and_told_by_its_reason),
        cmocka_unit_test(the_tally_loses_no_packet_over_many_generations_under_load),
        cmocka_unit_test(the_configured_ingress_rows_number_the_cells),
        cmocka_unit_test(a_transfer_survives_kill_9_and_the_restart_that_takes_over),
        cmocka_unit_test(a_stream_through_a_graceful_stop_loses_no_frame),
        cmocka_unit_test(a_clean_stop_leaves_a_wire_until_it_is_removed),
        cmocka_unit_test(a_wire_that_becomes_a_mirror_lets_go_of_the_inner_port),
        cmocka_unit_test(what_cannot_work_is_refused_with_cause_and_remedy),
        cmocka_unit_test(somebody_elses_program_is_named_and_left_alone),
        cmocka_unit_test(two_sensors_on_one_port_are_one_too_many),
        cmocka_unit_test(missing_capabilities_are_named),
    };
    const struct CMUnitTest queue_tests[] = {
        cmocka_unit_test(all_queues_are_served_and_none_loses_a_frame),
        cmocka_unit_test(a_queue_that_is_released_flows_on_while_the_other_is_served),
        cmocka_unit_test(a_removed_port_is_an_error_and_not_an_endless_silence),
    };
    int failed = cmocka_run_group_tests_name("afxdp", tests, up, down);
    return failed +
           cmocka_run_group_tests_name("afxdp, queues", queue_tests, up_with_two_queues, down);
}
