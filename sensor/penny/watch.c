/* The watch list: which prefixes are tested, and what becomes of their tests when it changes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/penny/engine.h"
#include "sensor/penny/passive.h"
#include "sensor/penny/test.h"

static int compare_prefixes(const void *a, const void *b)
{
    return prefix_compare(a, b);
}

static uint32_t sort_prefixes(struct prefix *list, size_t n)
{
    if (n == 0)
        return 0;
    qsort(list, n, sizeof *list, compare_prefixes);
    uint32_t count = 1;
    for (size_t i = 1; i < n; i++)
        if (!prefix_equal(&list[i], &list[count - 1]))
            list[count++] = list[i];
    return count;
}

static int build_watch(struct penny *p, struct penny *next, const struct prefix *list, size_t n)
{
    *next = (struct penny){.prefixes = malloc((n + 1) * sizeof *next->prefixes)};
    next->left = malloc((n + 1) * sizeof *next->left);
    next->aggregates = calloc((n + 1) * p->ingress->count, sizeof *next->aggregates);
    int err = lpm_init(&next->watched);
    if (next->prefixes == NULL || next->left == NULL || next->aggregates == NULL || err != 0)
        return -ENOMEM;
    if (n > 0)
        memcpy(next->prefixes, list, n * sizeof *list);
    next->prefix_count = sort_prefixes(next->prefixes, n);
    for (uint32_t i = 0; i < next->prefix_count && err == 0; i++)
        err = lpm_set(&next->watched, &next->prefixes[i], i);
    for (uint32_t i = 0; i < next->prefix_count && err == 0; i++)
        next->left[i] = (struct penny_limit){.drops = PENNY_NO_LIMIT};
    for (uint32_t i = 0; i < next->prefix_count * p->ingress->count; i++)
        next->aggregates[i].test = NONE;
    return err;
}

static void end_unwatched(struct penny *p, struct test *t)
{
    if (p->passive != NULL)
        passive_end_test(p, t, "no longer watched");
    else
        test_end(p, t, VERDICT_INCONCLUSIVE, "no longer watched");
}

/* Both lists are sorted: what is in both keeps its aggregates, what is gone ends its tests. */
static void move_aggregates(struct penny *p, struct penny *next)
{
    uint32_t at = 0, ingresses = p->ingress->count;
    for (uint32_t i = 0; i < p->prefix_count; i++) {
        while (at < next->prefix_count && prefix_compare(&next->prefixes[at], &p->prefixes[i]) < 0)
            at++;
        bool stays = at < next->prefix_count && prefix_equal(&next->prefixes[at], &p->prefixes[i]);
        if (stays)
            next->left[at] = p->left[i];
        for (uint32_t j = 0; j < ingresses; j++) {
            struct aggregate *old = &p->aggregates[i * ingresses + j];
            if (old->test != NONE && !stays)
                end_unwatched(p, &p->tests[old->test]);
            if (!stays)
                continue;
            next->aggregates[at * ingresses + j] = *old;
            if (old->test != NONE)
                p->tests[old->test].aggregate = at * ingresses + j;
        }
    }
}

int penny_watch(struct penny *p, const struct prefix *prefixes, size_t n)
{
    struct penny next;
    int err = build_watch(p, &next, prefixes, n);
    if (err == 0) {
        move_aggregates(p, &next);
        struct penny old = *p;
        p->watched = next.watched;
        p->prefixes = next.prefixes;
        p->left = next.left;
        p->aggregates = next.aggregates;
        p->prefix_count = next.prefix_count;
        p->watch++;
        next = old;
    }
    lpm_clear(&next.watched);
    free(next.prefixes);
    free(next.left);
    free(next.aggregates);
    return err;
}

void penny_limit(struct penny *p, const struct prefix *prefix, struct penny_limit limit)
{
    const struct prefix *found = NULL;
    if (p->prefix_count > 0)
        found = bsearch(prefix, p->prefixes, p->prefix_count, sizeof *prefix, compare_prefixes);
    if (found == NULL)
        return;
    struct penny_limit *left = &p->left[found - p->prefixes];
    if (left->drops == PENNY_NO_LIMIT || limit.drops == PENNY_NO_LIMIT)
        *left = limit;
}
