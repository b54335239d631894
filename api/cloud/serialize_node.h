/* SPDX-License-Identifier: Apache-2.0
 * serialize_node.h - resources of the node and their assignments, as JSON.
 */
#ifndef TEEPOD_API_CLOUD_SERIALIZE_NODE_H
#define TEEPOD_API_CLOUD_SERIALIZE_NODE_H

#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include "base/err.h"

struct call;
struct capacity_row;
struct cvm_row;
struct device_row;
struct numa_row;
struct port_row;

json_t *serialize_capacity(const struct capacity_row *rows, size_t n);

/* Append the hugepages of NUMA nodes to @capacity, as rows with numa_node and page_kib. */
void serialize_hugepages(json_t *capacity, const struct numa_row *rows, size_t n);

/* @workspace: the scope of the reader. Holder, driver and reason are null unless it is 0 or the
 * workspace of the holder. */
json_t *serialize_device(const struct device_row *d, int64_t workspace);

/* NUMA nodes, vCPUs and memory that the CVM was assigned. */
json_t *serialize_placement(const struct cvm_row *c);

json_t *serialize_ports(const struct port_row *ports, size_t n);

/* Maintenance of the node; for callers who see all workspaces also who began it, and the progress
 * of a drain. */
int serialize_maintenance(const struct call *c, json_t **ret, struct err *e);

#endif
