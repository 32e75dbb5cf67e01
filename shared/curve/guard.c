#include "shared/curve/guard.h"

#include <errno.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/curve/zap.h"

/* Answers at once; a storm must not keep the owner from messages. */
enum { ANSWERS = 256 };

#define LOOK_NS     NS_PER_S
#define LOOK_NOW_NS (100 * NS_PER_MS) /* at once for a key that is not known, but not for each */

/* ---- the list ---- */

static const char *const read_event[] = {
    [ALLOWED_SENSORS] = "event=sensors_read", [ALLOWED_SUBSCRIBERS] = "event=subscribers_read"};
static const char *const blind_event[] = {[ALLOWED_SENSORS] = "event=sensors_unreadable",
                                          [ALLOWED_SUBSCRIBERS] = "event=subscribers_unreadable"};

struct complaints {
    uint64_t hash;
    bool is_silent; /* only count them */
};

static void complain(void *ctx, const char *file, const char *reason)
{
    struct complaints *all = ctx;
    struct note quotable;
    char name[256];
    for (const char *c = reason; *c != '\0'; c++)
        all->hash = all->hash * 131 + (unsigned char)*c;
    if (!all->is_silent)
        log_warn("event=certificate_unusable file=\"%s\" reason=\"%s\" hint=\"nobody may connect "
                 "by this file\"",
                 log_quotable(file, name, sizeof name),
                 log_quotable(reason, quotable.text, sizeof quotable.text));
}

/* What is wrong with files is said when it is not what was said before. */
static int read_list(struct guard *g, struct allowed *list, struct note *note)
{
    struct complaints first = {.is_silent = true}, second = {.is_silent = false};
    const struct guard_conf *conf = &g->conf;
    int err = allowed_read(list, conf->folder, conf->kind, complain, &first, note);
    if (err < 0 || first.hash == g->complaints)
        return err;
    g->complaints = first.hash;
    allowed_clear(list);
    return allowed_read(list, conf->folder, conf->kind, complain, &second, note);
}

/* Is a connection alive that the new list would not let in, or not under that name? */
static const struct allowed_key *revoked(const struct allowed *before, const struct allowed *after)
{
    for (size_t i = 0; i < before->count; i++) {
        const struct allowed_key *was = &before->list[i], *is = allowed_find(after, was->key);
        if (was->is_connected && (is == NULL || strcmp(is->name, was->name) != 0))
            return was;
    }
    return NULL;
}

static void take_over(const struct allowed *before, struct allowed *after)
{
    for (size_t i = 0; i < after->count; i++) {
        const struct allowed_key *was = allowed_find(before, after->list[i].key);
        after->list[i].is_connected = was != NULL && was->is_connected;
    }
}

/* The folder cannot be looked into. That it is gone is an answer: nobody may connect. All else (no
 * descriptor left, no right to read) says nothing, so who was allowed stays so. */
static int list_is_gone(struct guard *g, int err, struct allowed *list)
{
    if (!g->is_blind)
        log_error("%s folder=\"%s\" reason=\"%s\" hint=\"%s\"", blind_event[g->conf.kind],
                  g->conf.folder, err == ERR_CONF ? "there is no such folder" : err_text(err),
                  err == ERR_CONF ? "nobody may connect" : "the list stays as it was");
    g->is_blind = true;
    g->is_settled = false; /* it may come back as it was: its print alone would say "no change" */
    memset(list, 0, sizeof *list);
    return err == ERR_CONF ? 0 : err;
}

static bool adopt(struct guard *g, struct allowed *list)
{
    const struct allowed_key *gone = revoked(&g->allowed, list);
    if (gone != NULL)
        log_warn("event=revoked %s=%s hint=\"all connections are closed and made anew; nothing is "
                 "lost\"",
                 g->conf.who, gone->name);
    else
        take_over(&g->allowed, list);
    allowed_clear(&g->allowed);
    g->allowed = *list;
    return gone != NULL;
}

/* true: somebody is to be thrown out. */
static bool look(struct guard *g)
{
    struct allowed list = {0};
    struct note note = {0};
    uint64_t print = g->print;
    bool is_settled = true;
    size_t before = g->allowed.count;
    int err = allowed_print(g->conf.folder, &print, &is_settled);
    if (err == 0 && print == g->print && g->is_settled)
        return false;
    if (err == 0)
        err = read_list(g, &list, &note);
    else
        err = err == -ENOENT || err == -ENOTDIR ? ERR_CONF : err;
    if (err < 0 && list_is_gone(g, err, &list) < 0)
        return false;
    if (err == 0) {
        if (print != g->print || g->is_blind)
            log_info("%s allowed=%zu before=%zu", read_event[g->conf.kind], list.count, before);
        g->is_blind = false;
        g->print = print;
        g->is_settled = is_settled;
    }
    return adopt(g, &list);
}

static bool look_after(struct guard *g, uint64_t pause_ns, uint64_t now)
{
    if (now - g->looked_at < pause_ns)
        return false;
    g->looked_at = now;
    return look(g);
}

/* ---- questions ---- */

/* As people write it: ::ffff:192.0.2.1 is how a socket of both families says 192.0.2.1. */
static const char *plain_address(const char *address)
{
    return strncmp(address, "::ffff:", 7) == 0 ? address + 7 : address;
}

static void refuse(struct guard *g, const struct zap_question *q, uint64_t now)
{
    unsigned more;
    g->refused++;
    if (quiet_ends(&g->said_key, now, &more))
        log_warn("event=key_refused address=%s key=\"%s\" more=%u hint=\"%s does not allow it "
                 "(penstockctl keys check)\"",
                 plain_address(q->address), q->key, more, g->conf.key);
}

/* A key that is not known may have been put into the folder a moment ago. */
static struct allowed_key *find_key(struct guard *g, const char *key, uint64_t now, bool *is_out)
{
    struct allowed_key *who = key[0] != '\0' ? allowed_find(&g->allowed, key) : NULL;
    if (who != NULL || key[0] == '\0')
        return who;
    *is_out |= look_after(g, LOOK_NOW_NS, now);
    return allowed_find(&g->allowed, key);
}

bool guard_tend(struct guard *g, uint64_t now)
{
    struct zap_question q;
    if (g->zap == NULL)
        return false;
    bool is_out = look_after(g, LOOK_NS, now);
    for (unsigned i = 0; i < ANSWERS && zap_next(g->zap, &q); i++) {
        struct allowed_key *who = find_key(g, q.key, now, &is_out);
        zap_answer(g->zap, &q, who != NULL);
        if (who == NULL)
            refuse(g, &q, now);
        else if (!is_out) /* else its connection ends with all others */
            who->is_connected = true;
    }
    return is_out;
}

/* ---- opening ---- */

int guard_read(struct guard *g, const struct guard_conf *conf, struct note *note)
{
    struct note why = {0};
    *g = (struct guard){.conf = *conf};
    int err = allowed_print(conf->folder, &g->print, &g->is_settled);
    if (err < 0)
        return note_set(note, ERR_CONF, "%s: %s: %s", conf->key, conf->folder, strerror(-err));
    err = read_list(g, &g->allowed, &why);
    if (err < 0)
        return note_set(note, err, "%s: %s", conf->key, why.text);
    if (g->allowed.count == 0)
        log_warn("event=nobody_allowed folder=\"%s\" hint=\"put the %ss' .pub files there\"",
                 conf->folder, conf->who);
    return 0;
}

int guard_open(struct guard *g, const struct guard_conf *conf, void *context, struct note *note)
{
    int err = guard_read(g, conf, note);
    if (err < 0)
        return err;
    err = zap_open(context, &g->zap);
    if (err == 0)
        return 0;
    guard_close(g);
    return note_set(note, ERR_NETWORK, "ZeroMQ's door keeper cannot be opened: %s", strerror(-err));
}

void guard_close(struct guard *g)
{
    zap_close(g->zap);
    allowed_clear(&g->allowed);
    memset(g, 0, sizeof *g);
}
