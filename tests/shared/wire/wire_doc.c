/* Prints the tables of docs/wire.md that come from schema/events.def, in Markdown. */
#include <stdio.h>

#include "shared/wire/event.h"
#include "shared/wire/fields.h"
#include "shared/wire/wire.h"

/* How a type stands on the wire. */
static const char *const type_text[] = {
    [FIELD_U64] = "integer",
    [FIELD_OPT] = "integer, or nil: none",
    [FIELD_REAL] = "float",
    [FIELD_TIME] = "integer, ns since 1970-01-01 UTC; 0: none",
    [FIELD_SPAN] = "integer, ns, or nil: did not happen",
    [FIELD_TEXT] = "string",
    [FIELD_ADDR] = "bin of 4 or 16 bytes, or nil: none",
    [FIELD_PREFIX] = "bin of 4 or 16 bytes and one of length, or nil: none",
    [FIELD_MAC] = "bin of 6, or nil: none",
    [FIELD_UUID] = "bin of 16",
    [FIELD_WORD] = "string",
    [FIELD_REALS] = "array of float",
    [FIELD_BOOL] = "boolean",
};

static void print_type(const struct field *f)
{
    fputs(type_text[f->type], stdout);
    if (f->type == FIELD_TEXT)
        printf(", at most %zu bytes", f->limit - 1);
    if (f->type == FIELD_REALS)
        printf(", at most %zu", f->limit);
    const char *word;
    for (unsigned i = 0; f->type == FIELD_WORD && (word = event_word(f->list, i)) != NULL; i++)
        printf("%s `%s`", i == 0 ? ":" : ",", word);
}

int main(void)
{
    size_t n;
    const struct event_kind *kinds = event_kinds(&n);
    for (size_t k = 0; k < n; k++) {
        printf("\n### %u `%s`\n\n%s\n\n", kinds[k].number, kinds[k].name, kinds[k].sentence);
        puts("| key | on the wire | unit | meaning |\n| --- | --- | --- | --- |");
        for (size_t i = 0; i < kinds[k].count; i++) {
            const struct field *f = &kinds[k].fields[i];
            printf("| `%s` | ", f->key);
            print_type(f);
            printf(" | %s | %s |\n", f->unit, f->sentence);
        }
    }
    putchar('\n');
    return 0;
}
