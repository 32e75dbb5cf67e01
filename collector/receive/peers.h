/* Which connection speaks for which sensor: routing id <-> name, at most one connection each.
 *
 * A plain array and linear search: a network has some hundred sensors, and a message carries some
 * hundred events. Only a connection that said hello has a row, so strangers cost no memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"
#include "shared/wire/wire.h"

#define PEERS_MAX                                                                  \
    4096 /* more names than this are refused: in plain mode anybody may invent one \
          */

struct peer_id { /* ZeroMQ's routing id: 1..255 bytes */
    uint8_t len;
    uint8_t bytes[255];
};

struct peer {
    struct peer_id id;
    char name[WIRE_NAME];
};

struct peers {
    struct peer *list;
    size_t count, room;
};

void peers_clear(struct peers *p);

/* NULL if unknown; borrowed until the next peers_bind. */
const struct peer *peers_by_id(const struct peers *p, const struct peer_id *id);
const struct peer *peers_by_name(const struct peers *p, const char *name);

/* From now on id speaks for name: whoever did before does so no longer, and id for nobody else.
 * *displaced is the connection that lost the name (len 0: none). ERR_FULL, -ENOMEM. */
int peers_bind(struct peers *p, const struct peer_id *id, const char *name,
               struct peer_id *displaced);
