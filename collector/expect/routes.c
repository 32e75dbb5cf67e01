#include "collector/expect/routes.h"

/* A path with what the VRPs say of it. */
struct seen {
    const struct rib_path *path; /* NULL: none */
    enum rpki_state rpki;
};

static struct seen look(const struct expect *x, const struct prefix *src,
                        const struct rib_route *route, unsigned i)
{
    const struct rib_path *path = &route->paths[i];
    enum rpki_state rpki = RPKI_UNKNOWN;
    if (x->vrps != NULL && path->neighbour_as != 0) { /* our own routes need nobody's word */
        struct prefix prefix = prefix_of(&src->addr, route->length);
        rpki = vrps_validate(x->vrps, &prefix, path->origin_as);
    }
    return (struct seen){path, rpki};
}

static void keep_first(struct seen *first, struct seen path)
{
    if (first->path == NULL)
        *first = path;
}

static void answer_origin(struct expect_answer *answer, struct seen shown)
{
    if (shown.path == NULL)
        return;
    answer->origin_as = shown.path->origin_as;
    answer->rpki = shown.rpki;
}

void routes_say(const struct expect *x, const struct ingress_row *row, struct expect_answer *answer)
{
    struct rib_route routes[LPM_COVERS_MAX];
    if (x->rib == NULL)
        return;
    unsigned count = rib_covers(x->rib, &row->prefix, routes);
    struct seen best = {0}, own = {0}, own_invalid = {0}, invalid = {0};
    for (unsigned r = 0; r < count; r++)
        for (unsigned i = 0; i < routes[r].count; i++) {
            struct seen path = look(x, &row->prefix, &routes[r], i);
            bool is_own = row->at.peer_as != 0 && path.path->neighbour_as == row->at.peer_as;
            bool is_valid = path.rpki != RPKI_INVALID;
            keep_first(is_valid ? &best : &invalid, path);
            if (is_own)
                keep_first(is_valid ? &own : &own_invalid, path);
        }
    if (row->at.peer_as != 0)
        answer->bgp = own.path == NULL        ? (x->is_rib_stale ? BGP_UNKNOWN : BGP_NONE)
                      : own.path == best.path ? BGP_BEST
                                              : BGP_ALTERNATIVE;
    answer_origin(answer, own.path != NULL           ? own
                          : own_invalid.path != NULL ? own_invalid
                          : best.path != NULL        ? best
                                                     : invalid);
}

static bool is_among(const uint32_t *list, unsigned n, uint32_t as)
{
    for (unsigned i = 0; i < n; i++)
        if (list[i] == as)
            return true;
    return false;
}

unsigned routes_neighbours(const struct expect *x, const struct prefix *src, uint32_t *out,
                           unsigned max)
{
    struct rib_route routes[LPM_COVERS_MAX];
    unsigned count = x->rib == NULL ? 0 : rib_covers(x->rib, src, routes), n = 0;
    for (unsigned r = 0; r < count; r++)
        for (unsigned i = 0; i < routes[r].count && n < max; i++) {
            struct seen path = look(x, src, &routes[r], i);
            if (path.rpki != RPKI_INVALID && path.path->neighbour_as != 0 &&
                !is_among(out, n, path.path->neighbour_as))
                out[n++] = path.path->neighbour_as;
        }
    return n;
}
