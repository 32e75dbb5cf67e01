/* Joins the feeds (collector/notify) to the journal in the database (collector/store), which do not
 * know each other. */
#pragma once

#include "collector/notify/journal_ops.h"
#include "collector/store/store.h"

/* The journal in that database; where is borrowed. */
struct journal_ops feeds_journal(const struct store_conf *where);
