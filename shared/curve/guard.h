/* Who gets in at a socket that speaks CURVE: the list of keys in a folder (allowed.h), asked in the
 * middle of each handshake (zap.h), and read again when its files change.
 *
 * The folder is looked at once a second, and at once for a key that is not known; what is wrong
 * with its files is logged when it is not what was logged before. A folder that is gone lets nobody
 * in; one that cannot be read for another reason (no descriptor left, no right) changes nothing.
 *
 * ZeroMQ cannot end one connection of many. So when a key that was let in is taken away, or becomes
 * another name's, guard_tend says so, and its owner closes all sockets of the context and opens
 * them again. Not safe for several threads. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/quiet.h"
#include "shared/curve/allowed.h"

struct guard_conf {
    const char *folder; /* borrowed, as all of these */
    const char *key;    /* of the configuration, for people: "collector.sensors" */
    const char *who;    /* what is let in: "sensor", "subscriber" */
    enum allowed_who kind;
};

struct guard {
    struct guard_conf conf;
    void *zap; /* NULL: it guards nothing */
    struct allowed allowed;
    uint64_t refused;          /* connections, ever */
    uint64_t print;            /* of the folder, when the list was read */
    uint64_t complaints;       /* about its files: a hash of what was logged */
    bool is_settled, is_blind; /* blind: the folder cannot be read, which was logged */
    uint64_t looked_at;        /* mono ns of the last look at the folder */
    struct quiet said_key;
};

/* Reads the list, and opens nothing; files that allow nobody are logged. ERR_CONF, -errno, with a
 * note that begins with conf.key. */
int guard_read(struct guard *g, const struct guard_conf *conf, struct note *note);
/* The same, and from now on the context's sockets ask. To be done before they are bound: while
 * there is no guard ZeroMQ lets everybody in. */
int guard_open(struct guard *g, const struct guard_conf *conf, void *context, struct note *note);
/* After the sockets; accepts a zeroed one. */
void guard_close(struct guard *g);

/* Answers who asks to come in, and looks at the list. To be called often. true: somebody who is
 * connected may not be any more, the sockets must be closed and opened again. */
bool guard_tend(struct guard *g, uint64_t now_ns);
