/* Who speaks for which name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "collector/receive/peers.h"

static struct peer_id id_of(unsigned n)
{
    struct peer_id id = {.len = 5};
    memcpy(id.bytes + 1, &n, 4);
    return id;
}

static const char *name_of(const struct peers *p, unsigned n)
{
    struct peer_id id = id_of(n);
    const struct peer *peer = peers_by_id(p, &id);
    return peer != NULL ? peer->name : NULL;
}

static int bind_name(struct peers *p, unsigned n, const char *name, struct peer_id *displaced)
{
    struct peer_id id = id_of(n);
    return peers_bind(p, &id, name, "", displaced);
}

static void the_latest_hello_has_the_name_and_the_older_connection_none(void **state)
{
    (void)state;
    struct peers p = {0};
    struct peer_id displaced, first = id_of(1);
    assert_int_equal(bind_name(&p, 1, "ams1", &displaced), 0);
    assert_int_equal(displaced.len, 0);
    assert_int_equal(bind_name(&p, 1, "ams1", &displaced), 0); /* hello again: nobody loses it */
    assert_int_equal(displaced.len, 0);
    assert_int_equal(bind_name(&p, 2, "ams1", &displaced), 0);
    assert_memory_equal(&displaced, &first, sizeof first);
    assert_null(name_of(&p, 1));
    assert_string_equal(name_of(&p, 2), "ams1");
    assert_int_equal(p.count, 1);
    peers_clear(&p);
}

static void a_connection_that_changes_its_name_keeps_only_the_new_one(void **state)
{
    (void)state;
    struct peers p = {0};
    struct peer_id displaced;
    bind_name(&p, 1, "a", &displaced);
    bind_name(&p, 2, "b", &displaced);
    bind_name(&p, 1, "b", &displaced);
    assert_int_equal(displaced.len, 5);
    assert_string_equal(name_of(&p, 1), "b");
    assert_null(name_of(&p, 2));
    assert_null(peers_by_name(&p, "a"));
    assert_int_equal(p.count, 1);
    peers_clear(&p);
}

static void invented_names_end_at_the_limit(void **state)
{
    (void)state;
    struct peers p = {0};
    struct peer_id displaced;
    char name[WIRE_NAME];
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(bind_name(&p, i, name, &displaced), 0);
    }
    assert_int_equal(bind_name(&p, PEERS_MAX, "one more", &displaced), ERR_FULL);
    assert_int_equal(bind_name(&p, PEERS_MAX, "s7", &displaced), 0); /* a known one still may */
    assert_string_equal(name_of(&p, PEERS_MAX), "s7");
    peers_clear(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_hello_has_the_name_and_the_older_connection_none),
        cmocka_unit_test(a_connection_that_changes_its_name_keeps_only_the_new_one),
        cmocka_unit_test(invented_names_end_at_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
