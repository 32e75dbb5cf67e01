#include "shared/base/metrics.h"

#include <inttypes.h>

static const struct {
    const char *name, *help;
} rows[] = {
#define COUNTER(name, help) {#name, help},
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

void metrics_print(FILE *out, const char *program, const struct counters *const *sets, size_t n)
{
    for (unsigned i = 0; i < COUNTER_COUNT; i++) {
        uint64_t sum = 0;
        for (size_t j = 0; j < n; j++)
            sum += counter_get(sets[j], i);
        fprintf(out,
                "# HELP penstock_%s_total %s\n# TYPE penstock_%s_total counter\n"
                "penstock_%s_total{program=\"%s\"} %" PRIu64 "\n",
                rows[i].name, rows[i].help, rows[i].name, rows[i].name, program, sum);
    }
}
