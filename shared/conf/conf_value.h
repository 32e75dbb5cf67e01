/* Single values: text to member and the words that describe them. Private to this folder. */
#pragma once

#include "shared/conf/conf_table.h"

#define CONF_EXPECT_TEXT 400

/* Writes the value that text says into the member at base + row->offset. 0 or ERR_FORMAT (then the
 * member is unchanged). For scalar types only. */
int conf_value_parse(const struct conf_row *row, const char *text, void *base);

/* What the row takes: "a number from 1 to 1000". Returns out. */
char *conf_value_expect(const struct conf_row *row, char out[static CONF_EXPECT_TEXT]);

/* "500ms", "1h". Returns out. */
char *conf_duration_format(uint64_t ns, char *out, size_t size);

/* An unsigned member of size 2, 4 or 8. */
void conf_unsigned_write(void *at, size_t size, uint64_t value);

bool conf_is_list(enum conf_type type);
