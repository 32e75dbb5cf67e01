/* The heartbeat in the XDP program: whom it waits for, and what that costs.
 *   test_beat          the tests
 *   test_beat --cost   ns per watched frame: no beat to look at, the exact clock, the coarse one */
#include "tests/bpf/program.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WATCHED   "203.0.113.7"
#define UNWATCHED "192.0.2.7"
#define MS        UINT64_C(1000000)

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

static void set_beat(const struct lab *lab, uint32_t queue, uint64_t at_ns)
{
    struct xdp_beat b = {.at_ns = at_ns};
    assert_int_equal(bpf_map_update_elem(bpf_map__fd(lab->x->maps.beats), &queue, &b, 0), 0);
}

static struct xdp_beat beat_of(const struct lab *lab)
{
    uint32_t queue = 0;
    struct xdp_beat b;
    assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(lab->x->maps.beats), &queue, &b), 0);
    return b;
}

static void expect(const struct lab *lab, unsigned handed, unsigned passed)
{
    assert_int_equal(beat_of(lab).handed, handed);
    assert_int_equal(beat_of(lab).passed, passed);
    assert_int_equal(stat(lab, XDP_STAT_handed), handed);
    assert_int_equal(stat(lab, XDP_STAT_stalled) + stat(lab, XDP_STAT_unserved), passed);
}

/* A worker that beat so long ago gets its frame. This process may itself have been kept waiting
 * until the beat was too late: then that try says nothing. */
static void expect_handed(uint64_t ago_ns)
{
    struct lab lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK);
    uint64_t beat = now_ns() - ago_ns;
    set_beat(&lab, 0, beat);
    assert_int_equal(run(&lab, &f), XDP_REDIRECT);
    bool is_in_time = now_ns() - beat < 200 * MS;
    if (is_in_time)
        expect(&lab, 1, 0);
    lab_close(&lab);
    if (!is_in_time)
        expect_handed(ago_ns);
}

static void a_worker_that_beats_gets_its_frames(void **state)
{
    (void)state;
    expect_handed(0);
    expect_handed(100 * MS); /* late, but not too late */
}

static void past_a_worker_that_stands_still_frames_go_on(void **state)
{
    (void)state;
    for (int is_wire = 0; is_wire < 2; is_wire++) {
        struct lab lab = lab_open((struct options){.is_wire = is_wire, .has_socket = true});
        struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK);
        set_beat(&lab, 0, now_ns() - 201 * MS - 20 * MS); /* the coarse clock is a tick late */
        assert_int_equal(run(&lab, &f), is_wire ? XDP_REDIRECT : XDP_PASS);
        expect(&lab, 0, 1);
        assert_int_equal(stat(&lab, XDP_STAT_stalled), 1);
        set_beat(&lab, 0, now_ns()); /* it is back (and the counts begin anew) */
        assert_int_equal(run(&lab, &f), XDP_REDIRECT);
        assert_int_equal(beat_of(&lab).handed, 1);
        assert_int_equal(stat(&lab, XDP_STAT_stalled), 1);
        lab_close(&lab);
    }
}

static void who_never_beat_is_waited_for(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK);
    assert_int_equal(run(&lab, &f), XDP_REDIRECT);
    expect(&lab, 1, 0);
    lab_close(&lab);
}

static void what_finds_no_socket_went_past_too(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true});
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK);
    set_beat(&lab, 0, now_ns());
    assert_int_equal(run(&lab, &f), XDP_REDIRECT);
    expect(&lab, 0, 1);
    assert_int_equal(stat(&lab, XDP_STAT_unserved), 1);
    lab_close(&lab);
}

static void what_was_never_the_workers_did_not_go_past_it(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    struct bytes unwatched = tcp4(UNWATCHED, 1000, 80, FLAG_ACK);
    struct bytes ssh = tcp4(WATCHED, 1000, 22, FLAG_ACK);
    set_beat(&lab, 0, 1);
    run(&lab, &unwatched);
    run(&lab, &ssh);
    expect(&lab, 0, 0);
    lab_close(&lab);
}

static void another_queues_beat_says_nothing(void **state)
{
    (void)state;
    struct lab lab = lab_open((struct options){.is_wire = true, .has_socket = true});
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK);
    set_beat(&lab, 0, now_ns());
    set_beat(&lab, 1, 1);
    run(&lab, &f);
    expect(&lab, 1, 0);
    lab_close(&lab);
}

/* ---- the cost ---- */

enum { ROUNDS = 9, REPEAT = 2000000 };

static double cost(const struct lab *lab, uint64_t beat)
{
    uint8_t out[2048];
    struct bytes f = tcp4(WATCHED, 1000, 80, FLAG_ACK);
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f.data, .data_size_in = (uint32_t)f.len,
                .data_out = out, .data_size_out = sizeof out, .repeat = REPEAT);
    set_beat(lab, 0, beat);
    if (bpf_prog_test_run_opts(bpf_program__fd(lab->x->progs.ingress), &opts) != 0)
        return 0;
    return opts.duration;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

static int print_cost(void)
{
    double none[ROUNDS], exact[ROUNDS], coarse[ROUNDS];
    struct lab plain = lab_open((struct options){.is_wire = true, .has_socket = true});
    struct lab better =
        lab_open((struct options){.is_wire = true, .has_socket = true, .has_coarse_clock = true});
    for (int i = 0; i < ROUNDS; i++) {
        none[i] = cost(&plain, 0);
        exact[i] = cost(&plain, UINT64_MAX / 2);
        coarse[i] = cost(&better, UINT64_MAX / 2);
    }
    printf("ns per watched frame, median of %d runs of %d: no beat %.0f, exact clock %.0f, coarse "
           "clock %.0f\n",
           ROUNDS, REPEAT, median(none), median(exact), median(coarse));
    lab_close(&plain);
    lab_close(&better);
    return 0;
}

static int own_namespace(void **state)
{
    (void)state;
    return unshare(CLONE_NEWNET);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_beats_gets_its_frames),
        cmocka_unit_test(past_a_worker_that_stands_still_frames_go_on),
        cmocka_unit_test(who_never_beat_is_waited_for),
        cmocka_unit_test(what_finds_no_socket_went_past_too),
        cmocka_unit_test(what_was_never_the_workers_did_not_go_past_it),
        cmocka_unit_test(another_queues_beat_says_nothing),
    };
    if (argc > 1 && strcmp(argv[1], "--cost") == 0)
        return own_namespace(NULL) == 0 ? print_cost() : 1;
    return cmocka_run_group_tests_name("beat", tests, own_namespace, NULL);
}
