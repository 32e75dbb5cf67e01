/* Which packets came in where: the sensor's ingress list; the first row that matches wins. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/wire/event.h"

#define INGRESS_MAX 64

struct ingress_table {
    uint16_t count; /* at least 1 after configuration: without rows, one that matches all */
    struct ingress row[INGRESS_MAX]; /* vlan 0 and zero mac match anything */
};

/* Index of the first row that matches; the last one if none does (the configuration appends a
 * row that matches all when the operator gave none). */
uint16_t ingress_table_find(const struct ingress_table *t, uint16_t vlan,
                            const uint8_t mac[static 6]);
