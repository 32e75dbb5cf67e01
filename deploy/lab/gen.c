#include "deploy/lab/gen.h"

#include "shared/base/log.h"

int main(int argc, char **argv)
{
    static struct gen_conf conf;
    log_program_set("penstock-gen");
    int status = gen_options(argc, argv, &conf);
    if (status != GEN_GO_ON)
        return status;
    return conf.file != NULL ? gen_to_file(&conf) : gen_to_interface(&conf);
}
