/* SPDX-License-Identifier: Apache-2.0
 * serialize_cvm.h - CVMs as JSON, in both versions of the API.
 *
 * Clients validate: many keys that may be absent must not be null. serialize_cvm.c lists them.
 */
#ifndef TEEPOD_API_CLOUD_SERIALIZE_CVM_H
#define TEEPOD_API_CLOUD_SERIALIZE_CVM_H

#include "api/cloud/context.h"
#include "api/cloud/json_out.h"

struct cvm_row;
struct op_row;

/* Parts that the objects of one answer share, each built when it is first needed. */
struct cvm_serializer {
	const struct call *call;
	struct json_shared node;    /* v26 node_info */
	struct json_shared teepod;  /* v25 teepod */
	struct json_shared gateway; /* v26 gateway */
	int64_t image_id;
	struct json_shared os; /* v26 os of image_id */
	int64_t memory_mib;
	struct json_shared memory; /* v26 memory_in_gb of memory_mib */
	int64_t workspace_id;
	struct json_shared workspace; /* v26 workspace of workspace_id */
	int64_t now_ms;
};

void cvm_serializer_init(struct cvm_serializer *s, const struct call *c);
void cvm_serializer_end(struct cvm_serializer *s);
#define auto_cvm_serializer __attribute__((cleanup(cvm_serializer_end)))

/* v26 node_info. */
struct json_shared *serialize_cvm_node(struct cvm_serializer *s);
/* A CVM in lists; in detail (with compose file, ports and devices); and as the answer of a
 * lifecycle request, @row as read before @op was queued (NULL: no operation). */
void serialize_cvm_v26(struct cvm_serializer *s, const struct cvm_row *c, struct json_out *o);
void serialize_cvm_v25(struct cvm_serializer *s, const struct cvm_row *c, struct json_out *o);
void serialize_cvm_hosted_v25(struct cvm_serializer *s, const struct cvm_row *c,
			      struct json_out *o);
int serialize_cvm_detail(struct cvm_serializer *s, const struct cvm_row *c, json_t **ret,
			 struct err *e);
int serialize_cvm_lifecycle(struct cvm_serializer *s, const struct cvm_row *row,
			    const struct op_row *op, json_t **ret, struct err *e);

#endif
