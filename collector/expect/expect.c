#include "collector/expect/expect.h"

#include <stdio.h>
#include <string.h>

#include "collector/expect/routes.h"

int expect_add(struct expect *x, const struct prefix *prefix, const struct expect_place *places,
               size_t count)
{
    if (expect_list_has(&x->file, prefix))
        return ERR_CONF;
    return expect_list_add(&x->file, prefix, places, count);
}

void expect_clear(struct expect *x)
{
    expect_list_clear(&x->file);
    *x = (struct expect){0};
}

/* ---- policy ---- */

/* What one of the operator's lists says: how long the prefix is by which it says so. */
struct said {
    int allowed, refused; /* length of the prefix entry; -1: none */
    int cone;             /* length of the cone's prefix; -1: outside, or no cone */
    bool has_cone;
};

static struct said list_says(const struct expect_list *l, const struct ingress_row *row)
{
    struct said said = {-1, -1, -1, false};
    if (l == NULL)
        return said;
    const struct expect_entry *entry = expect_list_find(l, &row->prefix);
    if (entry != NULL && expect_list_allows(l, entry, row))
        said.allowed = entry->prefix.length;
    else if (entry != NULL)
        said.refused = entry->prefix.length;
    const struct expect_cone *cone = expect_list_cone_of(l, row->at.peer_as);
    said.has_cone = cone != NULL;
    uint32_t length = cone == NULL ? LPM_NONE : lpm_find_cover(&cone->lpm, &row->prefix);
    if (length != LPM_NONE)
        said.cone = (int)length;
    return said;
}

static int longer(int a, int b)
{
    return a > b ? a : b;
}

/* The longest prefix decides; at equal length what any entry allows is allowed. What a prefix entry
 * allows at a place is allowed there whatever the cone says: it is the more exact word. */
static bool policy_says(const struct expect *x, const struct ingress_row *row,
                        struct expect_answer *answer)
{
    struct said a = list_says(&x->file, row), b = list_says(x->entries, row);
    int allowed = longer(a.allowed, b.allowed), refused = longer(a.refused, b.refused);
    int cone = longer(a.cone, b.cone);
    bool has_cone = a.has_cone || b.has_cone;
    bool is_entry_yes = allowed >= 0 && allowed >= refused;
    if (!is_entry_yes && refused < 0 && !has_cone)
        return false;
    answer->by = "policy";
    answer->expected = EXPECTED_NO;
    if (is_entry_yes || (cone >= 0 && cone >= refused))
        answer->expected = EXPECTED_YES;
    if (answer->expected == EXPECTED_NO && has_cone && cone < 0) {
        answer->outside_cone = true;
        answer->cone_as = (uint32_t)row->at.peer_as;
    }
    return true;
}

/* ---- the others ---- */

/* A yes of BGP stands; its no waits for RPKI. */
static bool bgp_says(struct expect_answer *answer)
{
    if (answer->bgp == BGP_UNKNOWN)
        return false;
    answer->by = "bgp";
    answer->expected = answer->bgp == BGP_NONE ? EXPECTED_NO : EXPECTED_YES;
    return answer->expected == EXPECTED_YES;
}

static bool rpki_says(const struct expect *x, const struct ingress_row *row,
                      struct expect_answer *answer)
{
    if (x->vrps == NULL || !vrps_authorises(x->vrps, &row->prefix, row->at.peer_as))
        return false;
    answer->by = "rpki";
    answer->expected = EXPECTED_YES;
    answer->rpki = RPKI_VALID;
    answer->origin_as = (uint32_t)row->at.peer_as;
    return true;
}

static void learned_says(const struct expect *x, const struct ingress_row *row,
                         struct expect_answer *answer)
{
    const struct expect_entry *entry =
        x->learned == NULL ? NULL : expect_list_find(x->learned, &row->prefix);
    if (entry == NULL || !expect_list_allows(x->learned, entry, row))
        return;
    answer->by = "learned";
    answer->expected = EXPECTED_YES;
}

static struct expect_answer judge_whole(const struct expect *x, const struct ingress_row *row)
{
    struct expect_answer answer = {.by = ""};
    routes_say(x, row, &answer);
    if (!policy_says(x, row, &answer) && !bgp_says(&answer) && !rpki_says(x, row, &answer) &&
        answer.expected == EXPECTED_UNKNOWN)
        learned_says(x, row, &answer);
    return answer;
}

/* ---- prefixes that are wider than a tally's ---- */

/* How many parts are asked about before the prefix is called uneven. */
#define PARTS_MAX 2048

static bool list_divides(const struct expect_list *l, const struct ingress_row *row)
{
    if (l == NULL)
        return false;
    const struct expect_cone *cone = expect_list_cone_of(l, row->at.peer_as);
    return (l->lpm.nodes != NULL && lpm_divides(&l->lpm, &row->prefix)) ||
           (cone != NULL && lpm_divides(&cone->lpm, &row->prefix));
}

static bool is_divided(const struct expect *x, const struct ingress_row *row)
{
    return row->prefix.length < (row->prefix.addr.family == ADDR_V4 ? 24 : 48) &&
           (list_divides(&x->file, row) || list_divides(x->entries, row) ||
            list_divides(x->learned, row) ||
            (x->rib != NULL && rib_divides(x->rib, &row->prefix)) ||
            (x->vrps != NULL && vrps_divides(x->vrps, &row->prefix)));
}

static struct prefix half_of(const struct prefix *p, unsigned half)
{
    struct prefix h = *p;
    if (half == 1)
        h.addr.bytes[p->length / 8] |= (uint8_t)(0x80 >> (p->length % 8));
    h.length++;
    return h;
}

/* Of two sources that say the same the one that is asked later. */
static const char *later(const char *a, const char *b)
{
    static const char *const order[] = {"learned", "rpki", "bgp", "policy"};
    for (unsigned i = 0; i < sizeof order / sizeof *order; i++)
        if (strcmp(a, order[i]) == 0 || strcmp(b, order[i]) == 0)
            return order[i];
    return a;
}

/* What is said of both halves, as far as they agree. */
static struct expect_answer join(const struct expect_answer *a, const struct expect_answer *b)
{
    struct expect_answer both = {.by = ""};
    both.is_uneven = a->is_uneven || b->is_uneven || a->expected != b->expected;
    if (!both.is_uneven) {
        both.expected = a->expected;
        both.by = later(a->by, b->by);
        both.outside_cone = a->outside_cone && b->outside_cone;
        both.cone_as = both.outside_cone ? a->cone_as : 0;
    }
    if (a->bgp == b->bgp)
        both.bgp = a->bgp;
    else
        both.bgp = a->bgp == BGP_NONE || b->bgp == BGP_NONE ? BGP_NONE : BGP_ALTERNATIVE;
    both.rpki = a->rpki == b->rpki ? a->rpki : RPKI_UNKNOWN;
    both.origin_as = a->origin_as == b->origin_as ? a->origin_as : 0;
    return both;
}

static struct expect_answer judge_parts(const struct expect *x, struct ingress_row *row,
                                        unsigned *parts)
{
    if (!is_divided(x, row))
        return judge_whole(x, row);
    if (++*parts > PARTS_MAX)
        return (struct expect_answer){.by = "", .is_uneven = true};
    struct expect_answer answer[2];
    struct prefix whole = row->prefix;
    for (unsigned half = 0; half < 2; half++) {
        row->prefix = half_of(&whole, half);
        answer[half] = judge_parts(x, row, parts);
    }
    row->prefix = whole;
    return join(&answer[0], &answer[1]);
}

struct expect_answer expect_judge(const struct expect *x, const struct ingress_row *row)
{
    if (!is_divided(x, row))
        return judge_whole(x, row);
    struct ingress_row part = *row;
    unsigned parts = 0;
    return judge_parts(x, &part, &parts);
}

bool expect_write(const struct expect_answer *answer, struct ingress_row *row)
{
    if (row->expected == answer->expected && strcmp(row->expected_by, answer->by) == 0 &&
        row->bgp == answer->bgp && row->rpki == answer->rpki && row->origin_as == answer->origin_as)
        return false;
    row->expected = answer->expected;
    snprintf(row->expected_by, sizeof row->expected_by, "%s", answer->by);
    row->bgp = answer->bgp;
    row->rpki = answer->rpki;
    row->origin_as = answer->origin_as;
    return true;
}
