/* SPDX-License-Identifier: Apache-2.0
 * status.c - compute the status that a client reads from desired state, observed state and running
 * operation.
 *
 * A running operation decides, because it changes the CVM. Otherwise the observed state decides. A
 * CVM that should run and does not is "exited" (its guest powered off) or "crashed", never
 * "stopped".
 */
#include <assert.h>

#include "base/array.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/cvm/status.h"

/* The cloud's clients handle "running" and "stopped" and show any other word unchanged. */
static const char *const status_words[STATUS_MAX] = {
	[STATUS_STOPPED] = "stopped",
	[STATUS_STARTING] = "starting",
	[STATUS_RUNNING] = "running",
	[STATUS_STOPPING] = "stopping",
	[STATUS_SHUTTING_DOWN] = "shutting_down",
	[STATUS_RESTARTING] = "restarting",
	[STATUS_DELETING] = "deleting",
	[STATUS_UPDATING] = "updating",
	[STATUS_CRASHED] = "crashed",
	[STATUS_EXITED] = "exited",
	[STATUS_PAUSED] = "paused",
	[STATUS_RESUMING] = "resuming",
};
static_assert(ARRAY_SIZE(status_words) == STATUS_MAX, "each status has a word");

const char *status_word(enum status s)
{
	return (unsigned)s < STATUS_MAX ? status_words[s] : "unknown";
}

enum status cvm_status(const struct cvm_row *c)
{
	static const enum status doing[OP_KINDS] = {
		[OP_CREATE] = STATUS_STARTING,    [OP_START] = STATUS_STARTING,
		[OP_STOP] = STATUS_STOPPING,      [OP_SHUTDOWN] = STATUS_SHUTTING_DOWN,
		[OP_RESTART] = STATUS_RESTARTING, [OP_DELETE] = STATUS_DELETING,
		[OP_RESIZE] = STATUS_UPDATING,    [OP_UPGRADE] = STATUS_UPDATING,
		[OP_RESUME] = STATUS_RESUMING,
	};

	if (c->op_id[0])
		return doing[c->op_kind];
	if (c->desired == DESIRED_DELETED)
		return STATUS_DELETING;
	switch (c->observed) {
	case OBSERVED_RUNNING:
		return c->desired == DESIRED_RUNNING ? STATUS_RUNNING : STATUS_STOPPING;
	case OBSERVED_PAUSED:
		return STATUS_PAUSED;
	case OBSERVED_CRASHED:
		return c->desired == DESIRED_RUNNING ? STATUS_CRASHED : STATUS_STOPPED;
	case OBSERVED_OFF:
	case OBSERVED_ABSENT:
	case OBSERVED_MAX:
		break;
	}
	return c->desired == DESIRED_RUNNING ? STATUS_EXITED : STATUS_STOPPED;
}
