/* Any bytes as a file, as a list file and as a setting: nothing read past the end, nothing written
 * past the struct, and what was accepted lies within its limits. */
#include <stdlib.h>
#include <string.h>

#include "tests/shared/conf/sample_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_so)
{
    if (!is_so)
        abort();
}

static void check_limits(const struct sample *s)
{
    require(memchr(s->text, '\0', sizeof s->text) != NULL);
    require(s->number >= 1 && s->number <= 1000 && s->queues <= 64 && s->word <= 2);
    require(s->real >= 1e-9 && s->real <= 0.5);
    require(s->duration >= 1000000 && s->duration <= UINT64_C(3600000000000));
    require(s->prefix_count <= SAMPLE_PREFIXES && s->text_count <= SAMPLE_TEXTS);
    require(s->record_count <= SAMPLE_RECORDS);
    for (unsigned i = 0; i < s->record_count; i++)
        require(s->records[i].vlan <= 4094 && s->records[i].deep_count <= SAMPLE_DEEP);
}

static int each(void *arg, const void *record, struct note *why)
{
    const struct sample_record *r = record;
    (void)arg;
    require(r->vlan <= 4094 && memchr(r->router, '\0', sizeof r->router) != NULL);
    return r->vlan == 13 ? note_set(why, ERR_CONF, "vlan: not on a ship") : 0;
}

static void try_file(const char *text, size_t size)
{
    struct sample s = {0};
    struct note note;
    struct conf c;
    conf_begin(&c, &sample_table, &s, &note);
    conf_text(&c, "f", text, size);
    int err = conf_end(&c);
    require((err == 0) == (note.text[0] == '\0'));
    require(memchr(note.text, '\0', sizeof note.text) != NULL);
    check_limits(&s);
}

static void try_setting(const char *text, size_t size)
{
    struct sample s = {0};
    struct note note;
    struct conf c;
    char *setting = strndup(text, size);
    conf_begin(&c, &sample_table, &s, &note);
    conf_set(&c, setting);
    conf_wrong(&c, "a.text", "x");
    require(conf_end(&c) != 0);
    check_limits(&s);
    free(setting);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct conf_table records = {"", sample_record_rows, 5};
    struct sample_record r;
    struct note note;
    try_file((const char *)data, size);
    try_setting((const char *)data, size);
    conf_list_text("l", (const char *)data, size, &records, &r, sizeof r, each, NULL, &note);
    return 0;
}
