/* UTF-8, as PostgreSQL and JSON want it: no overlong forms, no surrogates, nothing past U+10FFFF.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Length of the valid character at the front of s (1..4), or 0: it is none. left > 0. */
static inline size_t utf8_length(const uint8_t *s, size_t left)
{
    if (s[0] < 0x80)
        return 1;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || left < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

/* How many bytes at the front of s are ASCII other than NUL: mostly all. */
static inline size_t utf8_ascii(const uint8_t *s, size_t len)
{
    size_t n = 0;
    while (n < len && s[n] - 1u < 0x7f)
        n++;
    return n;
}
