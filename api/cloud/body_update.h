/* SPDX-License-Identifier: Apache-2.0
 * body_update.h - request bodies of updates, rollbacks and replications.
 *
 * Each table here is also a schema of the same name in openapi.yaml; a test compares the two.
 */
#ifndef TEEPOD_API_CLOUD_BODY_UPDATE_H
#define TEEPOD_API_CLOUD_BODY_UPDATE_H

#include "base/json.h"
#include "vmm/compose/compose_merge.h"
#include "vmm/cvm/replicate.h"
#include "vmm/cvm/update.h"

struct gpu_request;
struct port_request;

extern const struct field_table resources_table, update_table, legacy_update_table, envs_table,
	os_image_table, visibility_table, compose_provision_table, compose_commit_table,
	rollback_table, replica_table, instance_table;

/* A body of one of the update tables, converted for vmm/. */
struct parsed_update {
	struct update_request req;  /* without the manifest, which is made from the current one: */
	struct compose_merge merge; /* the fields of the manifest that change */
	const char *compose_hash;   /* or the hash of a provisioned manifest that replaces it */
	json_t *env_keys;           /* names in the new environment; NULL = not given. Borrowed */
	bool envs_replace; /* env_keys become allowed_envs; otherwise they must be a subset of it */
	void *env;         /* owned */
	struct port_request *ports; /* owned */
	struct gpu_request *gpus;   /* owned */
};

/* *ret borrows from @body, which must outlive it. On failure *ret is untouched. */
int parse_update_body(const struct field_table *t, const json_t *body, struct parsed_update *ret,
		      struct err *e);
void parsed_update_end(struct parsed_update *a);
#define auto_parsed_update __attribute__((cleanup(parsed_update_end)))

struct rollback_body {
	const char *vm_uuid; /* NULL: all CVMs of the app */
	bool allow_restart, allow_force_stop;
	unsigned timeout_s; /* 0 = default */
};
int parse_rollback_body(const json_t *body, struct rollback_body *ret, struct err *e);

/* A body of replica_table or instance_table. */
struct parsed_replica {
	struct replicate_request req; /* the caller fills in workspace and source */
	void *env;                    /* owned */
	int64_t count;                /* 0 = not given: one replica, answered as an object */
	bool partial;
};
int parse_replica_body(const struct field_table *t, const json_t *body, struct parsed_replica *ret,
		       struct err *e);

#endif
