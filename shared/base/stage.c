#include "shared/base/stage.h"

#include <stdio.h>

int stage_up(const struct stage *stages, size_t n, void *ctx, struct note *note)
{
    for (size_t i = 0; i < n; i++) {
        struct note said = {0};
        int err = stages[i].up(ctx, &said);
        if (err < 0) {
            if (said.text[0] != '\0')
                note_set(note, err, "%s", said.text);
            else
                note_set(note, err, "%s: %s", stages[i].name, err_text(err));
            stage_down(stages, i, ctx);
            return err;
        }
    }
    return 0;
}

void stage_down(const struct stage *stages, size_t n, void *ctx)
{
    while (n-- > 0)
        if (stages[n].down != NULL)
            stages[n].down(ctx);
}
