#include "collector/roster/roster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An operator's sensors are tens or hundreds, so a plain list is searched; ROSTER_MAX keeps who
 * invents names from making it long. */

struct sensor {
    struct sensor_row row;
    bool is_changed;
    bool may_test; /* a test began since its tests were lost last; or nobody knows: loaded */
    bool is_lost;  /* its tests; to be taken */
};

struct roster {
    struct roster_conf conf;
    struct sensor *sensors;
    size_t used, room;
    struct gap_row *gaps; /* not yet taken, oldest first */
    size_t gap_at, gap_used, gap_room;
    bool some_lost; /* of some sensor: so that asking costs nothing */
};

int roster_new(const struct roster_conf *conf, struct roster **out)
{
    struct roster *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    r->conf = *conf;
    *out = r;
    return 0;
}

void roster_free(struct roster *r)
{
    if (r == NULL)
        return;
    free(r->gaps);
    free(r->sensors);
    free(r);
}

static void copy_name(char out[static WIRE_NAME], const char *name)
{
    size_t len = strnlen(name, WIRE_NAME - 1);
    memset(out, 0, WIRE_NAME);
    memcpy(out, name, len);
}

/* The map's key has room for so much of a place's name. Cut here, and between characters: half of
 * one would become another key on its way through the database. */
static void copy_pop(struct sensor_row *row, const char *pop)
{
    enum { POP_MAX = 31 };
    copy_name(row->pop, pop);
    size_t len = strlen(row->pop);
    if (len <= POP_MAX)
        return;
    for (len = POP_MAX; len > 0 && (row->pop[len] & 0xc0) == 0x80;)
        len--;
    memset(row->pop + len, 0, sizeof row->pop - len);
}

static struct sensor *find(const struct roster *r, const char *name)
{
    for (size_t i = 0; i < r->used; i++)
        if (strncmp(r->sensors[i].row.name, name, WIRE_NAME) == 0)
            return &r->sensors[i];
    return NULL;
}

static int add(struct roster *r, struct sensor **out)
{
    if (r->used == r->room) {
        size_t room = r->room == 0 ? 16 : r->room * 2;
        struct sensor *sensors = realloc(r->sensors, room * sizeof *sensors);
        if (sensors == NULL)
            return -ENOMEM;
        r->sensors = sensors;
        r->room = room;
    }
    *out = &r->sensors[r->used++];
    **out = (struct sensor){0};
    return 0;
}

int roster_load(struct roster *r, const struct sensor_row *row)
{
    struct sensor *s = find(r, row->name);
    if (s == NULL && add(r, &s) < 0)
        return -ENOMEM;
    s->row = *row;
    s->may_test = true;
    return 0;
}

/* Makes room for one more gap, so that noting it cannot fail half-way through a change. */
static int gap_reserve(struct roster *r)
{
    if (r->gap_at == r->gap_used)
        r->gap_at = r->gap_used = 0;
    if (r->gap_used < r->gap_room)
        return 0;
    size_t room = r->gap_room == 0 ? 16 : r->gap_room * 2;
    struct gap_row *gaps = realloc(r->gaps, room * sizeof *gaps);
    if (gaps == NULL)
        return -ENOMEM;
    r->gaps = gaps;
    r->gap_room = room;
    return 0;
}

static void gap_note(struct roster *r, const struct sensor_row *row, uint64_t from, uint64_t to,
                     const char *reason, int64_t at)
{
    struct gap_row *gap = &r->gaps[r->gap_used++];
    *gap = (struct gap_row){.epoch = row->epoch, .from_seq = from, .to_seq = to, .at = at};
    copy_name(gap->sensor, row->name);
    memcpy(gap->reason, reason, strnlen(reason, sizeof gap->reason - 1));
}

static void tests_lost(struct roster *r, struct sensor *s)
{
    s->is_lost = s->is_lost || s->may_test;
    s->may_test = false;
    r->some_lost = r->some_lost || s->is_lost;
}

/* The sensor no longer holds what follows the high-water mark: it will never come. */
static void skip_lost(struct roster *r, struct sensor *s, uint64_t first_seq, int64_t now)
{
    struct sensor_row *row = &s->row;
    if (first_seq <= row->last_seq + 1)
        return;
    gap_note(r, row, row->last_seq + 1, first_seq - 1, "the sensor no longer holds these events",
             now);
    row->last_seq = first_seq - 1;
    tests_lost(r, s);
}

static void epoch_begin(struct roster *r, struct sensor *s, uint64_t epoch, int64_t now)
{
    struct sensor_row *row = &s->row;
    if (row->epoch != 0 && row->state != SENSOR_STOPPED)
        gap_note(r, row, row->last_seq + 1, 0, "sensor restarted without its goodbye", now);
    row->epoch = epoch;
    row->last_seq = 0;
    row->state = SENSOR_UP;
    tests_lost(r, s);
}

/* At most two gaps are noted by one hello: one for each epoch. */
static int hello_reserve(struct roster *r)
{
    if (gap_reserve(r) < 0)
        return -ENOMEM;
    r->gap_used++;
    int err = gap_reserve(r);
    r->gap_used--;
    return err;
}

int roster_hello(struct roster *r, const char *sensor, const struct wire_message *m, int64_t now,
                 uint64_t *last_seq)
{
    struct sensor *s = find(r, sensor);
    if (s != NULL && m->epoch < s->row.epoch)
        return ERR_BUSY;
    if (s == NULL && r->used >= ROSTER_MAX)
        return ERR_FULL;
    if (hello_reserve(r) < 0 || (s == NULL && add(r, &s) < 0))
        return -ENOMEM;
    if (s->row.name[0] == '\0') {
        copy_name(s->row.name, sensor);
        s->row.first_seen = now;
    }
    if (m->epoch > s->row.epoch)
        epoch_begin(r, s, m->epoch, now);
    skip_lost(r, s, m->first_seq, now);
    if (s->row.state == SENSOR_SILENT)
        s->row.state = SENSOR_UP;
    copy_pop(&s->row, m->pop);
    copy_name(s->row.version, m->release);
    s->row.last_seen = now;
    s->is_changed = true;
    *last_seq = s->row.last_seq;
    return 0;
}

enum roster_answer roster_batch(struct roster *r, const char *sensor, const struct wire_message *m,
                                int64_t now, uint32_t *skip)
{
    struct sensor *s = find(r, sensor);
    *skip = 0;
    /* An older epoch is not ours to judge any more: its rest was noted as a gap. */
    if (s == NULL || m->epoch != s->row.epoch || m->first_seq == 0 ||
        m->first_seq > s->row.last_seq + 1 || m->first_seq > UINT64_MAX - m->count)
        return ROSTER_AGAIN;
    s->row.last_seen = now;
    if (s->row.state == SENSOR_SILENT)
        s->row.state = SENSOR_UP;
    s->is_changed = true;
    uint64_t next = m->first_seq + m->count;
    if (next <= s->row.last_seq + 1)
        return ROSTER_REPEAT;
    *skip = (uint32_t)(s->row.last_seq + 1 - m->first_seq);
    s->row.last_seq = next - 1;
    s->row.state = SENSOR_UP; /* unless a goodbye among its events says else */
    return ROSTER_TAKE;
}

void roster_event(struct roster *r, const char *sensor, const struct event *e, int64_t now)
{
    struct sensor *s = find(r, sensor);
    if (s == NULL)
        return;
    switch (e->type) {
    case EVENT_sensor_started:
        copy_name(s->row.version, e->sensor_started.version);
        copy_pop(&s->row, e->sensor_started.pop);
        break;
    case EVENT_sensor_stopped:
        s->row.state = SENSOR_STOPPED;
        tests_lost(r, s);
        break;
    case EVENT_test_started:
        s->may_test = true;
        return;
    case EVENT_gap:
        if (gap_reserve(r) == 0)
            gap_note(r, &s->row, e->gap.from_seq, e->gap.to_seq, e->gap.reason, now);
        tests_lost(r, s);
        break;
    default:
        return;
    }
    s->is_changed = true;
}

void roster_tick(struct roster *r, int64_t now)
{
    for (size_t i = 0; i < r->used; i++) {
        struct sensor *s = &r->sensors[i];
        if (s->row.state != SENSOR_UP || now <= s->row.last_seen ||
            (uint64_t)(now - s->row.last_seen) <= r->conf.silent_after_ns)
            continue;
        s->row.state = SENSOR_SILENT;
        s->is_changed = true;
        tests_lost(r, s);
    }
}

bool roster_take_sensor(struct roster *r, struct sensor_row *out)
{
    for (size_t i = 0; i < r->used; i++) {
        if (!r->sensors[i].is_changed)
            continue;
        r->sensors[i].is_changed = false;
        *out = r->sensors[i].row;
        return true;
    }
    return false;
}

bool roster_take_gap(struct roster *r, struct gap_row *out)
{
    if (r->gap_at == r->gap_used)
        return false;
    *out = r->gaps[r->gap_at++];
    return true;
}

bool roster_take_lost(struct roster *r, char sensor[static WIRE_NAME])
{
    for (size_t i = 0; r->some_lost && i < r->used; i++) {
        if (!r->sensors[i].is_lost)
            continue;
        r->sensors[i].is_lost = false;
        memcpy(sensor, r->sensors[i].row.name, WIRE_NAME);
        return true;
    }
    r->some_lost = false;
    return false;
}

const struct sensor_row *roster_find(const struct roster *r, const char *sensor)
{
    const struct sensor *s = find(r, sensor);
    return s == NULL ? NULL : &s->row;
}
