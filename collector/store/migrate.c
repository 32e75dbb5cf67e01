/* The schema's steps: applied in order, each in a transaction of its own together with its row in
 * penstock.schema_version. An advisory lock lets one collector at a time do so. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "collector/store/session.h"
#include "schema/schema.h"
#include "shared/base/log.h"

enum { CHECKSUM_TEXT = 17 };

/* FNV-1a: enough to notice that a released step was edited; nobody forges one. */
static void step_checksum(const struct schema_step *step, char text[static CHECKSUM_TEXT])
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (const unsigned char *c = (const unsigned char *)step->sql; *c != '\0'; c++)
        h = (h ^ *c) * UINT64_C(0x100000001b3);
    snprintf(text, CHECKSUM_TEXT, "%016" PRIx64, h);
}

/* Steps may take long and others' migrations too, so no timeouts until migrate_unlock(). */
static int migrate_lock(struct store *s, struct note *note)
{
    return session_script(s,
                          "SET statement_timeout = 0; SET lock_timeout = 0;"
                          "SELECT pg_advisory_lock(hashtextextended('penstock.schema', 0))",
                          "waiting for other migrations", note);
}

/* A broken connection has given the lock back by itself; its settings come with the next one. */
static void migrate_unlock(struct store *s)
{
    if (PQstatus(s->conn) != CONNECTION_OK)
        return;
    session_script(s,
                   "RESET ROLE; SELECT pg_advisory_unlock(hashtextextended('penstock.schema', 0))",
                   "ending migrations", NULL);
    session_set_up(s, NULL);
}

static int find_version_table(struct store *s, bool *exists, struct note *note)
{
    return session_boolean(s, "SELECT to_regclass('penstock.schema_version') IS NOT NULL",
                           "looking for the schema", exists, note);
}

struct version {
    int applied; /* the highest step */
    struct note *note;
};

static int version_row(void *arg, struct columns *c)
{
    struct version *v = arg;
    char name[64], checksum[CHECKSUM_TEXT], ours[CHECKSUM_TEXT];
    int number = (int)column_integer(c);
    column_text(c, name, sizeof name);
    column_text(c, checksum, sizeof checksum);
    v->applied = number;
    if (number < 1 || (size_t)number > schema_step_count)
        return note_set(v->note, ERR_VERSION,
                        "the database is newer than this program: it has schema step %d (%s),"
                        " this program knows %zu; install the newer release",
                        number, name, schema_step_count);
    step_checksum(&schema_steps[number - 1], ours);
    if (strcmp(ours, checksum) != 0)
        return note_set(v->note, ERR_VERSION,
                        "schema step %d (%s) was applied in another form (%s) than this program"
                        " has (%s): the database belongs to another build",
                        number, name, checksum, ours);
    return 0;
}

static int read_versions(struct store *s, struct version *v, struct note *note)
{
    return session_each(s, "SELECT number, name, checksum FROM penstock.schema_version ORDER BY 1",
                        "reading the schema's version", version_row, v, note);
}

/* *applied: the highest step in the database; ERR_VERSION if it is not ours to use. */
static int version_find(struct store *s, int *applied, struct note *note)
{
    struct version v = {.note = note};
    bool exists = false;
    int err = find_version_table(s, &exists, note);
    if (err == 0 && exists)
        err = read_versions(s, &v, note);
    *applied = v.applied;
    return err;
}

static int record_step(struct store *s, const struct schema_step *step, struct note *note)
{
    char checksum[CHECKSUM_TEXT];
    step_checksum(step, checksum);
    struct record *p = session_parameters(s);
    field_integer(p, (uint64_t)step->number);
    field_text(p, step->name);
    field_text(p, checksum);
    return session_run(
        s, "INSERT INTO penstock.schema_version (number, name, checksum) VALUES ($1, $2, $3)",
        step->name, note);
}

static int apply_step(struct store *s, const struct schema_step *step, struct note *note)
{
    int err = session_begin(s, note);
    if (err == 0)
        err = session_script(s, step->sql, step->name, note);
    if (err == 0)
        err = record_step(s, step, note);
    if (err == 0)
        err = store_commit(s, note);
    if (err == 0)
        log_info("event=schema_step number=%d name=%s", step->number, step->name);
    return err;
}

static int apply_steps(struct store *s, unsigned *applied, struct note *note)
{
    int done;
    int err = version_find(s, &done, note);
    for (size_t i = (size_t)done; err == 0 && i < schema_step_count; i++) {
        err = apply_step(s, &schema_steps[i], note);
        *applied += err == 0;
    }
    return err;
}

/* This month's and the next's; the rest is made when an event needs it. */
static int make_partitions_ahead(struct store *s, struct note *note)
{
    return session_script(
        s,
        "SELECT penstock.partition_add(relname, now() + months * interval '1 month')"
        " FROM pg_class, generate_series(0, 1) AS months"
        " WHERE relnamespace = 'penstock'::regnamespace AND relkind = 'p'",
        "making partitions ahead", note);
}

/* Everything shall belong to one role: views read, and partition_add attaches, with their owner's
 * rights. Else what a superuser migrates would be his. */
static int become_owner(struct store *s, struct note *note)
{
    return session_script(s,
                          "SELECT set_config('role', pg_get_userbyid(nspowner), false)"
                          " FROM pg_namespace WHERE nspname = 'penstock'"
                          " AND pg_get_userbyid(nspowner) <> current_user",
                          "becoming the owner of the schema", note);
}

static int tell_role(void *arg, struct columns *c)
{
    (void)arg;
    char role[64];
    column_text(c, role, sizeof role);
    if (!column_boolean(c))
        log_info("event=role_missing role=%s hint=\"CREATE ROLE %s NOLOGIN, and as the owner:"
                 " SELECT penstock.grant_roles()\"",
                 role, role);
    return 0;
}

static int grant_roles(struct store *s, struct note *note)
{
    return session_each(s, "SELECT role, is_there FROM penstock.grant_roles()",
                        "granting the roles their rights", tell_role, NULL, note);
}

int store_migrate(struct store *s, unsigned *applied, struct note *note)
{
    *applied = 0;
    int err = session_ready(s, note);
    if (err == 0)
        err = migrate_lock(s, note);
    if (err != 0)
        return err;
    err = become_owner(s, note);
    if (err == 0)
        err = apply_steps(s, applied, note);
    if (err == 0)
        err = make_partitions_ahead(s, note);
    if (err == 0)
        err = grant_roles(s, note);
    migrate_unlock(s);
    return err;
}

int store_check_version(struct store *s, struct note *note)
{
    int applied;
    int err = session_ready(s, note);
    if (err == 0)
        err = version_find(s, &applied, note);
    if (err == 0 && (size_t)applied < schema_step_count)
        err = note_set(note, ERR_VERSION,
                       "the database is at schema step %d, this program needs %zu: run"
                       " penstock-collector --migrate with the owner's DSN (database.owner_dsn)",
                       applied, schema_step_count);
    return err;
}

static int find_owner(struct store *s, bool *is_owner, struct note *note)
{
    return session_boolean(s,
                           "SELECT coalesce((SELECT pg_has_role(nspowner, 'MEMBER')"
                           " FROM pg_namespace WHERE nspname = 'penstock'),"
                           " has_database_privilege(current_database(), 'CREATE'))",
                           "looking for the schema's owner", is_owner, note);
}

int store_prepare(struct store *s, unsigned *applied, struct note *note)
{
    bool is_owner = false;
    *applied = 0;
    int err = session_ready(s, note);
    if (err == 0)
        err = find_owner(s, &is_owner, note);
    if (err != 0)
        return err;
    if (is_owner)
        return store_migrate(s, applied, note);
    err = store_check_version(s, note);
    return err == 0 ? make_partitions_ahead(s, note) : err;
}
