#include <stdio.h>
#include <string.h>

#include "collector/expect/routes.h"

#define NEIGHBOURS 16 /* that are shown */

/* A text that remembers whether everything fitted. */
struct json {
    char *text;
    size_t len, size;
    bool is_cut;
};

static void json_byte(struct json *j, char c)
{
    if (j->len + 1 >= j->size) {
        j->is_cut = true;
        return;
    }
    j->text[j->len++] = c;
}

static void json_raw(struct json *j, const char *text)
{
    for (; *text != '\0'; text++)
        json_byte(j, *text);
}

static void json_text(struct json *j, const char *text)
{
    json_byte(j, '"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        char escaped[8];
        if (c == '"' || c == '\\') {
            json_byte(j, '\\');
            json_byte(j, *text);
        } else if (c < 0x20) {
            snprintf(escaped, sizeof escaped, "\\u%04x", c);
            json_raw(j, escaped);
        } else {
            json_byte(j, *text);
        }
    }
    json_byte(j, '"');
}

static void json_name(struct json *j, const char *name, bool *is_first)
{
    json_raw(j, *is_first ? "\"" : ",\"");
    json_raw(j, name);
    json_raw(j, "\":");
    *is_first = false;
}

static void json_text_field(struct json *j, const char *name, const char *value, bool *is_first)
{
    if (value[0] == '\0')
        return;
    json_name(j, name, is_first);
    json_text(j, value);
}

static void json_number_field(struct json *j, const char *name, uint64_t value, bool *is_first)
{
    if (value == 0)
        return;
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    json_name(j, name, is_first);
    json_raw(j, digits);
}

static void json_place(struct json *j, const struct expect_place *p)
{
    bool is_first = true;
    json_byte(j, '{');
    json_text_field(j, "pop", p->pop, &is_first);
    json_text_field(j, "router", p->router, &is_first);
    json_text_field(j, "interface", p->interface, &is_first);
    json_number_field(j, "vlan", p->vlan, &is_first);
    json_number_field(j, "peer_as", p->peer_as, &is_first);
    static const uint8_t any[6];
    char mac[MAC_TEXT];
    if (memcmp(p->mac, any, 6) != 0)
        json_text_field(j, "mac", mac_format(p->mac, mac), &is_first);
    json_byte(j, '}');
}

/* The rest of the array is left out when an element does not fit. */
static bool json_element(struct json *j, const struct expect_place *p)
{
    size_t whole = j->len;
    if (whole > 1)
        json_byte(j, ',');
    json_place(j, p);
    if (j->is_cut)
        j->len = whole;
    return !j->is_cut;
}

static bool json_entry(struct json *j, const struct expect_list *l, const struct expect_entry *e)
{
    for (size_t i = 0; i < e->count; i++)
        if (!json_element(j, &l->places[e->first + i]))
            return false;
    return e->more == 0 || json_entry(j, l, &l->entries[e->more - 1]);
}

/* False: no entry of the operator's covers src. */
static bool json_policy(struct json *j, const struct expect *x, const struct prefix *src)
{
    const struct expect_list *lists[] = {&x->file, x->entries};
    const struct expect_entry *found[2] = {0};
    int longest = -1;
    for (unsigned i = 0; i < 2; i++) {
        found[i] = lists[i] == NULL ? NULL : expect_list_find(lists[i], src);
        if (found[i] != NULL && found[i]->prefix.length > longest)
            longest = found[i]->prefix.length;
    }
    for (unsigned i = 0; i < 2; i++)
        if (found[i] != NULL && found[i]->prefix.length == longest &&
            !json_entry(j, lists[i], found[i]))
            break;
    return longest >= 0;
}

/* The neighbours that routing expects it from. */
static void json_routes(struct json *j, const struct expect *x, const struct prefix *src)
{
    uint32_t neighbours[NEIGHBOURS];
    unsigned n = routes_neighbours(x, src, neighbours, NEIGHBOURS);
    for (unsigned i = 0; i < n; i++) {
        struct expect_place place = {.peer_as = neighbours[i]};
        if (!json_element(j, &place))
            return;
    }
}

char *expect_json(const struct expect *x, const struct prefix *src, char *text, size_t size)
{
    if (size < 3) {
        if (size > 0)
            text[0] = '\0';
        return text;
    }
    /* One byte is kept back for the closing bracket. */
    struct json j = {.text = text, .size = size - 1};
    json_byte(&j, '[');
    if (!json_policy(&j, x, src))
        json_routes(&j, x, src);
    text[j.len] = ']';
    text[j.len + 1] = '\0';
    return text;
}
