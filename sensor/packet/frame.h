/* A frame: bytes that a source lends to the worker for one burst. */
#pragma once

#include <stdint.h>

#define BURST 64 /* frames per burst: fills a page of pointers, empties before the caches do */

struct frame {
    uint8_t *data;     /* from the Ethernet header on; borrowed until the source's done() */
    uint32_t len;      /* bytes at data */
    uint32_t wire_len; /* bytes on the wire; larger than len in a cut capture */
    uint64_t at_ns;    /* capture time; 0: use the worker's clock */
    uint64_t token;    /* the source's own */
};

enum verdict_frame { FRAME_FORWARD, FRAME_DROP };
