/* What is found in the JSON of an alert that was stored: whatever stands there, what is given out
 * is whole or nothing. And what is written of any text can be read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collector/alert/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_MAX 4096

static void check(bool is_right)
{
    if (!is_right)
        abort();
}

static void find(const char *json, const char *key)
{
    char out[64];
    memset(out, 'x', sizeof out);
    document_find(json, key, out, sizeof out);
    size_t len = strnlen(out, sizeof out);
    check(len < sizeof out);
    check(len == 0 ||
          ((out[0] == '[' || out[0] == '{') && (out[len - 1] == ']' || out[len - 1] == '}')));
    (void)document_find_count(json, key);
    memset(out, 'x', sizeof out);
    document_find_text(json, key, out, 1 + strlen(json) % sizeof out);
    check(strnlen(out, sizeof out) <= strlen(json) % sizeof out);
    struct ingress at;
    char pop[32];
    (void)document_find_place(json, key, pop, &at);
}

static void write_and_find(const char *text, size_t room)
{
    char json[256], found[256];
    struct document d;
    document_open(&d, json, room);
    document_text(&d, "text", text);
    document_raw(&d, "list", "[1,{\"a\":\"]\"}]");
    document_count(&d, "n", 42);
    document_close(&d);
    size_t len = strnlen(json, sizeof json);
    check(len < room && json[0] == '{' && json[len - 1] == '}');
    if (d.is_cut)
        return;
    document_find_text(json, "text", found, sizeof found);
    check(strcmp(found, text) == 0);
    document_find(json, "list", found, sizeof found);
    check(strcmp(found, "[1,{\"a\":\"]\"}]") == 0);
    check(document_find_count(json, "n") == 42);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[TEXT_MAX];
    size_t len = size < TEXT_MAX - 1 ? size : TEXT_MAX - 1;
    memcpy(text, data, len);
    text[len] = '\0';
    find(text, "test_list");
    find(text, "moved");
    find(text, "");
    write_and_find(text, 32 + len % 200);
    return 0;
}
