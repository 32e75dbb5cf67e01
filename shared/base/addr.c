#include "shared/base/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static_assert(sizeof(struct addr) == 17, "no padding: addresses are compared byte for byte");
static_assert(sizeof(struct prefix) == 18, "no padding: prefixes are compared byte for byte");

int addr_parse(const char *text, struct addr *out)
{
    struct addr a = {0};
    if (inet_pton(AF_INET, text, a.bytes) == 1)
        a.family = ADDR_V4;
    else if (inet_pton(AF_INET6, text, a.bytes) == 1)
        a.family = ADDR_V6;
    else
        return ERR_FORMAT;
    *out = a;
    return 0;
}

int prefix_parse(const char *text, struct prefix *out)
{
    const char *slash = strchr(text, '/');
    size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    char host[ADDR_TEXT];
    if (len >= sizeof host)
        return ERR_FORMAT;
    memcpy(host, text, len);
    host[len] = '\0';

    struct prefix p = {0};
    int err = addr_parse(host, &p.addr);
    if (err != 0)
        return err;
    unsigned length = addr_bits(p.addr.family);
    if (slash != NULL) {
        char *end;
        if (slash[1] < '0' || slash[1] > '9')
            return ERR_FORMAT;
        unsigned long given = strtoul(slash + 1, &end, 10);
        if (*end != '\0' || given > length)
            return ERR_FORMAT;
        length = (unsigned)given;
    }
    p.length = (uint8_t)length;
    struct prefix masked = prefix_of(&p.addr, length);
    if (!prefix_equal(&masked, &p))
        return ERR_CONF;
    *out = p;
    return 0;
}

char *addr_format(const struct addr *a, char text[static ADDR_TEXT])
{
    if (a->family == 0)
        return strcpy(text, "-");
    inet_ntop(a->family == ADDR_V4 ? AF_INET : AF_INET6, a->bytes, text, ADDR_TEXT);
    return text;
}

char *prefix_format(const struct prefix *p, char text[static PREFIX_TEXT])
{
    addr_format(&p->addr, text);
    if (p->addr.family != 0) {
        size_t len = strlen(text);
        snprintf(text + len, PREFIX_TEXT - len, "/%u", p->length);
    }
    return text;
}

struct prefix prefix_of(const struct addr *a, unsigned length)
{
    unsigned bits = addr_bits(a->family);
    struct prefix p = {.addr = *a, .length = (uint8_t)(length < bits ? length : bits)};
    unsigned whole = p.length / 8;
    if (whole < sizeof p.addr.bytes) {
        p.addr.bytes[whole] &= (uint8_t)(0xff00 >> p.length % 8);
        memset(p.addr.bytes + whole + 1, 0, sizeof p.addr.bytes - whole - 1);
    }
    return p;
}

bool prefix_contains(const struct prefix *p, const struct addr *a)
{
    if (p->addr.family != a->family)
        return false;
    struct prefix q = prefix_of(a, p->length);
    return prefix_equal(p, &q);
}

bool prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
    return outer->length <= inner->length && prefix_contains(outer, &inner->addr);
}

int prefix_compare(const struct prefix *a, const struct prefix *b)
{
    if (a->addr.family != b->addr.family)
        return a->addr.family < b->addr.family ? -1 : 1;
    int order = memcmp(a->addr.bytes, b->addr.bytes, sizeof a->addr.bytes);
    return order != 0 ? order : (int)a->length - (int)b->length;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* By hand: sscanf's %2x also takes signs and spaces. */
int mac_parse(const char *text, uint8_t out[static 6])
{
    uint8_t mac[6];
    if (strlen(text) != MAC_TEXT - 1)
        return ERR_FORMAT;
    for (int i = 0; i < 6; i++, text += 3) {
        int high = hex_digit(text[0]), low = hex_digit(text[1]);
        if (high < 0 || low < 0 || text[2] != (i < 5 ? ':' : '\0'))
            return ERR_FORMAT;
        mac[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(out, mac, sizeof mac);
    return 0;
}

char *mac_format(const uint8_t mac[static 6], char text[static MAC_TEXT])
{
    snprintf(text, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
    return text;
}
