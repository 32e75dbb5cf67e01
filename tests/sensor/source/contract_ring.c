#include "tests/sensor/source/contract_ring.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <string.h>

static struct rte_mempool *pool;

/* A net_ring device receives what was sent to it. */
int ring_send(const char *port, const void *data, size_t len)
{
    uint16_t id;
    if (pool == NULL)
        pool = rte_pktmbuf_pool_create("far-side", 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                       SOCKET_ID_ANY);
    struct rte_mbuf *m = pool != NULL ? rte_pktmbuf_alloc(pool) : NULL;
    if (m == NULL || rte_eth_dev_get_port_by_name(port, &id) != 0)
        return -1;
    memcpy(rte_pktmbuf_append(m, (uint16_t)len), data, len);
    return rte_eth_tx_burst(id, 0, &m, 1) == 1 ? 0 : -1;
}

unsigned ring_frames_in_use(void)
{
    return pool != NULL ? rte_mempool_in_use_count(pool) : 0;
}
