#include "collector/notify/since.h"

#include <string.h>

struct cursor {
    const char *at, *end;
};

static bool take_word(struct cursor *c, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
        return false;
    c->at += len;
    return true;
}

/* bigint's range, for that is what an event_id is in SQL. */
static bool take_number(struct cursor *c, uint64_t *out)
{
    const char *first = c->at;
    for (*out = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        uint64_t digit = (uint64_t)(*c->at - '0');
        if (*out > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        *out = *out * 10 + digit;
    }
    return c->at > first;
}

bool since_parse(const void *text, size_t len, struct since *out)
{
    struct cursor c = {text, (const char *)text + len};
    uint64_t limit = SINCE_LIMIT;
    if (!take_word(&c, "since ") || !take_number(&c, &out->event_id))
        return false;
    if (take_word(&c, " limit ") && !take_number(&c, &limit))
        return false;
    if (c.at != c.end || limit == 0)
        return false;
    out->limit = limit < SINCE_LIMIT ? (unsigned)limit : SINCE_LIMIT;
    return true;
}
