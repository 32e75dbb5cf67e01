#include "sensor/publish/credentials.h"

#include <string.h>

#include "sensor/publish/publish.h"
#include "shared/base/log.h"

static void warn_of_name(const struct credentials *c, const struct publish_conf *conf)
{
    char name[CURVE_NAME];
    if (strcmp(c->own.name, conf->sensor) != 0)
        log_warn("event=other_name sensor=%s certificate=\"%s\" hint=\"the collector goes by the "
                 "certificate's name, not by sensor.name\"",
                 conf->sensor, log_quotable(c->own.name, name, sizeof name));
}

int credentials_load(struct credentials *c, const struct publish_conf *conf, struct note *note)
{
    struct note why = {0};
    *c = (struct credentials){.is_plain = conf->insecure};
    if (conf->insecure)
        return 0;
    int err = curve_load_secret(conf->certificate, &c->own, &why);
    if (err < 0)
        return note_set(note, err, "publish.certificate: %s", why.text);
    err = curve_load_public(conf->server, &c->server, &why);
    if (err < 0)
        return note_set(note, err, "publish.server: %s", why.text);
    warn_of_name(c, conf);
    return 0;
}

void credentials_forget(struct credentials *c)
{
    curve_forget(&c->own);
}
