/* Any bytes as a file of VRPs, JSON or CSV: nothing read past their end; a file is taken with at
 * least one payload, or refused with a sentence. */
#include <stdlib.h>
#include <string.h>

#include "collector/conf/vrps_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_so)
{
    if (!is_so)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vrps *vrps;
    struct lines lines;
    struct note note = {0};
    int err = vrps_text("file", (const char *)data, size, 1000000000, &vrps, &lines, &note);
    if (err == 0)
        require(vrps_count(vrps) > 0 && vrps_count(vrps) <= lines.taken);
    else
        require(vrps == NULL && strncmp(note.text, "file:", 5) == 0);
    vrps_free(vrps);
    return 0;
}
