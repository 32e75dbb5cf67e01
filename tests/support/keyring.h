/* A folder of certificates for a test: the collector's, and sensors.d with whom it lets in. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/curve/curve.h"
#include "tests/support/temp_folder.h"

struct keyring {
    struct temp_folder folder;
    struct curve_key collector;
    char certificate[128], server[128], sensors[128]; /* the collector's files, and the folder */
    char file[512];                                   /* of the latest keyring_path() */
};

static inline const char *keyring_path(struct keyring *k, const char *folder, const char *name,
                                       const char *suffix)
{
    snprintf(k->file, sizeof k->file, "%s/%.64s%.64s%.16s", k->folder.path, folder, name, suffix);
    return k->file;
}

static inline struct curve_key keyring_new_key(const char *name, const char *pop)
{
    struct curve_key key = {.name = ""};
    snprintf(key.name, sizeof key.name, "%s", name);
    snprintf(key.pop, sizeof key.pop, "%s", pop);
    if (curve_new(&key) != 0)
        abort();
    return key;
}

static inline void keyring_save(const struct curve_key *key, const char *path, bool with_secret)
{
    struct note note;
    if (curve_save(key, path, with_secret, true, &note) != 0)
        abort();
}

static inline void keyring_open(struct keyring *k)
{
    temp_folder_open(&k->folder);
    snprintf(k->sensors, sizeof k->sensors, "%s/sensors.d", k->folder.path);
    if (mkdir(k->sensors, 0700) != 0)
        abort();
    k->collector = keyring_new_key("collector", "");
    snprintf(k->certificate, sizeof k->certificate, "%s/collector.cert", k->folder.path);
    snprintf(k->server, sizeof k->server, "%s/collector.pub", k->folder.path);
    keyring_save(&k->collector, k->certificate, true);
    keyring_save(&k->collector, k->server, false);
}

static inline void keyring_close(struct keyring *k)
{
    temp_folder_close(&k->folder);
}

/* The key may come in, by the file NAME.pub. */
static inline void keyring_allow_as(struct keyring *k, const struct curve_key *key,
                                    const char *name)
{
    keyring_save(key, keyring_path(k, "sensors.d/", name, ".pub"), false);
}

static inline void keyring_allow(struct keyring *k, const struct curve_key *key)
{
    keyring_allow_as(k, key, key->name);
}

static inline void keyring_forbid(struct keyring *k, const char *name)
{
    if (unlink(keyring_path(k, "sensors.d/", name, ".pub")) != 0)
        abort();
}

/* The sensor's own file; its path, valid until the next call. */
static inline const char *keyring_certificate(struct keyring *k, const struct curve_key *key)
{
    keyring_save(key, keyring_path(k, "", key->name, ".cert"), true);
    return k->file;
}

/* A sensor of that name may come in, with the key that it has or gets. The path of its own file,
 * valid until the next call. */
static inline const char *keyring_sensor(struct keyring *k, const char *name, const char *pop)
{
    if (access(keyring_path(k, "", name, ".cert"), F_OK) == 0)
        return k->file;
    struct curve_key key = keyring_new_key(name, pop);
    keyring_allow(k, &key);
    return keyring_certificate(k, &key);
}
