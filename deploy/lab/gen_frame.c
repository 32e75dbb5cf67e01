/* Frames: the template holds what is always the same, each packet fills in the rest. */
#include <netinet/in.h>
#include <string.h>

#include "deploy/lab/gen.h"

static void put_u16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    put_u16(at, value >> 16);
    put_u16(at + 2, value & 0xffff);
}

static uint64_t sum_of(const uint8_t *data, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)(data[i] << 8 | data[i + 1]);
    return n % 2 != 0 ? sum + ((uint64_t)data[n - 1] << 8) : sum;
}

static uint16_t checksum_of(uint64_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static size_t write_ethernet(uint8_t *at, const struct gen_conf *c)
{
    memcpy(at, c->dst_mac, 6);
    memcpy(at + 6, c->src_mac, 6);
    size_t n = 12;
    for (unsigned i = 0; i < c->vlan_count; i++, n += 4) {
        put_u16(at + n, i + 1 == c->vlan_count ? 0x8100 : 0x88a8);
        put_u16(at + n + 2, c->vlan[i]);
    }
    put_u16(at + n, c->src.addr.family == ADDR_V4 ? 0x0800 : 0x86dd);
    return n + 2;
}

void gen_template(struct gen_template *t, const struct gen_conf *c)
{
    memset(t, 0, sizeof *t);
    bool is_v4 = c->src.addr.family == ADDR_V4;
    t->ip_at = write_ethernet(t->bytes, c);
    t->tcp_at = t->ip_at + (is_v4 ? 20 : 40);
    t->payload_at = t->tcp_at + 20;
    t->payload_len = c->payload_len;

    uint8_t *ip = t->bytes + t->ip_at, *tcp = t->bytes + t->tcp_at;
    ip[0] = is_v4 ? 0x45 : 0x60;
    ip[is_v4 ? 8 : 7] = 64;
    ip[is_v4 ? 9 : 6] = IPPROTO_TCP;
    if (is_v4)
        ip[6] = 0x40; /* don't fragment: an identification of 0 is then right (RFC 6864) */
    tcp[12] = 5 << 4;
    put_u16(tcp + 14, 65535);
    for (uint32_t i = 0; i < c->payload_len; i++)
        t->bytes[t->payload_at + i] = (uint8_t)('a' + i % 26);
    t->payload_sum = sum_of(t->bytes + t->payload_at, c->payload_len);
}

size_t gen_frame_max(const struct gen_template *t)
{
    return t->payload_at + t->payload_len;
}

size_t gen_frame(const struct gen_template *t, const struct gen_packet *p, uint8_t *out)
{
    size_t len = t->payload_at + p->payload_len;
    uint8_t *ip = out + t->ip_at, *tcp = out + t->tcp_at;
    bool is_v4 = p->src.family == ADDR_V4;
    size_t address_len = is_v4 ? 4 : 16;
    uint32_t above = 20 + p->payload_len;

    memcpy(out, t->bytes, len);
    put_u16(ip + (is_v4 ? 2 : 4), is_v4 ? 20 + above : above);
    uint8_t *addresses = ip + (is_v4 ? 12 : 8);
    memcpy(addresses, p->src.bytes, address_len);
    memcpy(addresses + address_len, p->dst.bytes, address_len);
    if (is_v4)
        put_u16(ip + 10, checksum_of(sum_of(ip, 20)));

    put_u16(tcp, p->src_port);
    put_u16(tcp + 2, p->dst_port);
    put_u32(tcp + 4, p->seq);
    put_u32(tcp + 8, p->ack);
    tcp[13] = p->flags;
    uint64_t sum = sum_of(addresses, 2 * address_len) + IPPROTO_TCP + above + sum_of(tcp, 20);
    bool is_whole = p->payload_len == t->payload_len;
    sum += is_whole ? t->payload_sum : sum_of(t->bytes + t->payload_at, p->payload_len);
    put_u16(tcp + 16, checksum_of(sum));
    return len;
}
