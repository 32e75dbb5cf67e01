/* JSON on standard output: text between quotes, with what must not stand there escaped. Bytes that
 * are no UTF-8 (a file's name may have some) are printed as '?'. */
#pragma once

void json_text(const char *text);

/* "key":"text", with a comma before it unless is_first. */
void json_pair(const char *key, const char *text, int is_first);
