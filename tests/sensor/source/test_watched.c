/* The list of watched prefixes against real tries, small ones, so that they overflow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "bpf/xdp_abi.h"
#include "sensor/source/watched.h"
#include "sensor/source/watched_filter.h"
#include "shared/base/err.h"

#define ROOM 2

static struct watched watched;

static struct prefix prefix(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static bool is_in(const char *text)
{
    struct prefix p = prefix(text);
    struct xdp_watched4_key key = {.length = p.length};
    uint8_t value;
    memcpy(key.addr, p.addr.bytes, 4);
    return bpf_map_lookup_elem(watched.v4_fd, &key, &value) == 0;
}

static void the_trie_holds_exactly_the_list(void **state)
{
    (void)state;
    struct prefix list[] = {prefix("10.0.2.0/24"), prefix("10.0.1.0/24"), prefix("10.0.2.0/24")};
    assert_int_equal(watched_set(&watched, list, 3, NULL), 0);
    assert_true(is_in("10.0.1.0/24") && is_in("10.0.2.0/24"));
    assert_int_equal(watched_set(&watched, list, 1, NULL), 0);
    assert_true(is_in("10.0.2.0/24") && !is_in("10.0.1.0/24"));
    assert_int_equal(watched_set(&watched, NULL, 0, NULL), 0);
    assert_false(is_in("10.0.2.0/24"));
}

static void a_list_that_did_not_fit_is_made_good_by_the_next_one(void **state)
{
    (void)state;
    struct note note = {0};
    struct prefix list[] = {prefix("10.0.1.0/24"), prefix("10.0.2.0/24"), prefix("10.0.3.0/24"),
                            prefix("10.0.4.0/24")};
    assert_int_equal(watched_set(&watched, list, 4, &note), ERR_KERNEL);
    assert_non_null(strstr(note.text, "cannot change the watched prefixes"));
    assert_false(is_in("10.0.4.0/24"));
    assert_int_equal(watched_set(&watched, &list[2], 2, NULL), 0);
    assert_true(is_in("10.0.3.0/24") && is_in("10.0.4.0/24"));
    assert_false(is_in("10.0.1.0/24") || is_in("10.0.2.0/24"));
}

static bool is_sure(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(text, &a), 0);
    return watched_filter_is_sure(watched.filter, &a);
}

static void
the_filter_is_sure_of_what_stands_in_the_trie_and_of_nothing_after_a_failure(void **state)
{
    (void)state;
    static struct xdp_filter filter;
    struct note note = {0};
    struct prefix list[] = {prefix("10.0.1.0/24"), prefix("10.0.2.0/25"), prefix("10.0.3.0/24")};
    assert_int_equal(watched_set(&watched, NULL, 0, NULL), 0);
    watched.filter = &filter;
    assert_int_equal(watched_set(&watched, list, 2, NULL), 0);
    assert_true(is_sure("10.0.1.9"));
    assert_false(is_sure("10.0.2.9") || is_sure("10.0.3.9")); /* half of it, none of it */
    assert_int_equal(watched_set(&watched, list, 3, &note), ERR_KERNEL);
    assert_false(is_sure("10.0.1.9") || is_sure("10.0.3.9"));
    assert_true(watched_filter_may_hold(&filter, &list[0].addr));
    assert_int_equal(watched_set(&watched, &list[1], 2, NULL), 0);
    assert_true(is_sure("10.0.3.9") && !is_sure("10.0.1.9") && !is_sure("10.0.2.9"));
    assert_int_equal(watched_set(&watched, NULL, 0, NULL), 0);
    assert_false(is_sure("10.0.3.9"));
    watched.filter = NULL;
}

#define SPLIT_MAX 512

struct look_out {
    int trie;
    atomic_bool is_over;
    unsigned looks, misses;
};

/* As the XDP program would: again and again the last of the prefixes, by its last address. */
static void *look_out(void *arg)
{
    struct look_out *l = arg;
    struct xdp_watched4_key key = {.length = 32, .addr = {10, SPLIT_MAX >> 8, 0, 255}};
    uint8_t value;
    while (!atomic_load(&l->is_over)) {
        l->looks++;
        l->misses += bpf_map_lookup_elem(l->trie, &key, &value) != 0;
    }
    return NULL;
}

/* 10.0.0.0/24 and on, each as `parts` prefixes of equal size. */
static size_t split(struct prefix *list, unsigned parts)
{
    size_t n = 0;
    for (unsigned i = 0; i <= SPLIT_MAX; i++)
        for (unsigned part = 0; part < parts; part++) {
            uint8_t bytes[4] = {10, (uint8_t)(i >> 8), (uint8_t)i, (uint8_t)(part * 128)};
            struct addr a = addr_v4(bytes);
            list[n++] = prefix_of(&a, parts == 1 ? 24 : 25);
        }
    return n;
}

static void a_prefix_that_is_split_or_joined_is_watched_all_the_while(void **state)
{
    (void)state;
    static struct prefix whole[SPLIT_MAX + 1], halves[2 * (SPLIT_MAX + 1)];
    size_t n = split(whole, 1), m = split(halves, 2);
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
    struct watched w = {.v6_fd = watched.v6_fd};
    w.v4_fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "large4", sizeof(struct xdp_watched4_key), 1,
                             4 * SPLIT_MAX, &opts);
    assert_true(w.v4_fd >= 0);
    assert_int_equal(watched_set(&w, whole, n, NULL), 0);
    struct look_out l = {.trie = w.v4_fd};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, look_out, &l), 0);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(watched_set(&w, halves, m, NULL), 0);
        assert_int_equal(watched_set(&w, whole, n, NULL), 0);
    }
    atomic_store(&l.is_over, true);
    pthread_join(thread, NULL);
    assert_true(l.looks > 0);
    assert_int_equal(l.misses, 0);
    watched_clear(&w);
    close(w.v4_fd);
}

static int up(void **state)
{
    (void)state;
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
    watched.v4_fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "small4", sizeof(struct xdp_watched4_key),
                                   1, ROOM, &opts);
    watched.v6_fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "small6", sizeof(struct xdp_watched6_key),
                                   1, ROOM, &opts);
    return watched.v4_fd >= 0 && watched.v6_fd >= 0 ? 0 : -1;
}

static int down(void **state)
{
    (void)state;
    watched_clear(&watched);
    close(watched.v4_fd);
    close(watched.v6_fd);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_trie_holds_exactly_the_list),
        cmocka_unit_test(a_list_that_did_not_fit_is_made_good_by_the_next_one),
        cmocka_unit_test(a_prefix_that_is_split_or_joined_is_watched_all_the_while),
        cmocka_unit_test(
            the_filter_is_sure_of_what_stands_in_the_trie_and_of_nothing_after_a_failure),
    };
    return cmocka_run_group_tests(tests, up, down);
}
