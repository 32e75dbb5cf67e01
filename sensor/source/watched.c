#include "sensor/source/watched.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>

#include "sensor/source/watched_filter.h"

union watched_key {
    struct xdp_watched4_key v4;
    struct xdp_watched6_key v6;
};

static int key_of(const struct watched *w, const struct prefix *p, union watched_key *key)
{
    *key = (union watched_key){0};
    key->v6.length = p->length;
    memcpy(key->v6.addr, p->addr.bytes, p->addr.family == ADDR_V4 ? 4 : 16);
    return p->addr.family == ADDR_V4 ? w->v4_fd : w->v6_fd;
}

static int add(const struct watched *w, const struct prefix *p)
{
    union watched_key key;
    uint8_t yes = 1;
    int fd = key_of(w, p, &key);
    return bpf_map_update_elem(fd, &key, &yes, BPF_ANY);
}

static int take_away(const struct watched *w, const struct prefix *p)
{
    union watched_key key;
    int fd = key_of(w, p, &key);
    int err = bpf_map_delete_elem(fd, &key);
    return err == -ENOENT ? 0 : err;
}

static int compare(const void *a, const void *b)
{
    return prefix_compare(a, b);
}

static size_t sort_unique(struct prefix *p, size_t n)
{
    qsort(p, n, sizeof *p, compare);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || prefix_compare(&p[kept - 1], &p[i]) != 0)
            p[kept++] = p[i];
    return kept;
}

static int check_room(const struct prefix *p, size_t n, struct note *note)
{
    size_t v4 = 0;
    for (size_t i = 0; i < n; i++)
        v4 += p[i].addr.family == ADDR_V4;
    if (v4 <= XDP_WATCHED_MAX && n - v4 <= XDP_WATCHED_MAX)
        return 0;
    return note_set(note, ERR_CONF, "%zu prefixes to watch, but the kernel's tries hold %d each", n,
                    XDP_WATCHED_MAX);
}

/* In all prefixes of `from` that are not in `others`. Both are sorted. */
static int each_missing(const struct watched *w, const struct prefix *from, size_t n,
                        const struct prefix *others, size_t m,
                        int (*act)(const struct watched *, const struct prefix *))
{
    for (size_t i = 0, j = 0; i < n; i++) {
        while (j < m && prefix_compare(&others[j], &from[i]) < 0)
            j++;
        if (j < m && prefix_compare(&others[j], &from[i]) == 0)
            continue;
        int err = act(w, &from[i]);
        if (err < 0)
            return err;
    }
    return 0;
}

/* Before the tries change: the filter hides no prefix that is about to stand in them, and is sure
 * of none that is about to go. */
static void loosen(struct watched *w, const struct prefix *sorted, size_t n)
{
    if (w->filter == NULL)
        return;
    watched_filter_open(w->filter, sorted, n);
    watched_filter_doubt(w->filter, sorted, n);
}

/* When the tries hold the list, and only then. */
static void tighten(struct watched *w)
{
    if (w->filter == NULL)
        return;
    (void)watched_filter_narrow(w->filter, w->prefixes, w->count); /* too wide is harmless */
    watched_filter_be_sure(w->filter, w->prefixes, w->count);
}

/* Nobody knows what the tries hold: they alone are asked. */
static int fail(struct watched *w, int err)
{
    w->is_uncertain = true;
    if (w->filter != NULL)
        watched_filter_doubt(w->filter, NULL, 0);
    return err;
}

/* Removing first leaves room in the tries; prefixes in both lists are not touched, unless it is not
 * sure that they are there. Takes sorted. */
static int exchange(struct watched *w, struct prefix *sorted, size_t n)
{
    loosen(w, sorted, n);
    int err = each_missing(w, w->prefixes, w->count, sorted, n, take_away);
    if (err < 0) {
        free(sorted);
        return fail(w, err); /* of the old list some are gone; it stays, to be removed */
    }
    err = each_missing(w, sorted, n, w->prefixes, w->is_uncertain ? 0 : w->count, add);
    free(w->prefixes);
    w->prefixes = sorted;
    w->count = n;
    if (err < 0)
        return fail(w, err);
    w->is_uncertain = false;
    tighten(w);
    return 0;
}

/* The old list and the new one together, if the tries hold both; else NULL. */
static struct prefix *join(const struct watched *w, const struct prefix *sorted, size_t *n)
{
    struct prefix *both = calloc(w->count + *n + 1, sizeof *both);
    if (both == NULL)
        return NULL;
    if (w->count > 0)
        memcpy(both, w->prefixes, w->count * sizeof *both);
    memcpy(both + w->count, sorted, *n * sizeof *both);
    *n = sort_unique(both, w->count + *n);
    if (check_room(both, *n, NULL) == 0)
        return both;
    free(both);
    return NULL;
}

/* Through both lists, so that a prefix which is split, or becomes part of a wider one, is watched
 * all the while. Where there is no room for both, for a moment it is not. Takes sorted. */
static int exchange_without_a_gap(struct watched *w, struct prefix *sorted, size_t n)
{
    size_t count = n;
    struct prefix *both = w->count > 0 && n > 0 ? join(w, sorted, &count) : NULL;
    if (both != NULL)
        (void)exchange(w, both, count); /* without success the next one makes it good */
    return exchange(w, sorted, n);
}

int watched_set(struct watched *w, const struct prefix *prefixes, size_t n, struct note *note)
{
    struct prefix *sorted = calloc(n + 1, sizeof *sorted);
    if (sorted == NULL)
        return note_set(note, -ENOMEM, "no memory for %zu watched prefixes", n);
    if (n > 0)
        memcpy(sorted, prefixes, n * sizeof *sorted);
    n = sort_unique(sorted, n);
    int err = check_room(sorted, n, note);
    if (err < 0) {
        free(sorted);
        return err;
    }
    err = exchange_without_a_gap(w, sorted, n);
    return err == 0 ? 0
                    : note_set(note, ERR_KERNEL, "cannot change the watched prefixes: %s",
                               strerror(-err));
}

void watched_clear(struct watched *w)
{
    free(w->prefixes);
    w->prefixes = NULL;
    w->count = 0;
}
