/* penstockctl: the operator's hand. */
#include "collector/ctl/alerts.h"
#include "collector/ctl/command.h"
#include "collector/ctl/database.h"
#include "collector/ctl/expect.h"
#include "collector/ctl/explain.h"
#include "collector/ctl/history.h"
#include "collector/ctl/keys.h"
#include "collector/ctl/maintenance.h"
#include "collector/ctl/map.h"
#include "collector/ctl/sensors.h"
#include "collector/ctl/tests.h"

static const struct command commands[] = {
    {"map", "[PREFIX|ADDRESS]", 0, 1,
     TAKES_DATABASE | TAKES(OPTION_POP) | TAKES(OPTION_STATE) | TAKES(OPTION_UNEXPECTED) |
         TAKES(OPTION_LIMIT) | TAKES(OPTION_WHAT_IF),
     "where traffic from a prefix enters, and what is known of it", map_list},
    {"history", "PREFIX", 1, 1, TAKES_DATABASE | TAKES(OPTION_LIMIT),
     "when the ingress of a prefix changed, from where to where", history_list},
    {"explain", "ALERT|PREFIX", 1, 1, TAKES_DATABASE | TAKES(OPTION_LIMIT) | TAKES(OPTION_WHAT_IF),
     "tell the story of an alert or a prefix, down to the segments that were withheld", explain},
    {"alerts show", "ALERT", 1, 1, TAKES_DATABASE, "all of one alert, and what was told of it",
     alerts_show},
    {"alerts ack", "ALERT", 1, 1, TAKES_DATABASE | TAKES(OPTION_WHO),
     "say that somebody works on it", alerts_ack},
    {"alerts suppress", "ALERT", 1, 1, TAKES_DATABASE | TAKES(OPTION_WHO),
     "be still about it until it ends", alerts_suppress},
    {"alerts unack", "ALERT", 1, 1, TAKES_DATABASE, "take either word back", alerts_unack},
    {"alerts learn", "ALERT", 1, 1, TAKES_DATABASE | TAKES(OPTION_WHY),
     "accept what it tells of as expected; prints the change as policy", alerts_learn},
    {"alerts", "", 0, 0,
     TAKES_DATABASE | TAKES(OPTION_STATE) | TAKES(OPTION_KIND) | TAKES(OPTION_LIMIT),
     "list the alerts without an end; --state takes open, all, or a state", alerts_list},
    {"maintenance add", "WHY", 1, 1,
     TAKES_DATABASE | TAKES(OPTION_FROM) | TAKES(OPTION_TO) | TAKES(OPTION_FOR) |
         TAKES(OPTION_KIND) | TAKES(OPTION_POP) | TAKES(OPTION_ROUTER) | TAKES(OPTION_INTERFACE) |
         TAKES(OPTION_PEER_AS) | TAKES(OPTION_PREFIX) | TAKES(OPTION_SENSOR) | TAKES(OPTION_WHO),
     "suppress alerts that match all that is given, for some time", maintenance_add},
    {"maintenance list", "", 0, 0, TAKES_DATABASE | TAKES(OPTION_ALL),
     "the windows that are not over", maintenance_list},
    {"maintenance remove", "WINDOW", 1, 1, TAKES_DATABASE,
     "end a window now, or delete it if it has not begun", maintenance_remove},
    {"tests", "[PREFIX]", 0, 1, TAKES_DATABASE | TAKES(OPTION_POP) | TAKES(OPTION_LIMIT),
     "list orders and tests, those that are not over first", tests_list},
    {"test start", "PREFIX", 1, 1,
     TAKES_DATABASE | TAKES(OPTION_POP) | TAKES(OPTION_REASON) | TAKES(OPTION_WAIT) |
         TAKES(OPTION_TIMEOUT),
     "order a test, at a point of presence or where most of the traffic enters; with --wait the"
     " exit status is 0 for genuine, and 1 for everything else",
     test_start},
    {"test stop", "ORDER", 1, 1, TAKES_DATABASE, "cancel an order; a test that runs for it ends",
     test_stop},
    {"test approve", "ORDER", 1, 1, TAKES_DATABASE, "let a proposed order begin", test_approve},
    {"sensors", "", 0, 0, TAKES_DATABASE, "list the sensors, and what is missing from them",
     sensors_list},
    {"scans", "", 0, 0, TAKES_DATABASE,
     "sum up the last day's scan windows; single scans are for a later release", scans_list},
    {"expect add", "PREFIX|ASN KEY=VALUE|PREFIX …", 1, 8, TAKES_DATABASE | TAKES(OPTION_REASON),
     "say where a prefix is expected (pop=, router=, interface=, vlan=, mac=, peer_as=; or "
     "nowhere),"
     " or from which prefixes the peer AS64501 may send",
     expect_add_command},
    {"expect remove", "ID|PREFIX|ASN …", 1, 8, TAKES_DATABASE,
     "take back what was said, by its number or in the same words", expect_remove_command},
    {"expect list", "[PREFIX]", 0, 1, TAKES_DATABASE,
     "list what was said in the database, and what was learned", expect_list_command},
    {"expect import", "FILE", 1, 1, TAKES_DATABASE | TAKES(OPTION_FORCE),
     "say all that a policy file says; with --force instead of what operators said before",
     expect_import_command},
    {"keys new", "NAME", 1, 1, TAKES(OPTION_POP) | TAKES(OPTION_DIR) | TAKES(OPTION_FORCE),
     "make a key: NAME.cert with its secret, NAME.pub without", keys_new},
    {"keys show", "FILE", 1, 1, 0, "print what a certificate says", keys_show},
    {"keys check", "DIR", 1, 1, TAKES(OPTION_SUBSCRIBERS),
     "print whom a collector with that folder would let in", keys_check},
};

static const char about[] =
    "The operator's hand: reads the ingress map, its alerts and tests from the database, and "
    "makes\n"
    "and checks the keys by which sensors and the collector know each other. The database is that\n"
    "of --dsn, of -c FILE, or of the environment's PENSTOCK_DSN.";

int main(int argc, char **argv)
{
    return command_main(argc, argv, about, commands, sizeof commands / sizeof commands[0]);
}
