/* SPDX-License-Identifier: Apache-2.0
 * metrics.h - metrics of the node.
 */
#ifndef TEEPOD_VMM_METRICS_H
#define TEEPOD_VMM_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct vmm;

/* Prometheus text: CVMs, capacity, operations, commits, loop lag. */
void vmm_metrics(struct vmm *v, struct buf *out);

#endif
