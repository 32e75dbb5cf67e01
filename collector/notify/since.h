/* What a subscriber asks at zeromq's catch_up endpoint, pure: one frame of text,
 *
 *     since EVENT_ID [limit COUNT]
 *
 * one space between the words, numbers in decimal. Answered by one message: a frame of JSON
 * {"since", "last", "oldest", "newest", "count", "more"}, then count frames, each a state as it was
 * published. Who was answered "more": true asks again, since last. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SINCE_LIMIT 100 /* the most of one answer, and what is taken when none is said */

struct since {
    uint64_t event_id;
    unsigned limit; /* 1 to SINCE_LIMIT */
};

/* false: not understood. text need not end with a NUL. */
bool since_parse(const void *text, size_t len, struct since *out);
