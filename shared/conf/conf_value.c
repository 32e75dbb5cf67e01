#include "shared/conf/conf_value.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/addr.h"

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit durations[] = {
    {"d", UINT64_C(86400000000000)},
    {"h", UINT64_C(3600000000000)},
    {"m", UINT64_C(60000000000)},
    {"s", UINT64_C(1000000000)},
    {"ms", UINT64_C(1000000)},
    {"us", UINT64_C(1000)},
    {"ns", 1},
};

static const struct unit sizes[] = {
    {"GiB", UINT64_C(1) << 30},
    {"MiB", UINT64_C(1) << 20},
    {"KiB", UINT64_C(1) << 10},
    {"", 1},
};

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

bool conf_is_list(enum conf_type type)
{
    return type == CONF_PREFIXES || type == CONF_TEXTS || type == CONF_RECORDS;
}

void conf_unsigned_write(void *at, size_t size, uint64_t value)
{
    assert(size == 2 || size == 4 || size == 8);
    assert(size == 8 || value >> 8 * size == 0); /* a row's max must fit its member */
    uint16_t v16 = (uint16_t)value;
    uint32_t v32 = (uint32_t)value;
    memcpy(at, size == 2 ? (void *)&v16 : size == 4 ? (void *)&v32 : (void *)&value, size);
}

/* Decimal digits only: strtoull would also take signs, spaces and hexadecimal. */
static int parse_digits(const char *text, const char **end, uint64_t *out)
{
    uint64_t value = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return ERR_FORMAT;
    *end = p;
    *out = value;
    return p == text ? ERR_FORMAT : 0;
}

static int parse_with_unit(const char *text, const struct unit *units, size_t n, uint64_t *out)
{
    const char *end;
    int err = parse_digits(text, &end, out);
    if (err != 0)
        return err;
    if (*end == ' ' && end[1] != '\0')
        end++;
    for (size_t i = 0; i < n; i++)
        if (strcmp(end, units[i].name) == 0)
            return __builtin_mul_overflow(*out, units[i].factor, out) ? ERR_FORMAT : 0;
    return ERR_FORMAT;
}

static bool is_in_range(const struct conf_row *row, double value)
{
    return value >= row->min && value <= row->max;
}

static int parse_count(const struct conf_row *row, const char *text, void *at)
{
    uint64_t value = 0;
    const char *end = "";
    int err = 0;
    if (row->zero != NULL && strcmp(text, row->zero) == 0) {
        conf_unsigned_write(at, row->size, 0);
        return 0;
    }
    if (row->type == CONF_DURATION)
        err = parse_with_unit(text, durations, COUNT_OF(durations), &value);
    else if (row->type == CONF_SIZE)
        err = parse_with_unit(text, sizes, COUNT_OF(sizes), &value);
    else
        err = parse_digits(text, &end, &value);
    if (err != 0 || *end != '\0' || !is_in_range(row, (double)value))
        return ERR_FORMAT;
    conf_unsigned_write(at, row->size, value);
    return 0;
}

static int parse_real(const struct conf_row *row, const char *text, void *at)
{
    /* Only what looks like a decimal number: strtod also takes "inf", "nan" and hexadecimal. */
    if (*text == '\0' || strspn(text, "0123456789.eE+-") != strlen(text))
        return ERR_FORMAT;
    char *end;
    double value = strtod(text, &end);
    if (*end != '\0' || !isfinite(value) || !is_in_range(row, value))
        return ERR_FORMAT;
    assert(row->size == sizeof value);
    memcpy(at, &value, sizeof value);
    return 0;
}

static int parse_word(const struct conf_row *row, const char *text, void *at)
{
    assert(row->size == sizeof(uint32_t));
    for (uint32_t i = 0; row->words[i] != NULL; i++)
        if (strcmp(row->words[i], text) == 0) {
            memcpy(at, &i, sizeof i);
            return 0;
        }
    return ERR_FORMAT;
}

static int parse_bool(const struct conf_row *row, const char *text, void *at)
{
    (void)row;
    assert(row->size == sizeof(bool));
    bool value = strcmp(text, "true") == 0;
    if (!value && strcmp(text, "false") != 0)
        return ERR_FORMAT;
    memcpy(at, &value, sizeof value);
    return 0;
}

static int parse_text(const struct conf_row *row, const char *text, void *at)
{
    size_t len = strlen(text);
    if (len >= row->size)
        return ERR_FORMAT;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return ERR_FORMAT;
    memset(at, 0, row->size);
    memcpy(at, text, len);
    return 0;
}

static int parse_mac(const char *text, void *at)
{
    uint8_t mac[6];
    static const uint8_t zero[6];
    int err = mac_parse(text, mac);
    if (err != 0 || memcmp(mac, zero, sizeof mac) == 0)
        return ERR_FORMAT;
    memcpy(at, mac, sizeof mac);
    return 0;
}

static int parse_prefix(const char *text, void *at)
{
    struct prefix p;
    if (prefix_parse(text, &p) != 0)
        return ERR_FORMAT;
    memcpy(at, &p, sizeof p);
    return 0;
}

int conf_value_parse(const struct conf_row *row, const char *text, void *base)
{
    void *at = (char *)base + row->offset;
    switch (row->type) {
    case CONF_TEXT:
        return parse_text(row, text, at);
    case CONF_BOOL:
        return parse_bool(row, text, at);
    case CONF_UNSIGNED:
    case CONF_DURATION:
    case CONF_SIZE:
        return parse_count(row, text, at);
    case CONF_REAL:
        return parse_real(row, text, at);
    case CONF_WORD:
        return parse_word(row, text, at);
    case CONF_MAC:
        return parse_mac(text, at);
    case CONF_PREFIX:
        return parse_prefix(text, at);
    default:
        return ERR_FORMAT;
    }
}

static char *format_with_unit(uint64_t value, const struct unit *units, size_t n, char *out,
                              size_t size)
{
    const struct unit *unit = units;
    while (unit < units + n - 1 && (value == 0 || value % unit->factor != 0))
        unit++;
    snprintf(out, size, "%" PRIu64 "%s", value / unit->factor, unit->name);
    return out;
}

char *conf_duration_format(uint64_t ns, char *out, size_t size)
{
    if (ns == 0) {
        snprintf(out, size, "0s");
        return out;
    }
    return format_with_unit(ns, durations, COUNT_OF(durations), out, size);
}

static void expect_word(const struct conf_row *row, char *out)
{
    size_t len = (size_t)snprintf(out, CONF_EXPECT_TEXT, "%s", row->words[1] ? "one of " : "");
    for (size_t i = 0; row->words[i] != NULL; i++)
        len += (size_t)snprintf(out + len, CONF_EXPECT_TEXT - len, "%s%s", i > 0 ? ", " : "",
                                row->words[i]);
}

static void expect_range(const struct conf_row *row, char *out)
{
    char low[32], high[32];
    const char * or = row->zero != NULL ? row->zero : "", *word = row->zero != NULL ? " or " : "";
    switch (row->type) {
    case CONF_DURATION:
        snprintf(out, CONF_EXPECT_TEXT, "a duration from %s to %s, written like 500ms, 60s, 1h%s%s",
                 conf_duration_format((uint64_t)row->min, low, sizeof low),
                 conf_duration_format((uint64_t)row->max, high, sizeof high), word, or);
        return;
    case CONF_SIZE:
        snprintf(out, CONF_EXPECT_TEXT, "a size from %s to %s, written like 512KiB, 64MiB%s%s",
                 format_with_unit((uint64_t)row->min, sizes, COUNT_OF(sizes), low, sizeof low),
                 format_with_unit((uint64_t)row->max, sizes, COUNT_OF(sizes), high, sizeof high),
                 word, or);
        return;
    case CONF_UNSIGNED:
        snprintf(out, CONF_EXPECT_TEXT, "a whole number from %.0f to %.0f%s%s", row->min, row->max,
                 word, or);
        return;
    default:
        snprintf(out, CONF_EXPECT_TEXT, "a number from %g to %g", row->min, row->max);
    }
}

char *conf_value_expect(const struct conf_row *row, char out[static CONF_EXPECT_TEXT])
{
    static const char *const plain[] = {
        [CONF_BOOL] = "true or false",
        [CONF_MAC] = "a MAC address, written like \"02:00:00:00:00:07\"",
        [CONF_PREFIX] = "a prefix, written like 203.0.113.0/24 or 2001:db8::/32, with no bits set "
                        "beyond its length",
        [CONF_PREFIXES] = "a prefix, written like 203.0.113.0/24 or 2001:db8::/32, with no bits "
                          "set beyond its length",
        [CONF_RECORDS] = "a map",
    };
    switch (row->type) {
    case CONF_TEXT:
    case CONF_TEXTS:
        snprintf(out, CONF_EXPECT_TEXT, "text of at most %zu characters",
                 (row->type == CONF_TEXT ? row->size : row->item_size) - 1);
        break;
    case CONF_WORD:
        expect_word(row, out);
        break;
    case CONF_UNSIGNED:
    case CONF_DURATION:
    case CONF_SIZE:
    case CONF_REAL:
        expect_range(row, out);
        break;
    default:
        snprintf(out, CONF_EXPECT_TEXT, "%s", plain[row->type]);
    }
    return out;
}
