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
