/* SPDX-License-Identifier: Apache-2.0
 * body_parts.h - fields that several request bodies share, and their limits.
 */
#ifndef TEEPOD_API_CLOUD_BODY_PARTS_H
#define TEEPOD_API_CLOUD_BODY_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/json.h"
#include "vmm/admit/request.h"

struct gpu_request;
struct port_request;

/* Limits of one request. They do not depend on the node. */
enum {
	BODY_ENV_BYTES = 256 * 1024,
	BODY_USER_CONFIG = 64 * 1024, /* bytes */
	BODY_PORTS = 64,
	BODY_ENV_KEYS = 1000,
	BODY_VCPUS = 65536,
	BODY_MEMORY_MIB = 1 << 30,
	BODY_DISK_GIB = 1 << 24,
};

extern const struct field_table port_table, gpu_table;
extern const char *const gpu_attach_words[];

/* True if @body has the member @key and its value is not null. */
bool member_given(const json_t *body, const char *key);

/* @s, or NULL for "". */
const char *text_or_null(const char *s);

/* Convert a list that its table has checked. @out has room for all. Strings are borrowed. */
void parse_ports(const json_t *list, struct port_request *out);
void parse_gpus(const json_t *list, struct gpu_request *out);

/* GPU_ALL for attach_mode "all"; otherwise GPU_LISTED or GPU_NONE, by the length of the list. */
enum gpu_attach parse_gpu_attach(const json_t *gpus);

/* @teepod_id is the older name of @node_id; 0 = not given. ERR_INCOMPATIBLE if they differ. */
int parse_node_id(int64_t teepod_id, int64_t node_id, int64_t *ret, struct err *e);

/* Hex digits to bytes: "0a1b" -> malloc'd *ret, the caller frees it. Untouched for NULL and "". */
int parse_encrypted_env(const char *hex, void **ret, size_t *ret_len, struct err *e);

#endif
