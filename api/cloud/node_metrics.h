/* SPDX-License-Identifier: Apache-2.0
 * node_metrics.h - metrics of the node.
 */
#ifndef TEEPOD_API_CLOUD_NODE_METRICS_H
#define TEEPOD_API_CLOUD_NODE_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct vmm;

/* Prometheus text: CVMs, capacity, operations, commits, loop lag. */
void vmm_metrics(struct vmm *v, struct buf *out);

#endif
