/* One line as `bgpdump -m` prints it (bgpdump 1.6, bgpdump.c, table_line_… and process()):
 *
 *   TABLE_DUMP2|seconds|B|peer|peer AS|prefix|AS path|origin|next hop|local pref|MED|…
 *   BGP4MP|seconds|A|peer|peer AS|prefix|AS path|origin|next hop|local pref|MED|…
 *   BGP4MP|seconds|W|peer|peer AS|prefix
 *   BGP4MP|seconds|STATE|peer|peer AS|old state|new state
 *
 * TABLE_DUMP, TABLE_DUMP2_AP and BGP4MP_ET are read alike. Updates with ADD-PATH are refused: their
 * lines do not say which of a peer's paths they replace. */
#pragma once

#include <stddef.h>

#include "collector/expect/rib.h"

#define RIB_LINE_NOTHING 1 /* understood, and nothing that a table holds */

/* 0, RIB_LINE_NOTHING, or ERR_FORMAT with a sentence in *why (static). own_as: leading ones are
 * left out of the path (a table collected inside or over eBGP from our own routers); 0: none. */
int rib_line_parse(const char *line, size_t len, uint32_t own_as, struct rib_entry *out,
                   const char **why);
