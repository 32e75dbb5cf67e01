/* Rows that are upserted in bulk, with the commit: map entries, sensors and their epochs. They wait
 * as columns, and become the parameters of one statement, an array each. With 500 sensors one by
 * one would be a thousand statements a transaction.
 *
 * Measured with PostgreSQL 15 on two cores: some 0.2 M map entries a second; 0.02 M/s one by one.
 */
#include "collector/store/session.h"
#include "collector/store/words.h"
#include "shared/base/log.h"

/* Sent before the commit when the first column has so many bytes, to bound memory. */
#define FLUSH_BYTES (1u << 20)

enum { OID_BOOL = 16, OID_INT8 = 20, OID_INT4 = 23, OID_TEXT = 25, OID_CIDR = 650 };
enum { OID_FLOAT8 = 701, OID_MACADDR = 829, OID_TIMESTAMPTZ = 1184 };

/* ---- what each is made of ---- */

#define ENTRY_KEY "prefix, pop, router, interface, vlan, mac, peer_as"
#define ENTRY_COLUMNS                                                                      \
    ENTRY_KEY ", state, genuine_probability, genuine_fraction, genuine_low, genuine_high," \
              " share, weight, weight_at, packets, bytes, expected, expected_by, tests,"   \
              " first_seen, last_seen, last_test_at, testing_by, bgp, rpki, origin_as,"    \
              " evidence_genuine, evidence_spoofed, evidence_at, untestable_at,"           \
              " genuine_since, genuine_share, bundle, is_main, is_present"
#define SENSOR_COLUMNS "name, pop, version, first_seen, last_seen, epoch, last_seq, state"
#define EPOCH_COLUMNS  "sensor, epoch, last_seq, first_seen, last_seen, is_open"

/* Sorted by key, so that two writers lock rows in the same order; the latest of several rows of one
 * key wins. Arguments: table, all columns, key, the arrays; SET follows. */
#define UPSERT(table, columns, key, arrays)                                              \
    "INSERT INTO penstock." table " (" columns ") SELECT DISTINCT ON (" key ") " columns \
    " FROM unnest(" arrays ") WITH ORDINALITY AS waiting (" columns ", ordinal)"         \
    " ORDER BY " key ", ordinal DESC ON CONFLICT (" key ") DO UPDATE SET "

/* The arrays, in the order of the columns. */
#define ENTRY_WAITING                                                             \
    "unnest($1::cidr[], $2::text[], $3::text[], $4::text[], $5::integer[],"       \
    " $6::macaddr[], $7::bigint[], $8::text[], $9::double precision[],"           \
    " $10::double precision[], $11::double precision[], $12::double precision[]," \
    " $13::double precision[], $14::double precision[], $15::timestamptz[],"      \
    " $16::bigint[], $17::bigint[], $18::boolean[], $19::text[], $20::bigint[],"  \
    " $21::timestamptz[], $22::timestamptz[], $23::timestamptz[], $24::text[],"   \
    " $25::text[], $26::text[], $27::bigint[], $28::double precision[],"          \
    " $29::double precision[], $30::timestamptz[], $31::timestamptz[],"           \
    " $32::timestamptz[], $33::double precision[], $34::text[], $35::boolean[],"  \
    " $36::boolean[]) WITH ORDINALITY"                                            \
    " AS waiting (" ENTRY_COLUMNS ", ordinal)"
#define ENTRY_CONFLICT                                                                   \
    " ON CONFLICT (" ENTRY_KEY ") DO UPDATE SET state = excluded.state,"                 \
    " genuine_probability = excluded.genuine_probability,"                               \
    " genuine_fraction = excluded.genuine_fraction, genuine_low = excluded.genuine_low," \
    " genuine_high = excluded.genuine_high, share = excluded.share,"                     \
    " weight = excluded.weight, weight_at = excluded.weight_at,"                         \
    " packets = excluded.packets, bytes = excluded.bytes, expected = excluded.expected," \
    " expected_by = excluded.expected_by, tests = excluded.tests,"                       \
    " first_seen = excluded.first_seen, last_seen = excluded.last_seen,"                 \
    " last_test_at = excluded.last_test_at, testing_by = excluded.testing_by,"           \
    " bgp = excluded.bgp, rpki = excluded.rpki, origin_as = excluded.origin_as,"         \
    " evidence_genuine = excluded.evidence_genuine,"                                     \
    " evidence_spoofed = excluded.evidence_spoofed,"                                     \
    " evidence_at = excluded.evidence_at, untestable_at = excluded.untestable_at,"       \
    " genuine_since = excluded.genuine_since,"                                           \
    " genuine_share = excluded.genuine_share, bundle = excluded.bundle,"                 \
    " is_main = excluded.is_main, is_present = excluded.is_present"
#define ENTRY_SAME                                                                  \
    "x.prefix = gone.prefix AND x.pop = gone.pop AND x.router = gone.router AND"    \
    " x.interface = gone.interface AND x.vlan = gone.vlan AND x.mac = gone.mac AND" \
    " x.peer_as = gone.peer_as"

static const struct bulk_table {
    const char *what;
    const char *sql;
    uint32_t types[BULK_COLUMNS]; /* of the columns; 0 ends them */
} tables[BULK_COUNT] = {
    [BULK_SENSOR] =
        {"writing sensors",
         UPSERT("sensor", SENSOR_COLUMNS, "name",
                "$1::text[], $2::text[], $3::text[], $4::timestamptz[],"
                " $5::timestamptz[], $6::bigint[], $7::bigint[], $8::text[]") "pop = excluded.pop, "
                                                                              "version = "
                                                                              "excluded.version,"
                                                                              " first_seen = "
                                                                              "excluded.first_seen,"
                                                                              " last_seen = "
                                                                              "excluded.last_seen,"
                                                                              " epoch = "
                                                                              "excluded.epoch, "
                                                                              "last_seq = "
                                                                              "excluded.last_seq,"
                                                                              " state = "
                                                                              "excluded.state",
         {OID_TEXT, OID_TEXT, OID_TEXT, OID_TIMESTAMPTZ, OID_TIMESTAMPTZ, OID_INT8, OID_INT8,
          OID_TEXT}},
    [BULK_EPOCH] = {"writing epochs",
                    UPSERT("sensor_epoch", EPOCH_COLUMNS, "sensor, epoch",
                           "$1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[],"
                           " $5::timestamptz[], $6::boolean[]") "last_seq = excluded.last_seq, "
                                                                "last_seen = excluded.last_seen,"
                                                                " is_open = excluded.is_open",
                    {OID_TEXT, OID_INT8, OID_INT8, OID_TIMESTAMPTZ, OID_TIMESTAMPTZ, OID_BOOL}},
    [BULK_ENTRY] = {"writing map entries",
                    "INSERT INTO penstock.ingress_entry (" ENTRY_COLUMNS ")"
                    " SELECT DISTINCT ON (" ENTRY_KEY ") " ENTRY_COLUMNS " FROM " ENTRY_WAITING
                    " ORDER BY " ENTRY_KEY ", ordinal DESC" ENTRY_CONFLICT,
                    {OID_CIDR,        OID_TEXT,        OID_TEXT,        OID_TEXT,   OID_INT4,
                     OID_MACADDR,     OID_INT8,        OID_TEXT,        OID_FLOAT8, OID_FLOAT8,
                     OID_FLOAT8,      OID_FLOAT8,      OID_FLOAT8,      OID_FLOAT8, OID_TIMESTAMPTZ,
                     OID_INT8,        OID_INT8,        OID_BOOL,        OID_TEXT,   OID_INT8,
                     OID_TIMESTAMPTZ, OID_TIMESTAMPTZ, OID_TIMESTAMPTZ, OID_TEXT,   OID_TEXT,
                     OID_TEXT,        OID_INT8,        OID_FLOAT8,      OID_FLOAT8, OID_TIMESTAMPTZ,
                     OID_TIMESTAMPTZ, OID_TIMESTAMPTZ, OID_FLOAT8,      OID_TEXT,   OID_BOOL,
                     OID_BOOL}},
    [BULK_GONE] = {"ending map entries",
                   /* by row id, each looked up by its key: a join might read the whole table */
                   "DELETE FROM penstock.ingress_entry WHERE ctid = ANY (ARRAY("
                   "SELECT e.ctid FROM unnest($1::cidr[], $2::text[], $3::text[], $4::text[],"
                   " $5::integer[], $6::macaddr[], $7::bigint[]) AS gone (" ENTRY_KEY "),"
                   " LATERAL (SELECT ctid FROM penstock.ingress_entry AS x WHERE " ENTRY_SAME
                   " OFFSET 0) AS e))",
                   {OID_CIDR, OID_TEXT, OID_TEXT, OID_TEXT, OID_INT4, OID_MACADDR, OID_INT8}},
};

/* ---- rows: one field to each column, in its order ---- */

static void row_sensor(struct record *c, const struct sensor_row *x)
{
    field_text(c++, x->name);
    field_text(c++, x->pop);
    field_text(c++, x->version);
    field_instant(c++, x->first_seen);
    field_instant(c++, x->last_seen);
    field_bigint(c++, x->epoch);
    field_bigint(c++, x->last_seq);
    field_text_or_null(c, WORD_OF(sensor_state_words, x->state));
}

static void row_epoch(struct record *c, const struct epoch_row *x)
{
    field_text(c++, x->sensor);
    field_bigint(c++, x->epoch);
    field_bigint(c++, x->last_seq);
    field_instant(c++, x->first_seen);
    field_instant(c++, x->last_seen);
    field_boolean(c, x->is_open);
}

static struct record *row_key(struct record *c, const struct ingress_row *x)
{
    field_prefix(c++, &x->prefix);
    field_text(c++, x->pop);
    field_text(c++, x->at.router);
    field_text(c++, x->at.interface);
    field_integer(c++, x->at.vlan);
    field_mac(c++, x->at.mac);
    field_bigint(c++, x->at.peer_as);
    return c;
}

static struct record *row_genuine(struct record *c, const struct ingress_row *x)
{
    const double evidence[] = {x->genuine_probability, x->genuine_fraction, x->genuine_low,
                               x->genuine_high};
    for (size_t i = 0; i < 4; i++) {
        if (x->has_evidence)
            field_probability(c++, evidence[i]);
        else
            field_null(c++);
    }
    return c;
}

static struct record *row_counts(struct record *c, const struct ingress_row *x)
{
    field_probability(c++, x->share == x->share ? x->share : 0);
    field_real(c++, x->weight);
    field_time(c++, x->weight_at);
    field_bigint(c++, x->packets);
    field_bigint(c++, x->bytes);
    return c;
}

static struct record *row_told(struct record *c, const struct ingress_row *x)
{
    if (x->expected == EXPECTED_UNKNOWN)
        field_null(c++);
    else
        field_boolean(c++, x->expected == EXPECTED_YES);
    field_text(c++, x->expected_by);
    field_bigint(c++, x->tests);
    field_time(c++, x->first_seen);
    field_time(c++, x->last_seen);
    field_time(c++, x->last_test_at);
    field_text(c++, x->testing_by);
    return c;
}

static void row_entry(struct record *c, const struct ingress_row *x)
{
    c = row_key(c, x);
    field_text_or_null(c++, WORD_OF(ingress_state_words, x->state));
    c = row_genuine(c, x);
    c = row_counts(c, x);
    c = row_told(c, x);
    field_text(c++, x->bgp < WORD_COUNT(bgp_state_words) ? bgp_state_words[x->bgp] : "");
    field_text(c++, x->rpki < WORD_COUNT(rpki_state_words) ? rpki_state_words[x->rpki] : "");
    field_bigint(c++, x->origin_as);
    field_real(c++, x->evidence_genuine);
    field_real(c++, x->evidence_spoofed);
    field_time(c++, x->evidence_at);
    field_time(c++, x->untestable_at);
    field_time(c++, x->genuine_since);
    field_probability(c++, x->genuine_share == x->genuine_share ? x->genuine_share : 0);
    field_text(c++, x->bundle);
    field_boolean(c++, x->is_main);
    field_boolean(c, x->is_present);
}

/* ---- what waits ---- */

static void forget(struct bulk *b)
{
    for (unsigned i = 0; i < BULK_COLUMNS; i++)
        record_empty(&b->columns[i]);
    b->count = 0;
}

static int flush(struct store *s, enum bulk_kind kind, struct note *note)
{
    const struct bulk_table *t = &tables[kind];
    struct bulk *b = &s->bulks[kind];
    if (b->count == 0)
        return 0;
    struct record *p = session_parameters(s);
    for (unsigned i = 0; i < BULK_COLUMNS && t->types[i] != 0; i++)
        field_array(p, t->types[i], b->count, &b->columns[i]);
    int err = session_run(s, t->sql, t->what, note);
    forget(b);
    return err;
}

static int added(struct store *s, enum bulk_kind kind, struct note *note)
{
    s->bulks[kind].count++;
    if (s->bulks[kind].columns[0].len < FLUSH_BYTES)
        return 0;
    /* an entry that ended and came again must end first */
    int err = kind == BULK_ENTRY ? flush(s, BULK_GONE, note) : 0;
    return err == 0 ? flush(s, kind, note) : err;
}

int store_put_sensor(struct store *s, const struct sensor_row *row, struct note *note)
{
    int err = session_in_transaction(s, tables[BULK_SENSOR].what, note);
    if (err != 0)
        return err;
    row_sensor(s->bulks[BULK_SENSOR].columns, row);
    return added(s, BULK_SENSOR, note);
}

static int delete_epoch(struct store *s, const struct epoch_row *row, struct note *note)
{
    int err = flush(s, BULK_EPOCH, note); /* it may be among them */
    if (err != 0)
        return err;
    struct record *p = session_parameters(s);
    field_text(p, row->sensor);
    field_bigint(p, row->epoch);
    return session_run(s, "DELETE FROM penstock.sensor_epoch WHERE sensor = $1 AND epoch = $2",
                       "forgetting an epoch", note);
}

int store_put_epoch(struct store *s, const struct epoch_row *row, struct note *note)
{
    int err = session_in_transaction(s, tables[BULK_EPOCH].what, note);
    if (err != 0)
        return err;
    if (row->is_forgotten)
        return delete_epoch(s, row, note);
    row_epoch(s->bulks[BULK_EPOCH].columns, row);
    return added(s, BULK_EPOCH, note);
}

int store_put_ingress(struct store *s, const struct ingress_row *row, struct note *note)
{
    int err = session_in_transaction(s, tables[BULK_ENTRY].what, note);
    if (err != 0)
        return err;
    if (row->prefix.addr.family == 0) { /* nothing to find it by, and refused by the key */
        log_warn("event=map_entry_without_prefix pop=%s", row->pop);
        return 0;
    }
    row_entry(s->bulks[BULK_ENTRY].columns, row);
    return added(s, BULK_ENTRY, note);
}

int store_drop_ingress(struct store *s, const struct ingress_row *row, struct note *note)
{
    int err = session_in_transaction(s, tables[BULK_GONE].what, note);
    if (err != 0 || row->prefix.addr.family == 0)
        return err;
    row_key(s->bulks[BULK_GONE].columns, row);
    return added(s, BULK_GONE, note);
}

int bulk_flush(struct store *s, struct note *note)
{
    int err = 0;
    for (enum bulk_kind kind = 0; err == 0 && kind < BULK_COUNT; kind++)
        err = flush(s, kind, note);
    return err;
}

void bulk_forget(struct store *s)
{
    for (enum bulk_kind kind = 0; kind < BULK_COUNT; kind++)
        forget(&s->bulks[kind]);
}

void bulk_clear(struct store *s)
{
    for (enum bulk_kind kind = 0; kind < BULK_COUNT; kind++)
        for (unsigned i = 0; i < BULK_COLUMNS; i++)
            record_clear(&s->bulks[kind].columns[i]);
}
