/* The log: one line per thing that changed, on standard error, in logfmt:
 *
 *     2026-11-21T10:00:00.123Z info event=attach if=eth0 queue=3
 *
 * Lines tell what changed, counters (metrics.h) tell how much. Nothing on a packet's path logs. A
 * line is one write(2), so lines of several threads do not mix. Safe from every thread. */
#pragma once

#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Lines below this importance are skipped; the start value is info. */
void log_level_set(enum log_level level);

/* Prefixes every line with " program=NAME" after the level; NULL for none. Borrowed for ever. */
void log_program_set(const char *name);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text of others (a sensor's, a database's, a file's), to stand between quotes in a line: what
 * could end the quotes early, and so forge keys, is replaced ('"' by "'", a backslash by '/'). Cut
 * at size. Returns out. */
const char *log_quotable(const char *text, char *out, size_t size);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
