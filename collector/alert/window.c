/* Maintenance windows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collector/alert/book.h"

static bool fits(const char *wanted, const char *is)
{
    return wanted[0] == '\0' || strcmp(wanted, is) == 0;
}

static bool covers(const struct prefix *wanted, const struct prefix *is)
{
    return wanted->addr.family == 0 ||
           (is->addr.family == wanted->addr.family && is->length >= wanted->length &&
            prefix_contains(wanted, &is->addr));
}

static bool is_on(const struct alert_window *w, int64_t at)
{
    return at >= w->from && at < w->to;
}

static bool is_in(const struct alert_window *w, const struct alert_row *row)
{
    return fits(w->kind, row->kind) && fits(w->pop, row->pop) && fits(w->router, row->at.router) &&
           fits(w->interface, row->at.interface) && fits(w->sensor, row->sensor) &&
           (w->peer_as == 0 || w->peer_as == row->at.peer_as) && covers(&w->prefix, &row->prefix);
}

uint64_t window_of(const struct alert *a, const struct alert_row *row, int64_t now)
{
    for (size_t i = 0; i < a->window_count; i++)
        if ((is_on(&a->windows[i], now) || is_on(&a->windows[i], a->undoubted)) &&
            is_in(&a->windows[i], row))
            return a->windows[i].id;
    return 0;
}

int alert_windows(struct alert *a, const struct alert_window *windows, size_t count)
{
    struct alert_window *copy = NULL;
    if (count > 0 && (copy = calloc(count, sizeof *copy)) == NULL)
        return -ENOMEM;
    if (count > 0)
        memcpy(copy, windows, count * sizeof *copy);
    free(a->windows);
    a->windows = copy;
    a->window_count = count; /* the next tick looks at each alert */
    return 0;
}

void alert_doubt_clock(struct alert *a, int64_t undoubted)
{
    a->undoubted = undoubted;
}
