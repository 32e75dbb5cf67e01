#include "collector/ctl/database.h"

#include <stdlib.h>
#include <string.h>

#include "collector/conf/collector_conf.h"

#define DEFAULT_DSN "host=/run/postgresql dbname=penstock" /* as database.dsn's */

static int dsn_of_file(const char *path, char *dsn, size_t size)
{
    struct note note = {0};
    struct collector_conf *conf = calloc(1, sizeof *conf);
    if (conf == NULL)
        return command_fail(1, "out of memory");
    int err = collector_conf_load(path, NULL, 0, conf, &note);
    if (err == 0)
        snprintf(dsn, size, "%s", conf->store.dsn);
    free(conf);
    return err == 0 ? 0 : command_fail(2, "%s", note.text);
}

int database_open(const struct call *call, struct look **out)
{
    char from_file[1024] = DEFAULT_DSN;
    const char *dsn = call->option[OPTION_DSN];
    struct note note = {0};
    int status = 0;
    if (dsn == NULL && call->option[OPTION_CONF] != NULL)
        status = dsn_of_file(call->option[OPTION_CONF], from_file, sizeof from_file);
    else if (dsn == NULL)
        dsn = getenv("PENSTOCK_DSN");
    if (dsn == NULL || dsn[0] == '\0')
        dsn = from_file;
    if (status != 0)
        return status;
    bool is_default = dsn == from_file && call->option[OPTION_CONF] == NULL;
    int err = look_open(dsn, out, &note);
    return err == 0 ? 0
                    : command_fail(err == ERR_CONF ? 2 : 1, "%s%s", note.text,
                                   is_default ? "; another database: --dsn, -c FILE or PENSTOCK_DSN"
                                              : "");
}

int database_fail(int err, const struct note *note)
{
    return command_fail(err == ERR_DATA ? 2 : 1, "%s", note->text);
}
