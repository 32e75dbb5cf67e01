/* Is the simulator's TCP one? Without a sensor it must fill a link, lose what the path loses,
 * repeat nothing else, and be as fast as theory says. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/sim/world.h"

#define LINK_SEGMENTS (1e7 / 8 / 1514) /* per second, of 1460 bytes */

static struct measured run(struct senders senders)
{
    struct row row = {.name = "model", .groups = {senders}};
    struct measured m;
    row.groups[0].role = CLOSED_LOOP;
    if (row.groups[0].flows == 0)
        row.groups[0].flows = 1;
    world_measure(&row, 60, 7, &m);
    return m;
}

static double again_share(const struct measured *m)
{
    return (double)m->again / (double)m->sent;
}

static void without_loss_one_sender_of_each_kind_fills_the_link(void **state)
{
    (void)state;
    for (unsigned control = RENO; control <= TAIL_PROBE; control++)
        for (unsigned sack = 0; sack < 2; sack++) {
            struct measured m = run((struct senders){.control = control, .has_no_sack = !sack});
            double share = (double)m.arrived / m.seconds / LINK_SEGMENTS;
            print_message("control %u, SACK %u: %.3f of the link, again %.2f %%\n", control, sack,
                          share, 100 * again_share(&m));
            assert_true(share > (sack ? .95 : .7) && share <= 1.001);
            assert_true(again_share(&m) < .02);
        }
}

static void what_the_path_loses_comes_again_and_little_else(void **state)
{
    (void)state;
    static const double losses[] = {.01, .03, .06, .12};
    for (unsigned i = 0; i < 4; i++) {
        struct measured m =
            run((struct senders){.flows = 5, .loss_up = losses[i], .loss_down = losses[i]});
        double lost = 1 - (1 - losses[i]) * (1 - losses[i]);
        print_message("loss %.3f: again %.3f, spurious %.4f\n", lost, again_share(&m),
                      (double)m.spurious / (double)m.sent);
        assert_true(fabs(again_share(&m) - lost) < .02);
        assert_true((double)m.spurious < .01 * (double)m.sent);
    }
}

/* Padhye, Firoiu, Towsley, Kurose, "Modeling TCP Throughput", SIGCOMM'98, equation 30 with b = 1;
 * SACK does somewhat better than their Reno. */
static double padhye(double rtt, double rto, double p)
{
    return 1 / (rtt * sqrt(2 * p / 3) + rto * fmin(1, 3 * sqrt(3 * p / 8)) * p * (1 + 32 * p * p));
}

static void under_loss_reno_is_as_fast_as_theory_says(void **state)
{
    (void)state;
    static const double losses[] = {.01, .02, .05, .1};
    for (unsigned i = 0; i < 4; i++)
        for (unsigned sack = 0; sack < 2; sack++) {
            struct measured m =
                run((struct senders){.loss_down = losses[i], .rtt_ms = 100, .has_no_sack = !sack});
            double rate = (double)m.arrived / m.seconds, theory = padhye(.1, .3, losses[i]);
            print_message("loss %.2f, SACK %u: %.1f segments/s, theory %.1f\n", losses[i], sack,
                          rate, theory);
            assert_true(rate > .5 * theory && rate < 2 * theory);
        }
}

static void without_sack_a_timeout_repeats_what_had_arrived(void **state)
{
    (void)state;
    struct measured with = run((struct senders){.flows = 5, .loss_down = .05});
    struct measured without =
        run((struct senders){.flows = 5, .loss_down = .05, .has_no_sack = true});
    print_message("spurious with SACK %lu, without %lu\n", (unsigned long)with.spurious,
                  (unsigned long)without.spurious);
    assert_true(without.spurious > 4 * with.spurious);
}

static void probes_save_timeouts(void **state)
{
    (void)state;
    struct senders web = {.flows = 10, .segments = 12, .end = END_FIN, .loss_down = .05};
    web.control = CUBIC;
    struct measured plain = run(web);
    web.control = TAIL_PROBE;
    struct measured probing = run(web);
    print_message("timeouts per flow: %.3f, with probes %.3f\n",
                  (double)plain.timeouts / (double)plain.over,
                  (double)probing.timeouts / (double)probing.over);
    assert_true(plain.over > 1000 && probing.over > plain.over);
    assert_true((double)probing.timeouts / (double)probing.over <
                .7 * (double)plain.timeouts / (double)plain.over);
}

static void reordering_makes_spurious_repeats(void **state)
{
    (void)state;
    struct measured m =
        run((struct senders){.flows = 5, .reorder = .05, .reorder_ms = 30, .has_no_sack = true});
    assert_true(m.spurious > 100);
    assert_true((double)m.arrived / m.seconds > .5 * LINK_SEGMENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_loss_one_sender_of_each_kind_fills_the_link),
        cmocka_unit_test(what_the_path_loses_comes_again_and_little_else),
        cmocka_unit_test(under_loss_reno_is_as_fast_as_theory_says),
        cmocka_unit_test(without_sack_a_timeout_repeats_what_had_arrived),
        cmocka_unit_test(probes_save_timeouts),
        cmocka_unit_test(reordering_makes_spurious_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
