#include "collector/loop/steady.h"

static bool is_near(int64_t a, int64_t b)
{
    return a - b <= STEADY_BOUND && b - a <= STEADY_BOUND;
}

static void believe(struct steady *s, int64_t ahead, uint64_t mono)
{
    s->is_known = true;
    s->is_in_doubt = false;
    s->ahead = s->anchor = s->good = ahead;
    s->anchored_at = mono;
}

static void doubt(struct steady *s, int64_t ahead, uint64_t mono)
{
    if (!s->is_in_doubt || !is_near(ahead, s->doubted)) {
        s->doubted_since = mono;
        s->doubted = ahead;
    }
    s->is_in_doubt = true;
    s->ahead = ahead > s->good ? ahead : s->good;
    if (mono - s->doubted_since >= STEADY_TRUST)
        believe(s, ahead, mono);
}

static void follow(struct steady *s, int64_t ahead, uint64_t mono)
{
    s->is_in_doubt = false;
    s->ahead = s->good = ahead;
    if (mono - s->anchored_at >= STEADY_TRUST)
        believe(s, ahead, mono);
}

void steady_start(struct steady *s, int64_t wall, uint64_t mono, int64_t latest)
{
    *s = (struct steady){0};
    if (latest != 0)
        believe(s, latest - (int64_t)mono, mono);
    steady_look(s, wall, mono);
    if (!s->is_in_doubt) /* the time since `latest` is no move of the clock */
        believe(s, wall - (int64_t)mono, mono);
}

int64_t steady_look(struct steady *s, int64_t wall, uint64_t mono)
{
    int64_t ahead = wall - (int64_t)mono, before = s->ahead;
    if (!s->is_known) {
        believe(s, ahead, mono);
        return 0;
    }
    if (is_near(ahead, s->anchor))
        follow(s, ahead, mono);
    else
        doubt(s, ahead, mono);
    return s->ahead - before;
}

/* The next look finds nothing to measure from but itself. */
void steady_believe(struct steady *s)
{
    if (s->is_in_doubt)
        s->anchor = s->doubted;
}

int64_t steady_now(const struct steady *s, uint64_t mono)
{
    return s->ahead + (int64_t)mono;
}

int64_t steady_undoubted(const struct steady *s, uint64_t mono)
{
    return s->good + (int64_t)mono;
}

int64_t steady_doubt(const struct steady *s)
{
    return s->is_in_doubt ? s->doubted - s->good : 0;
}

bool steady_may_age(const struct steady *s)
{
    return !s->is_in_doubt || s->ahead == s->good;
}
