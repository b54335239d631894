/* SPDX-License-Identifier: Apache-2.0
 * compose_merge.h - from the app-compose manifest a CVM has to the one it shall have. Pure.
 *
 * What a change does not name stays as it is, byte for byte in compose_text(): the compose hash
 * moves only with what was changed.
 */
#ifndef TEEPOD_VMM_COMPOSE_COMPOSE_MERGE_H
#define TEEPOD_VMM_COMPOSE_COMPOSE_MERGE_H

#include "vmm/compose/compose.h"

struct compose_merge {
	const char *docker_compose_file; /* NULL: as it is */
	const char *pre_launch_script;   /* NULL: as it is; "" takes it away */
	json_t *allowed_envs;            /* array of strings, borrowed; NULL: as it is */
	int public_logs, public_sysinfo, public_tcbinfo; /* 1, 0; -1: as it is */
};

/* Does it name anything? */
bool compose_merge_any(const struct compose_merge *m);

/* @manifest with what @m names instead. *ret: a new reference. The error's field is a member of @m.
 */
int compose_merge(const json_t *manifest, const struct compose_merge *m, json_t **ret,
		  struct err *e);

/* @manifest with the keys of @keys over its own, null taking one away; @keys with a "runner" is a
 * whole manifest and replaces it. The result is checked (compose_check()). *ret: a new reference.
 */
int compose_patch(const json_t *manifest, const json_t *keys, json_t **ret, struct err *e);

/* Are @names (array of strings) those in allowed_envs, in whatever order? */
bool compose_envs_equal(const json_t *manifest, const json_t *names);

/* 0 if each of @names is in allowed_envs; else ERR_INVALID for @field, which names those that are
 * not. */
int compose_envs_allowed(const json_t *manifest, const json_t *names, const char *field,
			 struct err *e);

/* The older digest of a manifest: of its normalised form with four spaces a level, and every '": '
 * shortened to '":', inside strings too. The client SDK's getHash() still answers it (@phala/cloud
 * 0.2.9), so it is understood; nothing here is named by it. */
void compose_hash_indented(const json_t *manifest, char out[SHA256_HEX]);

/* Is @given ("0x" before it allowed, either case) the hash of @manifest, in the measured or in the
 * older form? */
bool compose_hash_names(const json_t *manifest, const char *given);

#endif
