#include "collector/expect/expect.h"

#include <stdio.h>
#include <string.h>

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

/* ---- all of them ---- */

static struct expect_answer judge_whole(const struct expect *x, const struct ingress_row *row)
{
    struct expect_answer answer = {.by = ""};
    policy_says(x, row, &answer);
    return answer;
}

struct expect_answer expect_judge(const struct expect *x, const struct ingress_row *row)
{
    return judge_whole(x, row);
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
