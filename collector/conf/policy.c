#include "collector/conf/policy.h"

#include "shared/conf/conf_table.h"

#define PLACES_MAX 64 /* of one prefix */

struct entry {
    struct prefix prefix;
    size_t place_count;
    struct expect_place places[PLACES_MAX];
};

#define PLACE(member) CONF_AT(struct expect_place, member)

/* clang-format off */
static const struct conf_row place_rows[] = {
    {"pop", CONF_TEXT, PLACE(pop), .help = "Point of presence; any when left out."},
    {"router", CONF_TEXT, PLACE(router), .help = "Router; any when left out."},
    {"interface", CONF_TEXT, PLACE(interface), .help = "Interface; any when left out."},
    {"vlan", CONF_UNSIGNED, PLACE(vlan), .min = 1, .max = 4094, .help = "VLAN id; any when left out."},
    {"peer_as", CONF_UNSIGNED, PLACE(peer_as), .min = 1, .max = 4294967295.0,
     .help = "AS number of the neighbour; any when left out."},
};

static const struct conf_row rows[] = {
    {"prefix", CONF_PREFIX, CONF_AT(struct entry, prefix), .is_required = true,
     .help = "Source prefix."},
    {"ingress", CONF_RECORDS, CONF_LIST(struct entry, places, place_count), .is_required = true,
     .rows = place_rows, .row_count = sizeof place_rows / sizeof place_rows[0],
     .help = "Places where it is expected to enter; an empty list: nowhere."},
};
/* clang-format on */

static const struct conf_table table = {"", rows, sizeof rows / sizeof rows[0]};

static int add(void *arg, const void *record, struct note *why)
{
    const struct entry *e = record;
    int err = expect_add(arg, &e->prefix, e->places, e->place_count);
    char text[PREFIX_TEXT];
    if (err == ERR_CONF)
        note_set(why, err, "prefix: %s stands twice in the file", prefix_format(&e->prefix, text));
    return err;
}

int policy_load(const char *path, struct expect *out, struct note *note)
{
    *out = (struct expect){0};
    if (path[0] == '\0')
        return 0;
    struct entry entry;
    int err = conf_list(path, &table, &entry, sizeof entry, add, out, note);
    if (err != 0)
        expect_clear(out);
    return err;
}
