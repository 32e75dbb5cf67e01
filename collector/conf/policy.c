#include "collector/conf/policy.h"

#include <errno.h>
#include <stdlib.h>

#include "shared/conf/conf_table.h"

#define PLACES_MAX 64   /* of one prefix */
#define CONE_MAX   4096 /* prefixes of one entry; more entries of one peer add up */

struct entry {
    struct prefix prefix;
    size_t place_count;
    struct expect_place places[PLACES_MAX];
    uint32_t peer_as;
    size_t cone_count;
    struct prefix cone[CONE_MAX];
    char comment[256];
};

#define PLACE(member) CONF_AT(struct expect_place, member)

/* clang-format off */
static const struct conf_row place_rows[] = {
    {"pop", CONF_TEXT, PLACE(pop), .help = "Point of presence; any when left out."},
    {"router", CONF_TEXT, PLACE(router), .help = "Router; any when left out."},
    {"interface", CONF_TEXT, PLACE(interface), .help = "Interface; any when left out."},
    {"vlan", CONF_UNSIGNED, PLACE(vlan), .min = 1, .max = 4094, .help = "VLAN id; any when left out."},
    {"mac", CONF_MAC, PLACE(mac), .help = "MAC address of the peer; any when left out."},
    {"peer_as", CONF_UNSIGNED, PLACE(peer_as), .min = 1, .max = 4294967295.0,
     .help = "AS number of the neighbour; any when left out."},
};

static const struct conf_row rows[] = {
    {"prefix", CONF_PREFIX, CONF_AT(struct entry, prefix), .unless = "peer_as",
     .help = "Source prefix."},
    {"ingress", CONF_RECORDS, CONF_LIST(struct entry, places, place_count), .with = "prefix",
     .rows = place_rows, .row_count = sizeof place_rows / sizeof place_rows[0],
     .help = "Places where it is expected to enter; an empty list: nowhere."},
    {"peer_as", CONF_UNSIGNED, CONF_AT(struct entry, peer_as), .min = 1, .max = 4294967295.0,
     .help = "AS number of a neighbour."},
    {"cone", CONF_PREFIXES, CONF_LIST(struct entry, cone, cone_count), .with = "peer_as",
     .help = "Prefixes that it may send from; an empty list: none."},
    {"comment", CONF_TEXT, CONF_AT(struct entry, comment), .help = "For people."},
};
/* clang-format on */

static const struct conf_table table = {"", rows, sizeof rows / sizeof rows[0]};

static int take_entry(void *arg, const void *record, struct note *why)
{
    const struct policy_taker *to = arg;
    const struct entry *e = record;
    bool is_prefix = e->prefix.addr.family != 0;
    if (is_prefix && e->peer_as != 0)
        return note_set(why, ERR_CONF,
                        "peer_as: an entry has either prefix and ingress, or peer_as and cone");
    if (is_prefix ? e->cone_count > 0 : e->place_count > 0)
        return note_set(why, ERR_CONF, "%s: belongs to an entry with %s",
                        is_prefix ? "cone" : "ingress", is_prefix ? "peer_as" : "prefix");
    if (is_prefix)
        return to->prefix(to->arg, &e->prefix, e->places, e->place_count, e->comment, why);
    return to->cone(to->arg, e->peer_as, e->cone, e->cone_count, e->comment, why);
}

int policy_read(const char *path, const struct policy_taker *to, struct note *note)
{
    struct entry *entry = calloc(1, sizeof *entry); /* too large for a stack */
    struct policy_taker taker = *to;
    if (entry == NULL)
        return note_set(note, -ENOMEM, "no memory for the policy");
    int err = conf_list(path, &table, entry, sizeof *entry, take_entry, &taker, note);
    free(entry);
    return err;
}

static int add_prefix(void *arg, const struct prefix *prefix, const struct expect_place *places,
                      size_t count, const char *comment, struct note *why)
{
    char text[PREFIX_TEXT];
    (void)comment;
    int err = expect_add(arg, prefix, places, count);
    if (err == ERR_CONF)
        note_set(why, err, "prefix: %s stands twice in the file", prefix_format(prefix, text));
    return err;
}

static int add_cone(void *arg, uint32_t peer_as, const struct prefix *prefixes, size_t count,
                    const char *comment, struct note *why)
{
    struct expect *x = arg;
    (void)comment;
    (void)why;
    return expect_list_cone_add(&x->file, peer_as, prefixes, count);
}

int policy_load(const char *path, struct expect *out, struct note *note)
{
    const struct policy_taker taker = {add_prefix, add_cone, out};
    *out = (struct expect){0};
    if (path[0] == '\0')
        return 0;
    int err = policy_read(path, &taker, note);
    if (err != 0)
        expect_clear(out);
    return err;
}
