/* Start-up as a table: a main() is a list of stages, each with an up and a down. stage_up runs
 * the ups in order; when one fails, it runs the downs of those that are up, backwards. */
#pragma once

#include <stddef.h>

#include "shared/base/err.h"

struct stage {
    const char *name;
    int (*up)(void *ctx, struct note *note); /* 0, or ERR_* with a note */
    void (*down)(void *ctx);                 /* NULL: nothing to undo */
};

/* 0, or the error of the stage that failed, with its note; where it has said nothing, its name and
 * the error's sentence. */
int stage_up(const struct stage *stages, size_t n, void *ctx, struct note *note);

/* Downs of all n, backwards. */
void stage_down(const struct stage *stages, size_t n, void *ctx);
