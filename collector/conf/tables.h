/* The files behind expectation that other programs write, a routing table and VRPs: read at start,
 * and again when they change.
 *
 * Each is looked at once a second (device, inode, size, time of change). One that changed is read
 * when it rests: at the next look that finds it as the last did, or when its last change is some
 * seconds old. It is read in a thread of its own, so that the collector's loop goes on, and what it
 * gives is swapped in by the next look. A file that is refused, or that changed while it was read,
 * changes nothing: the table that was good stays. So does it for an hour when the new one has less
 * than half of it, unless SIGHUP asked for it. VRPs are read again every hour, too, for they
 * expire. */
#pragma once

#include "collector/conf/rib_file.h"
#include "collector/expect/expect.h"

struct tables_conf {
    struct rib_conf rib;
    char vrps[256];          /* path; "": none */
    uint64_t rib_max_age_ns; /* older: its "no path" counts no more; 0: however old it is */
};

struct tables;

int tables_open(const struct tables_conf *conf, struct tables **out); /* -ENOMEM */
/* Stops a reading that is under way. The tables that expect borrows are freed: forget them. */
void tables_close(struct tables *t);

/* Another configuration; every file is read again. */
void tables_again(struct tables *t, const struct tables_conf *conf);

/* To be called often. Puts new tables into expect (rib, vrps, and how old rib is) and frees the old
 * ones; true if expect says something else than before. Logs what was read and what was refused.
 * now: wall ns. */
bool tables_look(struct tables *t, uint64_t mono_ns, int64_t now, struct expect *expect);

/* What is in use: for who watches that it does not grow stale. */
struct tables_use {
    size_t rib_prefixes, vrps;
    bool is_rib_stale;
    int64_t rib_written_at, vrps_written_at; /* the files, wall ns; 0: none in use */
};
struct tables_use tables_in_use(const struct tables *t);

/* Was every file read, or refused, at least once, or is it not there, or does it change all the
 * time? */
bool tables_are_read(const struct tables *t);

/* Reads every file once, as --check does: 0 or ERR_CONF with a note. */
int tables_check(const struct tables_conf *conf, int64_t now, struct note *note);
