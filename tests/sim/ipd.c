#include "tests/sim/ipd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 28
#define DECAY   0.9
#define EXPIRE  2 /* minutes */

struct sample {
    uint32_t src;
    uint8_t place;
    uint32_t minute;
};

struct node {
    struct node *child[2];
    unsigned length;
    bool is_classified;
    unsigned place;
    double count[IPD_PLACES]; /* when classified */
    struct sample *samples;   /* when not */
    size_t used, room;
};

struct ipd {
    double factor, q;
    uint32_t minute;
    struct node *root;
};

static void *need(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static struct node *node_new(unsigned length)
{
    struct node *n = need(calloc(1, sizeof *n));
    n->length = length;
    return n;
}

static void node_free(struct node *n)
{
    if (n == NULL)
        return;
    node_free(n->child[0]);
    node_free(n->child[1]);
    free(n->samples);
    free(n);
}

struct ipd *ipd_new(double factor, double q)
{
    struct ipd *d = need(calloc(1, sizeof *d));
    d->factor = factor;
    d->q = q;
    d->root = node_new(0);
    return d;
}

void ipd_free(struct ipd *d)
{
    node_free(d->root);
    free(d);
}

static unsigned side(uint32_t src, unsigned length)
{
    return src >> (31 - length) & 1;
}

static struct node *leaf_of(const struct ipd *d, uint32_t src)
{
    struct node *n = d->root;
    while (n->child[0] != NULL)
        n = n->child[side(src, n->length)];
    return n;
}

static void keep(struct node *n, const struct sample *s)
{
    if (n->used == n->room) {
        n->room = n->room == 0 ? 16 : 2 * n->room;
        n->samples = need(realloc(n->samples, n->room * sizeof *n->samples));
    }
    n->samples[n->used++] = *s;
}

void ipd_sample(struct ipd *d, uint32_t src, unsigned place)
{
    struct node *n = leaf_of(d, src);
    struct sample s = {.src = src & 0xfffffff0, .place = (uint8_t)place, .minute = d->minute};
    if (n->is_classified)
        n->count[place]++;
    else
        keep(n, &s);
}

int ipd_find(const struct ipd *d, uint32_t src)
{
    const struct node *n = leaf_of(d, src);
    return n->is_classified ? (int)n->place : -1;
}

static double enough(const struct ipd *d, unsigned length)
{
    return d->factor * sqrt(ldexp(1, 32 - (int)length));
}

static double sum(const double count[static IPD_PLACES], unsigned *most)
{
    double all = 0;
    *most = 0;
    for (unsigned i = 0; i < IPD_PLACES; i++) {
        all += count[i];
        *most = count[i] > count[*most] ? i : *most;
    }
    return all;
}

static void forget(struct node *n)
{
    free(n->samples);
    n->samples = NULL;
    n->used = n->room = 0;
}

static void split(struct node *n)
{
    for (unsigned i = 0; i < 2; i++)
        n->child[i] = node_new(n->length + 1);
    for (size_t i = 0; i < n->used; i++)
        keep(n->child[side(n->samples[i].src, n->length)], &n->samples[i]);
    forget(n);
}

static void visit_open(const struct ipd *d, struct node *n)
{
    double count[IPD_PLACES] = {0};
    size_t left = 0;
    for (size_t i = 0; i < n->used; i++)
        if (d->minute - n->samples[i].minute < EXPIRE)
            n->samples[left++] = n->samples[i];
    n->used = left;
    for (size_t i = 0; i < n->used; i++)
        count[n->samples[i].place]++;
    unsigned most;
    double all = sum(count, &most);
    if (all < enough(d, n->length))
        return;
    if (count[most] < d->q * all) {
        if (n->length < LONGEST)
            split(n);
        return;
    }
    n->is_classified = true;
    n->place = most;
    memcpy(n->count, count, sizeof count);
    forget(n);
}

static void visit_classified(const struct ipd *d, struct node *n)
{
    unsigned most;
    double all = sum(n->count, &most);
    if (n->count[n->place] < d->q * all || all < enough(d, n->length)) {
        n->is_classified = false;
        memset(n->count, 0, sizeof n->count);
        return;
    }
    for (unsigned i = 0; i < IPD_PLACES; i++)
        n->count[i] *= DECAY;
}

static void take_children(struct node *n)
{
    for (unsigned i = 0; i < 2; i++) {
        for (size_t k = 0; k < n->child[i]->used; k++)
            keep(n, &n->child[i]->samples[k]);
        for (unsigned k = 0; k < IPD_PLACES; k++)
            n->count[k] += n->child[i]->count[k];
        node_free(n->child[i]);
        n->child[i] = NULL;
    }
}

static void join(const struct ipd *d, struct node *n)
{
    struct node *a = n->child[0], *b = n->child[1];
    unsigned ignored;
    if (a->child[0] != NULL || b->child[0] != NULL || a->is_classified != b->is_classified)
        return;
    if (a->is_classified) {
        double all = sum(a->count, &ignored) + sum(b->count, &ignored);
        if (a->place != b->place || all < enough(d, n->length))
            return;
        n->place = a->place;
        n->is_classified = true;
        take_children(n);
    } else if ((double)(a->used + b->used) < enough(d, n->length))
        take_children(n);
}

static void visit(const struct ipd *d, struct node *n)
{
    if (n->child[0] != NULL) {
        visit(d, n->child[0]);
        visit(d, n->child[1]);
        join(d, n);
    } else if (n->is_classified)
        visit_classified(d, n);
    else
        visit_open(d, n);
}

void ipd_minute(struct ipd *d)
{
    d->minute++;
    visit(d, d->root);
}

static unsigned classified(const struct node *n)
{
    if (n->child[0] != NULL)
        return classified(n->child[0]) + classified(n->child[1]);
    return n->is_classified;
}

unsigned ipd_ranges(const struct ipd *d)
{
    return classified(d->root);
}
