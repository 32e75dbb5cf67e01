#include "collector/conf/vrps_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/clock.h"

struct reading {
    struct vrps *vrps;
    struct lines *lines;
    int64_t now_s;
    /* JSON: what is left to read */
    const char *text;
    size_t len;
};

/* One VRP as either format says it. */
struct said {
    char prefix[PREFIX_TEXT];
    uint64_t asn, max_length; /* max_length > 128: not said */
    int64_t expires;          /* 0: not said */
};

static int add(struct reading *r, const struct said *said, size_t number)
{
    struct prefix prefix;
    if (strchr(said->prefix, '/') == NULL || prefix_parse(said->prefix, &prefix) != 0) {
        lines_refuse(r->lines, number, "prefix: expected one with no bits set beyond its length");
        return 0;
    }
    uint64_t max_length = said->max_length > 128 ? prefix.length : said->max_length;
    if (max_length < prefix.length || max_length > addr_bits(prefix.addr.family)) {
        lines_refuse(r->lines, number, "max length: shorter than the prefix, or too long");
        return 0;
    }
    if (said->expires != 0 && said->expires <= r->now_s) {
        r->lines->passed++;
        return 0;
    }
    r->lines->taken++;
    return vrps_add(r->vrps, &prefix, (unsigned)max_length, (uint32_t)said->asn);
}

/* Digits alone, at most `max`; all of the text. */
static bool number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 19)
        return false;
    *out = strtoull(text, &end, 10);
    return *end == '\0' && *out <= max;
}

/* "AS64501", "64501" */
static bool as_number(const char *text, uint64_t *out)
{
    return number(text + (strncmp(text, "AS", 2) == 0 ? 2 : 0), UINT32_MAX, out);
}

/* ---- CSV ---- */

static const char *csv_said(char *line, struct said *said)
{
    char *field[5] = {NULL};
    unsigned n = 0;
    uint64_t expires = 0;
    for (char *rest = line, *next; rest != NULL && n < 5; rest = next) {
        next = strchr(rest, ',');
        if (next != NULL)
            *next++ = '\0';
        field[n++] = rest;
        if (n == 5 && next != NULL)
            return "expected ASN,IP Prefix,Max Length,Trust Anchor[,Expires]";
    }
    if (n < 4)
        return "expected ASN,IP Prefix,Max Length,Trust Anchor[,Expires]";
    if (!as_number(field[0], &said->asn))
        return "ASN: expected an AS number";
    if (!number(field[2], 128, &said->max_length))
        return "max length: expected a number";
    if (n == 5 && !number(field[4], INT64_MAX, &expires))
        return "expires: expected seconds since 1970";
    said->expires = (int64_t)expires;
    snprintf(said->prefix, sizeof said->prefix, "%s", field[1]);
    return NULL;
}

static int csv_line(void *arg, const char *line, size_t len, size_t line_number)
{
    struct reading *r = arg;
    struct said said = {.max_length = 255};
    char copy[256];
    if (line_number == 1) /* the header, which told the format */
        return 0;
    if (len >= sizeof copy || memchr(line, '\0', len) != NULL) {
        lines_refuse(r->lines, line_number, "too long, or not text");
        return 0;
    }
    memcpy(copy, line, len);
    copy[len] = '\0';
    const char *why = csv_said(copy, &said);
    if (why != NULL) {
        lines_refuse(r->lines, line_number, why);
        return 0;
    }
    return add(r, &said, line_number);
}

static int csv_read(struct reading *r, const char *text, size_t len, struct note *note)
{
    struct line_feed feed = {.each = csv_line, .arg = r};
    int err = line_feed(&feed, text, len);
    int end = line_feed_end(&feed);
    return err == 0 && end < 0 ? note_set(note, ERR_CONF, "the file ends within a line") : err;
}

/* ---- JSON: the outermost object by hand, what stands in it by jansson, piece by piece ---- */

static char json_next(struct reading *r)
{
    while (r->len > 0 && strchr(" \t\r\n", r->text[0]) != NULL && r->text[0] != '\0') {
        r->text++;
        r->len--;
    }
    return r->len > 0 ? r->text[0] : '\0';
}

static bool json_take(struct reading *r, char c)
{
    if (json_next(r) != c || r->len == 0)
        return false;
    r->text++;
    r->len--;
    return true;
}

static json_t *json_value(struct reading *r)
{
    json_error_t error;
    json_next(r);
    json_t *value = json_loadb(r->text, r->len, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);
    if (value == NULL)
        return NULL;
    size_t used = error.position > 0 ? (size_t)error.position : 0;
    used = used < r->len ? used : r->len;
    r->text += used;
    r->len -= used;
    return value;
}

static const char *json_said(const json_t *o, struct said *said)
{
    const json_t *asn = json_object_get(o, "asn"), *length = json_object_get(o, "maxLength");
    const char *prefix = json_string_value(json_object_get(o, "prefix"));
    const json_t *expires = json_object_get(o, "expires");
    json_int_t n = json_integer_value(asn);
    if (json_is_integer(asn) && n >= 0 && n <= UINT32_MAX)
        said->asn = (uint64_t)n;
    else if (!json_is_string(asn) || !as_number(json_string_value(asn), &said->asn))
        return "asn: expected an AS number";
    if (prefix == NULL || strlen(prefix) >= sizeof said->prefix)
        return "prefix: expected a text";
    snprintf(said->prefix, sizeof said->prefix, "%s", prefix);
    n = json_integer_value(length);
    if (length != NULL && (!json_is_integer(length) || n < 0 || n > 128))
        return "maxLength: expected a number";
    said->max_length = length != NULL ? (uint64_t)n : 255;
    if (expires != NULL && (!json_is_integer(expires) || json_integer_value(expires) < 0))
        return "expires: expected seconds since 1970";
    said->expires = (int64_t)json_integer_value(expires);
    return NULL;
}

static int json_element(struct reading *r, const json_t *element, size_t element_number)
{
    struct said said = {0};
    const char *why = json_is_object(element) ? json_said(element, &said) : "expected an object";
    if (why == NULL)
        return add(r, &said, element_number);
    lines_refuse(r->lines, element_number, why);
    return 0;
}

static int json_list(struct reading *r, struct note *note)
{
    int err = 0;
    if (!json_take(r, '['))
        return note_set(note, ERR_CONF, "roas: expected a list");
    if (json_take(r, ']'))
        return 0;
    for (size_t i = 1; err == 0; i++) {
        json_t *element = json_value(r);
        if (element == NULL)
            return note_set(note, ERR_CONF, "no JSON, or cut off, in element %zu of its list", i);
        err = json_element(r, element, i);
        json_decref(element);
        if (err == 0 && json_take(r, ']'))
            return 0;
        if (err == 0 && !json_take(r, ','))
            return note_set(note, ERR_CONF, "no JSON, or cut off, behind element %zu", i);
    }
    return err;
}

static int json_member(struct reading *r, bool *has_list, struct note *note)
{
    json_t *key = json_value(r);
    const char *name = json_string_value(key);
    bool is_list = name != NULL && (strcmp(name, "roas") == 0 || strcmp(name, "vrps") == 0);
    bool is_sound = name != NULL && json_take(r, ':');
    json_decref(key);
    if (is_sound && is_list) {
        *has_list = true;
        return json_list(r, note);
    }
    json_t *skipped = is_sound ? json_value(r) : NULL;
    json_decref(skipped);
    return skipped != NULL ? 0 : note_set(note, ERR_CONF, "no JSON, or cut off");
}

static int json_read(struct reading *r, struct note *note)
{
    bool has_list = false, is_whole = json_take(r, '{');
    int err = 0;
    if (is_whole && !json_take(r, '}')) {
        do
            err = json_member(r, &has_list, note);
        while (err == 0 && json_take(r, ','));
        is_whole = err == 0 && json_take(r, '}');
    }
    json_next(r);
    if (err == 0 && (!is_whole || r->len > 0))
        err = note_set(note, ERR_CONF, "no JSON, or cut off");
    if (err == 0 && !has_list)
        err = note_set(note, ERR_CONF, "its JSON has no list roas");
    return err;
}

/* ---- either ---- */

static const char csv_header[] = "ASN,IP Prefix,Max Length,Trust Anchor";

static int explain(const char *path, int err, struct note *note)
{
    struct note why = *note;
    if (err == ERR_FULL)
        return note_set(note, ERR_CONF, "%s: more than %d payloads", path, VRPS_MAX);
    return note_set(note, err, "%s: %s", path, why.text[0] != '\0' ? why.text : err_text(err));
}

int vrps_text(const char *path, const char *text, size_t len, int64_t now, struct vrps **out,
              struct lines *lines, struct note *note)
{
    struct reading r = {.lines = lines, .now_s = now / (int64_t)NS_PER_S, .text = text, .len = len};
    *lines = (struct lines){0};
    *out = NULL;
    int err = vrps_new(&r.vrps);
    if (err == 0 && len >= strlen(csv_header) &&
        strncasecmp(text, csv_header, strlen(csv_header)) == 0)
        err = csv_read(&r, text, len, note);
    else if (err == 0 && json_next(&r) == '{')
        err = json_read(&r, note);
    else if (err == 0)
        err = note_set(note, ERR_CONF, "expected JSON with a list roas, or CSV that begins with %s",
                       csv_header);
    if (err < 0)
        err = explain(path, err, note);
    else if (lines->passed > 0 && lines->taken == 0 && lines->refused == 0)
        err = note_set(note, ERR_CONF, "%s: all of its %zu payloads have expired", path,
                       lines->passed);
    else
        err = lines_judge(lines, path, "element", note);
    if (err == 0)
        *out = r.vrps;
    else
        vrps_free(r.vrps);
    return err;
}

static int slurp(const char *path, char **out, size_t *len, struct note *note)
{
    struct stat is;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &is) < 0 || !S_ISREG(is.st_mode) || is.st_size > VRPS_FILE_MAX) {
        int err = fd < 0 ? errno : EFBIG;
        if (fd >= 0)
            close(fd);
        return note_set(note, ERR_CONF, "%s: cannot read: %s", path, strerror(err));
    }
    size_t room = (size_t)is.st_size + 1;
    ssize_t n = 0;
    *len = 0;
    *out = malloc(room);
    while (*out != NULL && *len < room && (n = read(fd, *out + *len, room - *len)) > 0)
        *len += (size_t)n;
    close(fd);
    if (*out != NULL && n == 0)
        return 0;
    free(*out);
    return note_set(note, ERR_CONF, "%s: cannot read, or it grows while it is read", path);
}

int vrps_load(const char *path, int64_t now, struct vrps **out, struct lines *lines,
              struct note *note)
{
    char *text = NULL;
    size_t len = 0;
    *out = NULL;
    int err = slurp(path, &text, &len, note);
    if (err < 0)
        return err;
    err = vrps_text(path, text, len, now, out, lines, note);
    free(text);
    return err;
}
