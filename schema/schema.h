/* The SQL schema, compiled in: schema/NNNN_*.sql as forward steps, in order, numbered from 1.
 * collector/store applies them; nothing else reads them. A released step is never edited. */
#pragma once

#include <stddef.h>

struct schema_step {
    int number;
    const char *name; /* of the file, without number and ending */
    const char *sql;  /* several statements */
};

extern const struct schema_step schema_steps[];
extern const size_t schema_step_count;
