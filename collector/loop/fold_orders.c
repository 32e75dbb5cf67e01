/* How orders move between the planner, the database and the sensors' messages. */
#include <string.h>

#include "collector/loop/fold.h"

struct told {
    struct fold *f;
    int64_t now;
};

static int load_order(void *arg, const struct order_row *row)
{
    const struct told *told = arg;
    return orders_load(told->f->orders, row, told->now);
}

int fold_load_orders(struct fold *f, const struct order_conf *conf, struct store *store,
                     int64_t now, struct note *note)
{
    struct told told = {.f = f, .now = now};
    int err = orders_new(conf, &f->orders);
    if (err < 0)
        return note_set(note, err, "no memory for the orders (orders.max)");
    err = store_load_orders(store, load_order, &told, note);
    if (err == ERR_FULL)
        return note_set(note, ERR_CONF,
                        "orders.max: the database has more leases than that; make it larger");
    return err;
}

/* One that finds no room is asked about again: it stays open in the database. */
static int tell_order(void *arg, const struct order_row *row)
{
    const struct told *told = arg;
    orders_told(told->f->orders, row, told->now);
    return 0;
}

int fold_told_orders(struct fold *f, struct store *store, int64_t now, struct note *note)
{
    struct told told = {.f = f, .now = now};
    int err = store_open_orders(store, tell_order, &told, note);
    orders_tick(f->orders, now);
    return err;
}

void fold_heard(struct fold *f, const char *sensor, const struct wire_message *m, int64_t now)
{
    const struct sensor_row *row = roster_find(f->roster, sensor);
    orders_heard(f->orders, sensor, row == NULL ? "" : row->pop, m, now);
}
