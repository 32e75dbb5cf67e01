#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "shared/base/ring.h"

#define ITEMS UINT64_C(1000000)

struct item {
    uint64_t number, twin;
};

static void a_full_ring_refuses_and_an_empty_one_gives_nothing(void **state)
{
    (void)state;
    struct ring r;
    assert_int_equal(ring_init(&r, sizeof(struct item), 4), 0);
    assert_null(ring_front(&r));
    for (uint64_t i = 0; i < 4; i++) {
        struct item *slot = ring_claim(&r);
        assert_non_null(slot);
        slot->number = i;
        ring_publish(&r);
    }
    assert_null(ring_claim(&r));
    for (uint64_t i = 0; i < 4; i++) {
        struct item *slot = ring_front(&r);
        assert_non_null(slot);
        assert_int_equal(slot->number, i);
        ring_release(&r);
    }
    assert_null(ring_front(&r));
    assert_non_null(ring_claim(&r));
    ring_clear(&r);
}

static void one_release_makes_room_for_one(void **state)
{
    (void)state;
    struct ring r;
    assert_int_equal(ring_init(&r, sizeof(struct item), 2), 0);
    for (int i = 0; i < 2; i++) {
        assert_non_null(ring_claim(&r));
        ring_publish(&r);
    }
    assert_null(ring_claim(&r));
    assert_non_null(ring_front(&r));
    ring_release(&r);
    assert_non_null(ring_claim(&r));
    ring_publish(&r);
    assert_null(ring_claim(&r));
    ring_clear(&r);
}

static void claiming_twice_gives_the_same_slot(void **state)
{
    (void)state;
    struct ring r;
    assert_int_equal(ring_init(&r, sizeof(struct item), 4), 0);
    assert_ptr_equal(ring_claim(&r), ring_claim(&r));
    assert_null(ring_front(&r)); /* claimed is not published */
    ring_clear(&r);
}

static void the_count_is_rounded_up_to_a_power_of_two(void **state)
{
    (void)state;
    struct ring r;
    unsigned held = 0;
    assert_int_equal(ring_init(&r, sizeof(struct item), 5), 0);
    for (; ring_claim(&r) != NULL; held++)
        ring_publish(&r);
    assert_int_equal(held, 8);
    ring_clear(&r);
}

static void both_sides_stand_on_their_own_cache_line(void **state)
{
    (void)state;
    assert_int_equal(offsetof(struct ring, head) % 64, 0);
    assert_int_equal(offsetof(struct ring, tail) % 64, 0);
    assert_true(offsetof(struct ring, tail) - offsetof(struct ring, head) >= 64);
}

static void *write_items(void *arg)
{
    struct ring *r = arg;
    for (uint64_t i = 0; i < ITEMS; i++) {
        struct item *slot;
        while ((slot = ring_claim(r)) == NULL)
            sched_yield();
        *slot = (struct item){.number = i, .twin = ~i};
        ring_publish(r);
    }
    return NULL;
}

static void a_million_items_arrive_whole_and_in_order(void **state)
{
    (void)state;
    struct ring r;
    pthread_t writer;
    assert_int_equal(ring_init(&r, sizeof(struct item), 256), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_items, &r), 0);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < ITEMS; i++) {
        const struct item *slot;
        while ((slot = ring_front(&r)) == NULL)
            sched_yield();
        wrong += slot->number != i || slot->twin != ~i;
        ring_release(&r);
    }
    pthread_join(writer, NULL);
    assert_int_equal(wrong, 0);
    assert_null(ring_front(&r));
    ring_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_ring_refuses_and_an_empty_one_gives_nothing),
        cmocka_unit_test(one_release_makes_room_for_one),
        cmocka_unit_test(claiming_twice_gives_the_same_slot),
        cmocka_unit_test(the_count_is_rounded_up_to_a_power_of_two),
        cmocka_unit_test(both_sides_stand_on_their_own_cache_line),
        cmocka_unit_test(a_million_items_arrive_whole_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
