#include "collector/conf/rib_line.h"

#include <stdbool.h>
#include <string.h>

enum {
    FIELD_TYPE,
    FIELD_TIME,
    FIELD_KIND,
    FIELD_PEER,
    FIELD_PEER_AS,
    FIELD_PREFIX, /* or the old state */
    FIELD_PATH,   /* or the new one */
    FIELD_ORIGIN,
    FIELD_NEXT_HOP,
    FIELD_LOCAL_PREF,
    FIELDS
};

#define ESTABLISHED 6

struct text {
    const char *at;
    size_t len;
};

static int split(const char *line, size_t len, struct text fields[static FIELDS])
{
    int n = 0;
    for (const char *end; n < FIELDS; n++) {
        end = memchr(line, '|', len);
        size_t field = end != NULL ? (size_t)(end - line) : len;
        fields[n] = (struct text){line, field};
        if (end == NULL)
            return n + 1;
        line += field + 1;
        len -= field + 1;
    }
    return n;
}

static bool is(struct text t, const char *word)
{
    return strlen(word) == t.len && memcmp(word, t.at, t.len) == 0;
}

/* Digits alone, within 32 bits. */
static bool number(struct text t, uint32_t *out)
{
    uint64_t n = 0;
    if (t.len == 0 || t.len > 10)
        return false;
    for (size_t i = 0; i < t.len; i++) {
        if (t.at[i] < '0' || t.at[i] > '9')
            return false;
        n = 10 * n + (uint64_t)(t.at[i] - '0');
    }
    *out = (uint32_t)n;
    return n <= UINT32_MAX;
}

static bool copy(struct text t, char *out, size_t size)
{
    if (t.len >= size || memchr(t.at, '\0', t.len) != NULL)
        return false;
    memcpy(out, t.at, t.len);
    out[t.len] = '\0';
    return true;
}

static bool time_of(struct text t, uint32_t *out)
{
    const char *dot = memchr(t.at, '.', t.len); /* BGP4MP_ET has microseconds */
    if (dot != NULL)
        t.len = (size_t)(dot - t.at);
    return number(t, out);
}

/* ---- the AS path: numbers, {sets}, (confederations), [their sets] ---- */

static struct text next_element(struct text *rest)
{
    while (rest->len > 0 && rest->at[0] == ' ') {
        rest->at++;
        rest->len--;
    }
    struct text element = {rest->at, 0};
    char until = rest->len == 0       ? ' '
                 : rest->at[0] == '{' ? '}'
                 : rest->at[0] == '(' ? ')'
                 : rest->at[0] == '[' ? ']'
                                      : ' ';
    while (element.len < rest->len && rest->at[element.len] != until)
        element.len++;
    if (until != ' ' && element.len < rest->len)
        element.len++; /* the bracket belongs to it */
    rest->at += element.len;
    rest->len -= element.len;
    return element;
}

static bool is_closed(struct text t, char bracket)
{
    if (t.len < 3 || t.at[t.len - 1] != bracket)
        return false;
    for (size_t i = 1; i + 1 < t.len; i++)
        if (strchr("0123456789 ,", t.at[i]) == NULL || t.at[i] == '\0')
            return false;
    return true;
}

static const char *path_of(struct text path, uint32_t own_as, struct rib_entry *out)
{
    bool has_neighbour = false;
    while (path.len > 0) {
        struct text element = next_element(&path);
        uint32_t as = 0;
        if (element.len == 0)
            continue;
        if (element.at[0] == '(' || element.at[0] == '[') { /* inside our own confederation */
            if (!is_closed(element, element.at[0] == '(' ? ')' : ']'))
                return "AS path: a confederation without an end";
            continue;
        }
        if (element.at[0] == '{') {
            if (!is_closed(element, '}'))
                return "AS path: a set without an end";
            if (!has_neighbour)
                return "AS path: begins with a set";
        } else if (!number(element, &as) || as == 0) {
            return "AS path: expected AS numbers";
        } else if (!has_neighbour && as == own_as) {
            continue;
        } else if (!has_neighbour) {
            out->neighbour_as = as;
            has_neighbour = true;
        }
        out->origin_as = as;
        out->path_length = (uint16_t)(out->path_length + (out->path_length < UINT16_MAX));
    }
    return NULL;
}

/* ---- a line ---- */

static const char *peer_of(const struct text f[static FIELDS], struct rib_entry *out)
{
    char text[ADDR_TEXT];
    if (!time_of(f[FIELD_TIME], &out->at))
        return "time: expected seconds since 1970";
    if (!copy(f[FIELD_PEER], text, sizeof text) || addr_parse(text, &out->peer) != 0)
        return "peer: expected an address";
    if (!number(f[FIELD_PEER_AS], &out->peer_as))
        return "peer AS: expected a number";
    return NULL;
}

static const char *prefix_of_line(struct text t, struct rib_entry *out)
{
    char text[PREFIX_TEXT];
    if (!copy(t, text, sizeof text) || strchr(text, '/') == NULL ||
        prefix_parse(text, &out->prefix) != 0)
        return "prefix: expected one with no bits set beyond its length";
    return NULL;
}

static const char *route_of(const struct text f[static FIELDS], int n, uint32_t own_as,
                            struct rib_entry *out)
{
    if (n < FIELDS)
        return "too few fields for a route";
    const char *why = path_of(f[FIELD_PATH], own_as, out);
    if (why != NULL)
        return why;
    if (!number(f[FIELD_LOCAL_PREF], &out->local_pref))
        return "local preference: expected a number";
    if (!is(f[FIELD_ORIGIN], "IGP") && !is(f[FIELD_ORIGIN], "EGP") &&
        !is(f[FIELD_ORIGIN], "INCOMPLETE"))
        return "origin: expected IGP, EGP or INCOMPLETE";
    out->origin = f[FIELD_ORIGIN].at[0] == 'E' ? 1 : f[FIELD_ORIGIN].len > 3 ? 2 : 0;
    return NULL;
}

static bool is_table(struct text type)
{
    return is(type, "TABLE_DUMP2") || is(type, "TABLE_DUMP") || is(type, "TABLE_DUMP2_AP");
}

static bool is_update(struct text type)
{
    return is(type, "BGP4MP") || is(type, "BGP4MP_ET") || is(type, "BGP4MP_LOCAL") ||
           is(type, "BGP4MP_ET_LOCAL");
}

static const char *parse(const struct text f[static FIELDS], int n, uint32_t own_as,
                         struct rib_entry *out, int *answer)
{
    bool is_from_table = is_table(f[FIELD_TYPE]);
    if (!is_from_table && !is_update(f[FIELD_TYPE]))
        return f[FIELD_TYPE].len > 6 && memcmp(f[FIELD_TYPE].at, "BGP4MP", 6) == 0
                   ? "an update with ADD-PATH, which does not say what it replaces"
                   : "expected TABLE_DUMP2 or BGP4MP, as bgpdump -m prints them";
    if (n <= FIELD_PREFIX)
        return "too few fields";
    const char *why = peer_of(f, out);
    if (why != NULL)
        return why;
    if (!is_from_table && is(f[FIELD_KIND], "STATE")) {
        uint32_t before, now;
        if (n != FIELD_PATH + 1 || !number(f[FIELD_PREFIX], &before) ||
            !number(f[FIELD_PATH], &now))
            return "expected two states of a session";
        out->kind = RIB_DOWN;
        *answer = before == ESTABLISHED && now != ESTABLISHED ? 0 : RIB_LINE_NOTHING;
        return NULL;
    }
    if ((why = prefix_of_line(f[FIELD_PREFIX], out)) != NULL)
        return why;
    out->kind = is_from_table ? RIB_ENTRY : RIB_ANNOUNCE;
    if (is(f[FIELD_KIND], is_from_table ? "B" : "A"))
        return route_of(f, n, own_as, out);
    out->kind = RIB_WITHDRAW;
    return !is_from_table && is(f[FIELD_KIND], "W") ? NULL : "expected B, A, W or STATE";
}

int rib_line_parse(const char *line, size_t len, uint32_t own_as, struct rib_entry *out,
                   const char **why)
{
    struct text fields[FIELDS] = {{NULL, 0}};
    int answer = 0;
    *out = (struct rib_entry){0};
    *why = parse(fields, split(line, len, fields), own_as, out, &answer);
    return *why != NULL ? ERR_FORMAT : answer;
}
