/* SPDX-License-Identifier: Apache-2.0
 * serialize_cvm.h - rows as the JSON objects clients know: the cloud's, in both versions, and ours.
 *
 * Clients validate: a key that may be absent often may not be null. Which is which is written down
 * once, in shapes.c.
 */
#ifndef TEEPOD_API_CLOUD_SERIALIZE_CVM_H
#define TEEPOD_API_CLOUD_SERIALIZE_CVM_H

#include "api/cloud/api.h"

struct image_status;

struct capacity_row;
struct cvm_row;
struct device_row;
struct event_row;
struct image_row;
struct numa_row;
struct op_row;
struct port_row;

/* What all objects of one answer have in common: built once, shared by reference. */
struct cvm_serializer {
	const struct call *call;
	json_t *node;    /* v26 node_info, owned */
	json_t *teepod;  /* v25 teepod, owned */
	json_t *gateway; /* v26 gateway, owned */
	int64_t image_id;
	json_t *os; /* v26 os of image_id, owned */
	int64_t workspace_id;
	json_t *workspace; /* v26 workspace of workspace_id, owned */
	int64_t now_ms;
};

void cvm_serializer_init(struct cvm_serializer *s, const struct call *c);
void cvm_serializer_end(struct cvm_serializer *s);
#define auto_cvm_serializer __attribute__((cleanup(cvm_serializer_end)))

/* CVM objects as the cloud shows them: in lists, in full (with compose file and ports), and as the
 * answer of a change. */
json_t *serialize_cvm_v26(struct cvm_serializer *s, const struct cvm_row *c);
json_t *serialize_cvm_v25(struct cvm_serializer *s, const struct cvm_row *c);
json_t *serialize_cvm_hosted_v25(struct cvm_serializer *s, const struct cvm_row *c);
int serialize_cvm_detail(struct cvm_serializer *s, const struct cvm_row *c, json_t **ret,
			 struct err *e);
int serialize_cvm_lifecycle(struct cvm_serializer *s, const struct cvm_row *c,
			    const struct op_row *op, json_t **ret, struct err *e);

/* Row of /apps: the app by its newest CVM. */
json_t *serialize_app(struct cvm_serializer *s, const struct cvm_row *c);

/* /cvms/{id}/state and the values of /status/batch. */
json_t *serialize_state(const struct cvm_row *c, int64_t now_ms);
json_t *serialize_status(const struct cvm_row *c, int64_t now_ms);

/* Put a queued or running operation, as a change returned it, over the row read before. */
void cvm_row_overlay(struct cvm_row *c, const struct op_row *op);

/* Maintenance of the node; for those who see all workspaces also by whom, and how far a drain is.
 */
int serialize_maintenance(const struct call *c, json_t **ret, struct err *e);

/* As @c may see it: who is no operator is not told the node's totals. */
json_t *serialize_operation(const struct call *c, const struct op_row *op);
json_t *serialize_event(const struct event_row *ev);
json_t *serialize_capacity(const struct capacity_row *rows, size_t n);
/* Of NUMA nodes: appended to the rows of @capacity, with numa_node and page_kib. */
void serialize_hugepages(json_t *capacity, const struct numa_row *rows, size_t n);
/* The holder, and what the host does with it, only if @workspace is 0 or the holder's own. */
json_t *serialize_device(const struct device_row *d, int64_t workspace);
/* Where on the host, and what it gets there. */
json_t *serialize_placement(const struct cvm_row *c);
json_t *serialize_image(const struct image_row *row, const struct image_status *status);
json_t *serialize_ports(const struct port_row *ports, size_t n);

/* Small makers: "" and 0 become null. */
json_t *json_text_or_null(const char *s);
json_t *json_time_or_null(int64_t wall_ms);
/* Set @key unless @value is "". */
void json_put_text(json_t *o, const char *key, const char *value);

#endif
