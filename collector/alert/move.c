/* Moves that the map told of: kept until they went on or back, or settled. */
#include <string.h>

#include "collector/alert/book.h"
#include "collector/alert/document.h"

struct move *move_find(const struct alert *a, uint64_t subject, const struct prefix *prefix,
                       const char *pop, const struct ingress *at)
{
    for (uint32_t i = 0; i < a->move_count; i++) {
        struct move *m = &a->moves[i];
        if (m->subject == subject && prefix_equal(&m->change.prefix, prefix) &&
            strncmp(m->change.to.pop, pop, sizeof m->change.to.pop - 1) == 0 &&
            ingress_equal(&m->change.to.at, at))
            return m;
    }
    return NULL;
}

void move_drop(struct move *m)
{
    *m = (struct move){0};
}

void move_add(struct alert *a, const struct ingress_change *change, uint64_t subject,
              bool is_loaded)
{
    struct move *m = move_find(a, subject, &change->prefix, change->to.pop, &change->to.at);
    for (uint32_t i = 0; m == NULL && i < a->move_count; i++)
        if (a->moves[i].subject == 0)
            m = &a->moves[i];
    if (m == NULL && a->move_count < MOVES_MAX)
        m = &a->moves[a->move_count++];
    if (m == NULL) {
        a->moves_refused++;
        return;
    }
    *m = (struct move){.subject = subject, .change = *change, .is_loaded = is_loaded};
}

static void side_text(struct document *d, const char *key, const struct ingress_side *side)
{
    char text[512];
    struct document s;
    if (!side->is_there)
        return;
    document_open(&s, text, sizeof text);
    document_place(&s, "place", side->pop, &side->at);
    document_real(&s, "share_before", side->share_before);
    document_real(&s, "share_after", side->share_after);
    if (side->has_evidence) {
        document_real(&s, "genuine_probability_before", side->probability_before);
        document_real(&s, "genuine_probability_after", side->probability_after);
    }
    document_raw(d, key, document_close(&s));
}

void move_text(const struct move *m, char *out, size_t size)
{
    struct document d;
    document_open(&d, out, size);
    document_time(&d, "at", m->change.at);
    side_text(&d, "from", &m->change.from);
    side_text(&d, "to", &m->change.to);
    document_close(&d);
}
