/* The map's cells: written down bit by bit into one of two tables by turns, read at a start
 * together with the tallies that are not in them; and the map's history. The loop says when
 * (collector/loop/cells.h). */
#include <string.h>

#include "collector/store/session.h"

/* ---- writing ---- */

uint64_t store_turn(const struct store *s)
{
    return s->next.count;
}

static int keep_boolean(void *arg, struct columns *c)
{
    *(bool *)arg = column_boolean(c);
    return 0;
}

int store_cells_begin(struct store *s, bool *is_begun, struct note *note)
{
    int err = session_in_transaction(s, "beginning a generation", note);
    if (err != 0)
        return err;
    struct record *p = session_parameters(s);
    field_integer(p, s->generation);
    field_bigint(p, s->next.count);
    return session_each_of(s, "SELECT penstock.ingress_generation_begin($1::integer, $2::bigint)",
                           "beginning a generation", keep_boolean, is_begun, note);
}

int store_put_cell(struct store *s, const struct ingress_cell *cell, struct note *note)
{
    int err = session_in_transaction(s, "writing a cell", note);
    return err == 0 ? copy_cell(s, cell, note) : err;
}

int store_cells_end(struct store *s, uint64_t cells, struct note *note)
{
    int err = session_in_transaction(s, "ending a generation", note);
    if (err != 0)
        return err;
    struct record *p = session_parameters(s);
    field_integer(p, s->generation);
    field_bigint(p, cells);
    err = session_run(s,
                      "UPDATE penstock.ingress_generation SET is_complete = true, cells = $2,"
                      " ended_at = clock_timestamp() WHERE number = $1",
                      "ending a generation", note);
    s->generation = 1 - s->generation; /* should the commit fail, the next load says which */
    return err;
}

int store_put_change(struct store *s, const struct ingress_change *change, struct note *note)
{
    int err = session_in_transaction(s, "writing a change", note);
    return err == 0 ? copy_change(s, change, note) : err;
}

/* ---- reading ---- */

static int load_generation(void *arg, struct columns *c)
{
    struct store_generation *g = arg;
    g->number = (unsigned)column_integer(c);
    g->first_turn = column_bigint(c);
    g->cells = column_bigint(c);
    g->began_at = column_time(c);
    return 0;
}

int store_load_generation(struct store *s, struct store_generation *out, struct note *note)
{
    *out = (struct store_generation){0};
    int err = session_ready(s, note);
    if (err == 0)
        err = session_each(
            s,
            "SELECT number, first_turn, cells, began_at FROM penstock.ingress_generation"
            " WHERE is_complete ORDER BY first_turn DESC LIMIT 1",
            "looking for the newest generation", load_generation, out, note);
    s->generation = 1 - out->number % 2;
    return err;
}

static void load_place(struct columns *c, struct ingress *at)
{
    column_text(c, at->router, sizeof at->router);
    column_text(c, at->interface, sizeof at->interface);
    at->vlan = column_integer(c);
    column_mac(c, at->mac);
    at->peer_as = column_bigint(c);
}

struct cell_load {
    int (*each)(void *arg, const struct ingress_cell *cell, uint64_t turn);
    void *arg;
};

static int load_cell(void *arg, struct columns *c)
{
    const struct cell_load *load = arg;
    struct ingress_cell cell = {.prefix = column_prefix(c)};
    column_text(c, cell.pop, sizeof cell.pop);
    load_place(c, &cell.at);
    cell.weight = column_real(c);
    cell.recent = column_real(c);
    cell.first_seen = column_time(c);
    cell.last_seen = column_time(c);
    cell.packets = column_bigint(c);
    cell.bytes = column_bigint(c);
    return load->each(load->arg, &cell, column_bigint(c));
}

#define CELLS_OF(number)                                                                     \
    SESSION_CURSOR                                                                           \
    "SELECT prefix, pop, router, interface, vlan, mac, peer_as, weight, recent, first_seen," \
    " last_seen, packets, bytes, turn FROM penstock.ingress_cell_" number

/* Without a limit in time, as the map itself (load.c). */
static int each_unhurried(struct store *s, const char *sql, const char *what,
                          int (*each)(void *arg, struct columns *row), void *arg, struct note *note)
{
    int err = session_script(s, "SET statement_timeout = 0; SET enable_seqscan = off", what, note);
    if (err == 0)
        err = session_each_of_many(s, sql, what, each, arg, note);
    int restored = session_script(s, SESSION_STATEMENT_TIMEOUT "SET enable_seqscan = on", what,
                                  err == 0 ? note : NULL);
    return err != 0 ? err : restored;
}

int store_load_cells(struct store *s, const struct store_generation *from,
                     int (*each)(void *arg, const struct ingress_cell *cell, uint64_t turn),
                     void *arg, struct note *note)
{
    struct cell_load load = {each, arg};
    int err = session_ready(s, note);
    if (err != 0)
        return err;
    session_parameters(s);
    return each_unhurried(s, from->number == 0 ? CELLS_OF("0") : CELLS_OF("1"), "reading the cells",
                          load_cell, &load, note);
}

struct tally_load {
    int (*each)(void *arg, const char *pop, const struct event_tally *t, uint64_t turn);
    void *arg;
};

static int load_tally(void *arg, struct columns *c)
{
    const struct tally_load *load = arg;
    struct event_tally t = {0};
    char pop[32];
    uint64_t turn = column_bigint(c);
    column_text(c, pop, sizeof pop);
    t.started_at = column_time(c);
    t.ended_at = column_time(c);
    t.prefix = column_prefix(c);
    load_place(c, &t.ingress);
    t.packets = column_bigint(c);
    t.bytes = column_bigint(c);
    return load->each(load->arg, pop, &t, turn);
}

int store_load_tallies(struct store *s, uint64_t after_turn,
                       int (*each)(void *arg, const char *pop, const struct event_tally *t,
                                   uint64_t turn),
                       void *arg, struct note *note)
{
    struct tally_load load = {each, arg};
    int err = session_ready(s, note);
    if (err != 0)
        return err;
    struct record *p = session_parameters(s);
    field_bigint(p, after_turn);
    return each_unhurried(s,
                          SESSION_CURSOR
                          "SELECT turn, pop, started_at, ended_at, prefix, router, interface, vlan,"
                          " mac, peer_as, packets, bytes FROM penstock.ingress_tally"
                          " WHERE turn > $1",
                          "reading the tallies since", load_tally, &load, note);
}
