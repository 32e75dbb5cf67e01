/* A YAML document as a small tree, with lines: what conf_table.c walks. Private to this folder.
 *
 * Built from libyaml's events rather than its documents: so depth is bounded before it is built,
 * and anchors, aliases, tags and second documents are refused where they stand. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum yaml_kind { YAML_SCALAR, YAML_MAP, YAML_LIST };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line;                  /* from 1; of the key for a map's children */
    const char *name;               /* key, for children of a map; else NULL */
    const char *text;               /* scalars */
    struct yaml_node *first, *last; /* children */
    struct yaml_node *next;         /* sibling */
    struct yaml_node *made_before;
};

struct yaml_tree {
    struct yaml_node *root; /* NULL: the text holds nothing */
    struct yaml_node *made; /* chain of all nodes */
    unsigned line;          /* of the mistake */
    char problem[200];      /* the mistake */
};

/* 0, -ENOMEM or ERR_CONF with line and problem. yaml_tree_clear in every case. */
int yaml_tree_read(struct yaml_tree *t, const char *text, size_t len);
void yaml_tree_clear(struct yaml_tree *t);
