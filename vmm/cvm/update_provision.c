/* SPDX-License-Identifier: Apache-2.0
 * update_provision.c - check a manifest and store it under its hash, for a later update that names
 * the hash.
 *
 * A create and an update share the stored row of a hash. An update must keep the create request
 * that is stored with it. See create.c.
 */
#include "vmm/cvm/update_provision.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/own.h"
#include "vmm/compose/compose.h"
#include "db/apps.h"
#include "db/cvms.h"
#include "db/records.h"
#include "db/text.h"
#include "vmm/admit/admit.h"
#include "vmm/admit/request.h"
#include "vmm/node/node.h"
#include "vmm/node/records.h"

/* Keep a create request that is stored under the same hash. */
static int update_provision_put(struct vmm *v, const struct cvm_row *cvm, const char *hash,
				const char *text, struct err *e)
{
	auto_free char *request = NULL, *manifest = NULL;
	char app_id[APP_ID_TEXT];
	int r = provisions_get(vmm_db(v), cvm->workspace, cvm->app_id, hash, &request, &manifest,
			       app_id, e);

	if (r && r != -ERR_NOT_FOUND)
		return r;
	return provisions_put(vmm_db(v), cvm->workspace, cvm->app_id, hash,
			      request ? request : "{}", text, clock_wall_ms() + PROVISION_KEPT_MS,
			      e);
}

/* A manifest that an update would refuse is not stored. */
static int update_provision_check(struct vmm *v, const struct cvm_row *cvm, json_t *manifest,
				  const char *text, struct err *e)
{
	const struct update_request req = { .manifest = manifest,
					    .manifest_text = text,
					    .listed = -1 };
	struct admission a;
	int r = admit_change(v, cvm, &req, &a, e);

	admission_free(&a);
	return r;
}

int vmm_provision_update(struct vmm *v, const struct cvm_row *cvm, json_t *manifest,
			 char ret_hash[SHA256_HEX], struct err *e)
{
	auto_free char *text = compose_text(manifest);
	char hash[SHA256_HEX];
	int r = update_provision_check(v, cvm, manifest, text, e);

	compose_hash(text, hash);
	if (!r)
		r = update_provision_put(v, cvm, hash, text, e);
	if (!r)
		r = records_fit(v, cvm->workspace, RECORD_PROVISIONS, e);
	if (!r)
		memcpy(ret_hash, hash, sizeof(hash));
	return r;
}

static int update_not_provisioned(const char *given, struct err *e)
{
	err_field(e, ERR_INVALID, "compose_hash", given,
		  "compose_hash %.66s is not provisioned for this app", given);
	return err_hint(e, "POST /api/v1/cvms/{id}/compose_file/provision first; a provision is "
			   "kept for 14 days");
}

int vmm_provisioned_update(struct vmm *v, const struct cvm_row *cvm, const char *compose_hash,
			   json_t **ret, struct err *e)
{
	const char *hex = strncasecmp(compose_hash, "0x", 2) ? compose_hash : compose_hash + 2;
	auto_free char *request = NULL, *text = NULL;
	char app_id[APP_ID_TEXT], hash[SHA256_HEX] = "";
	json_t *manifest;
	int r;

	if (!id_is_hex(hex, SHA256_HEX - 1))
		return update_not_provisioned(compose_hash, e);
	for (size_t i = 0; i < SHA256_HEX - 1; i++)
		hash[i] = (char)tolower((unsigned char)hex[i]);
	r = provisions_get(vmm_db(v), cvm->workspace, cvm->app_id, hash, &request, &text, app_id,
			   e);
	if (r)
		return r == -ERR_NOT_FOUND ? update_not_provisioned(compose_hash, e) : r;
	manifest = json_loads(text, 0, NULL);
	if (!manifest)
		return err_set(e, ERR_HOST, "cannot parse the manifest provisioned as %s", hash);
	*ret = manifest;
	return 0;
}
