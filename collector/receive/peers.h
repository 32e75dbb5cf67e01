/* Which connection speaks for which sensor: routing id <-> name, at most one connection each.
 *
 * A plain array and linear search: a network has some hundred sensors, and a message carries some
 * hundred events. Only a connection that said hello has a row, so strangers cost no memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/receive/pace.h"
#include "shared/base/err.h"
#include "shared/curve/curve.h"
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
    char key[CURVE_TEXT]; /* public key of the connection; "" in plain mode */
    struct pace pace;     /* of the name, whichever connection has it */
    bool is_refused;      /* sent more than it may: not listened to before it says hello */
    bool told_claim;      /* that its hello claims another name was logged */
};

struct peers {
    struct peer *list;
    size_t count, room;
};

void peers_clear(struct peers *p);

/* No connection is left: every name waits for a hello, with its pace. */
void peers_disconnect(struct peers *p);

/* NULL if unknown; borrowed until the next peers_bind. */
struct peer *peers_by_id(const struct peers *p, const struct peer_id *id);
struct peer *peers_by_name(const struct peers *p, const char *name);

/* From now on id, whose public key is key ("": plain), speaks for name: whoever did before does so
 * no longer, and id for nobody else. *displaced is the connection that lost the name (len 0: none).
 * ERR_FULL, -ENOMEM. */
int peers_bind(struct peers *p, const struct peer_id *id, const char *name, const char *key,
               struct peer_id *displaced);
