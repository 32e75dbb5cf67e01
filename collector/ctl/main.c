/* penstockctl: the operator's hand. */
#include "collector/ctl/command.h"
#include "collector/ctl/keys.h"

static const struct command commands[] = {
    {"keys new", "NAME", 1, 1, TAKES(OPTION_POP) | TAKES(OPTION_DIR) | TAKES(OPTION_FORCE),
     "make a key: NAME.cert with its secret, NAME.pub without", keys_new},
    {"keys show", "FILE", 1, 1, 0, "print what a certificate says", keys_show},
    {"keys check", "DIR", 1, 1, 0, "print whom a collector with that folder would let in",
     keys_check},
};

static const char about[] =
    "Makes and checks the keys by which sensors and the collector know each "
    "other.";

int main(int argc, char **argv)
{
    return command_main(argc, argv, about, commands, sizeof commands / sizeof commands[0]);
}
