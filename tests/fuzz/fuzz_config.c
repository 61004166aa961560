/* fuzz_config.c - any bytes as a config file. */
#include "common/config.h"
#include "tests/fuzz/replay.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct pf_config conf;
    conf = pf_conf;
    if (!pf_config_load(&conf, replay_path(bytes, size)) && conf.neus.steps < 0)
        abort();                        // a setting outside of its bounds
    return 0;
}

REPLAY("tests/data/seeds/config", 100)
