/* SPDX-License-Identifier: Apache-2.0
 * node_metrics.h - metrics of the node: CVMs, capacity, devices, operations, jobs, commits.
 */
#ifndef TEEPOD_API_CLOUD_NODE_METRICS_H
#define TEEPOD_API_CLOUD_NODE_METRICS_H

struct buf;
struct vmm;

/* Loop thread. Append the metrics of the node in the Prometheus text format. */
void node_metrics(struct vmm *v, struct buf *out);

#endif
