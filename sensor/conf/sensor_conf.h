/* The sensor's whole configuration: each module's own struct, side by side. */
#pragma once

#include "sensor/control/control.h"
#include "sensor/packet/ingress_table.h"
#include "sensor/penny/penny.h"
#include "sensor/publish/publish.h"
#include "sensor/scan/scan.h"
#include "sensor/source/source.h"
#include "sensor/tally/tally.h"
#include "shared/base/log.h"

enum sensor_rights { RIGHTS_REDUCED, RIGHTS_AS_STARTED };

struct sensor_conf {
    char name[64], pop[32];
    char state_dir[256];
    enum sensor_rights rights;
    char user[64];             /* "": whoever started it */
    struct source_conf source; /* its ingress and watched point into this struct */
    struct ingress_table ingress;
    struct penny_conf penny;
    struct scan_conf scan;
    struct tally_conf tally;
    struct publish_conf publish;
    struct control_conf control; /* main() fills in why_not and home */
    char metrics_listen[128];    /* "": none */
    enum log_level log_level;
};

/* Defaults, then the file (NULL: none, as with --capture), then the n "key=value" settings, then
 * what hangs together (active mode needs a wire, CURVE needs certificates, …). is_capture: only
 * what a capture needs is required. Never probes the machine. ERR_CONF with file, key, line and
 * expectation; *out must not move afterwards (it points into itself). */
int sensor_conf_load(const char *path, const char *const *settings, size_t n, bool is_capture,
                     struct sensor_conf *out, struct note *note);

/* The whole configuration as commented YAML: every key, default, range, unit. */
void sensor_conf_explain(FILE *out);
