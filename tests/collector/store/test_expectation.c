/* What is said in SQL table expectation, through a real PostgreSQL and back. */
#include "tests/support/pg_store.h"

#include <libpq-fe.h>
#include <poll.h>
#include <string.h>

static struct expect_row rows[16];
static unsigned count;

static bool says(const char *text)
{
    PGresult *res = PQexec(client, text);
    bool is_ok = PQresultStatus(res) == PGRES_COMMAND_OK;
    PQclear(res);
    return is_ok;
}

static int keep(void *arg, const struct expect_row *row)
{
    (void)arg;
    assert_true(count < 16);
    rows[count++] = *row;
    return 0;
}

static int begin(void **state)
{
    (void)state;
    assert_true(says("DELETE FROM penstock.expectation"));
    return 0;
}

static void load(unsigned wanted)
{
    count = 0;
    ok(store_load_expectation(store, keep, NULL, &note));
    assert_int_equal(count, wanted);
}

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static void every_kind_of_sentence_is_read_as_it_was_said(void **state)
{
    (void)state;
    assert_true(says("INSERT INTO penstock.expectation (prefix, pop, router, interface, vlan, mac,"
                     " peer_as) VALUES ('192.0.2.0/24', 'AMS', 'r1', 'xe-0', 7,"
                     " '02:00:00:00:00:07', 4294967295)"));
    assert_true(says("INSERT INTO penstock.expectation (prefix, cone_as)"
                     " VALUES ('2001:db8::/32', 64501)"));
    assert_true(says("INSERT INTO penstock.expectation (cone_as) VALUES (64502)"));
    assert_true(says("INSERT INTO penstock.expectation (prefix, nowhere)"
                     " VALUES ('198.51.100.0/24', true)"));
    load(4);
    struct prefix first = prefix("192.0.2.0/24"), second = prefix("2001:db8::/32");
    assert_true(prefix_equal(&rows[0].prefix, &first));
    assert_string_equal(rows[0].place.pop, "AMS");
    assert_string_equal(rows[0].place.router, "r1");
    assert_string_equal(rows[0].place.interface, "xe-0");
    assert_true(rows[0].place.vlan == 7 && rows[0].place.mac[5] == 7);
    assert_true(rows[0].place.peer_as == UINT32_MAX);
    assert_false(rows[0].is_learned || rows[0].is_nowhere || rows[0].cone_as != 0);
    assert_true(prefix_equal(&rows[1].prefix, &second) && rows[1].cone_as == 64501);
    assert_true(rows[2].prefix.addr.family == 0 && rows[2].cone_as == 64502);
    assert_true(rows[3].is_nowhere);
}

static void what_was_learned_is_stored_once_and_is_marked(void **state)
{
    (void)state;
    struct expect_row row = {.is_learned = true,
                             .prefix = prefix("2001:db8:7::/48"),
                             .place = {.pop = "AMS", .router = "r1", .mac = {2, 0, 0, 0, 0, 1}}};
    for (unsigned i = 0; i < 2; i++) {
        ok(store_load_begin(store, &note));
        ok(store_begin(store, &note));
        ok(store_put_expectation(store, &row, &note));
        ok(store_commit(store, &note));
    }
    load(1);
    assert_true(rows[0].is_learned);
    assert_true(prefix_equal(&rows[0].prefix, &row.prefix));
    assert_memory_equal(&rows[0].place, &row.place, sizeof row.place);
    assert_false(says("UPDATE penstock.expectation SET source = 'guessed'"));
}

static void sentences_without_sense_are_refused(void **state)
{
    (void)state;
    static const char *const without[] = {
        "(pop) VALUES ('AMS')",
        "(prefix, cone_as, pop) VALUES ('192.0.2.0/24', 1, 'AMS')",
        "(prefix, nowhere, pop) VALUES ('192.0.2.0/24', true, 'AMS')",
        "(prefix, cone_as, source) VALUES ('192.0.2.0/24', 1, 'learned')",
        "(prefix, pop) VALUES ('192.0.2.0/24', '')",
        "(prefix, pop) VALUES ('192.0.2.0/24', repeat('x', 32))",
        "(prefix, peer_as) VALUES ('192.0.2.0/24', 4294967296)",
        "(prefix, vlan) VALUES ('192.0.2.0/24', 4095)",
        "(prefix, pop) VALUES ('192.0.2.1/24', 'AMS')",
    };
    char text[200];
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        snprintf(text, sizeof text, "INSERT INTO penstock.expectation %s", without[i]);
        if (says(text))
            fail_msg("taken: %s", without[i]);
    }
    assert_true(says("INSERT INTO penstock.expectation (prefix, pop) VALUES ('10.0.0.0/8', 'A')"));
    assert_false(says("INSERT INTO penstock.expectation (prefix, pop) VALUES ('10.0.0.0/8', 'A')"));
}

/* The socket is waited for: a notification comes when it comes. */
static bool hears(void)
{
    unsigned what = 0;
    for (unsigned i = 0; i < 100 && (what & HEARD_EXPECTATION) == 0; i++) {
        poll(NULL, 0, 20);
        ok(store_heard(store, &what, &note));
    }
    return (what & HEARD_EXPECTATION) != 0;
}

static void additions_changes_and_removals_are_heard(void **state)
{
    (void)state;
    static const char *const words[] = {
        "INSERT INTO penstock.expectation (prefix, pop) VALUES ('192.0.2.0/24', 'AMS')",
        "UPDATE penstock.expectation SET pop = 'FRA'",
        "DELETE FROM penstock.expectation",
    };
    ok(store_listen(store, &note));
    assert_true(hears()); /* whatever was said before */
    for (size_t i = 0; i < 3; i++) {
        assert_true(says(words[i]));
        assert_true(hears());
    }
}

static void an_operator_may_say_it_and_a_reader_may_not(void **state)
{
    (void)state;
    assert_true(says("SET ROLE penstock_operator"));
    assert_true(says("INSERT INTO penstock.expectation (prefix, pop) VALUES ('10.0.0.0/8', 'A')"));
    assert_true(says("UPDATE penstock.expectation SET comment = 'x'"));
    assert_true(says("DELETE FROM penstock.expectation"));
    assert_true(says("SET ROLE penstock_reader"));
    assert_false(says("INSERT INTO penstock.expectation (prefix, pop) VALUES ('10.0.0.0/8', 'A')"));
    assert_true(says("SET ROLE penstock_collector"));
    assert_false(says("DELETE FROM penstock.expectation")); /* people's words are people's */
    assert_true(says("RESET ROLE"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_kind_of_sentence_is_read_as_it_was_said, begin),
        cmocka_unit_test_setup(what_was_learned_is_stored_once_and_is_marked, begin),
        cmocka_unit_test_setup(sentences_without_sense_are_refused, begin),
        cmocka_unit_test_setup(additions_changes_and_removals_are_heard, begin),
        cmocka_unit_test_setup(an_operator_may_say_it_and_a_reader_may_not, begin),
    };
    return cmocka_run_group_tests(tests, pg_store_up, pg_store_down);
}
