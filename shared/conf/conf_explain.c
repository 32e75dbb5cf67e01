#include <string.h>

#include "shared/conf/conf_table.h"
#include "shared/conf/conf_value.h"

#define WIDTH 96

/* A comment, folded at words; what is folded stands hang columns further right. */
static void print_folded(FILE *out, const char *indent, int hang, const char *text)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        if (column == 0)
            column = (size_t)fprintf(out, "%s#", indent);
        else if (column + 1 + len > WIDTH) {
            fputc('\n', out);
            column = (size_t)fprintf(out, "%s#%*s", indent, hang, "");
        }
        column += (size_t)fprintf(out, " %.*s", (int)len, text);
        text += len + (text[len] == ' ');
    }
    fputc('\n', out);
}

static void print_comment(FILE *out, const char *indent, const char *text)
{
    print_folded(out, indent, 0, text);
}

/* YAML that reads back as this text: plain where every reader agrees, else in double quotes. */
static void print_scalar(FILE *out, const char *text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "._/-";
    if (text[0] != '\0' && text[0] != '-' && strspn(text, safe) == strlen(text)) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static const char *shown_default(const struct conf_row *row)
{
    if (row->value != NULL && row->value[0] != '\0')
        return row->value;
    return conf_is_list(row->type) ? "empty" : "none";
}

static void describe(const struct conf_row *row, char *out, size_t size)
{
    char expect[CONF_EXPECT_TEXT];
    size_t most = row->item_size > 0 ? row->size / row->item_size : 0;
    if (row->max > 0 && row->max < (double)most)
        most = (size_t)row->max;
    conf_value_expect(row, expect);
    if (conf_is_list(row->type))
        snprintf(out, size, "A list of at most %zu entries, each %s", most, expect);
    else
        snprintf(out, size, "Takes %s", expect);
    size_t len = strlen(out);
    snprintf(out + len, size - len, "%s%s%s", row->unit != NULL ? " (" : "",
             row->unit != NULL ? row->unit : "", row->unit != NULL ? ")" : "");
}

static void print_record_rows(FILE *out, const char *indent, const struct conf_row *row)
{
    for (size_t i = 0; i < row->row_count; i++) {
        const struct conf_row *r = &row->rows[i];
        bool has_default = !r->is_required && r->value != NULL;
        char expect[CONF_EXPECT_TEXT], text[1000];
        const char *taken = r->type == CONF_TEXTS   ? "a list of texts"
                            : conf_is_list(r->type) ? "a list of maps"
                                                    : conf_value_expect(r, expect);
        snprintf(text, sizeof text, "- %s: %s Takes %s; %s%s.", r->key, r->help, taken,
                 r->is_required ? "required"
                 : has_default  ? "default: "
                                : "may be left out",
                 has_default ? r->value : "");
        print_folded(out, indent, 2, text);
    }
    if (row->example != NULL) {
        fprintf(out, "%s# Example:\n", indent);
        for (const char *line = row->example; *line != '\0';) {
            size_t len = strcspn(line, "\n");
            fprintf(out, "%s#   %.*s\n", indent, (int)len, line);
            line += len + (line[len] == '\n');
        }
    }
}

static void print_row(FILE *out, const char *indent, const char *name, const struct conf_row *row)
{
    char takes[CONF_EXPECT_TEXT + 200], text[CONF_EXPECT_TEXT + 400];
    describe(row, takes, sizeof takes);
    print_comment(out, indent, row->help);
    snprintf(text, sizeof text, "%s; default: %s.", takes, shown_default(row));
    print_comment(out, indent, text);
    if (row->type == CONF_RECORDS)
        print_record_rows(out, indent, row);
    fprintf(out, "%s%s: ", indent, name);
    if (conf_is_list(row->type))
        fputs("[]", out);
    else
        print_scalar(out, row->example != NULL ? row->example
                          : row->value != NULL ? row->value
                                               : "");
    fputc('\n', out);
}

void conf_explain(const struct conf_table *table, FILE *out)
{
    const char *section = "";
    size_t section_len = 0;
    print_comment(out, "", table->title);
    for (size_t i = 0; i < table->row_count; i++) {
        const struct conf_row *row = &table->rows[i];
        const char *dot = strchr(row->key, '.');
        size_t len = dot != NULL ? (size_t)(dot - row->key) : 0;
        if (len != section_len || strncmp(section, row->key, len) != 0 || len == 0) {
            fputc('\n', out);
            if (len > 0)
                fprintf(out, "%.*s:\n", (int)len, row->key);
        }
        section = row->key;
        section_len = len;
        print_row(out, len > 0 ? "  " : "", dot != NULL ? dot + 1 : row->key, row);
    }
}
