#include "collector/alert/document.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAIL ",\"cut\":true}"

void document_open(struct document *d, char *text, size_t size)
{
    /* room for the end is kept back */
    *d = (struct document){.text = text, .size = size - sizeof TAIL, .len = 1};
    text[0] = '{';
}

char *document_close(struct document *d)
{
    const char *tail = !d->is_cut ? "}" : d->len > 1 ? TAIL : &TAIL[1];
    memcpy(d->text + d->len, tail, strlen(tail) + 1);
    return d->text;
}

static bool put(struct document *d, const char *bytes, size_t len)
{
    if (len > d->size - d->len)
        return false;
    memcpy(d->text + d->len, bytes, len);
    d->len += len;
    return true;
}

static bool put_quoted(struct document *d, const char *value)
{
    bool fits = put(d, "\"", 1);
    for (; fits && *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        char escaped[8];
        if (c < 0x20 || c == 0x7f)
            fits = put(d, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", c));
        else
            fits = (c != '"' && c != '\\') ? put(d, value, 1) : put(d, "\\", 1) && put(d, value, 1);
    }
    return fits && put(d, "\"", 1);
}

static bool put_key(struct document *d, const char *key)
{
    return (d->len == 1 || put(d, ",", 1)) && put_quoted(d, key) && put(d, ":", 1);
}

/* All of a member, or nothing. */
static void member(struct document *d, const char *key, const char *value, bool is_quoted)
{
    size_t whole = d->len;
    if (put_key(d, key) && (is_quoted ? put_quoted(d, value) : put(d, value, strlen(value))))
        return;
    d->len = whole;
    d->is_cut = true;
}

void document_text(struct document *d, const char *key, const char *value)
{
    member(d, key, value, true);
}

void document_raw(struct document *d, const char *key, const char *json)
{
    if (json != NULL && json[0] != '\0')
        member(d, key, json, false);
}

/* Four digits: enough for a reader, and few enough that ageing alone rewrites an alert seldom. */
void document_real(struct document *d, const char *key, double value)
{
    char text[32] = "null";
    if (isfinite(value))
        snprintf(text, sizeof text, "%.4g", value);
    member(d, key, text, false);
}

void document_count(struct document *d, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    member(d, key, text, false);
}

void document_boolean(struct document *d, const char *key, bool value)
{
    member(d, key, value ? "true" : "false", false);
}

void document_time(struct document *d, const char *key, int64_t ns)
{
    char text[TIME_TEXT];
    if (ns == 0)
        member(d, key, "null", false);
    else
        member(d, key, time_format(ns, text), true);
}

void document_prefix(struct document *d, const char *key, const struct prefix *p)
{
    char text[PREFIX_TEXT];
    if (p->addr.family != 0)
        member(d, key, prefix_format(p, text), true);
}

void document_place(struct document *d, const char *key, const char *pop, const struct ingress *at)
{
    static const uint8_t no_mac[6];
    char text[320], mac[MAC_TEXT];
    struct document place;
    document_open(&place, text, sizeof text);
    document_text(&place, "pop", pop);
    if (at->router[0] != '\0')
        document_text(&place, "router", at->router);
    if (at->interface[0] != '\0')
        document_text(&place, "interface", at->interface);
    if (at->vlan != 0)
        document_count(&place, "vlan", at->vlan);
    if (memcmp(at->mac, no_mac, 6) != 0)
        document_text(&place, "mac", mac_format(at->mac, mac));
    if (at->peer_as != 0)
        document_count(&place, "peer_as", at->peer_as);
    document_raw(d, key, document_close(&place));
}

/* Behind `"key":`, outside of other texts at any depth; NULL: not there. */
static const char *value_of(const char *json, const char *key)
{
    size_t len = strlen(key);
    for (const char *c = json; *c != '\0'; c++) {
        if (*c != '"')
            continue;
        const char *text = ++c;
        while (*c != '\0' && *c != '"')
            c += *c == '\\' && c[1] != '\0' ? 2 : 1;
        if (*c == '\0')
            return NULL;
        if ((size_t)(c - text) == len && memcmp(text, key, len) == 0 && c[1] == ':')
            return c + 2 + (c[2] == ' ');
    }
    return NULL;
}

void document_find(const char *json, const char *key, char *out, size_t size)
{
    const char *from = value_of(json, key), *c = from;
    int depth = 0;
    bool is_quoted = false;
    out[0] = '\0';
    if (from == NULL || (*from != '{' && *from != '['))
        return;
    for (; *c != '\0'; c++) {
        if (is_quoted && *c == '\\' && c[1] != '\0')
            c++;
        else if (*c == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted)
            depth += (*c == '{' || *c == '[') - (*c == '}' || *c == ']');
        if (depth == 0)
            break;
    }
    if (*c == '\0' || (size_t)(c - from) + 2 > size)
        return;
    memcpy(out, from, (size_t)(c - from) + 1);
    out[c - from + 1] = '\0';
}

uint64_t document_find_count(const char *json, const char *key)
{
    const char *value = value_of(json, key);
    return value == NULL || *value < '0' || *value > '9' ? 0 : strtoull(value, NULL, 10);
}

/* What stands behind a backslash. */
static char unescaped(const char **c)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *special = strchr(from, **c);
    unsigned code = 0;
    int len = 0;
    if (**c == 'u' && sscanf(*c + 1, "%4x%n", &code, &len) == 1 && len == 4) {
        *c += 4;
        return code > 0 && code < 0x80 ? (char)code : '?';
    }
    return special != NULL && **c != '\0' ? to[special - from] : **c;
}

void document_find_text(const char *json, const char *key, char *out, size_t size)
{
    const char *c = value_of(json, key);
    size_t len = 0;
    out[0] = '\0';
    if (c == NULL || *c != '"')
        return;
    bool is_whole = true;
    for (c++; is_whole && *c != '"'; c++) {
        bool is_escaped = *c == '\\';
        c += is_escaped;
        is_whole = *c != '\0' && len + 1 < size;
        if (is_whole)
            out[len++] = is_escaped ? unescaped(&c) : *c;
    }
    out[is_whole ? len : 0] = '\0';
}

bool document_find_place(const char *json, const char *key, char pop[static 32], struct ingress *at)
{
    char place[320], mac[MAC_TEXT];
    *at = (struct ingress){0};
    document_find(json, key, place, sizeof place);
    document_find_text(place, "pop", pop, 32);
    document_find_text(place, "router", at->router, sizeof at->router);
    document_find_text(place, "interface", at->interface, sizeof at->interface);
    document_find_text(place, "mac", mac, sizeof mac);
    if (mac[0] != '\0' && mac_parse(mac, at->mac) != 0)
        memset(at->mac, 0, sizeof at->mac);
    at->vlan = document_find_count(place, "vlan");
    at->peer_as = document_find_count(place, "peer_as");
    return pop[0] != '\0';
}
