/* A planner's configuration as tests begin with it: short enough that nothing must be waited for.
 */
#pragma once

#include "collector/order/order.h"
#include "shared/base/clock.h"

static inline struct order_conf usual_orders(enum order_mode mode)
{
    return (struct order_conf){.mode = mode,
                               .max_per_sensor = 4,
                               .max_concurrent = 8,
                               .max_drops = 60,
                               .drops_per_prefix_hour = 240,
                               .min_v4 = 20,
                               .min_v6 = 40,
                               .lease_ns = 180 * NS_PER_S,
                               .margin_ns = 10 * NS_PER_S,
                               .wait_ns = 30 * NS_PER_S,
                               .cool_down_ns = 3600 * NS_PER_S,
                               .unverifiable_ns = 86400 * NS_PER_S,
                               .expire_ns = 600 * NS_PER_S,
                               .resend_ns = 5 * NS_PER_S,
                               .max_orders = 64};
}
