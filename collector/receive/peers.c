#include "collector/receive/peers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void peers_clear(struct peers *p)
{
    free(p->list);
    memset(p, 0, sizeof *p);
}

static bool same_id(const struct peer_id *a, const struct peer_id *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static struct peer *find_id(const struct peers *p, const struct peer_id *id)
{
    for (size_t i = 0; i < p->count; i++)
        if (same_id(&p->list[i].id, id))
            return &p->list[i];
    return NULL;
}

static struct peer *find_name(const struct peers *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->list[i].name, name) == 0)
            return &p->list[i];
    return NULL;
}

struct peer *peers_by_id(const struct peers *p, const struct peer_id *id)
{
    return find_id(p, id);
}

struct peer *peers_by_name(const struct peers *p, const char *name)
{
    return find_name(p, name);
}

static int grow(struct peers *p)
{
    if (p->count == PEERS_MAX)
        return ERR_FULL;
    if (p->count < p->room)
        return 0;
    size_t room = p->room > 0 ? 2 * p->room : 16;
    struct peer *list = realloc(p->list, room * sizeof *list);
    if (list == NULL)
        return -ENOMEM;
    p->list = list;
    p->room = room;
    return 0;
}

void peers_disconnect(struct peers *p)
{
    for (size_t i = 0; i < p->count; i++)
        p->list[i].id.len = 0;
}

int peers_bind(struct peers *p, const struct peer_id *id, const char *name, const char *key,
               struct peer_id *displaced)
{
    displaced->len = 0;
    struct peer *mine = find_id(p, id);
    if (mine != NULL && strcmp(mine->name, name) == 0) {
        snprintf(mine->key, sizeof mine->key, "%s", key);
        return 0;
    }
    if (mine != NULL) /* it had another name: that row goes */
        *mine = p->list[--p->count];
    struct peer *row = find_name(p, name);
    if (row != NULL) {
        *displaced = row->id;
        row->id = *id;
        snprintf(row->key, sizeof row->key, "%s", key);
        return 0;
    }
    int err = grow(p);
    if (err < 0)
        return err;
    row = &p->list[p->count++];
    *row = (struct peer){.id = *id};
    snprintf(row->name, sizeof row->name, "%s", name);
    snprintf(row->key, sizeof row->key, "%s", key);
    return 0;
}
