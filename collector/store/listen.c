/* What is said in SQL while we run: people's words come as notifications on three channels. Heard
 * without waiting; and as the socket is looked at each time, a session that ended while nothing was
 * to be written is noticed, too. */
#include <string.h>

#include "collector/store/session.h"

static const struct channel {
    const char *name;
    enum store_heard what;
} channels[] = {
    {"penstock_order", HEARD_ORDER},
    {"penstock_expectation", HEARD_EXPECTATION},
    {"penstock_alert_word", HEARD_ALERT_WORD},
};

static unsigned what_is(const char *name)
{
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        if (strcmp(channels[i].name, name) == 0)
            return channels[i].what;
    return 0;
}

int session_listen(struct store *s, struct note *note)
{
    s->heard = HEARD_ORDER | HEARD_EXPECTATION | HEARD_ALERT_WORD; /* said while nobody listened */
    return session_script(s,
                          "LISTEN penstock_order; LISTEN penstock_expectation;"
                          "LISTEN penstock_alert_word",
                          "listening", note);
}

int store_listen(struct store *s, struct note *note)
{
    int err = session_ready(s, note);
    if (err != 0 || s->is_listening)
        return err;
    err = session_listen(s, note);
    s->is_listening = err == 0;
    return err;
}

int store_heard(struct store *s, unsigned *what, struct note *note)
{
    *what = 0;
    bool is_read = PQconsumeInput(s->conn) == 1;
    for (PGnotify *n; (n = PQnotifies(s->conn)) != NULL; PQfreemem(n))
        if (n->be_pid != PQbackendPID(s->conn))
            s->heard |= what_is(n->relname);
    if (!is_read || PQstatus(s->conn) != CONNECTION_OK)
        return session_fail(s, NULL, "listening", note);
    *what = s->heard;
    s->heard = 0;
    return 0;
}
