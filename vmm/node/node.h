/* SPDX-License-Identifier: Apache-2.0
 * node.h - what all rooms of vmm/ share. Loop thread only.
 */
#ifndef TEEPOD_VMM_NODE_NODE_H
#define TEEPOD_VMM_NODE_NODE_H

#include <stdbool.h>
#include <stdint.h>

struct vmm;
struct db;
struct engine;
struct policies;
struct hypervisor;
struct billing;
struct capacity_state;
struct guests;
struct host_watch;
struct housekeeping;
struct image_store;
struct inventory;
struct measuring;
struct observer;
struct probing;
struct resumes;
struct turn;
struct vmm_settings;

/* A node that has only its settings: vmm_open() opens the rest. */
struct vmm *vmm_new(const struct vmm_settings *s);
/* Free the struct alone. */
void vmm_free(struct vmm *v);
const struct vmm_settings *vmm_settings(const struct vmm *v);
/* The host reported how many TDX key IDs it has. */
void vmm_set_tdx_keyids(struct vmm *v, int64_t keyids);
struct db *vmm_db(const struct vmm *v);
struct turn *vmm_turn(const struct vmm *v);
struct hypervisor *vmm_hv(const struct vmm *v);
struct probing *vmm_probing(const struct vmm *v);
struct capacity_state *vmm_capacity_state(const struct vmm *v);
struct billing *vmm_billing(const struct vmm *v);
struct inventory *vmm_inventory(const struct vmm *v);
struct image_store *vmm_image_store(const struct vmm *v);
struct guests *vmm_guests(const struct vmm *v);
struct measuring *vmm_measuring(const struct vmm *v);
struct host_watch *vmm_host_watch(const struct vmm *v);
struct housekeeping *vmm_housekeeping(const struct vmm *v);
struct engine *vmm_engine(const struct vmm *v);
struct observer *vmm_observer(const struct vmm *v);
struct resumes *vmm_resumes(const struct vmm *v);
struct policies *vmm_policies(const struct vmm *v);
/* Number of the workspace of hypervisor-wide callers: settings.workspace. */
int64_t vmm_default_workspace(const struct vmm *v);
/* Changes whenever a key may have been revoked: a reason to call vmm_key() again. */
uint64_t vmm_keys_generation(const struct vmm *v);
void vmm_note_keys_revoked(struct vmm *v);
/* A function that is true for names which no CVM may have, in any case of letters; NULL: no name is
 * reserved. Borrowed; set while the API is opened. */
typedef bool name_is_reserved_fn(const char *name);
name_is_reserved_fn *vmm_reserved_names(const struct vmm *v);
void vmm_reserve_names(struct vmm *v, name_is_reserved_fn *is_reserved);
/* The hypervisor is connected. */
bool vmm_is_linked(const struct vmm *v);
/* The first attempt to connect has ended, or none will be made. */
bool vmm_is_link_tried(const struct vmm *v);
/* Why the hypervisor is not connected; "" while it is. Valid until the next vmm_set_link(). */
const char *vmm_link_error(const struct vmm *v);
/* The connection came up, failed or was lost; @error (not NULL) gives the reason. Clears
 * vmm_is_settled(). */
void vmm_set_link(struct vmm *v, bool up, const char *error);
/* The domains were listed and recorded since the last connect: operations may continue. */
bool vmm_is_settled(const struct vmm *v);
void vmm_set_settled(struct vmm *v, bool settled);
/* vmm_close() was called: begin nothing new. */
bool vmm_is_closing(const struct vmm *v);
/* Size of the reason why the state folder does not belong to this node. */
enum { FOREIGN_TEXT = 200 };
/* That reason; "" if the state folder belongs to this node. Set once, by owner_check(). */
const char *vmm_foreign(const struct vmm *v);
void vmm_set_foreign(struct vmm *v, const char reason[FOREIGN_TEXT]);
/* When vmm_open() opened the database: ms of the wall clock. */
int64_t vmm_opened_ms(const struct vmm *v);
/* Number of the newest event that is committed. */
int64_t vmm_last_event(const struct vmm *v);

/* Jobs outside operations: a close waits for them. */
void vmm_job_begin(struct vmm *v);
void vmm_job_end(struct vmm *v);
/* Number of jobs that began and have not ended. */
unsigned vmm_jobs(const struct vmm *v);
/* When a job or an operation has ended: it may have been the last one a close waits for. */
void vmm_close_if_idle(struct vmm *v);

/* Paths, malloc'd. */
char *cvm_dir(const struct vmm *v, const char *uuid);
char *image_dir(const struct vmm *v, const char *image_name);
/* The domain's libvirt name. */
void cvm_domain_name(const char *uuid, char out[80]);

#endif
