/* SPDX-License-Identifier: Apache-2.0
 * body_policy.h - request bodies about CVM policies and node maintenance.
 */
#ifndef TEEPOD_API_CLOUD_BODY_POLICY_H
#define TEEPOD_API_CLOUD_BODY_POLICY_H

#include "base/json.h"
#include "vmm/admit/request.h"

/* In the order of enum restart_policy, NULL-terminated. */
extern const char *const restart_words[];

/* Policy fields, the same in a create and in a change of policy. */
#define POLICY_FIELDS                                                                           \
	{ "restart_policy",                                                                     \
	  FIELD_WORD,                                                                           \
	  FIELD_NULLABLE,                                                                       \
	  0,                                                                                    \
	  0,                                                                                    \
	  FIELD_NOWHERE,                                                                        \
	  restart_words,                                                                        \
	  NULL,                                                                                 \
	  "default: on-crash; always: restart also after the guest powered off" },              \
		{ "auto_start",                                                                 \
		  FIELD_BOOL,                                                                   \
		  FIELD_NULLABLE,                                                               \
		  0,                                                                            \
		  0,                                                                            \
		  FIELD_NOWHERE,                                                                \
		  NULL,                                                                         \
		  NULL,                                                                         \
		  "start the CVM after a boot of the host if it ran before; default: true" },   \
	{                                                                                       \
		"start_order", FIELD_INT, FIELD_NULLABLE, -START_ORDER_MAX, START_ORDER_MAX,    \
			FIELD_NOWHERE, NULL, NULL,                                              \
			"CVMs with a lower number start first and are drained last; default: 0" \
	}

extern const struct field_table policy_table, maintenance_table, drain_table;

/* Convert the policy fields of a checked body. Absent fields stay unset. */
struct policy_request policy_from_body(const json_t *body);

/* ERR_INVALID also if the body sets nothing. */
int parse_policy_body(const json_t *body, struct policy_request *ret, struct err *e);

struct maintenance_body {
	bool enabled;
	const char *reason; /* borrowed from the body, "" if absent */
};
int parse_maintenance_body(const json_t *body, struct maintenance_body *ret, struct err *e);

struct drain_body {
	unsigned timeout_s; /* 0 = default */
	bool force;
	const char *reason;
};
int parse_drain_body(const json_t *body, struct drain_body *ret, struct err *e);

#endif
