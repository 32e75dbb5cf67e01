/* What penstockctl asks about the map, the sensors and their tests. */
#include "collector/store/look.h"

#include <stddef.h>

#include "collector/store/look_ask.h"

int look_sensors(struct look *l, struct look_rows **out, struct note *note)
{
    return look_ask(l,
                    "SELECT name, pop, version, state, first_seen, last_seen, epoch, last_seq,"
                    " (SELECT count(*) FROM penstock.sensor_gap g WHERE g.sensor = s.name) AS gaps"
                    " FROM penstock.sensor s ORDER BY pop, name",
                    "reading the sensors", NULL, 0, out, note);
}
