#include "sensor/source/source.h"

const struct source_ops *source_find(enum source_driver driver)
{
    switch (driver) {
    case SOURCE_AF_XDP:
        return &source_afxdp;
    case SOURCE_PCAP:
        return &source_pcap;
    case SOURCE_DPDK:
#ifdef PENSTOCK_DPDK
        return &source_dpdk;
#else
        return NULL;
#endif
    }
    return NULL;
}
