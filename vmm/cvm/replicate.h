/* SPDX-License-Identifier: Apache-2.0
 * replicate.h - further instances of an app that lives here.
 *
 * A replica is a new CVM with the source's app id, manifest, image, size, machine, settings and
 * encrypted environment. Its UUID, disk, CID and host ports are its own; nothing that the source
 * wrote or holds in memory goes along. The source may be stopped.
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
	int64_t workspace; /* where the source is looked for ... */
	bool elsewhere;    /* ... and then in all others */
	/* Any form that vmm_find() knows; at least one of them. Both: a CVM of that app. app_id
	 * alone: any instance. */
	const char *app_id, *source;
	const char *compose_hash; /* which revision of the app; it wins over the one of @source.
				     NULL or "": @source's */
	int64_t node_id;          /* 0 = here */
	bool set_env;             /* encrypted_env instead of the source's */
	const void *encrypted_env;
	size_t encrypted_env_len;
	const json_t *env_keys; /* names in it: they have to be allowed. NULL = not told */
	/* Other software than the source's: a revision of its own. compose_hash, if given, has to
	 * be its hash. */
	struct compose_merge software;
	bool stopped; /* made, and not started */
};

struct replica {
	struct cvm_row row;
	struct op_row op;
};

/* [turn] @count replicas (1..REPLICAS_MAX), all or none; with @partial as many as fit, at least
 * one: then *ret_why says why not more (code ERR_NONE if all are there). *ret malloc'd, *ret_n of
 * them.
 *
 * ERR_REPLICA_SOURCE: there is none for this caller, also when it is somebody else's.
 * ERR_REPLICA_HASH: the app lives in several revisions, by whatever its instance was named, and
 * compose_hash is missing. ERR_APP_CONFLICT: compose_hash is none of these. ERR_REPLICA_IMAGE: the
 * files of its image are gone. Else whatever refuses a create. */
int vmm_replicate(struct vmm *v, const struct replicate_request *ask, size_t count, bool partial,
		  const struct request_ref *ref, struct replica **ret, size_t *ret_n,
		  struct err *ret_why, struct err *e);

#endif
