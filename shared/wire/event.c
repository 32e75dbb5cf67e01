#include "shared/wire/event.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/wire/fields.h"
#include "shared/wire/utf8.h"

/* ---- words: shared/wire/words.def as data ---- */

#define WORDS(list, ...) static const char *const words_##list[] = {__VA_ARGS__};
#include "shared/wire/words.def"
#undef WORDS

/* ---- the rows: schema/events.def as data ---- */

/* what a type makes of its argument: limit, list, words, their number */
#define ARG_U64(arg)    0, NULL, NULL, 0
#define ARG_OPT(arg)    0, NULL, NULL, 0
#define ARG_REAL(arg)   0, NULL, NULL, 0
#define ARG_TIME(arg)   0, NULL, NULL, 0
#define ARG_SPAN(arg)   0, NULL, NULL, 0
#define ARG_TEXT(arg)   arg, NULL, NULL, 0
#define ARG_ADDR(arg)   0, NULL, NULL, 0
#define ARG_PREFIX(arg) 0, NULL, NULL, 0
#define ARG_MAC(arg)    0, NULL, NULL, 0
#define ARG_UUID(arg)   0, NULL, NULL, 0
#define ARG_WORD(arg)   0, #arg, words_##arg, sizeof words_##arg / sizeof *words_##arg
#define ARG_REALS(arg)  arg, NULL, NULL, 0
#define ARG_BOOL(arg)   0, NULL, NULL, 0

#define INGRESS_ROW(ev, name, type, arg, sentence)             \
    {#name,           sizeof #name - 1,                        \
     FIELD_##type,    offsetof(struct event, ev.ingress.name), \
     ARG_##type(arg), "",                                      \
     sentence},

#define EVENT(name, number, sentence) static const struct field fields_##name[] = {
#define FIELD(ev, name, type, arg, unit, sentence)                                            \
    {#name, sizeof #name - 1, FIELD_##type, offsetof(struct event, ev.name), ARG_##type(arg), \
     unit,  sentence},
#define INGRESS(ev)                                                                               \
    INGRESS_ROW(ev, router, TEXT, sizeof((struct ingress *)0)->router, "where it enters: router") \
    INGRESS_ROW(ev, interface, TEXT, sizeof((struct ingress *)0)->interface, "and its interface") \
    INGRESS_ROW(ev, vlan, OPT, 0, "outermost VLAN id")                                            \
    INGRESS_ROW(ev, mac, MAC, 0, "the peer's MAC address")                                        \
    INGRESS_ROW(ev, peer_as, OPT, 0, "the peer's AS number")
#define END(ev) \
    }           \
    ;
#include "schema/events.def"
#undef EVENT
#undef FIELD
#undef INGRESS
#undef END

static const struct event_kind kinds[] = {
#define EVENT(name, number, sentence) \
    {#name, sentence, number, fields_##name, sizeof fields_##name / sizeof fields_##name[0]},
#define FIELD(ev, name, type, arg, unit, sentence)
#define INGRESS(ev)
#define END(ev)
#include "schema/events.def"
#undef EVENT
#undef FIELD
#undef INGRESS
#undef END
};

const struct event_kind *event_kinds(size_t *count)
{
    *count = sizeof kinds / sizeof kinds[0];
    return kinds;
}

const struct event_kind *event_kind(unsigned type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].number == type)
            return &kinds[i];
    return NULL;
}

const char *event_name(unsigned type)
{
    const struct event_kind *kind = event_kind(type);
    return kind != NULL ? kind->name : NULL;
}

bool ingress_equal(const struct ingress *a, const struct ingress *b)
{
    return strcmp(a->router, b->router) == 0 && strcmp(a->interface, b->interface) == 0 &&
           a->vlan == b->vlan && memcmp(a->mac, b->mac, sizeof a->mac) == 0 &&
           a->peer_as == b->peer_as;
}

void event_shift(struct event *e, int64_t offset_ns)
{
    e->at += offset_ns;
    const struct event_kind *kind = event_kind(e->type);
    for (size_t i = 0; kind != NULL && i < kind->count; i++) {
        if (kind->fields[i].type != FIELD_TIME)
            continue;
        int64_t *t = (int64_t *)(void *)((char *)e + kind->fields[i].offset);
        if (*t != 0)
            *t += offset_ns;
    }
}

/* ---- words ---- */

static const struct word_list {
    const char *name;
    const char *const *words;
    unsigned count;
} word_lists[] = {
#define WORDS(list, ...) {#list, words_##list, sizeof words_##list / sizeof words_##list[0]},
#include "shared/wire/words.def"
#undef WORDS
};

static const struct word_list *word_list(const char *name)
{
    for (size_t i = 0; i < sizeof word_lists / sizeof word_lists[0]; i++)
        if (strcmp(word_lists[i].name, name) == 0)
            return &word_lists[i];
    return NULL;
}

const char *event_word(const char *list, unsigned i)
{
    const struct word_list *l = word_list(list);
    return l != NULL && i < l->count ? l->words[i] : NULL;
}

int event_word_find(const char *list, const char *word)
{
    const struct word_list *l = word_list(list);
    for (unsigned i = 0; l != NULL && i < l->count; i++)
        if (strcmp(l->words[i], word) == 0)
            return (int)i;
    return ERR_FORMAT;
}

/* ---- JSON ---- */

char *uuid_format(const uint8_t uuid[static 16], char text[static UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    char *out = text;
    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[uuid[i] >> 4];
        *out++ = digits[uuid[i] & 15];
    }
    *out = '\0';
    return text;
}

char *time_format(int64_t ns, char text[static TIME_TEXT])
{
    int64_t seconds = ns / (int64_t)NS_PER_S, fraction = ns % (int64_t)NS_PER_S;
    if (fraction < 0) { /* before 1970: nanoseconds still count forwards */
        seconds--;
        fraction += (int64_t)NS_PER_S;
    }
    struct tm tm;
    gmtime_r(&(time_t){seconds}, &tm);
    size_t n = strftime(text, TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, TIME_TEXT - n, ".%09dZ", (int)fraction);
    return text;
}

/* Bytes that are no UTF-8 become U+FFFD: the line must stay JSON whatever a router is called. */
static void print_text(FILE *out, const char *text, size_t len)
{
    const uint8_t *s = (const uint8_t *)text;
    putc('"', out);
    for (size_t i = 0, n; i < len; i += n) {
        size_t valid = utf8_length(s + i, len - i);
        n = valid > 0 ? valid : 1;
        if (valid == 0)
            fputs("\\ufffd", out);
        else if (s[i] == '"' || s[i] == '\\')
            fprintf(out, "\\%c", s[i]);
        else if (s[i] < 0x20 || s[i] == 0x7f)
            fprintf(out, "\\u%04x", s[i]);
        else
            fwrite(s + i, 1, n, out);
    }
    putc('"', out);
}

/* Twelve digits: more than is known of any of these numbers. The last bits of a logarithm differ
 * between processors, and the same capture must give the same text. JSON has no NaN, no Inf. */
static void print_real(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, "%.12g", value);
    else
        fputs("null", out);
}

static void print_reals(FILE *out, const struct reals *r, size_t limit)
{
    putc('[', out);
    for (uint32_t i = 0; i < r->count && i < limit; i++) {
        if (i > 0)
            putc(',', out);
        print_real(out, r->value[i]);
    }
    putc(']', out);
}

static void print_number_or_null(FILE *out, uint64_t value, uint64_t none)
{
    if (value == none)
        fputs("null", out);
    else
        fprintf(out, "%" PRIu64, value);
}

/* Seconds, exact to the nanosecond. */
static void print_span(FILE *out, uint64_t ns)
{
    if (ns == SPAN_NONE)
        fputs("null", out);
    else
        fprintf(out, "%" PRIu64 ".%09" PRIu64, ns / NS_PER_S, ns % NS_PER_S);
}

static void print_string_or_null(FILE *out, const char *text)
{
    if (text == NULL)
        fputs("null", out);
    else
        print_text(out, text, strlen(text));
}

static void print_time(FILE *out, int64_t ns)
{
    char text[TIME_TEXT];
    print_string_or_null(out, ns == 0 ? NULL : time_format(ns, text));
}

static void print_addr(FILE *out, const struct addr *a)
{
    char text[ADDR_TEXT];
    print_string_or_null(out, a->family == 0 ? NULL : addr_format(a, text));
}

static void print_prefix(FILE *out, const struct prefix *p)
{
    char text[PREFIX_TEXT];
    print_string_or_null(out, p->addr.family == 0 ? NULL : prefix_format(p, text));
}

static void print_mac(FILE *out, const uint8_t *mac)
{
    static const uint8_t none[6];
    char text[MAC_TEXT];
    print_string_or_null(out, memcmp(mac, none, 6) == 0 ? NULL : mac_format(mac, text));
}

static void print_value(FILE *out, const struct field *f, const void *value)
{
    char text[UUID_TEXT];
    switch (f->type) {
    case FIELD_U64:
        fprintf(out, "%" PRIu64, *(const uint64_t *)value);
        return;
    case FIELD_OPT:
        print_number_or_null(out, *(const uint64_t *)value, 0);
        return;
    case FIELD_REAL:
        print_real(out, *(const double *)value);
        return;
    case FIELD_TIME:
        print_time(out, *(const int64_t *)value);
        return;
    case FIELD_SPAN:
        print_span(out, *(const uint64_t *)value);
        return;
    case FIELD_TEXT:
        print_text(out, value, strnlen(value, f->limit));
        return;
    case FIELD_ADDR:
        print_addr(out, value);
        return;
    case FIELD_PREFIX:
        print_prefix(out, value);
        return;
    case FIELD_MAC:
        print_mac(out, value);
        return;
    case FIELD_UUID:
        print_string_or_null(out, uuid_format(value, text));
        return;
    case FIELD_WORD:
        print_string_or_null(out, event_word(f->list, *(const uint8_t *)value));
        return;
    case FIELD_REALS:
        print_reals(out, value, f->limit);
        return;
    case FIELD_BOOL:
        fputs(*(const bool *)value ? "true" : "false", out);
        return;
    }
}

void event_print(FILE *out, const struct event *e)
{
    const struct event_kind *kind = event_kind(e->type);
    flockfile(out); /* lines of several threads must not mix */
    fprintf(out, "{\"epoch\":%" PRIu64 ",\"sequence\":%" PRIu64 ",\"at\":", e->epoch, e->seq);
    print_time(out, e->at);
    fputs(",\"event\":", out);
    print_string_or_null(out, kind != NULL ? kind->name : NULL);
    for (size_t i = 0; kind != NULL && i < kind->count; i++) {
        fprintf(out, ",\"%s\":", kind->fields[i].key);
        print_value(out, &kind->fields[i], (const char *)e + kind->fields[i].offset);
    }
    fputs("}\n", out);
    funlockfile(out);
}
