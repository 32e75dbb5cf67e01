/* What people and the map's own past say is expected. */
#include "collector/store/session.h"

struct load {
    int (*each)(void *arg, const struct expect_row *row);
    void *arg;
};

static int load_row(void *arg, struct columns *c)
{
    const struct load *load = arg;
    struct expect_row row = {0};
    row.is_learned = column_boolean(c);
    row.prefix = column_prefix(c);
    row.cone_as = (uint32_t)column_bigint(c);
    column_text(c, row.place.pop, sizeof row.place.pop);
    column_text(c, row.place.router, sizeof row.place.router);
    column_text(c, row.place.interface, sizeof row.place.interface);
    row.place.vlan = column_integer(c);
    column_mac(c, row.place.mac);
    row.place.peer_as = column_bigint(c);
    row.is_nowhere = column_boolean(c);
    return load->each(load->arg, &row);
}

int store_load_expectation(struct store *s, int (*each)(void *arg, const struct expect_row *row),
                           void *arg, struct note *note)
{
    struct load load = {each, arg};
    int err = session_ready(s, note);
    if (err != 0)
        return err;
    return session_each(s,
                        "SELECT source = 'learned', prefix, cone_as, pop, router, interface, vlan,"
                        " mac, peer_as, nowhere FROM penstock.expectation ORDER BY expectation_id",
                        "reading what is expected", load_row, &load, note);
}

int store_put_expectation(struct store *s, const struct expect_row *row, struct note *note)
{
    int err = session_in_transaction(s, "storing what was learned", note);
    if (err != 0)
        return err;
    struct record *r = session_parameters(s);
    field_prefix(r, &row->prefix);
    field_text_or_null(r, row->place.pop);
    field_text_or_null(r, row->place.router);
    field_text_or_null(r, row->place.interface);
    field_integer_or_null(r, row->place.vlan);
    field_mac_or_null(r, row->place.mac);
    field_bigint_or_null(r, row->place.peer_as);
    return session_run(
        s,
        "INSERT INTO penstock.expectation (source, prefix, pop, router, interface,"
        " vlan, mac, peer_as, comment) VALUES ('learned', $1, $2, $3, $4, $5, $6, $7,"
        " 'genuine here for long, while nobody said no') ON CONFLICT DO NOTHING",
        "storing what was learned", note);
}
