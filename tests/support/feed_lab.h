/* One journal in memory, and the feeds that read it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/notify/notify.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "tests/support/list_journal.h"
#include "tests/support/temp_folder.h"

struct feed_lab {
    struct list_journal list;
    struct notify *notify;
    struct temp_folder folder;
};

static inline int feed_lab_open(void **state)
{
    static struct feed_lab lab;
    struct note note = {0};
    memset(&lab, 0, sizeof lab);
    log_level_set(getenv("FEED_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    list_journal_init(&lab.list);
    temp_folder_open(&lab.folder);
    const struct journal_ops ops = list_journal_ops(&lab.list);
    *state = &lab;
    return notify_open(&ops, &lab.notify, &note);
}

static inline int feed_lab_close(void **state)
{
    struct feed_lab *lab = *state;
    notify_close(lab->notify);
    temp_folder_close(&lab->folder);
    return 0;
}

#define LAB_TEST(name) cmocka_unit_test_setup_teardown(name, feed_lab_open, feed_lab_close)

static inline void feed_lab_start(struct feed_lab *lab, const struct feed_conf *feeds, size_t n)
{
    struct note note = {0};
    if (notify_change(lab->notify, feeds, n, &note) != 0)
        fail_msg("%s", note.text);
}

static inline void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Waits until it holds, at most ten seconds. */
#define WAIT_UNTIL(condition)                             \
    do {                                                  \
        for (int i_ = 0; i_ < 6000 && !(condition); i_++) \
            sleep_ms(10);                                 \
        assert_true(condition);                           \
    } while (0)

static inline uint64_t feed_lab_counted(struct feed_lab *lab, enum counter which)
{
    struct counters sum = {0};
    notify_count(lab->notify, &sum);
    return counter_get(&sum, which);
}
