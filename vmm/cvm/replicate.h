/* SPDX-License-Identifier: Apache-2.0
 * replicate.h - create further instances of an app that has a CVM on this node.
 *
 * A replica is a new CVM with the source's app id, manifest, image, size, machine, settings and
 * encrypted environment. Its UUID, disk, CID and host ports are its own. No data that the source
 * wrote or holds in memory is copied. The source may be stopped.
 */
#ifndef TEEPOD_VMM_CVM_REPLICATE_H
#define TEEPOD_VMM_CVM_REPLICATE_H

#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/compose/compose_merge.h"

struct request_ref;
struct vmm;

enum { REPLICAS_MAX = 64 };

struct replicate_request {
	int64_t workspace; /* where the source is searched first ... */
	bool elsewhere;    /* ... and then in all others */
	/* Any form that vmm_find() accepts; at least one of them. Both: a CVM of that app. app_id
	 * alone: any instance. */
	const char *app_id, *source;
	const char *compose_hash; /* revision of the app; overrides the one of @source. NULL or "" =
				     the source's */
	int64_t node_id;          /* 0 = here */
	bool set_env;             /* encrypted_env instead of the source's */
	const void *encrypted_env;
	size_t encrypted_env_len;
	const json_t *env_keys; /* names in encrypted_env, which the manifest must allow; NULL =
				   unknown */
	/* A manifest other than the source's, which becomes a revision of its own. If compose_hash
	 * is given, it must be its hash. */
	struct compose_merge software;
	bool stopped; /* create without a start */
};

struct replica {
	struct cvm_row row;
	struct op_row op;
};

/* [turn] Create @count replicas (1..REPLICAS_MAX), all or none. With @partial: as many as fit, at
 * least one; *ret_why then has the reason why there are no more (ERR_NONE if all were created).
 * *ret is a malloc'd array of *ret_n.
 *
 * ERR_REPLICA_SOURCE: this caller has no such source; also when it is in another workspace.
 * ERR_REPLICA_HASH: the app has several revisions and compose_hash is missing. ERR_APP_CONFLICT:
 * compose_hash matches no revision. ERR_REPLICA_IMAGE: the image files are missing. Otherwise any
 * error of vmm_create(). */
int vmm_replicate(struct vmm *v, const struct replicate_request *req, size_t count, bool partial,
		  const struct request_ref *ref, struct replica **ret, size_t *ret_n,
		  struct err *ret_why, struct err *e);

#endif
