/* Any bytes are a frame: parsing them must not read past their end, must give the same twice, and
 * must never state what cannot be. The first two bytes say how many bytes a capture cut off. */
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "sensor/packet/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                    \
    do {                                                   \
        if (!(condition)) {                                \
            fprintf(stderr, "not true: %s\n", #condition); \
            abort();                                       \
        }                                                  \
    } while (0)

static void check_packet(const struct packet *p, const struct frame *f)
{
    bool has_ports = p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP;
    MUST(p->src.family == ADDR_V4 || p->src.family == ADDR_V6);
    MUST(p->src.family == p->dst.family);
    MUST(p->payload_len + 14 + (p->src.family == ADDR_V4 ? 20u : 40u) <= f->wire_len);
    MUST(p->vlan < 4096);
    MUST(!(p->is_fragment || !has_ports) || (p->src_port == 0 && p->dst_port == 0));
    MUST(!(p->is_fragment || p->protocol != IPPROTO_TCP) ||
         (p->tcp_flags == 0 && p->seq == 0 && p->ack == 0 && p->tcp_window == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint32_t cut = (uint32_t)data[0] << 8 | data[1];
    uint32_t len = (uint32_t)(size - 2);
    struct frame f = {.data = (uint8_t *)(uintptr_t)(data + 2), .len = len, .wire_len = len + cut};
    struct packet once, twice;
    memset(&once, 0x00, sizeof once);
    memset(&twice, 0xff, sizeof twice);
    enum packet_reason reason = packet_parse(&f, &once);
    MUST(packet_parse(&f, &twice) == reason);
    MUST(memcmp(&once, &twice, sizeof once) == 0);
    MUST(reason <= PACKET_NOT_IP);
    MUST(once.frame_len == f.wire_len);
    if (reason == PACKET_OK)
        check_packet(&once, &f);
    return 0;
}
