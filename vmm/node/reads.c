/* SPDX-License-Identifier: Apache-2.0
 * reads.c - reads of the database.
 *
 * Most functions are one query. Readers share the database connection of the open turn, so they can
 * see rows that are not committed yet. vmm_read() therefore waits for the commit. Events are listed
 * up to the newest committed one: an uncommitted event may be rolled back, and its number used
 * again for another one.
 */
#include "base/own.h"
#include "base/strings.h"
#include "db/apps.h"
#include "db/cvms.h"
#include "db/events.h"
#include "db/images.h"
#include "db/operations.h"
#include "db/ports.h"
#include "db/turn.h"
#include "vmm/node/node.h"
#include "vmm/node/reads.h"
#include "vmm/node/settings.h"

int vmm_cvms(struct vmm *v, const struct cvm_filter *f, int64_t offset, int64_t limit,
	     struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e)
{
	return cvms_list(vmm_db(v), f, offset, limit, ret, n, ret_total, e);
}

int vmm_apps(struct vmm *v, const struct cvm_filter *f, int64_t offset, int64_t limit,
	     struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e)
{
	return cvms_list_apps(vmm_db(v), f, offset, limit, ret, n, ret_total, e);
}

int vmm_app(struct vmm *v, int64_t workspace, const char *app_id, struct app_row *ret,
	    struct err *e)
{
	int r = apps_find(vmm_db(v), workspace, app_id, ret, e);

	return r == -ERR_NOT_FOUND
		       ? err_field(e, ERR_NOT_FOUND, "app_id", app_id, "no app %.60s", app_id)
		       : r;
}

int vmm_ports(struct vmm *v, int64_t cvm, struct port_row **ret, size_t *n, struct err *e)
{
	return ports_of(vmm_db(v), cvm, ret, n, e);
}

int vmm_manifest(struct vmm *v, const struct cvm_row *cvm, char **ret, struct err *e)
{
	int r = revisions_manifest(vmm_db(v), cvm->revision, ret, e);

	return r == -ERR_NOT_FOUND
		       ? err_set(e, ERR_HOST, "the revision of %s is missing", cvm->name)
		       : r;
}

int vmm_user_config(struct vmm *v, const struct cvm_row *cvm, char **ret, struct err *e)
{
	struct cvm_blobs blobs = { 0 };
	int r = cvms_blobs(vmm_db(v), cvm->id, &blobs, e);

	if (r)
		return r == -ERR_NOT_FOUND ? err_field(e, ERR_CVM_NOT_FOUND, "cvm_id", cvm->uuid,
						       "no CVM %s", cvm->uuid)
					   : r;
	*ret = take_ptr(&blobs.user_config);
	cvm_blobs_free(&blobs);
	return 0;
}

int vmm_operation(struct vmm *v, const char *op_id, struct op_row *ret, struct err *e)
{
	int r = ops_get(vmm_db(v), op_id, ret, e);

	return r == -ERR_NOT_FOUND ? err_field(e, ERR_NOT_FOUND, "operation_id", op_id,
					       "no operation %.60s", op_id)
				   : r;
}

int vmm_operations(struct vmm *v, const struct op_filter *f, int64_t offset, int64_t limit,
		   struct op_row **ret, size_t *n, int64_t *ret_total, struct err *e)
{
	return ops_list(vmm_db(v), f, offset, limit, ret, n, ret_total, e);
}

int vmm_events(struct vmm *v, int64_t workspace, int64_t after_seq, int64_t limit,
	       struct event_row **ret, size_t *n, struct err *e)
{
	return events_between(vmm_db(v), workspace, after_seq, vmm_last_event(v), limit, ret, n, e);
}

int vmm_event_bounds(struct vmm *v, int64_t *oldest, int64_t *newest, struct err *e)
{
	int r = events_bounds(vmm_db(v), oldest, newest, e);

	if (!r && *newest > vmm_last_event(v))
		*newest = vmm_last_event(v);
	return r;
}

void vmm_read(struct vmm *v, void (*fn)(void *arg), void *arg)
{
	turn_read(vmm_turn(v), fn, arg);
}

bool vmm_is_uncommitted(const struct vmm *v)
{
	return turn_is_open(vmm_turn(v));
}

void *vmm_watch(struct vmm *v, void (*fn)(void *arg), void *arg)
{
	return turn_watch(vmm_turn(v), fn, arg);
}

void vmm_unwatch(struct vmm *v, void *ticket)
{
	turn_unwatch(vmm_turn(v), ticket);
}

char *vmm_log_dir(const struct vmm *v, const struct cvm_row *cvm)
{
	return xasprintf("%s/cvms/%s/logs", vmm_settings(v)->state_dir, cvm->uuid);
}

int vmm_cvm_counts(struct vmm *v, int64_t count[DESIRED_MAX][OBSERVED_MAX], struct err *e)
{
	return cvms_count(vmm_db(v), count, e);
}

int vmm_images(struct vmm *v, int dev, int64_t offset, int64_t limit, struct image_row **ret,
	       size_t *n, struct err *e)
{
	return images_list(vmm_db(v), dev, offset, limit, ret, n, e);
}

int vmm_image(struct vmm *v, const char *name, struct image_row *ret, struct err *e)
{
	int r = images_by_name(vmm_db(v), name, ret, e);

	if (r == -ERR_NOT_FOUND)
		r = images_newest(vmm_db(v), name, -1, ret, e);
	return r == -ERR_NOT_FOUND
		       ? err_field(e, ERR_IMAGE_NOT_FOUND, "image", name, "no OS image %.65s", name)
		       : r;
}
