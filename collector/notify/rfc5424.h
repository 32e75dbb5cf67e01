/* One state of an alert as a syslog message (RFC 5424), pure:
 *
 *   <PRI>1 TIMESTAMP HOST penstock-collector PID KIND [penstock@32473 event_id="7" …] SUMMARY
 *
 * Severity: an alert that fires is critical (2), warning (4) or informational (6) as it says; one
 * that is acknowledged, resolved or suppressed is a notice (5). The structured data has what a rule
 * can choose by, each only when the alert says it. Its enterprise number is the one that RFC 5612
 * keeps for examples: Penstock has none of its own. Control characters become spaces: an alert is
 * one line wherever it ends up. No byte order mark is sent (6.4 allows that: MSG-ANY), for most
 * receivers write it into their files. */
#pragma once

#include "collector/notify/notice.h"

struct rfc5424_sender {
    char host[256];
    long pid;
    unsigned facility; /* 0 to 23 */
};

/* malloc'd, without a frame or newline; *len its bytes. NULL: no memory. */
char *rfc5424_message(const struct notice *n, const struct rfc5424_sender *from, size_t *len);
