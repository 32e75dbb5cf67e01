#include "collector/loop/fold_evidence.h"

struct ageing {
    struct fold *f;
    int64_t now;
};

static void age(void *arg, struct ingress_row *row)
{
    const struct ageing *a = arg;
    if (evidence_age(&a->f->evidence, row, a->now))
        ingress_map_changed(a->f->map, row);
}

void fold_evidence_tick(struct fold *f, int64_t now)
{
    struct ageing a = {.f = f, .now = now};
    ingress_map_some(f->map, &f->evidence_cursor, FOLD_EVIDENCE_SLICE, age, &a);
}

struct sums {
    struct fold *f;
    const struct event_passive_total *t;
};

static void weigh(void *arg, struct ingress_row *row)
{
    const struct sums *s = arg;
    if (evidence_passive(&s->f->evidence, row, s->t))
        ingress_map_changed(s->f->map, row);
}

void fold_evidence_passive(struct fold *f, const char *pop, const struct event_passive_total *t)
{
    struct sums s = {.f = f, .t = t};
    ingress_map_each(f->map, &t->prefix, pop, &t->ingress, weigh, &s);
}
