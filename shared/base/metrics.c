#include "shared/base/metrics.h"

#include <inttypes.h>
#include <string.h>

/* Whose page shows a counter; NULL: everybody's. */
#define SENSOR    "penstock-sensor"
#define COLLECTOR "penstock-collector"
#define BOTH      NULL

static const struct {
    const char *program, *name, *help;
    bool is_gauge;
} rows[] = {
#define COUNTER(program, name, help) {program, #name, help, false},
#define GAUGE(program, name, help)   {program, #name, help, true},
#include "shared/base/counters.def"
#undef COUNTER
};

const char *counter_name(enum counter which)
{
    return rows[which].name;
}

const char *counter_help(enum counter which)
{
    return rows[which].help;
}

bool counter_is_of(enum counter which, const char *program)
{
    return rows[which].program == NULL || strcmp(rows[which].program, program) == 0;
}

static void print_counter(FILE *out, const char *program, enum counter which, uint64_t value)
{
    const char *name = rows[which].name;
    const char *end = rows[which].is_gauge ? "" : "_total";
    const char *type = rows[which].is_gauge ? "gauge" : "counter";
    fprintf(out,
            "# HELP penstock_%s%s %s\n# TYPE penstock_%s%s %s\n"
            "penstock_%s%s{program=\"%s\"} %" PRIu64 "\n",
            name, end, rows[which].help, name, end, type, name, end, program, value);
}

void metrics_print(FILE *out, const char *program, const struct counters *const *sets, size_t n)
{
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        uint64_t sum = 0;
        for (size_t j = 0; j < n; j++)
            sum += counter_get(sets[j], i);
        if (counter_is_of(i, program))
            print_counter(out, program, i, sum);
    }
}
