#include "collector/loop/loop_trial.h"

#include <inttypes.h>

#include "shared/base/log.h"

static void poisoned_told(const struct doubt *doubt)
{
    char reason[sizeof doubt->reason];
    log_error("event=event_poisoned sensor=%s epoch=%" PRIu64 " seq=%" PRIu64
              " reason=\"%s\" hint=\"it is in penstock.malformed_event\"",
              doubt->sensor, doubt->epoch, doubt->seq,
              log_quotable(doubt->reason, reason, sizeof reason));
}

void loop_trial_passed(struct loop *l)
{
    if (l->doubt == NULL)
        return;
    if (l->poisoned > 0)
        poisoned_told(l->doubt);
    doubt_passed(&l->doubts, l->doubt, roster_find(l->fold.roster, l->doubt->sensor)->last_seq);
}

/* True when something was learnt: the next attempt is another one. */
static bool trial_failed(struct loop *l, const struct note *note)
{
    const struct loop_take *take = &l->takes[0];
    if (l->take_count == 0 || l->poisoned > 0) { /* set aside, and refused all the same */
        doubt_end(&l->doubts, l->doubt);
        return false;
    }
    doubt_failed(l->doubt, take->from + take->count - 1, take->count, note->text);
    return true;
}

/* The database refused a value in this transaction. Whose? */
void loop_trial_blame(struct loop *l, const struct note *note)
{
    bool is_learnt = l->take_count > 0;
    if (l->doubt != NULL)
        is_learnt = trial_failed(l, note);
    else
        for (unsigned i = 0; i < l->take_count; i++)
            doubts_add(&l->doubts, l->takes[i].sensor, l->takes[i].epoch,
                       l->takes[i].from + l->takes[i].count - 1);
    l->has_failed = !is_learnt; /* then the same is tried again: after a pause */
    if (!is_learnt)
        log_error("event=database_refuses hint=\"no event is to blame, so nothing is set aside: a "
                  "row of the map, an alert or a sensor is refused; nothing is stored until the "
                  "database takes it\"");
}
