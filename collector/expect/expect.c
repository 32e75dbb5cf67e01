#include "collector/expect/expect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* realloc to exactly n + more; policies are read once, not on a packet's path. */
static void *grown(void *array, size_t n, size_t more, size_t size)
{
    if (more > SIZE_MAX / size - n)
        return NULL;
    return realloc(array, (n + more) * size);
}

static bool has_entry(const struct expect *x, const struct prefix *prefix)
{
    if (x->lpm.nodes == NULL)
        return false;
    uint32_t i = lpm_find_cover(&x->lpm, prefix);
    return i != LPM_NONE && prefix_equal(&x->entries[i].prefix, prefix);
}

static int reserve(struct expect *x, size_t places)
{
    if (x->lpm.nodes == NULL && lpm_init(&x->lpm) < 0)
        return -ENOMEM;
    void *entries = grown(x->entries, x->entry_count, 1, sizeof *x->entries);
    if (entries == NULL)
        return -ENOMEM;
    x->entries = entries;
    if (places == 0)
        return 0;
    void *grown_places = grown(x->places, x->place_count, places, sizeof *x->places);
    if (grown_places == NULL)
        return -ENOMEM;
    x->places = grown_places;
    return 0;
}

int expect_add(struct expect *x, const struct prefix *prefix, const struct expect_place *places,
               size_t count)
{
    if (has_entry(x, prefix))
        return ERR_CONF;
    if (reserve(x, count) < 0 || lpm_set(&x->lpm, prefix, (uint32_t)x->entry_count) < 0)
        return -ENOMEM;
    x->entries[x->entry_count++] =
        (struct expect_entry){.prefix = *prefix, .first = x->place_count, .count = count};
    if (count > 0)
        memcpy(x->places + x->place_count, places, count * sizeof *places);
    x->place_count += count;
    return 0;
}

void expect_clear(struct expect *x)
{
    lpm_clear(&x->lpm);
    free(x->entries);
    free(x->places);
    *x = (struct expect){0};
}

static const struct expect_entry *entry_for(const struct expect *x, const struct prefix *src)
{
    uint32_t i = x->lpm.nodes == NULL ? LPM_NONE : lpm_find_cover(&x->lpm, src);
    return i == LPM_NONE ? NULL : &x->entries[i];
}

static bool text_fits(const char *wanted, const char *is)
{
    return wanted[0] == '\0' || strncmp(wanted, is, 32) == 0;
}

static bool place_fits(const struct expect_place *p, const char *pop, const struct ingress *at)
{
    return text_fits(p->pop, pop) && text_fits(p->router, at->router) &&
           text_fits(p->interface, at->interface) && (p->vlan == 0 || p->vlan == at->vlan) &&
           (p->peer_as == 0 || p->peer_as == at->peer_as);
}

enum expected expect_find(const struct expect *x, const struct prefix *src, const char *pop,
                          const struct ingress *at)
{
    const struct expect_entry *entry = entry_for(x, src);
    if (entry == NULL)
        return EXPECTED_UNKNOWN;
    for (size_t i = 0; i < entry->count; i++)
        if (place_fits(&x->places[entry->first + i], pop, at))
            return EXPECTED_YES;
    return EXPECTED_NO;
}

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
    json_byte(j, '}');
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
    const struct expect_entry *entry = entry_for(x, src);
    json_byte(&j, '[');
    for (size_t i = 0; entry != NULL && i < entry->count; i++) {
        size_t whole = j.len;
        if (i > 0)
            json_byte(&j, ',');
        json_place(&j, &x->places[entry->first + i]);
        if (j.is_cut) {
            j.len = whole;
            break;
        }
    }
    text[j.len] = ']';
    text[j.len + 1] = '\0';
    return text;
}
