/* What the tests of the spool share: a folder, events that carry their number, and a look at what
 * is held. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sensor/publish/spool.h"
#include "shared/base/clock.h"

#define LINGER (20 * NS_PER_MS)

struct folder {
    char path[64];
};

static inline void folder_make(struct folder *f)
{
    strcpy(f->path, "/tmp/penstock-test-XXXXXX");
    assert_non_null(mkdtemp(f->path));
}

static inline void folder_remove(struct folder *f)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", f->path);
    assert_int_equal(system(command), 0);
}

static inline int try_open(const char *path, const char *sensor, uint64_t limit, struct spool **out,
                           struct note *note)
{
    struct spool_conf conf = {path, sensor, limit};
    *note = (struct note){0};
    return spool_open(&conf, out, note);
}

static inline struct spool *open_spool(const char *path, uint64_t limit)
{
    struct spool *s;
    struct note note;
    if (try_open(path, "ams1", limit, &s, &note) != 0)
        fail_msg("%s", note.text);
    return s;
}

/* An event that carries its number, as its time. */
static inline void add(struct spool *s, uint8_t type)
{
    struct event e = {.type = type, .at = (int64_t)spool_next(s)};
    assert_true(spool_has_room(s));
    assert_int_equal(spool_add(s, &e, clock_mono_ns()), 0);
}

static inline void add_many(struct spool *s, uint8_t type, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!spool_has_room(s))
            assert_int_equal(spool_commit(s, clock_mono_ns(), 0), 0);
        add(s, type);
    }
}

static inline void commit_now(struct spool *s)
{
    assert_int_equal(spool_commit(s, clock_mono_ns(), 0), 0);
}

/* Goes over all that is held, from the first that is not acknowledged; each event must carry its
 * number (less shift). Fills type[number] when asked. How many there are. */
static inline uint64_t walk(struct spool *s, uint64_t shift, uint8_t *type, uint64_t most)
{
    uint64_t seq = spool_acked(s) + 1, n = 0;
    struct record r;
    int got;
    while ((got = spool_read(s, seq, &r)) == 1) {
        size_t offset = 0, used;
        assert_true(r.first + r.count > seq);
        for (uint32_t i = 0; i < r.count; i++, offset += used, n++) {
            struct event e;
            assert_int_equal(wire_event_decode(r.events + offset, r.len - offset, &e, &used), 0);
            assert_int_equal(e.at, r.first + i + shift);
            if (type != NULL) {
                assert_true(r.first + i < most);
                type[r.first + i] = e.type;
            }
        }
        seq = r.first + r.count;
    }
    assert_int_equal(got, 0);
    return n;
}

/* The same, and nothing may be missing. */
static inline void all_is_there(struct spool *s)
{
    struct record r;
    for (uint64_t seq = spool_acked(s) + 1; seq < spool_committed(s); seq = r.first + r.count) {
        assert_int_equal(spool_read(s, seq, &r), 1);
        assert_true(r.first <= seq);
    }
    walk(s, 0, NULL, 0);
}

static inline uint64_t file_size(const struct folder *f)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/spool/data.mdb", f->path);
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

static inline uint64_t given_up(const struct spool *s)
{
    uint64_t n = 0;
    for (int c = 0; c < CLASS_COUNT; c++)
        n += spool_stats(s)->given_up[c];
    return n;
}
