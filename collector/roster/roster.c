#include "collector/roster/roster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/hash.h"

/* Sensors stand in one array and are never taken out; slots lead from a name to its place there
 * (open addressing, place + 1, 0 is free). What changed waits in lists of places, so that nothing
 * here grows with the number of sensors but the memory. */

struct mark {
    uint64_t epoch, last_seq;
    int64_t first_seen, last_seen;
    bool is_open, is_changed;
};

struct sensor {
    struct sensor_row row;
    struct mark *marks; /* oldest hello first; the last one is the epoch that batches count for */
    uint32_t mark_count, mark_room;
    int64_t heard_at;    /* from here on silence is counted */
    bool is_changed;     /* in the list of changed rows */
    bool is_any_changed; /* in the list of changed marks */
    bool may_test;       /* a test began since its tests were lost last; or nobody knows: loaded */
    bool is_lost;        /* its tests; in the list of the lost */
};

/* Places of sensors, each at most once: a sensor has a flag that says whether it is in. */
struct places {
    uint32_t *at;
    uint32_t count;
};

struct roster {
    struct roster_conf conf;
    struct hash_key key;
    struct sensor *sensors;
    uint32_t used, room;
    uint32_t *slots, mask; /* more than twice as many as sensors */
    uint32_t last;         /* found last */
    struct places changed, marks_changed, lost;
    struct gap_row *gaps; /* not yet taken, oldest first */
    size_t gap_at, gap_used, gap_room;
    struct epoch_row *forgotten; /* not yet taken */
    size_t forgotten_used, forgotten_room;
};

int roster_new(const struct roster_conf *conf, struct roster **out)
{
    struct roster *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    struct prf prf = prf_init(conf->seed, 3);
    r->conf = *conf;
    r->key.k0 = prf_next(&prf);
    r->key.k1 = prf_next(&prf);
    *out = r;
    return 0;
}

void roster_free(struct roster *r)
{
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < r->used; i++)
        free(r->sensors[i].marks);
    free(r->changed.at);
    free(r->marks_changed.at);
    free(r->lost.at);
    free(r->forgotten);
    free(r->gaps);
    free(r->slots);
    free(r->sensors);
    free(r);
}

/* ---- finding ---- */

static void copy_name(char out[static WIRE_NAME], const char *name)
{
    size_t len = strnlen(name, WIRE_NAME - 1);
    memset(out, 0, WIRE_NAME);
    memcpy(out, name, len);
}

static bool is_called(const struct sensor *s, const char *name)
{
    return strncmp(s->row.name, name, WIRE_NAME - 1) == 0;
}

/* The slot of that name, or the free one where it belongs. */
static uint32_t *slot_of(const struct roster *r, const char *name)
{
    uint64_t words[WIRE_NAME / 8];
    char padded[WIRE_NAME];
    copy_name(padded, name);
    memcpy(words, padded, sizeof words);
    uint32_t i = (uint32_t)hash_words(r->key, words, WIRE_NAME / 8) & r->mask;
    while (r->slots[i] != 0 && !is_called(&r->sensors[r->slots[i] - 1], name))
        i = (i + 1) & r->mask;
    return &r->slots[i];
}

static struct sensor *find(struct roster *r, const char *name)
{
    if (r->used == 0)
        return NULL;
    if (!is_called(&r->sensors[r->last], name)) {
        uint32_t place = *slot_of(r, name);
        if (place == 0)
            return NULL;
        r->last = place - 1;
    }
    return &r->sensors[r->last];
}

/* An array for `room` things in place of the one at *at. */
static bool regrow(void *at, size_t room, size_t size)
{
    void *old, *new;
    memcpy(&old, at, sizeof old);
    new = realloc(old, room * size);
    if (new == NULL)
        return false;
    memcpy(at, &new, sizeof new);
    return true;
}

/* Room for one sensor more, everywhere. */
static int grow(struct roster *r)
{
    if (r->used < r->room)
        return 0;
    uint32_t room = r->room == 0 ? 16 : r->room * 2;
    uint32_t *slots = calloc(4 * (size_t)room, sizeof *slots);
    if (slots == NULL || !regrow(&r->sensors, room, sizeof *r->sensors) ||
        !regrow(&r->changed.at, room, sizeof(uint32_t)) ||
        !regrow(&r->marks_changed.at, room, sizeof(uint32_t)) ||
        !regrow(&r->lost.at, room, sizeof(uint32_t))) {
        free(slots);
        return -ENOMEM;
    }
    free(r->slots);
    r->slots = slots;
    r->mask = 4 * room - 1;
    r->room = room;
    for (uint32_t i = 0; i < r->used; i++)
        *slot_of(r, r->sensors[i].row.name) = i + 1;
    return 0;
}

static int add(struct roster *r, const char *name, struct sensor **out)
{
    if (grow(r) < 0)
        return -ENOMEM;
    struct sensor *s = &r->sensors[r->used];
    *s = (struct sensor){0};
    copy_name(s->row.name, name);
    *slot_of(r, name) = ++r->used;
    *out = s;
    return 0;
}

/* ---- what changed ---- */

static void note_place(struct roster *r, struct places *places, const struct sensor *s, bool *is_in)
{
    if (!*is_in)
        places->at[places->count++] = (uint32_t)(s - r->sensors);
    *is_in = true;
}

static void row_changed(struct roster *r, struct sensor *s)
{
    note_place(r, &r->changed, s, &s->is_changed);
}

static void mark_changed(struct roster *r, struct sensor *s, struct mark *mark)
{
    mark->is_changed = true;
    note_place(r, &r->marks_changed, s, &s->is_any_changed);
}

static void tests_lost(struct roster *r, struct sensor *s)
{
    if (s->may_test)
        note_place(r, &r->lost, s, &s->is_lost);
    s->may_test = false;
}

/* Text of others: no control characters in a row that humans read. */
static void copy_reason(char out[static 128], const char *reason)
{
    size_t len = strnlen(reason, 127);
    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)reason[i] < ' ' || reason[i] == 0x7f ? ' ' : reason[i];
    memset(out + len, 0, 128 - len);
}

static int gap_note(struct roster *r, const char *sensor, const struct gap_row *what,
                    const char *reason)
{
    if (r->gap_at == r->gap_used)
        r->gap_at = r->gap_used = 0;
    if (r->gap_used == r->gap_room) {
        size_t room = r->gap_room == 0 ? 16 : r->gap_room * 2;
        if (!regrow(&r->gaps, room, sizeof *r->gaps))
            return -ENOMEM;
        r->gap_room = room;
    }
    struct gap_row *gap = &r->gaps[r->gap_used++];
    *gap = *what;
    copy_name(gap->sensor, sensor);
    copy_reason(gap->reason, reason);
    return 0;
}

/* ---- marks ---- */

static struct mark *mark_now(const struct sensor *s)
{
    return &s->marks[s->mark_count - 1];
}

static int forget(struct roster *r, const struct sensor *s, const struct mark *mark)
{
    if (r->forgotten_used == r->forgotten_room) {
        size_t room = r->forgotten_room == 0 ? 16 : r->forgotten_room * 2;
        if (!regrow(&r->forgotten, room, sizeof *r->forgotten))
            return -ENOMEM;
        r->forgotten_room = room;
    }
    struct epoch_row *row = &r->forgotten[r->forgotten_used++];
    *row =
        (struct epoch_row){.epoch = mark->epoch, .last_seq = mark->last_seq, .is_forgotten = true};
    copy_name(row->sensor, s->row.name);
    return 0;
}

static void mark_remove(struct sensor *s, uint32_t i)
{
    s->mark_count--;
    memmove(&s->marks[i], &s->marks[i + 1], (s->mark_count - i) * sizeof *s->marks);
}

/* Puts a mark in at that place. The oldest goes when there are too many. */
static int mark_insert(struct roster *r, struct sensor *s, uint32_t at, const struct mark *mark)
{
    if (s->mark_count == EPOCHS_MAX) {
        if (forget(r, s, &s->marks[0]) < 0)
            return -ENOMEM;
        mark_remove(s, 0);
        at -= at > 0;
    }
    if (s->mark_count == s->mark_room) {
        uint32_t room = s->mark_room == 0 ? 2 : s->mark_room * 2;
        if (!regrow(&s->marks, room, sizeof *s->marks))
            return -ENOMEM;
        s->mark_room = room;
    }
    memmove(&s->marks[at + 1], &s->marks[at], (s->mark_count - at) * sizeof *s->marks);
    s->marks[at] = *mark;
    s->mark_count++;
    return 0;
}

/* Place of that epoch's mark; mark_count: none. */
static uint32_t mark_place(const struct sensor *s, uint64_t epoch)
{
    uint32_t i = s->mark_count;
    while (i > 0 && s->marks[i - 1].epoch != epoch)
        i--;
    return i > 0 ? i - 1 : s->mark_count;
}

static void heard(struct roster *r, struct sensor *s, int64_t now)
{
    s->row.last_seen = mark_now(s)->last_seen = s->heard_at = now;
    if (s->row.state == SENSOR_SILENT)
        s->row.state = SENSOR_UP;
    row_changed(r, s);
    mark_changed(r, s, mark_now(s));
}

static void mark_move(struct sensor *s, uint64_t last_seq)
{
    s->row.last_seq = mark_now(s)->last_seq = last_seq;
}

/* ---- at start ---- */

int roster_load(struct roster *r, const struct sensor_row *row)
{
    struct sensor *s = find(r, row->name);
    if (s == NULL && add(r, row->name, &s) < 0)
        return -ENOMEM;
    struct mark mark = {.epoch = row->epoch,
                        .last_seq = row->last_seq,
                        .first_seen = row->first_seen,
                        .last_seen = row->last_seen,
                        .is_open = row->state != SENSOR_STOPPED};
    s->row = *row;
    s->heard_at = row->last_seen;
    s->may_test = true;
    s->mark_count = 0;
    return mark_insert(r, s, 0, &mark);
}

int roster_load_epoch(struct roster *r, const struct epoch_row *row)
{
    struct sensor *s = find(r, row->sensor);
    if (s == NULL)
        return 0;
    struct mark mark = {.epoch = row->epoch,
                        .last_seq = row->last_seq,
                        .first_seen = row->first_seen,
                        .last_seen = row->last_seen,
                        .is_open = row->is_open};
    if (row->epoch != s->row.epoch)
        return mark_insert(r, s, s->mark_count - 1, &mark);
    if (row->last_seq < s->row.last_seq) {
        mark_now(s)->first_seen = row->first_seen;
        mark_changed(r, s, mark_now(s));
        return 0;
    }
    *mark_now(s) = mark;
    mark_move(s, row->last_seq);
    return 0;
}

void roster_listens(struct roster *r, int64_t now)
{
    for (uint32_t i = 0; i < r->used; i++)
        r->sensors[i].heard_at = now;
}

/* ---- hello ---- */

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

/* The sensor made a spool that nobody knows: what it had in those before will not come. */
static int close_open(struct roster *r, struct sensor *s, int64_t now)
{
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < s->mark_count; i++) {
        struct mark *mark = &s->marks[i];
        if (!mark->is_open)
            continue;
        mark->is_open = false;
        mark_changed(r, s, mark);
        struct gap_row gap = {.epoch = mark->epoch, .from_seq = mark->last_seq + 1, .at = now};
        err = gap_note(r, s->row.name, &gap,
                       "a new spool without a goodbye: what the one before still held is lost");
    }
    return err;
}

static int epoch_begin(struct roster *r, struct sensor *s, uint64_t epoch, int64_t now)
{
    struct mark mark = {.epoch = epoch, .first_seen = now, .is_open = true};
    int err = close_open(r, s, now);
    if (err == 0)
        err = mark_insert(r, s, s->mark_count, &mark);
    s->row.state = SENSOR_UP;
    return err;
}

/* Makes that epoch's mark the last, which is the one that goes on. */
static int epoch_enter(struct roster *r, struct sensor *s, uint64_t epoch, int64_t now)
{
    uint32_t place = mark_place(s, epoch);
    if (s->mark_count > 0 && place == s->mark_count - 1)
        return 0;
    int err;
    if (place == s->mark_count) {
        err = epoch_begin(r, s, epoch, now);
    } else {
        struct mark known = s->marks[place];
        mark_remove(s, place);
        err = mark_insert(r, s, s->mark_count, &known);
    }
    if (err < 0)
        return err;
    s->row.epoch = epoch;
    s->row.last_seq = mark_now(s)->last_seq;
    tests_lost(r, s); /* they ran under another spool */
    return 0;
}

/* The sensor no longer holds what follows the high-water mark: it will never come. */
static int skip_lost(struct roster *r, struct sensor *s, const struct wire_message *m, int64_t now)
{
    uint64_t next = s->row.last_seq + 1;
    if (m->first_seq <= next)
        return 0;
    struct gap_row gap = {
        .epoch = s->row.epoch, .from_seq = next, .to_seq = m->first_seq - 1, .at = now};
    int err =
        gap_note(r, s->row.name, &gap,
                 m->reason[0] != '\0' ? m->reason : "the sensor no longer holds these events");
    mark_move(s, m->first_seq - 1);
    tests_lost(r, s);
    return err;
}

int roster_hello(struct roster *r, const char *sensor, const struct wire_message *m, int64_t now,
                 uint64_t *last_seq)
{
    struct sensor *s = find(r, sensor);
    if (s == NULL && r->used >= ROSTER_MAX)
        return ERR_FULL;
    if (s == NULL) {
        if (add(r, sensor, &s) < 0)
            return -ENOMEM;
        s->row.first_seen = now;
    }
    int err = epoch_enter(r, s, m->epoch, now);
    if (err == 0)
        err = skip_lost(r, s, m, now);
    if (err < 0)
        return err;
    copy_pop(&s->row, m->pop);
    copy_name(s->row.version, m->release);
    heard(r, s, now);
    *last_seq = s->row.last_seq;
    return 0;
}

/* ---- batches and their events ---- */

/* Next in order: what is between the mark and it was taken, or will never come. */
static bool is_next(const struct sensor *s, const struct wire_message *m)
{
    return m->first_seq <= s->row.last_seq + 1 || (m->after > 0 && m->after <= s->row.last_seq);
}

static enum roster_answer judge(const struct sensor *s, const struct wire_message *m)
{
    if (s == NULL || m->epoch != s->row.epoch || m->first_seq == 0 || !is_next(s, m) ||
        m->first_seq > UINT64_MAX - m->count)
        return ROSTER_AGAIN;
    return m->first_seq + m->count <= s->row.last_seq + 1 ? ROSTER_REPEAT : ROSTER_TAKE;
}

enum roster_answer roster_ask(struct roster *r, const char *sensor, const struct wire_message *m)
{
    return judge(find(r, sensor), m);
}

int roster_batch(struct roster *r, const char *sensor, const struct wire_message *m, uint32_t room,
                 int64_t now, struct roster_share *share)
{
    struct sensor *s = find(r, sensor);
    enum roster_answer answer = judge(s, m);
    *share = (struct roster_share){0};
    if (answer != ROSTER_AGAIN)
        heard(r, s, now);
    if (answer != ROSTER_TAKE)
        return answer;
    int err = skip_lost(r, s, m, now);
    if (err < 0)
        return err;
    share->skip = (uint32_t)(s->row.last_seq + 1 - m->first_seq);
    share->count = m->count - share->skip < room ? m->count - share->skip : room;
    mark_move(s, s->row.last_seq + share->count);
    return ROSTER_TAKE;
}

/* A sensor_started that is not its epoch's first event: the sensor took its spool up again. */
static int took_up_again(struct roster *r, struct sensor *s, const struct event *e, int64_t now)
{
    tests_lost(r, s);
    if (e->seq <= 1 || !mark_now(s)->is_open)
        return 0;
    struct gap_row gap = {.epoch = s->row.epoch, .from_seq = e->seq, .at = now};
    return gap_note(r, s->row.name, &gap,
                    "restarted without its goodbye: what had not reached its spool is lost");
}

static int gave_up(struct roster *r, struct sensor *s, const struct event *e, int64_t now)
{
    struct gap_row gap = {
        .epoch = s->row.epoch, .from_seq = e->gap.from_seq, .to_seq = e->gap.to_seq, .at = now};
    tests_lost(r, s);
    return gap_note(r, s->row.name, &gap, e->gap.reason);
}

int roster_event(struct roster *r, const char *sensor, const struct event *e, int64_t now)
{
    struct sensor *s = find(r, sensor);
    int err = 0;
    if (s == NULL)
        return 0;
    switch (e->type) {
    case EVENT_sensor_started: /* its pop is a claim; that of hello was looked at by the door */
        copy_name(s->row.version, e->sensor_started.version);
        err = took_up_again(r, s, e, now);
        break;
    case EVENT_sensor_stopped:
        tests_lost(r, s);
        break;
    case EVENT_test_started:
        s->may_test = true;
        break;
    case EVENT_gap:
        err = gave_up(r, s, e, now);
        break;
    default:
        break;
    }
    mark_now(s)->is_open = e->type != EVENT_sensor_stopped;
    s->row.state = e->type != EVENT_sensor_stopped ? SENSOR_UP : SENSOR_STOPPED;
    row_changed(r, s);
    mark_changed(r, s, mark_now(s));
    return err;
}

void roster_tick(struct roster *r, int64_t now)
{
    for (uint32_t i = 0; i < r->used; i++) {
        struct sensor *s = &r->sensors[i];
        if (s->row.state != SENSOR_UP || now <= s->heard_at ||
            (uint64_t)(now - s->heard_at) <= r->conf.silent_after_ns)
            continue;
        s->row.state = SENSOR_SILENT;
        row_changed(r, s);
        tests_lost(r, s);
    }
}

/* ---- taking ---- */

bool roster_take_sensor(struct roster *r, struct sensor_row *out)
{
    if (r->changed.count == 0)
        return false;
    struct sensor *s = &r->sensors[r->changed.at[--r->changed.count]];
    s->is_changed = false;
    *out = s->row;
    return true;
}

static void epoch_row_of(const struct sensor *s, const struct mark *mark, struct epoch_row *out)
{
    *out = (struct epoch_row){.epoch = mark->epoch,
                              .last_seq = mark->last_seq,
                              .first_seen = mark->first_seen,
                              .last_seen = mark->last_seen,
                              .is_open = mark->is_open};
    copy_name(out->sensor, s->row.name);
}

bool roster_take_epoch(struct roster *r, struct epoch_row *out)
{
    if (r->forgotten_used > 0) {
        *out = r->forgotten[--r->forgotten_used];
        return true;
    }
    for (; r->marks_changed.count > 0; r->marks_changed.count--) {
        struct sensor *s = &r->sensors[r->marks_changed.at[r->marks_changed.count - 1]];
        for (uint32_t i = s->mark_count; i > 0; i--) {
            struct mark *mark = &s->marks[i - 1];
            if (!mark->is_changed)
                continue;
            mark->is_changed = false;
            epoch_row_of(s, mark, out);
            return true;
        }
        s->is_any_changed = false;
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
    if (r->lost.count == 0)
        return false;
    struct sensor *s = &r->sensors[r->lost.at[--r->lost.count]];
    s->is_lost = false;
    memcpy(sensor, s->row.name, WIRE_NAME);
    return true;
}

const struct sensor_row *roster_find(struct roster *r, const char *sensor)
{
    const struct sensor *s = find(r, sensor);
    return s == NULL ? NULL : &s->row;
}

void roster_each(const struct roster *r, void (*each)(void *arg, const struct sensor_row *row),
                 void *arg)
{
    for (uint32_t i = 0; i < r->used; i++)
        each(arg, &r->sensors[i].row);
}

size_t roster_up(const struct roster *r)
{
    size_t up = 0;
    for (uint32_t i = 0; i < r->used; i++)
        up += r->sensors[i].row.state == SENSOR_UP;
    return up;
}
