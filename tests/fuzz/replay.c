/* Replays the files of the folders given on the command line through the fuzz target. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return -1;
    uint8_t *data = malloc(1 << 20);
    size_t len = data != NULL ? fread(data, 1, 1 << 20, f) : 0;
    fclose(f);
    /* an exact copy, so that a sanitizer sees reads past its end */
    uint8_t *exact = malloc(len > 0 ? len : 1);
    if (data == NULL || exact == NULL)
        return -1;
    memcpy(exact, data, len);
    free(data);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned done = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (folder == NULL) {
            perror(argv[i]);
            return 1;
        }
        for (struct dirent *e; (e = readdir(folder)) != NULL;) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            if (e->d_name[0] != '.' && replay_file(path) == 0)
                done++;
        }
        closedir(folder);
    }
    printf("%u seeds replayed\n", done);
    return done > 0 ? 0 : 1; /* a target without seeds tests nothing */
}
