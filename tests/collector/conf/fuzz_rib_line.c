/* Any bytes as lines of bgpdump -m: nothing read past their end, and what was accepted is sound.
 * Those lines make a table, which must not contradict itself. */
#include <stdlib.h>
#include <string.h>

#include "collector/conf/rib_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_so)
{
    if (!is_so)
        abort();
}

static void check(const struct rib_entry *e)
{
    require(e->peer.family == ADDR_V4 || e->peer.family == ADDR_V6);
    if (e->kind == RIB_DOWN)
        return;
    struct prefix clean = prefix_of(&e->prefix.addr, e->prefix.length);
    require(prefix_equal(&clean, &e->prefix));
    require(e->neighbour_as != 0 || (e->path_length == 0 && e->origin_as == 0));
    require(e->origin <= 2);
}

/* A copy of exactly the line, so that a sanitizer sees reads past its end. */
static void line(struct rib_builder *b, const uint8_t *data, size_t len)
{
    struct rib_entry entry;
    const char *why;
    char *exact = malloc(len > 0 ? len : 1);
    require(exact != NULL);
    if (len > 0)
        memcpy(exact, data, len);
    int answer = rib_line_parse(exact, len, 64500, &entry, &why);
    require(answer == 0 ? why == NULL : answer == RIB_LINE_NOTHING || why != NULL);
    if (answer == 0) {
        check(&entry);
        int err = rib_builder_add(b, &entry);
        require(err == 0 || err == ERR_FULL);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rib_builder *b;
    struct rib *rib = NULL;
    require(rib_builder_new(64, &b) == 0);
    for (const uint8_t *end; size > 0;) {
        end = memchr(data, '\n', size);
        size_t len = end != NULL ? (size_t)(end - data) : size;
        line(b, data, len);
        len += end != NULL;
        data += len;
        size -= len;
    }
    require(rib_builder_finish(b, &rib) == 0);
    require(rib_prefixes(rib) <= 64 && rib_sets(rib) <= rib_prefixes(rib));
    rib_free(rib);
    rib_builder_free(b);
    return 0;
}
