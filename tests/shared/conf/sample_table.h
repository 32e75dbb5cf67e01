/* A table with every type of row, for the tests and the fuzzer. */
#pragma once

#include "shared/base/addr.h"
#include "shared/conf/conf_table.h"

enum { SAMPLE_PREFIXES = 4, SAMPLE_TEXTS = 3, SAMPLE_RECORDS = 3, SAMPLE_DEEP = 2 };

struct sample_record {
    uint64_t vlan;
    uint8_t mac[6];
    char router[8];
    struct prefix prefix;
    uint16_t deep_count;
    struct {
        char word[4];
    } deep[SAMPLE_DEEP];
};

struct sample {
    char text[8];
    bool flag;
    unsigned number;
    uint16_t small;
    unsigned queues;
    double real;
    uint64_t duration, size;
    unsigned word;
    struct prefix prefixes[SAMPLE_PREFIXES];
    size_t prefix_count;
    char texts[SAMPLE_TEXTS][6];
    size_t text_count;
    uint16_t record_count;
    struct sample_record records[SAMPLE_RECORDS];
};

#define SAMPLE(member)        CONF_AT(struct sample, member)
#define SAMPLE_RECORD(member) CONF_AT(struct sample_record, member)

static const char *const sample_words[] = {"one", "two", "off", NULL};

/* clang-format off */
static const struct conf_row sample_deep_rows[] = {
    {"word", CONF_TEXT, .offset = 0, .size = 4, .help = "A word."},
};

static const struct conf_row sample_record_rows[] = {
    {"vlan", CONF_UNSIGNED, SAMPLE_RECORD(vlan), .min = 1, .max = 4094, .help = "VLAN."},
    {"mac", CONF_MAC, SAMPLE_RECORD(mac), .help = "MAC address."},
    {"router", CONF_TEXT, SAMPLE_RECORD(router), .is_required = true, .help = "Router."},
    {"prefix", CONF_PREFIX, SAMPLE_RECORD(prefix), .help = "Prefix."},
    {"deep", CONF_RECORDS, CONF_LIST(struct sample_record, deep, deep_count),
     .rows = sample_deep_rows, .row_count = 1, .help = "Records in a record."},
};

static const struct conf_row sample_rows[] = {
    {"a.text", CONF_TEXT, SAMPLE(text), .value = "x: #y", .help = "Text that must be quoted."},
    {"a.flag", CONF_BOOL, SAMPLE(flag), .value = "true", .help = "A switch."},
    {"a.number", CONF_UNSIGNED, SAMPLE(number), .value = "12", .min = 1, .max = 1000, .unit = "segments", .help = "A number."},
    {"a.small", CONF_UNSIGNED, SAMPLE(small), .value = "3", .min = 0, .max = 65535, .help = "A small number."},
    {"b.queues", CONF_UNSIGNED, SAMPLE(queues), .value = "all", .zero = "all", .min = 1, .max = 64, .help = "A number or a word."},
    {"b.real", CONF_REAL, SAMPLE(real), .value = "1e-4", .min = 1e-9, .max = 0.5, .help = "A real number."},
    {"b.duration", CONF_DURATION, SAMPLE(duration), .value = "60s", .min = 1e6, .max = 3.6e12, .help = "A time."},
    {"b.size", CONF_SIZE, SAMPLE(size), .value = "64MiB", .min = 1024, .max = 1e12, .help = "A size."},
    {"b.word", CONF_WORD, SAMPLE(word), .value = "two", .words = sample_words, .help = "A word."},
    {"c.prefixes", CONF_PREFIXES, CONF_LIST(struct sample, prefixes, prefix_count), .help = "Prefixes."},
    {"c.texts", CONF_TEXTS, CONF_LIST(struct sample, texts, text_count), .help = "Texts."},
    {"records", CONF_RECORDS, CONF_LIST(struct sample, records, record_count), .rows = sample_record_rows,
     .row_count = 5, .example = "- {vlan: 3, router: r1}\n- {router: r2}", .help = "Records."},
};
/* clang-format on */

static const struct conf_table sample_table = {"A sample.", sample_rows,
                                               sizeof sample_rows / sizeof sample_rows[0]};
