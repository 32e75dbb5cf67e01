/* The ingress list is searched in order, as the operator wrote it. */
#include "sensor/packet/ingress_table.h"

#include <string.h>

/* Six bytes as one number: compared once, and zero means "any". */
static inline uint64_t mac_word(const uint8_t mac[static 6])
{
    uint64_t word = 0;
    memcpy(&word, mac, 6);
    return word;
}

uint16_t ingress_table_find(const struct ingress_table *t, uint16_t vlan,
                            const uint8_t mac[static 6])
{
    uint64_t wanted = mac_word(mac);
    for (uint16_t i = 0; i < t->count; i++) {
        uint64_t row_mac = mac_word(t->row[i].mac);
        bool vlan_fits = t->row[i].vlan == 0 || t->row[i].vlan == vlan;
        if (vlan_fits && (row_mac == 0 || row_mac == wanted))
            return i;
    }
    return t->count > 0 ? (uint16_t)(t->count - 1) : 0;
}
