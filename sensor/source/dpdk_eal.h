/* DPDK's environment layer (EAL): started once per process, and kept from doing what a library
 * should not. Left alone it would
 *
 *   print        to standard output and error: what it says while it starts is collected, told at
 *                debug, and its last complaint stands in our message
 *   exit         on --help: refused before it sees it
 *   pin          the calling thread to one core, and with it every thread that is made later: put
 *                back afterwards
 *   make threads one per core, which would sleep for ever: it gets one core, our workers join it
 *   leave files  of huge pages and of shared configuration: --in-memory has none, so a killed
 *                process leaves nothing, and needs no hugetlbfs mount. Price: no secondary
 *                processes (dpdk-dumpcap, dpdk-proc-info) can look on. (--no-huge and --legacy-mem
 *                do not go with it; they get --no-shconf.)
 *
 * source.eal comes last, so that it has the last word. */
#pragma once

#include "sensor/source/source.h"

/* 0, or an error with a note that has EAL's words and what to do. ERR_BUSY: this process had it. */
int dpdk_eal_start(const struct source_conf *conf, struct note *note);
void dpdk_eal_stop(void);

/* Is it a PCI address, like 0000:03:00.0, perhaps with device arguments behind a comma? */
bool dpdk_is_pci(const char *interface);

/* What stands before the first comma: the name that DPDK knows the port by. Returns name. */
char *dpdk_port_name(const char *interface, char *name, size_t size);

/* The last thing that EAL or a driver complained about in start; "" for nothing. */
const char *dpdk_eal_complaint(void);
