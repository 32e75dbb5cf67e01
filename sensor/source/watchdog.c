#include "sensor/source/watchdog.h"

#include "shared/base/clock.h"

#define PATIENCE_NS   NS_PER_S
#define DOUBLINGS_MAX 6 /* 64 s */

static void look_anew(struct watchdog *w, uint64_t handed, uint64_t taken, uint64_t refused)
{
    w->handed = handed;
    w->taken = taken;
    w->refused = refused;
    w->since_ns = 0;
}

static bool owes_nothing(const struct watchdog *w, uint64_t handed, uint64_t refused)
{
    uint64_t turned_away = refused > w->refused ? refused - w->refused : 0;
    return handed - w->handed <= turned_away;
}

bool watchdog_is_stalled(struct watchdog *w, uint64_t now_ns, uint64_t handed, uint64_t taken,
                         uint64_t refused)
{
    if (taken != w->taken)
        w->tries = 0;
    if (taken != w->taken || owes_nothing(w, handed, refused)) {
        look_anew(w, handed, taken, refused);
        return false;
    }
    if (w->since_ns == 0)
        w->since_ns = now_ns;
    if (now_ns - w->since_ns < PATIENCE_NS << w->tries)
        return false;
    w->tries += w->tries < DOUBLINGS_MAX;
    look_anew(w, handed, taken, refused);
    return true;
}
