/* Statements on the sensors' epochs: how far each is stored. */
#include "collector/store/session.h"

struct epoch_load {
    int (*each)(void *arg, const struct epoch_row *row);
    void *arg;
};

static int load_epoch(void *arg, struct columns *c)
{
    const struct epoch_load *load = arg;
    struct epoch_row row = {0};
    column_text(c, row.sensor, sizeof row.sensor);
    row.epoch = column_bigint(c);
    row.last_seq = column_bigint(c);
    row.first_seen = column_time(c);
    row.last_seen = column_time(c);
    row.is_open = column_boolean(c);
    return load->each(load->arg, &row);
}

int store_load_epochs(struct store *s, int (*each)(void *arg, const struct epoch_row *row),
                      void *arg, struct note *note)
{
    struct epoch_load load = {each, arg};
    int err = session_ready(s, note);
    if (err != 0)
        return err;
    return session_each(s,
                        "SELECT sensor, epoch, last_seq, first_seen, last_seen, is_open"
                        " FROM penstock.sensor_epoch ORDER BY last_seen, epoch",
                        "reading the sensors' epochs", load_epoch, &load, note);
}

static int delete_epoch(struct store *s, const struct epoch_row *row, struct note *note)
{
    struct record *p = session_parameters(s);
    field_text(p, row->sensor);
    field_bigint(p, row->epoch);
    return session_run(s, "DELETE FROM penstock.sensor_epoch WHERE sensor = $1 AND epoch = $2",
                       "forgetting an epoch", note);
}

int store_put_epoch(struct store *s, const struct epoch_row *row, struct note *note)
{
    int err = session_in_transaction(s, "writing an epoch", note);
    if (err != 0)
        return err;
    if (row->is_forgotten)
        return delete_epoch(s, row, note);
    struct record *p = session_parameters(s);
    field_text(p, row->sensor);
    field_bigint(p, row->epoch);
    field_bigint(p, row->last_seq);
    field_instant(p, row->first_seen);
    field_instant(p, row->last_seen);
    field_boolean(p, row->is_open);
    return session_run(s,
                       "INSERT INTO penstock.sensor_epoch"
                       " (sensor, epoch, last_seq, first_seen, last_seen, is_open)"
                       " VALUES ($1, $2, $3, $4, $5, $6)"
                       " ON CONFLICT (sensor, epoch) DO UPDATE SET last_seq = excluded.last_seq,"
                       " last_seen = excluded.last_seen, is_open = excluded.is_open",
                       "writing an epoch", note);
}
