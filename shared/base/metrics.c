#include "shared/base/metrics.h"

#include <inttypes.h>
#include <string.h>

/* Whose page shows a counter; NULL: everybody's. */
#define SENSOR    "penstock-sensor"
#define COLLECTOR "penstock-collector"
#define BOTH      NULL

static const struct {
    const char *program, *name, *help;
} rows[] = {
#define COUNTER(program, name, help) {program, #name, help},
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
    fprintf(out,
            "# HELP penstock_%s_total %s\n# TYPE penstock_%s_total counter\n"
            "penstock_%s_total{program=\"%s\"} %" PRIu64 "\n",
            name, rows[which].help, name, name, program, value);
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
