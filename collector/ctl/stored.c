#include "collector/ctl/stored.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Index of the column's word; 0 if it is NULL, or none of them. */
static unsigned word_of(const struct look_rows *rows, unsigned row, const char *name,
                        const char *const *words, unsigned count)
{
    const char *text = look_get(rows, row, name);
    for (unsigned i = 0; text != NULL && i < count; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    return 0;
}

static void text_of(const struct look_rows *rows, unsigned row, const char *name, char *out,
                    size_t size)
{
    const char *text = look_get(rows, row, name);
    snprintf(out, size, "%s", text != NULL ? text : "");
}

static uint64_t number_of(const struct look_rows *rows, unsigned row, const char *name)
{
    const char *text = look_get(rows, row, name);
    return text == NULL ? 0 : strtoull(text, NULL, 10);
}

void stored_place(const struct look_rows *rows, unsigned row, struct prefix *prefix,
                  char pop[static 32], struct ingress *at)
{
    const char *text = look_get(rows, row, "prefix"), *mac = look_get(rows, row, "mac");
    *at = (struct ingress){.vlan = number_of(rows, row, "vlan"),
                           .peer_as = number_of(rows, row, "peer_as")};
    if (text == NULL || prefix_parse(text, prefix) != 0)
        *prefix = (struct prefix){0};
    if (mac != NULL && mac_parse(mac, at->mac) != 0)
        memset(at->mac, 0, sizeof at->mac);
    text_of(rows, row, "pop", pop, 32);
    text_of(rows, row, "router", at->router, sizeof at->router);
    text_of(rows, row, "interface", at->interface, sizeof at->interface);
}

static enum expected expected_of(const struct look_rows *rows, unsigned row)
{
    if (look_get(rows, row, "expected") == NULL)
        return EXPECTED_UNKNOWN;
    return look_is_true(rows, row, "expected") ? EXPECTED_YES : EXPECTED_NO;
}

struct ingress_row stored_entry(const struct look_rows *rows, unsigned row)
{
    struct ingress_row r = {.has_evidence = look_get(rows, row, "genuine_probability") != NULL};
    stored_place(rows, row, &r.prefix, r.pop, &r.at);
    r.state = word_of(rows, row, "state", ingress_state_word, STATE_UNVERIFIABLE + 1);
    r.bgp = word_of(rows, row, "bgp", bgp_state_word, BGP_NONE + 1);
    r.rpki = word_of(rows, row, "rpki", rpki_state_word, RPKI_NOT_FOUND + 1);
    r.origin_as = (uint32_t)number_of(rows, row, "origin_as");
    r.genuine_probability = look_number(rows, row, "genuine_probability");
    r.genuine_fraction = look_number(rows, row, "genuine_fraction");
    r.genuine_low = look_number(rows, row, "genuine_low");
    r.genuine_high = look_number(rows, row, "genuine_high");
    r.share = look_number(rows, row, "share");
    r.genuine_share = look_number(rows, row, "genuine_share");
    r.packets = number_of(rows, row, "packets");
    r.bytes = number_of(rows, row, "bytes");
    r.tests = number_of(rows, row, "tests");
    r.expected = expected_of(rows, row);
    text_of(rows, row, "expected_by", r.expected_by, sizeof r.expected_by);
    return r;
}

static int add_row(const struct look_rows *rows, unsigned row, struct expect_list *out)
{
    struct prefix prefix;
    struct ingress at;
    struct expect_place place = {0};
    uint64_t cone_as = number_of(rows, row, "cone_as");
    stored_place(rows, row, &prefix, place.pop, &at);
    if (cone_as != 0)
        return expect_list_cone_add(out, (uint32_t)cone_as, &prefix, prefix.addr.family != 0);
    memcpy(place.router, at.router, sizeof place.router);
    memcpy(place.interface, at.interface, sizeof place.interface);
    memcpy(place.mac, at.mac, sizeof place.mac);
    place.vlan = at.vlan;
    place.peer_as = at.peer_as;
    return expect_list_add(out, &prefix, &place, look_is_true(rows, row, "nowhere") ? 0 : 1);
}

int stored_expectation(const struct look_rows *rows, const char *source, struct expect_list *out)
{
    int err = 0;
    for (unsigned row = 0; err == 0 && row < look_count(rows); row++) {
        const char *of = look_get(rows, row, "source");
        if (of != NULL && strcmp(of, source) == 0)
            err = add_row(rows, row, out);
    }
    return err;
}
