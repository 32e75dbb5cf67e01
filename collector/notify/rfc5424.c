#include "collector/notify/rfc5424.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CRITICAL = 2, WARNING = 4, NOTICE = 5, INFORMATIONAL = 6 };

static unsigned severity_of(const struct notice *n)
{
    if (strcmp(n->state, "firing") != 0)
        return strcmp(n->state, "pending") == 0 ? INFORMATIONAL : NOTICE;
    if (strcmp(n->severity, "critical") == 0)
        return CRITICAL;
    return strcmp(n->severity, "warning") == 0 ? WARNING : INFORMATIONAL;
}

/* A header's field: printable ASCII without spaces, "-" for nothing. Cut at max. */
static void put_field(FILE *out, const char *text, size_t max)
{
    if (text[0] == '\0')
        fputc('-', out);
    for (size_t i = 0; i < max && text[i] != '\0'; i++)
        fputc(text[i] > ' ' && text[i] < 0x7f ? text[i] : '_', out);
    fputc(' ', out);
}

static void put_text(FILE *out, const char *text, const char *escaped)
{
    for (const char *c = text; *c != '\0'; c++) {
        bool is_control = (unsigned char)*c < ' ' || *c == 0x7f;
        if (!is_control && strchr(escaped, *c) != NULL)
            fputc('\\', out);
        fputc(is_control ? ' ' : *c, out);
    }
}

/* 6.3.3: a quote, a backslash and a closing bracket are escaped, and nothing else is. */
static void put_parameter(FILE *out, const char *name, const char *value)
{
    if (value[0] == '\0')
        return;
    fprintf(out, " %s=\"", name);
    put_text(out, value, "\"\\]");
    fputc('"', out);
}

static void put_data(FILE *out, const struct notice *n)
{
    static const char *const keys[] = {"kind",    "severity",   "state",  "fingerprint",
                                       "prefix",  "pop",        "router", "interface",
                                       "peer_as", "confidence", "sensor"};
    fprintf(out, "[penstock@32473 event_id=\"%" PRIu64 "\" alert_id=\"%" PRIu64 "\"", n->event_id,
            n->alert_id);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *value = json_object_get(n->alert, keys[i]);
        char number[40] = "";
        if (json_is_integer(value))
            snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_real(value))
            snprintf(number, sizeof number, "%.6g", json_real_value(value));
        put_parameter(out, keys[i], json_is_string(value) ? json_string_value(value) : number);
    }
    fputc(']', out);
}

char *rfc5424_message(const struct notice *n, const struct rfc5424_sender *from, size_t *len)
{
    char *text = NULL, at[NOTICE_TIME], pid[24];
    FILE *out = open_memstream(&text, len);
    if (out == NULL)
        return NULL;
    snprintf(pid, sizeof pid, "%ld", from->pid);
    fprintf(out, "<%u>1 %s ", from->facility * 8 + severity_of(n), notice_time(n->at, at));
    put_field(out, from->host, 255);
    put_field(out, "penstock-collector", 48);
    put_field(out, pid, 128);
    put_field(out, n->kind, 32);
    put_data(out, n);
    fprintf(out, " %s: ", n->state);
    put_text(out, n->summary, "");
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
