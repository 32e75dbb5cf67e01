/* alerts.feeds: the rows of the table, and what hangs together in a feed. */
#pragma once

#include "collector/notify/feed_conf.h"
#include "shared/conf/conf_table.h"

#define FEEDS_CONF_ROWS 23
extern const struct conf_row feeds_conf_rows[FEEDS_CONF_ROWS];

/* After the table was read: fills in names, default addresses and the collector's certificate, and
 * complains of what a feed lacks or cannot use. */
void feeds_conf_check(struct conf *c, struct feed_conf *feeds, size_t n, const char *certificate);
