/* The words that stand in SQL for our enums, in the enums' order. */
#pragma once

#include "collector/alert/alert.h"
#include "collector/roster/roster.h"

#define WORDS(list, ...) \
    static const char *const list##_words[] __attribute__((unused)) = {__VA_ARGS__};
#include "shared/wire/words.def"
WORDS(ingress_state, [STATE_UNVERIFIED] = "unverified", [STATE_TESTING] = "testing",
      [STATE_GENUINE] = "genuine", [STATE_MIXED] = "mixed", [STATE_SPOOFED] = "spoofed",
      [STATE_INCONCLUSIVE] = "inconclusive", [STATE_UNVERIFIABLE] = "unverifiable")
WORDS(bgp_state, [BGP_UNKNOWN] = "", [BGP_BEST] = "best", [BGP_ALTERNATIVE] = "alternative",
      [BGP_NONE] = "none")
WORDS(rpki_state, [RPKI_UNKNOWN] = "", [RPKI_VALID] = "valid", [RPKI_INVALID] = "invalid",
      [RPKI_NOT_FOUND] = "not_found")
WORDS(ingress_change, [CHANGE_APPEARED] = "appeared", [CHANGE_LEFT] = "left",
      [CHANGE_MOVED] = "moved", [CHANGE_SPLIT] = "split", [CHANGE_JOINED] = "joined")
WORDS(sensor_state, [SENSOR_UP] = "up", [SENSOR_SILENT] = "silent", [SENSOR_STOPPED] = "stopped")
WORDS(alert_state, [ALERT_PENDING] = "pending", [ALERT_FIRING] = "firing",
      [ALERT_ACKNOWLEDGED] = "acknowledged", [ALERT_RESOLVED] = "resolved",
      [ALERT_SUPPRESSED] = "suppressed")
#undef WORDS

/* NULL when the number is beyond the list. */
#define WORD_OF(words, i) ((size_t)(i) < WORD_COUNT(words) ? (words)[i] : NULL)
#define WORD_COUNT(words) (sizeof(words) / sizeof *(words))
