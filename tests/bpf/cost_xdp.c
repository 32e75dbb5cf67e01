/* What the XDP program costs per packet of unwatched traffic, by the number of watched prefixes and
 * the kind of packet: the kernel's test-run call, repeated, every run with another source address.
 *
 *     cost_xdp VARY.bpf.o XDP_INGRESS.bpf.o [another xdp_ingress.bpf.o …]
 *
 * All programs are measured in turn, round by round, so that what else the machine does falls on
 * all alike; the medians are printed. The floor is what test-run and the change of address cost.
 * Not in ctest: what it prints depends on the machine. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "bpf/xdp_abi.h"
#include "sensor/source/watched.h"
#include "tests/bpf/frames.h"

#define ROUNDS       11
#define REPEAT       100000
#define SOURCES      4096
#define PROGRAMS_MAX 8

static const size_t watched_counts[] = {1, 1000, 100000};
#define COUNTS       (sizeof watched_counts / sizeof watched_counts[0])
#define WATCHED_MOST 100000

enum kind { TCP4, UDP4, SYN4, TCP6, KINDS };
static const char *const kind_names[KINDS] = {"TCP/IPv4", "UDP/IPv4", "SYN/IPv4", "TCP/IPv6"};

/* One loaded program with its maps, and the two that feed it addresses. */
struct subject {
    const char *path;
    size_t watched;
    struct bpf_object *object, *vary;
    double ns[KINDS][ROUNDS];
};

static struct prefix list4[WATCHED_MOST], list6[WATCHED_MOST];
static struct bytes frames[KINDS];

static void die(const char *what)
{
    fprintf(stderr, "cost_xdp: %s\n", what);
    exit(1);
}

static uint64_t draw(void)
{
    static uint64_t state = 20261122;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* Even /24s and /48s: the odd neighbour of each is a source that is as deep in a trie as can be and
 * not watched. */
static void make_lists(void)
{
    for (size_t i = 0; i < WATCHED_MOST; i++) {
        uint64_t a = draw(), b = draw();
        uint8_t v4[4] = {(uint8_t)(1 + a % 223), (uint8_t)(a >> 16), (uint8_t)(a >> 24 & 0xfe)};
        uint8_t v6[16] = {(uint8_t)(0x20 | (b & 0x0f)), (uint8_t)(b >> 8),
                          (uint8_t)(b >> 16),           (uint8_t)(b >> 24),
                          (uint8_t)(b >> 32),           (uint8_t)(b >> 40 & 0xfe)};
        struct addr a4 = addr_v4(v4), a6 = addr_v6(v6);
        list4[i] = prefix_of(&a4, 24);
        list6[i] = prefix_of(&a6, 48);
    }
}

static void make_frames(void)
{
    frames[TCP4] = tcp4("192.0.2.1", 1000, 80, FLAG_ACK);
    frames[SYN4] = tcp4("192.0.2.1", 1000, 80, FLAG_SYN);
    frames[TCP6] = tcp6("2001:db8::1", 1000, 80, FLAG_ACK);
    put_ethernet(&frames[UDP4], 0x0800);
    put_ipv4(&frames[UDP4], "192.0.2.1", "198.51.100.1", 17, 8 + 20);
    put_udp(&frames[UDP4], 1000, 2000, 20);
}

static struct bpf_map *map_of(struct bpf_object *o, const char *suffix)
{
    struct bpf_map *map;
    bpf_object__for_each_map(map, o)
    {
        const char *name = bpf_map__name(map);
        size_t n = strlen(name), m = strlen(suffix);
        if (n >= m && strcmp(name + n - m, suffix) == 0)
            return map;
    }
    return NULL;
}

/* Bytes of a variable within its section, or -1. */
static long offset_of(struct bpf_object *o, const char *section, const char *variable)
{
    const struct btf *btf = bpf_object__btf(o);
    const struct btf_type *t =
        btf__type_by_id(btf, (uint32_t)btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC));
    const struct btf_var_secinfo *at = btf_var_secinfos(t);
    for (unsigned i = 0; i < btf_vlen(t); i++) {
        const struct btf_type *var = btf__type_by_id(btf, at[i].type);
        if (strcmp(btf__name_by_offset(btf, var->name_off), variable) == 0)
            return at[i].offset;
    }
    return -1;
}

static void set_option(struct bpf_object *o, const char *name, const void *value, size_t size)
{
    size_t room;
    uint8_t *data = (uint8_t *)bpf_map__initial_value(map_of(o, ".rodata"), &room);
    long at = offset_of(o, ".rodata", name);
    if (at >= 0)
        memcpy(data + at, value, size);
}

static void *map_memory(struct bpf_object *o, const char *suffix)
{
    struct bpf_map *map = map_of(o, suffix);
    if (map == NULL)
        return NULL;
    size_t page = 4096, size = (bpf_map__value_size(map) + page - 1) / page * page;
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
    if (at == MAP_FAILED)
        die("mmap");
    return at;
}

static void load_program(struct subject *s)
{
    static const uint32_t mask4 = 0x00ffffff; /* /24 in network order, on this machine */
    static const uint64_t mask6[2] = {0x0000ffffffffffff, 0};
    static const uint64_t seed = 0x70656e73746f636b;
    static const bool yes = true;
    s->object = bpf_object__open_file(s->path, NULL);
    if (s->object == NULL)
        die(s->path);
    set_option(s->object, "tally_v4_mask", &mask4, sizeof mask4);
    set_option(s->object, "tally_v6_mask", mask6, sizeof mask6);
    set_option(s->object, "hash_seed", &seed, sizeof seed);
    set_option(s->object, "has_coarse_clock", &yes, sizeof yes);
    struct bpf_map *watched4 = map_of(s->object, "watched4"),
                   *watched6 = map_of(s->object, "watched6");
    bpf_map__set_max_entries(watched4, 131072);
    bpf_map__set_max_entries(watched6, 131072);
    if (bpf_object__load(s->object) != 0)
        die("load");
}

static void watch(struct subject *s)
{
    static struct prefix both[2 * WATCHED_MOST];
    struct watched w = {.v4_fd = bpf_map__fd(map_of(s->object, "watched4")),
                        .v6_fd = bpf_map__fd(map_of(s->object, "watched6"))};
    uint8_t *bss = map_memory(s->object, ".bss");
    if (bss != NULL)
        w.filter = (void *)(bss + offset_of(s->object, ".bss", "filter"));
    memcpy(both, list4, s->watched * sizeof both[0]);
    memcpy(both + s->watched, list6, s->watched * sizeof both[0]);
    if (watched_set(&w, both, 2 * s->watched, NULL) != 0)
        die("watch");
    watched_clear(&w);
}

static void load_vary(struct subject *s, const char *path)
{
    s->vary = bpf_object__open_file(path, NULL);
    if (s->vary == NULL || bpf_object__load(s->vary) != 0)
        die(path);
    uint32_t zero = 0;
    int fd = bpf_program__fd(bpf_object__find_program_by_name(s->object, "ingress"));
    if (bpf_map_update_elem(bpf_map__fd(map_of(s->vary, "next")), &zero, &fd, 0) != 0)
        die("tail call");
}

static void set_sources(struct subject *s, bool is_v6)
{
    uint64_t(*sources)[2] =
        (void *)((uint8_t *)map_memory(s->vary, ".bss") + offset_of(s->vary, ".bss", "sources"));
    for (size_t i = 0; i < SOURCES; i++) {
        struct prefix p = is_v6 ? list6[i] : list4[i];
        p.addr.bytes[is_v6 ? 5 : 2] |= 1;
        p.addr.bytes[is_v6 ? 15 : 3] = 1;
        memcpy(sources[i], p.addr.bytes, 16);
    }
    struct bpf_map *map = map_of(s->vary, ".bss");
    munmap((void *)((uintptr_t)sources & ~4095ul),
           (bpf_map__value_size(map) + 4095u) / 4096 * 4096);
}

static void empty_ring(struct subject *s);

static void measure(struct subject *s, enum kind kind, unsigned round)
{
    bool is_v6 = kind == TCP6;
    struct bpf_program *program =
        bpf_object__find_program_by_name(s->vary, is_v6 ? "vary6" : "vary4");
    set_sources(s, is_v6);
    empty_ring(s);
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frames[kind].data,
                .data_size_in = (uint32_t)frames[kind].len,
                .repeat = kind == SYN4 ? 8 * 512 : REPEAT);
    if (bpf_prog_test_run_opts(bpf_program__fd(program), &opts) != 0 || opts.retval != XDP_PASS)
        die("test-run");
    s->ns[kind][round] = opts.duration;
}

static int ignore(void *arg, void *data, size_t size)
{
    (void)arg, (void)data, (void)size;
    return 0;
}

static void empty_ring(struct subject *s)
{
    struct ring_buffer *ring =
        ring_buffer__new(bpf_map__fd(map_of(s->object, "probes")), ignore, NULL, NULL);
    if (ring == NULL)
        die("ring");
    ring_buffer__consume(ring);
    ring_buffer__free(ring);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    static struct subject subjects[PROGRAMS_MAX * COUNTS];
    unsigned n = 0;
    if (argc < 3 || argc - 2 > PROGRAMS_MAX)
        die("usage: cost_xdp VARY.bpf.o XDP_INGRESS.bpf.o ...");
    make_lists();
    make_frames();
    for (int i = 2; i < argc; i++)
        for (size_t c = 0; c < COUNTS; c++) {
            struct subject *s = &subjects[n++];
            *s = (struct subject){.path = argv[i], .watched = watched_counts[c]};
            load_program(s);
            watch(s);
            load_vary(s, argv[1]);
        }
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned kind = 0; kind < KINDS; kind++)
            for (unsigned i = 0; i < n; i++)
                measure(&subjects[i], kind, round);
    printf("%-28s %8s", "ns per packet, median", "watched");
    for (unsigned kind = 0; kind < KINDS; kind++)
        printf(" %9s", kind_names[kind]);
    printf("\n");
    for (unsigned i = 0; i < n; i++) {
        printf("%-28s %8zu", subjects[i].path, subjects[i].watched);
        for (unsigned kind = 0; kind < KINDS; kind++)
            printf(" %9.0f", median(subjects[i].ns[kind]));
        printf("\n");
    }
    return 0;
}
