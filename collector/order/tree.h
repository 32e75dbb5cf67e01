/* An ordered set whose nodes stand in what they order: a treap (Seidel and Aragon, 1996). To put
 * in, take out and find take some log2(n) steps, whatever comes in what order: the weights are
 * drawn here, so nobody who chooses keys chooses the shape. Takes no memory of its own.
 *
 * A key is four words, compared from the first. The last 32 bits are the number of the thing in its
 * owner's array, so keys are never equal, and what is found is told by its number. Prefixes are
 * keys whose order lets those that overlap one be found without the others (tree_overlap). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/addr.h"

struct tree_key {
    uint64_t word[4];
};

struct tree_node {
    struct tree_node *side[2];
    struct tree_key key;
    uint32_t weight;
    bool is_in;
};

struct tree {
    struct tree_node *root;
    uint64_t steps; /* nodes looked at since the start: what the planner's work is counted by */
    size_t count;
    uint32_t drawn;
};

/* In, by that key; from where it stood, if it did. */
void tree_put(struct tree *t, struct tree_node *n, const struct tree_key *key);
/* Out; nothing if it is not in. */
void tree_out(struct tree *t, struct tree_node *n);

/* The first that is not before key; the last that is not after it. NULL: none. */
const struct tree_node *tree_from(struct tree *t, const struct tree_key *key);
const struct tree_node *tree_upto(struct tree *t, const struct tree_key *key);
const struct tree_node *tree_after(struct tree *t, const struct tree_node *n);

static inline unsigned tree_number(const struct tree_node *n)
{
    return (unsigned)(n->key.word[3] & UINT32_MAX);
}

/* group: any number below 2^56, by which things that never meet are told apart. */
struct tree_key tree_prefix_key(uint64_t group, const struct prefix *p, unsigned number);

/* One after the other all of a group that cover p or are covered by it. What was given may be taken
 * out; nothing is to be put in meanwhile. */
struct tree_overlap {
    struct tree *tree;
    struct prefix prefix;
    uint64_t group;
    struct tree_key at;
    bool is_wider_done, is_done;
};
struct tree_overlap tree_overlapping(struct tree *t, uint64_t group, const struct prefix *p);
/* Its number; -1: that was all. */
int64_t tree_overlap_next(struct tree_overlap *o);
