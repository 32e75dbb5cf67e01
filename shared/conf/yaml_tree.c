#include "shared/conf/yaml_tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "shared/base/err.h"
#include "shared/conf/conf_table.h"

struct builder {
    struct yaml_tree *tree;
    struct yaml_node *open[CONF_DEPTH]; /* maps and lists that have not ended */
    unsigned depth;
    char *key; /* read, waiting for its value */
    unsigned key_line;
    unsigned documents;
};

static int fail(struct yaml_tree *t, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct yaml_tree *t, size_t line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(t->problem, sizeof t->problem, format, args);
    va_end(args);
    t->line = (unsigned)line + 1;
    return ERR_CONF;
}

/* A copy of text or key behind the node, so that one free() takes all of it. */
static struct yaml_node *node_new(struct builder *b, enum yaml_kind kind, const yaml_event_t *e)
{
    const char *text = kind == YAML_SCALAR ? (const char *)e->data.scalar.value : "";
    size_t text_size = strlen(text) + 1;
    size_t name_size = b->key != NULL ? strlen(b->key) + 1 : 0;
    struct yaml_node *n = calloc(1, sizeof *n + text_size + name_size);
    if (n == NULL)
        return NULL;
    char *behind = (char *)(n + 1);
    n->kind = kind;
    n->line = (unsigned)e->start_mark.line + 1;
    n->text = memcpy(behind, text, text_size);
    if (b->key != NULL) {
        n->name = memcpy(behind + text_size, b->key, name_size);
        n->line = b->key_line;
        free(b->key);
        b->key = NULL;
    }
    n->made_before = b->tree->made;
    b->tree->made = n;
    return n;
}

static void hang(struct builder *b, struct yaml_node *n)
{
    if (b->depth == 0) {
        b->tree->root = n;
        return;
    }
    struct yaml_node *parent = b->open[b->depth - 1];
    if (parent->last != NULL)
        parent->last->next = n;
    else
        parent->first = n;
    parent->last = n;
}

static bool wants_key(const struct builder *b)
{
    return b->depth > 0 && b->open[b->depth - 1]->kind == YAML_MAP && b->key == NULL;
}

static int add_scalar(struct builder *b, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    if (strlen(text) != e->data.scalar.length)
        return fail(b->tree, e->start_mark.line, "a NUL character stands in the text");
    if (wants_key(b)) {
        b->key = strdup(text);
        b->key_line = (unsigned)e->start_mark.line + 1;
        return b->key != NULL ? 0 : -ENOMEM;
    }
    struct yaml_node *n = node_new(b, YAML_SCALAR, e);
    if (n == NULL)
        return -ENOMEM;
    hang(b, n);
    return 0;
}

static int add_open(struct builder *b, enum yaml_kind kind, const yaml_event_t *e)
{
    if (wants_key(b))
        return fail(b->tree, e->start_mark.line, "a key must be a word, not a list or a map");
    if (b->depth == CONF_DEPTH)
        return fail(b->tree, e->start_mark.line, "nested deeper than %d levels", CONF_DEPTH);
    struct yaml_node *n = node_new(b, kind, e);
    if (n == NULL)
        return -ENOMEM;
    hang(b, n);
    b->open[b->depth++] = n;
    return 0;
}

static int refuse(struct builder *b, const yaml_event_t *e, const void *anchor, const void *tag)
{
    if (anchor != NULL)
        return fail(b->tree, e->start_mark.line, "anchors (&name) are not understood here");
    if (tag != NULL)
        return fail(b->tree, e->start_mark.line, "tags (!name) are not understood here");
    return 0;
}

static int add_event(struct builder *b, const yaml_event_t *e)
{
    int err = 0;
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->documents++ > 0)
            return fail(b->tree, e->start_mark.line,
                        "a second document starts here; one file "
                        "holds one");
        return 0;
    case YAML_ALIAS_EVENT:
        return fail(b->tree, e->start_mark.line,
                    "aliases (*name) are not understood here; put text that starts with * in "
                    "quotes");
    case YAML_SCALAR_EVENT:
        err = refuse(b, e, e->data.scalar.anchor, e->data.scalar.tag);
        return err != 0 ? err : add_scalar(b, e);
    case YAML_SEQUENCE_START_EVENT:
        err = refuse(b, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
        return err != 0 ? err : add_open(b, YAML_LIST, e);
    case YAML_MAPPING_START_EVENT:
        err = refuse(b, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
        return err != 0 ? err : add_open(b, YAML_MAP, e);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return 0;
    default:
        return 0;
    }
}

/* The scanner has a mark; the character reader only an offset. */
static size_t line_of_problem(const yaml_parser_t *p, const char *text, size_t len)
{
    if (p->error != YAML_READER_ERROR)
        return p->problem_mark.line;
    size_t line = 0;
    for (size_t i = 0; i < len && i < p->problem_offset; i++)
        line += text[i] == '\n';
    return line;
}

static int read_events(struct builder *b, yaml_parser_t *p, const char *text, size_t len)
{
    for (bool is_over = false; !is_over;) {
        yaml_event_t e;
        if (!yaml_parser_parse(p, &e)) {
            if (p->error == YAML_MEMORY_ERROR)
                return -ENOMEM;
            return fail(b->tree, line_of_problem(p, text, len), "this is not YAML: %s%s%s",
                        p->context != NULL ? p->context : "", p->context != NULL ? ", " : "",
                        p->problem != NULL ? p->problem : "unknown problem");
        }
        is_over = e.type == YAML_STREAM_END_EVENT;
        int err = add_event(b, &e);
        yaml_event_delete(&e);
        if (err != 0)
            return err;
    }
    return 0;
}

int yaml_tree_read(struct yaml_tree *t, const char *text, size_t len)
{
    *t = (struct yaml_tree){0};
    struct builder b = {.tree = t};
    yaml_parser_t p;
    if (!yaml_parser_initialize(&p))
        return -ENOMEM;
    yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
    int err = read_events(&b, &p, text, len);
    free(b.key);
    yaml_parser_delete(&p);
    return err;
}

void yaml_tree_clear(struct yaml_tree *t)
{
    while (t->made != NULL) {
        struct yaml_node *n = t->made;
        t->made = n->made_before;
        free(n);
    }
    t->root = NULL;
}
