/* penstockctl explain: the story of an alert, or of a prefix, down to the segments that were
 * withheld. */
#pragma once

#include "collector/ctl/command.h"
#include "collector/store/look.h"

int explain(const struct call *call);

/* What the database knows of the matter. A list that does not apply is NULL. */
struct explained {
    struct look_rows *alert;          /* one row; NULL: it is about a prefix */
    struct look_rows *alerts;         /* of a prefix: those without an end */
    struct look_rows *map;            /* entries that overlap the prefix */
    struct look_rows *orders, *tests; /* newest first */
    struct look_rows *drops;          /* of those tests, the first of each */
    struct look_rows *history;        /* what changed, newest first */
    struct look_rows *sensor, *gaps;  /* of an alert about a sensor */
    const char *prefix;               /* NULL: the alert is about none */
};

/* As sentences and tables (story.c), as JSON (explain.c). */
void story_tell(const struct explained *x);
