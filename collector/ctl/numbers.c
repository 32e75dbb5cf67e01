#include "collector/ctl/numbers.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "collector/ctl/command.h"

int numbers_limit(const char *text, unsigned otherwise, unsigned *out)
{
    char *end;
    if (text == NULL) {
        *out = otherwise;
        return 0;
    }
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9' || n > 100000000)
        return command_fail(2, "--limit: \"%s\" is no number of rows (0: all)", text);
    *out = (unsigned)n;
    return 0;
}
