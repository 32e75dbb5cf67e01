/* What people said of alerts, and windows of maintenance: read; what is old: deleted. */
#include "collector/store/session.h"
#include "collector/store/words.h"

static enum alert_state state_column(struct columns *c)
{
    char text[32];
    column_text(c, text, sizeof text);
    for (unsigned i = 0; i < WORD_COUNT(alert_state_words); i++)
        if (strcmp(alert_state_words[i], text) == 0)
            return i;
    return ALERT_FIRING;
}

struct word_load {
    void (*each)(void *arg, const struct alert_said *said);
    void *arg;
};

static int load_word(void *arg, struct columns *c)
{
    const struct word_load *load = arg;
    struct alert_said said = {.alert_id = column_bigint(c)};
    said.state = state_column(c);
    column_text(c, said.by, sizeof said.by);
    said.words = column_bigint(c);
    load->each(load->arg, &said);
    return 0;
}

int store_load_words(struct store *s, void (*each)(void *arg, const struct alert_said *said),
                     void *arg, struct note *note)
{
    struct word_load load = {each, arg};
    int err = session_ready(s, note);
    if (err != 0)
        return err;
    return session_each(s,
                        "SELECT alert_id, state, acknowledged_by, words FROM penstock.alert"
                        " WHERE resolved_at IS NULL AND words > 0 ORDER BY alert_id",
                        "reading what people said of alerts", load_word, &load, note);
}

struct window_load {
    int (*each)(void *arg, const struct alert_window *w);
    void *arg;
};

static int load_window(void *arg, struct columns *c)
{
    const struct window_load *load = arg;
    struct alert_window w = {.id = column_bigint(c)};
    w.from = column_time(c);
    w.to = column_time(c);
    column_text(c, w.kind, sizeof w.kind);
    column_text(c, w.pop, sizeof w.pop);
    column_text(c, w.router, sizeof w.router);
    column_text(c, w.interface, sizeof w.interface);
    column_text(c, w.sensor, sizeof w.sensor);
    w.peer_as = column_bigint(c);
    w.prefix = column_prefix(c);
    return load->each(load->arg, &w);
}

int store_load_windows(struct store *s, int (*each)(void *arg, const struct alert_window *w),
                       void *arg, struct note *note)
{
    struct window_load load = {each, arg};
    int err = session_ready(s, note);
    if (err == 0)
        err = session_each(s,
                           "SELECT maintenance_id, starts_at, ends_at, kind, pop, router,"
                           " interface, sensor, peer_as, prefix FROM penstock.maintenance"
                           " WHERE ends_at > now() ORDER BY starts_at, maintenance_id",
                           "reading the windows of maintenance", load_window, &load, note);
    return err;
}

int store_forget_alerts(struct store *s, int64_t before, struct note *note)
{
    int err = session_in_transaction(s, "deleting old alerts", note);
    if (err != 0)
        return err;
    struct record *p = session_parameters(s);
    field_instant(p, before);
    err = session_run(s, "DELETE FROM penstock.alert_event WHERE at < $1", "deleting old alerts",
                      note);
    if (err != 0)
        return err;
    p = session_parameters(s);
    field_instant(p, before);
    /* The newest stays: the next alert_id is told from it, and no number is given twice. */
    return session_run(s,
                       "DELETE FROM penstock.alert WHERE resolved_at < $1"
                       " AND alert_id < (SELECT max(alert_id) FROM penstock.alert)",
                       "deleting old alerts", note);
}
