/* SPDX-License-Identifier: Apache-2.0
 * host_watch.c - the facts of the host, read in a job and kept up to date.
 *
 * They are read at start, when the connection to the hypervisor is established or lost, on SIGHUP,
 * and when a client requests them and they are older than FRESH_MS. The client gets the previous
 * facts: no request waits for files of the kernel. See host_facts.c for the files, host_check.c for
 * the evaluation.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/lanes.h"
#include "base/loop.h"
#include "base/strings.h"
#include "vmm/host/host_check.h"
#include "vmm/host/host_facts.h"
#include "vmm/host/host_watch.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/virt/hypervisor.h"

enum { FRESH_MS = 60 * 1000 };

struct host_watch {
	struct host_facts facts;
	int64_t at;   /* wall clock; 0: not read yet */
	int64_t mono; /* the same, monotonic clock */
	bool reading, again;
	void (*on_keyids)(struct vmm *v, int64_t keyids);
};

struct reading {
	struct vmm *v;
	char *root, *qgs_socket, *tdx_firmware; /* copies: only the loop thread may read settings */
	struct host_facts facts;
};

static void host_facts_work(void *arg)
{
	struct reading *r = arg;
	const struct host_facts_source src = { .root = r->root,
					       .qgs_socket = r->qgs_socket,
					       .tdx_firmware = r->tdx_firmware };

	host_facts_read(&src, &r->facts);
}

/* Number of TDX key IDs for guests, -1 if unknown. The first private key ID is the TDX module's
 * own. Same rule as row "tdx_keyids" of host_check.c. */
static int64_t host_keyids(const struct keyid_facts *k)
{
	if (k->reported && k->guests)
		return (int64_t)k->guests;
	return k->msr_read && k->msr_private > 1 ? (int64_t)k->msr_private - 1 : -1;
}

static void host_facts_done(void *arg, enum job_end end)
{
	struct reading *r = arg;
	struct vmm *v = r->v;
	struct host_watch *w = vmm_host_watch(v);

	assert_loop_thread();
	assert(w->reading);
	w->reading = false;
	if (end == JOB_WORKED) {
		host_facts_free(&w->facts);
		w->facts = r->facts;
		w->at = clock_wall_ms();
		w->mono = clock_mono_ms();
		w->on_keyids(v, host_keyids(&w->facts.keyids));
	}
	free(r->root);
	free(r->qgs_socket);
	free(r->tdx_firmware);
	free(r);
	if (w->again && !vmm_is_closing(v))
		host_watch_refresh(v);
	vmm_job_end(v);
}

struct host_watch *host_watch_new(void (*on_keyids)(struct vmm *v, int64_t keyids))
{
	struct host_watch *w = xcalloc(1, sizeof(*w));

	assert(on_keyids);
	w->on_keyids = on_keyids;
	return w;
}

void host_watch_refresh(struct vmm *v)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "facts of the host",
						.deadline_ms = 60000,
						.work = host_facts_work,
						.done = host_facts_done };
	struct host_watch *w = vmm_host_watch(v);
	struct reading *r;

	assert_loop_thread();
	/* The read under way may have begun before the change that this call is about. */
	w->again = w->reading;
	if (w->reading)
		return;
	w->reading = true;
	r = xcalloc(1, sizeof(*r));
	r->v = v;
	r->root = xstrdup(vmm_settings(v)->host_root);
	r->qgs_socket = vmm_settings(v)->qgs_socket ? xstrdup(vmm_settings(v)->qgs_socket) : NULL;
	r->tdx_firmware = xstrdup(vmm_settings(v)->tdx_firmware);
	vmm_job_begin(v);
	(void)job_start(vmm_settings(v)->loop, &calls, r);
}

void host_watch_free(struct host_watch *w)
{
	if (!w)
		return;
	host_facts_free(&w->facts);
	free(w);
}

bool vmm_host_checks(struct vmm *v, struct host_check ret[HOST_CHECKS], int64_t *ret_at)
{
	const struct host_watch *w = vmm_host_watch(v);
	const struct host_check_input in = { .facts = &w->facts,
					     .caps = hv_caps(vmm_hv(v)),
					     .link_error =
						     vmm_is_linked(v) ? NULL : vmm_link_error(v),
					     .connecting = !vmm_is_link_tried(v),
					     .uri = vmm_settings(v)->hypervisor_uri,
					     .device_id = vmm_settings(v)->device_id,
					     .slots = vmm_settings(v)->slots };

	if (!w->at)
		return false;
	host_check(&in, ret);
	*ret_at = w->at;
	if (clock_mono_ms() - w->mono > FRESH_MS && !w->reading && !vmm_is_closing(v))
		host_watch_refresh(v);
	return true;
}
