/* Numbers that people type. */
#pragma once

/* --limit, or otherwise where it was not given; 0: all. Returns 0, or 2 after a complaint. */
int numbers_limit(const char *text, unsigned otherwise, unsigned *out);
