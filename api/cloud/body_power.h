/* SPDX-License-Identifier: Apache-2.0
 * body_power.h - request bodies of power operations, and the shutdown timeout that other bodies
 * share.
 */
#ifndef TEEPOD_API_CLOUD_BODY_POWER_H
#define TEEPOD_API_CLOUD_BODY_POWER_H

#include "base/json.h"

struct power_request;

/* Time that the guest has to power off, in seconds. The names and the range are the same in every
 * body whose operation may shut down a guest. */
enum { TIMEOUT_MIN_S = 10, TIMEOUT_MAX_S = 1200 };
#define TIMEOUT_FIELD(name, rule)                                                             \
	{                                                                                     \
		name, FIELD_INT, FIELD_NULLABLE, TIMEOUT_MIN_S, TIMEOUT_MAX_S, FIELD_NOWHERE, \
			NULL, NULL, rule                                                      \
	}
#define TIMEOUT_FIELDS                                                                    \
	TIMEOUT_FIELD("timeout", "seconds that the guest has to power off; default: 60"), \
		TIMEOUT_FIELD("timeout_s", "same as timeout"),                            \
		TIMEOUT_FIELD("shutdown_timeout", "same as timeout")

extern const char *const timeout_names[]; /* ends with NULL */
extern const struct field_table start_table, shutdown_table, restart_table;

/* The timeout in a body that its table has checked, in seconds; *ret is 0 if none is given.
 * ERR_INCOMPATIBLE if two of the names have different values. */
int parse_timeout(const json_t *body, unsigned *ret, struct err *e);

/* ERR_INVALID if the body of @verb, which does not wait for the guest, has a timeout. */
int refuse_timeout(const json_t *body, const char *verb, struct err *e);

/* ret->kind is read, the rest is filled. */
int parse_power_body(const struct field_table *t, const json_t *body, struct power_request *ret,
		     struct err *e);

#endif
