/* SPDX-License-Identifier: Apache-2.0
 * node.c - what all rooms of vmm/ share: settings, database, hypervisor, and whether the node is
 * closing.
 *
 * struct vmm is opaque to the rooms: its members are in vmm_struct.h, which only this file and
 * vmm.c include. vmm.c fills it when the node is opened, and frees it when the node is closed. Each
 * room keeps its state in a struct of its own.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/loop.h"
#include "base/strings.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/node/vmm_struct.h"

struct vmm *vmm_new(const struct vmm_settings *s)
{
	struct vmm *v = xcalloc(1, sizeof(*v));

	v->set = *s;
	return v;
}

void vmm_free(struct vmm *v)
{
	free(v);
}

const struct vmm_settings *vmm_settings(const struct vmm *v)
{
	return &v->set;
}

void vmm_set_tdx_keyids(struct vmm *v, int64_t keyids)
{
	assert(keyids >= 0);
	v->set.tdx_keyids = keyids;
}

struct db *vmm_db(const struct vmm *v)
{
	return v->db;
}

struct turn *vmm_turn(const struct vmm *v)
{
	return v->turn;
}

struct hypervisor *vmm_hv(const struct vmm *v)
{
	return v->hv;
}

struct probing *vmm_probing(const struct vmm *v)
{
	return v->probing;
}

struct capacity_state *vmm_capacity_state(const struct vmm *v)
{
	return v->capacity;
}

struct billing *vmm_billing(const struct vmm *v)
{
	return v->billing;
}

struct inventory *vmm_inventory(const struct vmm *v)
{
	return v->inventory;
}

struct image_store *vmm_image_store(const struct vmm *v)
{
	return v->images;
}

struct guests *vmm_guests(const struct vmm *v)
{
	return v->guests;
}

struct measuring *vmm_measuring(const struct vmm *v)
{
	return v->measuring;
}

struct host_watch *vmm_host_watch(const struct vmm *v)
{
	return v->host;
}

struct housekeeping *vmm_housekeeping(const struct vmm *v)
{
	return v->housekeeping;
}

struct engine *vmm_engine(const struct vmm *v)
{
	return v->engine;
}

struct observer *vmm_observer(const struct vmm *v)
{
	return v->observer;
}

struct resumes *vmm_resumes(const struct vmm *v)
{
	return v->resumes;
}

struct policies *vmm_policies(const struct vmm *v)
{
	return v->policies;
}

int64_t vmm_default_workspace(const struct vmm *v)
{
	return v->workspace;
}

uint64_t vmm_keys_generation(const struct vmm *v)
{
	return v->keys_generation;
}

void vmm_note_keys_revoked(struct vmm *v)
{
	assert_loop_thread();
	v->keys_generation++;
}

name_is_reserved_fn *vmm_reserved_names(const struct vmm *v)
{
	return v->name_is_reserved;
}

void vmm_reserve_names(struct vmm *v, name_is_reserved_fn *is_reserved)
{
	v->name_is_reserved = is_reserved;
}

bool vmm_is_linked(const struct vmm *v)
{
	return v->link_up;
}

bool vmm_is_link_tried(const struct vmm *v)
{
	return v->link_tried;
}

const char *vmm_link_error(const struct vmm *v)
{
	return v->link_error;
}

void vmm_set_link(struct vmm *v, bool up, const char *error)
{
	assert_loop_thread();
	assert(error);
	v->link_up = up;
	v->link_tried = true;
	v->settled = false;
	(void)snprintf(v->link_error, sizeof(v->link_error), "%s", error);
}

bool vmm_is_settled(const struct vmm *v)
{
	return v->settled;
}

void vmm_set_settled(struct vmm *v, bool settled)
{
	assert_loop_thread();
	v->settled = settled;
}

bool vmm_is_closing(const struct vmm *v)
{
	return v->closing;
}

const char *vmm_foreign(const struct vmm *v)
{
	return v->foreign;
}

void vmm_set_foreign(struct vmm *v, const char reason[FOREIGN_TEXT])
{
	assert(!v->hv); /* open_hypervisor() reads it */
	static_assert(sizeof(v->foreign) == FOREIGN_TEXT, "maintenance shows the whole reason");
	memcpy(v->foreign, reason, sizeof(v->foreign));
}

int64_t vmm_opened_ms(const struct vmm *v)
{
	return v->opened_ms;
}

int64_t vmm_last_event(const struct vmm *v)
{
	return v->last_event;
}

void vmm_job_begin(struct vmm *v)
{
	assert_loop_thread();
	v->jobs++;
}

void vmm_job_end(struct vmm *v)
{
	assert_loop_thread();
	/* close_late() in vmm.c has set the count to 0; jobs may end after that. */
	assert(v->jobs || v->closing);
	if (v->jobs)
		v->jobs--;
	vmm_close_if_idle(v);
}

unsigned vmm_jobs(const struct vmm *v)
{
	return v->jobs;
}

void vmm_close_if_idle(struct vmm *v)
{
	if (!v->closing || v->jobs)
		return;
	assert(v->on_idle);
	v->on_idle(v);
}

char *cvm_dir(const struct vmm *v, const char *uuid)
{
	return xasprintf("%s/cvms/%s", v->set.state_dir, uuid);
}

char *image_dir(const struct vmm *v, const char *image_name)
{
	return xasprintf("%s/%s", v->set.images_dir, image_name);
}

void cvm_domain_name(const char *uuid, char out[80])
{
	(void)snprintf(out, 80, "teepod-%s", uuid);
}
