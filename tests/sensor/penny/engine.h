/* One engine under test, driven by hand: its parts, its end, and the segments it is offered. */
#pragma once

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sensor/penny/sim.h"

#define MS UINT64_C(1000000)

static struct penny_conf conf;
static struct ingress_table ingress;
static struct penny *penny;
static uint64_t now_ns;

/* A test's beginning: the simulator's configuration and so many rows of ingress; the rest is the
 * test's. */
static inline void engine_conf(unsigned ingress_rows)
{
    sim_conf(&conf);
    ingress = (struct ingress_table){.count = ingress_rows};
    now_ns = SIM_S;
}

static inline void start(void)
{
    assert_int_equal(penny_new(&conf, &ingress, 42, &penny), 0);
}

static inline int down(void **state)
{
    (void)state;
    penny_free(penny);
    penny = NULL;
    return 0;
}

/* 500 bytes of a flow from the watched prefix. */
static inline struct packet engine_segment(uint16_t port, uint32_t seq)
{
    return (struct packet){.protocol = IPPROTO_TCP,
                           .tcp_flags = TCP_ACK,
                           .src = addr_v4("\xcb\0\x71\x05"),
                           .dst = addr_v4("\xc6\x33\x64\x09"),
                           .src_port = port,
                           .dst_port = 80,
                           .seq = seq,
                           .payload_len = 500};
}
