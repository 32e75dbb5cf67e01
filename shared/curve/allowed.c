#include "shared/curve/allowed.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/base/clock.h"
#include "shared/base/hash.h"
#include "shared/wire/wire.h"

/* Coarser than the clock of any file system that we know (FAT: 2 s). */
#define SETTLE_NS ((int64_t)(3 * NS_PER_S))

void allowed_clear(struct allowed *a)
{
    free(a->list);
    memset(a, 0, sizeof *a);
}

struct allowed_key *allowed_find(const struct allowed *a, const char *key)
{
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->list[i].key, key) == 0)
            return &a->list[i];
    return NULL;
}

static const struct allowed_key *find_name(const struct allowed *a, const char *name)
{
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->list[i].name, name) == 0)
            return &a->list[i];
    return NULL;
}

/* ---- the names in the folder ---- */

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void free_names(struct dirent **names, int n)
{
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

/* ---- reading ---- */

static int grow(struct allowed *a)
{
    if (a->count == ALLOWED_MAX)
        return ERR_FULL;
    if (a->count < a->room)
        return 0;
    size_t room = a->room > 0 ? 2 * a->room : 16;
    struct allowed_key *list = realloc(a->list, room * sizeof *list);
    if (list == NULL)
        return -ENOMEM;
    a->list = list;
    a->room = room;
    return 0;
}

/* "" when the key may be used. */
static void why_not(const struct allowed *a, enum allowed_who kind, const struct curve_key *key,
                    struct note *why)
{
    const struct allowed_key *same;
    bool is_sensor = kind == ALLOWED_SENSORS;
    why->text[0] = '\0';
    if (!wire_name_is_sound(key->name))
        note_set(why, 0, "its metadata need a name, without spaces, quotes and control characters");
    else if (is_sensor && (!wire_name_is_sound(key->pop) || strlen(key->pop) > ALLOWED_POP))
        note_set(why, 0,
                 "its metadata need a pop of at most %d bytes, without spaces, quotes and control "
                 "characters (penstockctl keys new %s --pop POP)",
                 ALLOWED_POP, key->name);
    else if ((same = allowed_find(a, key->public_key)) != NULL)
        note_set(why, 0, "its key is the one of %s, which stands", same->file);
    else if ((same = find_name(a, key->name)) != NULL)
        note_set(why, 0, "its name %s is the one of %s, which stands", key->name, same->file);
}

static int add(struct allowed *a, const char *file, const struct curve_key *key)
{
    int err = grow(a);
    if (err < 0)
        return err;
    struct allowed_key *row = &a->list[a->count++];
    *row = (struct allowed_key){.is_connected = false};
    memcpy(row->key, key->public_key, sizeof row->key);
    memcpy(row->name, key->name, sizeof row->name);
    memcpy(row->pop, key->pop, sizeof row->pop);
    snprintf(row->file, sizeof row->file, "%s", file);
    return 0;
}

/* This process's want, not the file's fault. */
static bool is_ours(int err)
{
    return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

static int read_one(struct allowed *a, const char *folder, const char *file, enum allowed_who kind,
                    allowed_complain *complain, void *ctx, struct note *note)
{
    char path[PATH_MAX];
    struct curve_key key;
    struct note why = {0};
    struct stat st;
    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path)
        return note_set(note, -ENAMETOOLONG, "%s/%s: its name is too long", folder, file);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return 0;
    int err = curve_load_public(path, &key, &why);
    if (is_ours(err))
        return note_set(note, err, "%s", why.text);
    if (err == 0)
        why_not(a, kind, &key, &why);
    if (err == 0 && why.text[0] == '\0')
        return add(a, file, &key);
    if (complain != NULL)
        complain(ctx, file, why.text);
    return 0;
}

int allowed_read(struct allowed *a, const char *folder, enum allowed_who kind,
                 allowed_complain *complain, void *ctx, struct note *note)
{
    struct dirent **names = NULL;
    int n = scandir(folder, &names, is_visible, by_name), err = 0;
    if (n < 0)
        return note_set(note, errno == ENOENT || errno == ENOTDIR ? ERR_CONF : -errno, "%s: %s",
                        folder, strerror(errno));
    for (int i = 0; err == 0 && i < n; i++)
        err = read_one(a, folder, names[i]->d_name, kind, complain, ctx, note);
    free_names(names, n);
    if (err == ERR_FULL)
        note_set(note, err, "%s: more than %d keys", folder, ALLOWED_MAX);
    if (err < 0)
        allowed_clear(a);
    return err;
}

/* ---- has it changed? ---- */

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * (int64_t)NS_PER_S + t.tv_nsec;
}

static uint64_t mix(uint64_t print, const char *name, const struct stat *st)
{
    const struct hash_key key = {print, 0};
    uint64_t words[6] = {st->st_ino,
                         (uint64_t)st->st_size,
                         (uint64_t)ns_of(st->st_mtim),
                         (uint64_t)ns_of(st->st_ctim),
                         st->st_mode,
                         0};
    for (const char *c = name; *c != '\0'; c++)
        words[5] = words[5] * 131 + (uint8_t)*c;
    return hash_words(key, words, 6);
}

int allowed_print(const char *folder, uint64_t *print, bool *is_settled)
{
    char path[PATH_MAX];
    struct dirent **names = NULL;
    struct stat st;
    int64_t now = clock_wall_ns();
    int n = scandir(folder, &names, is_visible, by_name);
    if (n < 0)
        return -errno;
    *print = (uint64_t)n;
    *is_settled = true;
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (stat(path, &st) != 0)
            memset(&st, 0, sizeof st);
        *print = mix(*print, names[i]->d_name, &st);
        /* from the future: a clock that was set back, which shall not have us read for ever */
        if (ns_of(st.st_ctim) <= now && now - ns_of(st.st_ctim) < SETTLE_NS)
            *is_settled = false;
    }
    free_names(names, n);
    return 0;
}
