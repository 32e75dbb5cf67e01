/* A whole small file as text, for comparing. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

/* NULL when it cannot be read; the caller frees. */
static inline char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = f != NULL ? calloc(1, 1 << 20) : NULL;
    if (text != NULL && fread(text, 1, (1 << 20) - 1, f) == 0) {
        free(text);
        text = NULL;
    }
    if (f != NULL)
        fclose(f);
    return text;
}
