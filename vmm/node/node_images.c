/* SPDX-License-Identifier: Apache-2.0
 * node_images.c - connects the image store to the node.
 *
 * images/ knows nothing about the node. These callbacks give it what it needs: whether the state
 * folder belongs to this node, the event log, and the job count that delays a close.
 */
#include "db/images.h"
#include "images/store.h"
#include "vmm/node/node.h"
#include "vmm/node/node_images.h"
#include "vmm/node/owner.h"
#include "vmm/node/settings.h"
#include "vmm/node/event.h"

static int images_may_change(void *arg, struct err *e)
{
	return owner_allows(arg, e);
}

static int image_added_event(void *arg, const struct image_row *row, struct err *e)
{
	return event(arg, NULL, "", "image.added", e, "{s:s, s:s}", "name", row->name,
		     "os_image_hash", row->os_image_hash);
}

static int image_removed_event(void *arg, const char *name, struct err *e)
{
	return event(arg, NULL, "", "image.removed", e, "{s:s}", "name", name);
}

static bool images_are_closing(void *arg)
{
	return vmm_is_closing(arg);
}

static void images_begin(void *arg)
{
	vmm_job_begin(arg);
}

static void images_end(void *arg)
{
	vmm_job_end(arg);
}

struct image_store *node_images_open(struct vmm *v)
{
	const struct image_store_config cfg = { .loop = vmm_settings(v)->loop,
						.db = vmm_db(v),
						.turn = vmm_turn(v),
						.dir = vmm_settings(v)->images_dir,
						.may_change = images_may_change,
						.on_added = image_added_event,
						.on_removed = image_removed_event,
						.is_closing = images_are_closing,
						.on_begin = images_begin,
						.on_end = images_end,
						.arg = v };

	return image_store_new(&cfg);
}
