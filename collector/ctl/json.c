#include "collector/ctl/json.h"

#include <stdio.h>
#include <string.h>

#include "shared/wire/utf8.h"

void json_text(const char *text)
{
    size_t left = strlen(text), n;
    putchar('"');
    for (const uint8_t *c = (const uint8_t *)text; left > 0; c += n, left -= n) {
        n = utf8_length(c, left);
        if (n == 0) {
            putchar('?');
            n = 1;
        } else if (*c < 0x20 || *c == 0x7f) {
            printf("\\u%04x", *c);
        } else {
            if (*c == '"' || *c == '\\')
                putchar('\\');
            fwrite(c, 1, n, stdout);
        }
    }
    putchar('"');
}

void json_pair(const char *key, const char *text, int is_first)
{
    printf("%s\"%s\":", is_first ? "" : ",", key);
    json_text(text);
}
