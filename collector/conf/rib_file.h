/* A routing table from a file: MRT (TABLE_DUMP_V2, TABLE_DUMP, BGP4MP; plain, .gz or .bz2), which
 * `bgpdump -m` turns into lines, or a text file of such lines. Entries are applied in the order of
 * the file, so updates may follow a dump. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "collector/conf/lines.h"
#include "collector/expect/rib.h"

struct rib_conf {
    char path[256];      /* "": none */
    uint32_t own_as;     /* 0: none */
    uint64_t max_paths;  /* more: the file is refused */
    uint64_t timeout_ns; /* for reading it */
};

/* Is it there, and a text file of such lines? It needs no bgpdump. */
bool rib_is_text(const char *path);

/* 0 with a new table; lines tells what was refused. ERR_CONF with a note: not there, no such file
 * as these, cut off in the middle, too many bad lines, too many paths, too slow. ERR_END: *stop. */
int rib_load(const struct rib_conf *conf, const atomic_bool *stop, struct rib **out,
             struct lines *lines, struct note *note);
