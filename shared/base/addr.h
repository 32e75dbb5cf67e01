/* Addresses and prefixes, IPv4 and IPv6 alike.
 *
 * An address is 16 bytes and a family. IPv4 stands in the first four bytes, the rest is zero, so
 * that two equal addresses are equal byte for byte and a prefix of either family is a number of
 * leading bits. An IPv4-mapped IPv6 address (::ffff:a.b.c.d) on the wire stays IPv6: it is a
 * different thing to an operator (a martian). Family 0 is "no address". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "shared/base/err.h"

#define ADDR_TEXT   46 /* longest text, with its NUL */
#define PREFIX_TEXT 50
#define MAC_TEXT    18

enum { ADDR_V4 = 4, ADDR_V6 = 6 };

struct addr {
    uint8_t bytes[16]; /* network order */
    uint8_t family;    /* ADDR_V4, ADDR_V6; 0: none */
};

/* Bits beyond the length are zero in every prefix that these functions make. */
struct prefix {
    struct addr addr;
    uint8_t length; /* leading bits: 0..32 or 0..128 */
};

static inline unsigned addr_bits(uint8_t family)
{
    return family == ADDR_V4 ? 32 : 128;
}

/* From four bytes in network order, as they stand in a packet. */
static inline struct addr addr_v4(const void *bytes)
{
    struct addr a = {.family = ADDR_V4};
    memcpy(a.bytes, bytes, 4);
    return a;
}

/* From sixteen bytes in network order. */
static inline struct addr addr_v6(const void *bytes)
{
    struct addr a = {.family = ADDR_V6};
    memcpy(a.bytes, bytes, 16);
    return a;
}

static inline bool addr_equal(const struct addr *a, const struct addr *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static inline bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Text to address: dotted quad or RFC 4291 text. ERR_FORMAT if it is neither. */
int addr_parse(const char *text, struct addr *out);

/* "192.0.2.0/24", "2001:db8::/32", or a bare address (full length). Bits beyond the length must
 * be zero: ERR_CONF if not (a mistyped prefix must not silently mean another). ERR_FORMAT else. */
int prefix_parse(const char *text, struct prefix *out);

/* Writes canonical text (RFC 5952 for IPv6); "-" for family 0. Returns text. */
char *addr_format(const struct addr *a, char text[static ADDR_TEXT]);
char *prefix_format(const struct prefix *p, char text[static PREFIX_TEXT]);

/* The prefix of that length that contains a; length is cut at the family's. */
struct prefix prefix_of(const struct addr *a, unsigned length);

/* Is a inside p; is the whole of inner inside outer (equal counts)? */
bool prefix_contains(const struct prefix *p, const struct addr *a);
bool prefix_covers(const struct prefix *outer, const struct prefix *inner);

/* Total order: family, then bits, then length; as qsort wants it. */
int prefix_compare(const struct prefix *a, const struct prefix *b);

/* "02:00:00:00:00:07"; ERR_FORMAT if it is not six hexadecimal bytes. */
int mac_parse(const char *text, uint8_t out[static 6]);
char *mac_format(const uint8_t mac[static 6], char text[static MAC_TEXT]);
