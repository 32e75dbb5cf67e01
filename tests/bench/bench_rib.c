/* What a routing table of the whole Internet costs: lines of bgpdump -m parsed and applied per
 * second, memory while it is made and after, and how long an answer takes. usage: bench_rib
 * [PREFIXES [PATHS]]   (1000000 4) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/conf/rib_line.h"
#include "collector/expect/expect.h"
#include "shared/base/clock.h"
#include "shared/base/hash.h"

/* /proc's VmRSS or VmHWM, in MiB. */
static double memory(const char *which)
{
    char line[256];
    double kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, which, strlen(which)) == 0)
            kib = strtod(line + strlen(which) + 1, NULL);
    if (f != NULL)
        fclose(f);
    return kib / 1024;
}

/* A quarter of the prefixes has its very own origin; the others share 20,000. */
static int line_of(char *text, size_t size, unsigned prefix, unsigned path)
{
    unsigned origin = prefix % 4 == 0 ? 100000 + prefix : 1000 + prefix * 2654435761u % 20000;
    return snprintf(
        text, size,
        "TABLE_DUMP2|1795251600|B|192.0.2.%u|%u|%u.%u.%u.0/24|%u %u %u|IGP|192.0.2.%u|100|"
        "0||NAG||",
        path + 1, 64500 + path, 1 + (prefix >> 16), prefix >> 8 & 255, prefix & 255, 64500 + path,
        3000 + prefix % 500, origin, path + 1);
}

static struct rib *make(unsigned prefixes, unsigned paths)
{
    struct rib_builder *b;
    struct rib *rib = NULL;
    char text[256];
    uint64_t spent = 0, begin = clock_mono_ns();
    if (rib_builder_new((size_t)prefixes * paths, &b) != 0)
        exit(1);
    for (unsigned p = 0; p < prefixes; p++)
        for (unsigned i = 0; i < paths; i++) {
            struct rib_entry e;
            const char *why;
            int len = line_of(text, sizeof text, p, i);
            uint64_t at = clock_mono_ns();
            if (rib_line_parse(text, (size_t)len, 0, &e, &why) != 0 || rib_builder_add(b, &e) != 0)
                exit(1);
            spent += clock_mono_ns() - at;
        }
    printf("lines parsed and applied        %6.2f million/s\n",
           (double)prefixes * paths / ((double)spent / 1e9) / 1e6);
    printf("all of it, lines made as well   %6.2f s\n", (double)(clock_mono_ns() - begin) / 1e9);
    begin = clock_mono_ns();
    if (rib_builder_finish(b, &rib) != 0)
        exit(1);
    printf("paths to shared sets            %6.2f s, %zu sets\n",
           (double)(clock_mono_ns() - begin) / 1e9, rib_sets(rib));
    printf("memory, most                    %6.0f MiB\n", memory("VmHWM"));
    rib_builder_free(b);
    printf("memory, after                   %6.0f MiB\n", memory("VmRSS"));
    return rib;
}

int main(int argc, char **argv)
{
    enum { ASKED = 2000000 };
    unsigned prefixes = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;
    unsigned paths = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 4;
    struct rib *rib = make(prefixes, paths);
    struct expect x = {.rib = rib};
    struct prf coin = prf_init(1, 1);
    unsigned best = 0;
    uint64_t begin = clock_mono_ns();
    for (unsigned i = 0; i < ASKED; i++) {
        unsigned p = (unsigned)prf_below(&coin, prefixes);
        uint8_t bytes[4] = {(uint8_t)(1 + (p >> 16)), (uint8_t)(p >> 8), (uint8_t)p, 0};
        struct addr a = addr_v4(bytes);
        struct ingress_row row = {.prefix = prefix_of(&a, 24), .at = {.peer_as = 64500}};
        best += expect_judge(&x, &row).bgp == BGP_BEST;
    }
    printf("an answer                       %6.0f ns (%u of %d are best)\n",
           (double)(clock_mono_ns() - begin) / ASKED, best, (int)ASKED);
    rib_free(rib);
    return best == ASKED ? 0 : 1;
}
