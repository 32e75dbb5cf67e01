#include "shared/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static atomic_int level_now = LOG_LEVEL_INFO;
static _Atomic(const char *) program_now;

void log_level_set(enum log_level level)
{
    atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

void log_program_set(const char *name)
{
    atomic_store_explicit(&program_now, name, memory_order_relaxed);
}

/* One thing, one line: what others told us (a name, a database's sentence) may hold newlines. */
static void flatten(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = ' ';
}

void log_line(enum log_level level, const char *format, ...)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    if ((int)level > atomic_load_explicit(&level_now, memory_order_relaxed))
        return;

    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm parts;
    gmtime_r(&now.tv_sec, &parts);

    char line[2048];
    size_t len = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &parts);
    const char *program = atomic_load_explicit(&program_now, memory_order_relaxed);
    len += (size_t)snprintf(line + len, sizeof line - len, ".%03ldZ %s%s%s ", now.tv_nsec / 1000000,
                            words[level], program != NULL ? " program=" : "",
                            program != NULL ? program : "");
    va_list args;
    va_start(args, format);
    int said = vsnprintf(line + len, sizeof line - len - 1, format, args);
    va_end(args);
    size_t from = len;
    if (said > 0)
        len += (size_t)said < sizeof line - len - 1 ? (size_t)said : sizeof line - len - 2;
    flatten(line + from, len - from);
    line[len++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, len);
    (void)ignored;
}

const char *log_quotable(const char *text, char *out, size_t size)
{
    size_t i = 0;
    for (; i + 1 < size && text[i] != '\0'; i++)
        out[i] = text[i] == '"' ? '\'' : text[i] == '\\' ? '/' : text[i];
    out[i] = '\0';
    return out;
}
