/* SPDX-License-Identifier: Apache-2.0
 * compose_merge.h - applies changes to an app-compose manifest. Pure.
 *
 * What must hold: a part that the change does not name stays identical, byte for byte, in
 * compose_text(). So the compose hash changes only with what was changed.
 */
#ifndef TEEPOD_VMM_COMPOSE_COMPOSE_MERGE_H
#define TEEPOD_VMM_COMPOSE_COMPOSE_MERGE_H

#include "vmm/compose/compose.h"

struct compose_merge {
	const char *docker_compose_file; /* NULL: unchanged */
	const char *pre_launch_script;   /* NULL: unchanged; "" removes it */
	json_t *allowed_envs;            /* array of strings, borrowed; NULL: unchanged */
	int public_logs, public_sysinfo, public_tcbinfo; /* 1 or 0; -1: unchanged */
};

/* True if it names a change. */
bool compose_merge_any(const struct compose_merge *m);

/* Apply @m to @manifest. *ret: a new reference. The field of the error is a member of @m. */
int compose_merge(const json_t *manifest, const struct compose_merge *m, json_t **ret,
		  struct err *e);

/* Replace the keys of @manifest that @keys has; null removes a key. @keys with a "runner" is a
 * whole manifest and replaces it. The result is checked by compose_check(). *ret: a new reference.
 */
int compose_patch(const json_t *manifest, const json_t *keys, json_t **ret, struct err *e);

/* True if @names (array of strings) are those in allowed_envs, in any order. */
bool compose_envs_equal(const json_t *manifest, const json_t *names);

/* 0 if each of @names is in allowed_envs. Otherwise ERR_INVALID for @field, with the other names.
 */
int compose_envs_allowed(const json_t *manifest, const json_t *names, const char *field,
			 struct err *e);

/* The older digest of a manifest: of its normalised form with an indent of four spaces, and every
 * '": ' shortened to '":', also inside strings. getHash() of the client SDK still returns it
 * (@phala/cloud 0.2.9), so requests may name it. We never return it. */
void compose_hash_indented(const json_t *manifest, char out[SHA256_HEX]);

/* True if @given (perhaps after "0x", either case) is the hash of @manifest, measured or older
 * form. */
bool compose_hash_names(const json_t *manifest, const char *given);

#endif
