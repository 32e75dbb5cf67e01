/* penstockctl alerts …: what is wrong, and what people say of it. */
#pragma once

#include "collector/ctl/command.h"

int alerts_list(const struct call *call);
int alerts_show(const struct call *call);
int alerts_ack(const struct call *call);
int alerts_unack(const struct call *call);
int alerts_suppress(const struct call *call);
int alerts_learn(const struct call *call);
