#include "tests/sim/rows.h"

#include "shared/wire/event.h"

#define CLOSED(n, ...)                                   \
    {                                                    \
        .flows = (n), .role = CLOSED_LOOP, ##__VA_ARGS__ \
    }
#define OPEN(n, ...)                                   \
    {                                                  \
        .flows = (n), .role = OPEN_LOOP, ##__VA_ARGS__ \
    }
#define PLAYED(n, ...)                              \
    {                                               \
        .flows = (n), .role = REPLAY, ##__VA_ARGS__ \
    }

const struct row rows[] = {
#include "tests/sim/rows.def"
};
const size_t row_count = sizeof rows / sizeof *rows;

int row_right_word(const struct row *row)
{
    bool has[2] = {false, false};
    for (unsigned i = 0; i < ROW_GROUPS; i++)
        if (row->groups[i].flows > 0)
            has[row->groups[i].role == CLOSED_LOOP] = true;
    if (has[0] && has[1])
        return VERDICT_MIXED;
    return has[1] ? VERDICT_GENUINE : VERDICT_SPOOFED;
}
