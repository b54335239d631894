/* SPDX-License-Identifier: Apache-2.0
 * world.h - inside vmm/: the one struct everything hangs on, and who does what with it.
 *
 *   admit.c      what was asked for -> what it would become, or why not
 *   capacity.c   promises            ports.c     host ports      forwards.c  led to guests
 *   port_probe.c which ports other processes have
 *   place.c      devices and NUMA nodes for a CVM: devices.c chooses GPUs, placement.c shares of
 * nodes look.c       what devices and nodes the host has create.c     provision, create   power.c
 * start, stop, ... asked for update.c     a change asked for   change.c  what it makes of the CVM,
 * and what it takes replicate.c  another one like it engine.c     runs operations     steps.c what
 * their steps are observe.c    hypervisor events, reconciliation host_watch.c what the machine has,
 * read again now and then guest.c      what running guests say on their serial console; log
 * rotation records.c    what its rows may take in the database workspaces.c keys.c   who shares the
 * node; quota.c, billing.c, meter.c  how much of it, and for what price measure_ask.c  what a
 * verifier will see resume.c     lets guests go on that were paused for want of space restart.c
 * starts again what crashed        pace.c   what starts and ends by itself, a few at a time
 *   maintenance.c  no new CVMs, drain, policies of a CVM   owner.c  whose state folder this is
 */
#ifndef TEEPOD_VMM_NODE_WORLD_H
#define TEEPOD_VMM_NODE_WORLD_H

#include "db/apps.h"
#include "db/cvms.h"
#include "db/images.h"
#include "db/ledger.h"
#include "db/node.h"
#include "db/operations.h"
#include "db/ports.h"
#include "db/records.h"
#include "db/turn.h"
#include "vmm/admit/placement.h"
#include "vmm/cvm/update.h"
#include "vmm/virt/hypervisor.h"
#include "vmm/vmm.h"

struct change_row;
struct cvm_node_row;
struct cvm_policy;
struct device_row;
struct numa_row;
struct restart_row;

/* A host port to be tried; @address: index into the settings' port_addresses. */
struct port_probe {
	bool udp;
	uint16_t address, port;
	int result; /* 0: free; -errno of bind() */
};
enum { PROBES_WANTED = 1024, PICK_PROBES = 8 }; /* in all; for one port to be picked */
struct port_probes;

enum { FOREIGN_TEXT = sizeof(((struct maintenance_row *)NULL)->reason) };

struct op_run;
struct step_run;
struct guest;
struct host_watch;
struct clock_reading;
struct resumed;

struct vmm {
	struct vmm_settings set;
	struct db *db;
	struct turn *turn;
	struct hypervisor *hv;
	int64_t workspace;  /* the default one */
	int64_t last_event; /* number of the newest event that is committed */
	bool link_up;       /* connected */
	bool link_tried;    /* or was, or could not: the first attempt is over */
	bool settled;       /* reconciled since the last connect: operations may go on */
	char link_error[400];
	int64_t opened_ms;
	char foreign[FOREIGN_TEXT]; /* why the state folder is not this node's (owner.c); "" = it is
				     */
	bool look_due;              /* policies are looked at when this turn is over */
	bool more_to_prune;         /* the last portion of old rows was a full one */
	bool checkpoint_due;        /* for the file to shrink */
	struct shrinking {          /* records.c: a round through the workspaces near their limit */
		int64_t after;      /* the one that was looked at last; 0 = begin anew */
		bool dropped;       /* this round has dropped something */
	} shrinking[RECORDS];
	bool closing, close_begun;
	void (*closed)(void *arg, unsigned stuck);
	void *closed_arg;
	struct loop_timer *close_timer;
	unsigned demo_imports; /* under way; the node is not ready before they are over */
	unsigned jobs;         /* jobs under way, outside operations */
	struct {               /* jobs in the image store; image_store.c */
		struct store_job *first;
		unsigned running;
		bool alone;
	} store;
	unsigned late_looks;         /* at images, whose folder does not answer; image_look.c */
	struct measuring *measuring; /* measure_ask.c; NULL: nobody has asked yet */
	struct {                     /* look.c */
		struct look_waiter *waiting; /* for one that begins after they came */
		bool running, again;
		bool late; /* the one that runs is past its deadline */
		struct loop_timer *tell;
		char error[200]; /* why the last one found out less than it should */
		char said[120];  /* what the log was told last */
	} look;
	struct { /* port_probe.c */
		struct port_probe wanted[PROBES_WANTED];
		size_t n_wanted;
		size_t n_weighed;               /* of those who wait already */
		uint64_t wanted_ports[2][1024]; /* tcp, udp: a bit for each port that may be in
						   @wanted */
		bool heavy; /* the request that is being refused wants more than others */
		bool want_all, running;
		struct look_waiter *waiting;
		const struct port_probes *known; /* while those that waited for it are called */
	} probe;
	struct op_run *ops; /* running operations */
	unsigned n_ops;
	struct step_run *abandoned; /* jobs nobody waits for any longer; op_job.c */
	struct guest *guests;       /* running CVMs that are listened to */
	struct job *rotation;       /* of their logs; NULL: none is under way */
	struct host_watch *host;
	struct loop_timer *log_timer, *relist_timer, *keep_timer, *restart_timer, *capacity_timer;
	struct { /* billing.c */
		bool on;
		struct meter_clock clock;
		void (*read)(struct clock_reading *ret); /* tests have clocks of their own */
		struct loop_timer *timer;
	} billing;
	struct { /* resume.c */
		struct loop_timer *timer;
		struct resumed *list;
		bool polling;
	} resume;
	uint64_t keys_generation;
	bool (*name_is_reserved)(const char *name); /* NULL: no name is */
	uint32_t cid_hint;
	uint32_t port_hint[2]; /* tcp, udp: index into the allowed ports */
	char log_dir[512];
	uint64_t op_done[OP_KINDS][2]; /* succeeded, not */
	double op_seconds[OP_KINDS];
};

/* A guest runs, or is held. */
static inline bool cvm_is_up(const struct cvm_row *c)
{
	return c->observed == OBSERVED_RUNNING || c->observed == OBSERVED_PAUSED;
}

/* ------------------------------------------------------------------ paths (malloc'd) */
char *cvm_dir(const struct vmm *v, const char *uuid);
char *image_dir(const struct vmm *v, const char *image_name);
/* The domain's libvirt name. */
void cvm_domain_name(const char *uuid, char out[80]);

/* ------------------------------------------------------------------ events [turn] */
int event(struct vmm *v, const struct cvm_row *c, const char *op_id, const char *type,
	  struct err *e, const char *fmt, ...);
int event_op(struct vmm *v, const struct op_row *o, const char *type, struct err *e,
	     const char *fmt, ...);

/* ------------------------------------------------------------------ admit.c */
struct admission {
	struct cvm_row row; /* complete but for id, CID, uuid */
	struct image_row image;
	char *manifest;             /* app-compose.json text, owned */
	struct device_row *devices; /* chosen for it, owned */
	size_t n_devices;
	struct placement place;
	bool placed, fitted;          /* a change: it has another place; other devices */
	struct revision_row revision; /* flags and hash; manifest borrowed from above */
};
/* Pure with respect to capacity: rules, matching and names only. Free with admission_free(), also
 * after a failure. */
int admit(struct vmm *v, int64_t workspace, const struct cvm_ask *ask, struct admission *a,
	  struct err *e);
/* What @cvm would become: the same rules, for what @ask names. */
int admit_change(struct vmm *v, const struct cvm_row *cvm, const struct update_ask *ask,
		 struct admission *a, struct err *e);
void admission_free(struct admission *a);
/* Parts of it that need no database. */
int admit_name(const struct vmm *v, const char *name, struct err *e);
int admit_resources(const struct vmm *v, const struct cvm_ask *ask, struct cvm_row *c,
		    struct err *e);

/* ------------------------------------------------------------------ find.c */
/* CVMs of an app that are not being deleted, newest first; *ret malloc'd. */
int instances_of(struct vmm *v, int64_t workspace, const char *app_id, struct cvm_row **ret,
		 size_t *n, struct err *e);

/* ------------------------------------------------------------------ admit_machine.c */
/* Registers of a TD into the row, whose tdx is set; refused for an ordinary VM. */
int admit_registers(const struct cvm_ask *ask, struct cvm_row *c, struct err *e);
int admit_tee(struct vmm *v, const struct cvm_ask *ask, struct cvm_row *c, struct err *e);
int admit_networks(struct vmm *v, const struct cvm_ask *ask, struct cvm_row *c, struct err *e);
/* Ports can be led only to an interface on a user network. */
int admit_ports(const struct cvm_row *c, size_t n_ports, struct err *e);
int admit_volumes(const struct vmm *v, const json_t *manifest, struct err *e);
/* May @c run as what its row says it is? */
int tee_allows(const struct vmm *v, const struct cvm_row *c, struct err *e);

/* ------------------------------------------------------------------ capacity.c */
int capacity_set_up(struct vmm *v,
		    struct err *e); /* [turn] totals from the settings, promises from the rows */
/* The same in a turn of its own; a write that fails is tried again until it succeeds. */
void capacity_apply(struct vmm *v);
/* Number of TDX key IDs the host reported; -1 if unknown (the previous value stays in effect). */
void capacity_keyids_told(struct vmm *v, int64_t keyids);
int capacity_would_fit(struct vmm *v, const struct cvm_row *c, size_t n_ports, struct err *e);
/* The same for @after instead of @before, whose promises are given back. */
int capacity_change_would_fit(struct vmm *v, const struct cvm_row *before,
			      const struct cvm_row *after, size_t n_ports, struct err *e);
int capacity_reserve(struct vmm *v, struct cvm_row *c, size_t n_ports,
		     struct err *e); /* [turn] also picks the CID */
int capacity_release(struct vmm *v, const struct cvm_row *c, size_t n_ports,
		     struct err *e); /* [turn] */
/* [turn] What @other needs beyond @now, and @n_ports more: reserved, or given back. Not of NUMA
 * nodes. */
int capacity_reserve_more(struct vmm *v, const struct cvm_row *now, const struct cvm_row *other,
			  size_t n_ports, struct err *e);
int capacity_give_more(struct vmm *v, const struct cvm_row *now, const struct cvm_row *other,
		       size_t n_ports, struct err *e);
int capacity_hold_cpu(struct vmm *v, const struct cvm_row *c, bool hold,
		      struct err *e); /* [turn] */

/* ------------------------------------------------------------------ place.c: devices and NUMA
 * nodes */
/* An error that vmm_worth_a_look(): what the host has free is asked of the host itself before a CVM
 * is given some of it. */
int place_look_first(const char *field, struct err *e);
/* Choose devices and nodes for @ask, and fill what follows from them into @a. Nothing is promised.
 */
int place_admit(struct vmm *v, const struct cvm_ask *ask, struct admission *a, struct err *e);
/* Are the hugepages there? */
int place_would_fit(struct vmm *v, const struct admission *a, struct err *e);
/* [turn] For the CVM whose row was just inserted as @id. */
int place_reserve(struct vmm *v, int64_t id, const struct admission *a, struct err *e);
/* place_change.c: the same for a CVM that is there, when what @ask changes has to do with its
 * place; else @a keeps what it has. */
int place_change(struct vmm *v, const struct cvm_row *cvm, const struct update_ask *ask,
		 bool looked, struct admission *a, struct err *e);
/* [turn] What place_change() chose becomes the place of the CVM's other state. */
int place_plan(struct vmm *v, const struct cvm_row *cvm, const struct admission *a, struct err *e);
/* Parts of place.c for it. */
int place_choose_nodes(struct vmm *v, const struct cvm_ask *ask, const struct numa_row *nodes,
		       size_t n, struct admission *a, struct err *e);
int place_check_shares(struct vmm *v, const struct cvm_node_row *shares, size_t n, bool any_node,
		       struct err *e);
void place_fill(const struct cvm_ask *ask, struct admission *a);
/* [turn] Hugepages of a CVM whose row stays. */
int place_hold(struct vmm *v, const struct cvm_row *c, bool hold, struct err *e);
/* What the CVM was given, from its row. */
int place_of(struct vmm *v, const struct cvm_row *c, struct placement *ret, struct err *e);

/* ------------------------------------------------------------------ ports.c */
enum { CVM_PORTS_MAX = 64 };

/* For whom: a new CVM of the workspace, or one that is there and has ports of its own. */
struct ports_for {
	int64_t workspace, cvm;
	const struct port_row *own;
	size_t n_own;
	bool looked; /* ports were probed for this request before, and those were not enough */
};
/* Check rules and exclusivity, pick for host_port 0. Fills @out[CVM_PORTS_MAX]. Until a
 * probe has tried the ports it fails with the error of port_probe_missing(): see
 * vmm_look_again(). */
int ports_resolve(struct vmm *v, const struct ports_for *w, const struct port_ask *asks, size_t n,
		  struct port_row *out, struct err *e);
bool ports_have(const struct port_row *rows, size_t n, const struct port_row *p);
int64_t ports_allowed(const struct vmm *v); /* how many forwards there can be at a time */

/* ------------------------------------------------------------------ records.c */
#define PROVISION_KEPT_MS \
	(14LL * 24 * 3600 * 1000) /* the control plane's documented life of a provision */
/* [turn] After rows of a workspace were written: ERR_QUOTA if they are more than it may have and
 * none of them can be dropped. For provisions and revisions. */
int records_fit(struct vmm *v, int64_t workspace, enum record kind, struct err *e);
/* Percent of the limit that may be used by what a guest says, by a request, and by a delete or
 * stop. */
enum record_share { RECORDS_GUEST = 50, RECORDS_REQUEST = 100, RECORDS_GIVE_BACK = 125 };
/* [turn] Before: may any be written? ERR_QUOTA if not. For answers and events. */
int records_allow(struct vmm *v, int64_t workspace, enum record kind, enum record_share share,
		  struct err *e);
/* [turn] Forget a portion of what is older than its time, or more than its limit. */
int records_prune(struct vmm *v, bool *ret_more, struct err *e);

/* ------------------------------------------------------------------ look.c */
/* Those who wait for a look: told in the order they came, each once. */
enum {
	LOOK_SERVES = 8
}; /* by one look or probe, in weight: each applies its request in the same turn */
void look_wait(struct look_waiter **list, unsigned weight, void (*done)(void *arg), void *arg);
void look_tell(struct look_waiter **list);
/* The first LOOK_SERVES of @list, which keeps the others. */
struct look_waiter *look_take(struct look_waiter **list);

/* ------------------------------------------------------------------ port_probe.c */
enum port_probe_state {
	PORT_UNPROBED,
	PORT_FREE,
	PORT_TAKEN, /* by another process of the host, or it could not be tried */
};
/* *ret, if taken: -errno of bind(). */
enum port_probe_state port_probe_known(const struct vmm *v, const struct port_row *row, int *ret);
/* The next probe tries this port too. False if it would anyway. */
bool port_probe_want(struct vmm *v, const struct port_row *row);
/* False: surely nobody wants it yet. */
bool port_probe_may_be_wanted(struct vmm *v, const struct port_row *row);
/* The next probe tries every port of the ranges. */
void port_probe_want_all(struct vmm *v);
/* The error of a request whose ports have to be probed first; and is @e that? */
int port_probe_missing(const struct vmm *v, struct err *e);
bool port_probe_is_missing(const struct err *e);

/* ------------------------------------------------------------------ forwards.c */
/* [job] Lead the host ports to the running guest of @c, those that lead there already included. */
int forwards_add(struct hypervisor *hv, const struct cvm_row *c, const struct port_row *ports,
		 size_t n, bool fresh, struct err *e);
/* [job] The same, and no longer those of @from that are not among @to. A guest that ended meanwhile
 * has none: success. */
int forwards_change(struct hypervisor *hv, const struct cvm_row *c, const struct port_row *from,
		    size_t n_from, const struct port_row *to, size_t n_to, struct err *e);
/* A TD runs, whoever started it: see that its ports lead to it. Beside the loop; a failure is
 * logged. Other guests: nothing. */
void forwards_renew(struct vmm *v, const struct cvm_row *c, bool fresh);

/* ------------------------------------------------------------------ engine.c */
/* [turn] Insert an operation for @c and begin it after the commit; queued if another one runs. */
int op_begin(struct vmm *v, const struct cvm_row *c, enum op_kind kind, const char *params,
	     const struct request_ref *ref, struct op_row *ret, struct err *e);
/* ERR_BUSY while an operation runs on it. */
int op_idle(struct vmm *v, const struct cvm_row *c, struct err *e);
/* [turn] An operation that has nothing to do: recorded as succeeded. */
int op_record(struct vmm *v, const struct cvm_row *c, enum op_kind kind, const char *params,
	      const struct request_ref *ref, struct op_row *ret, struct err *e);
int ops_resume(struct vmm *v, struct err *e);
/* Something about the CVM changed: operations that wait look again. */
void ops_poke(struct vmm *v, int64_t cvm);
/* The hypervisor came (back): parked operations go on. */
void ops_unpark(struct vmm *v);
void ops_close(struct vmm *v);
/* Time to close is up: jobs that still run are given up. */
void ops_give_up(struct vmm *v);

/* ------------------------------------------------------------------ change.c: a CVM becomes
 * another */
struct change {
	struct admission a; /* .row: what it will be */
	bool differs[CHANGES];
	bool restart;           /* it runs, and none of this can be done to a running guest */
	struct cvm_blobs blobs; /* it will have, owned */
	struct port_row ports[CVM_PORTS_MAX];
	size_t n_ports, new_ports;
};
/* What @ask makes of @cvm, and whether that fits beside all others. Nothing is promised. Free with
 * change_free(), also after a failure. */
int change_plan(struct vmm *v, const struct cvm_row *cvm, const struct update_ask *ask, bool looked,
		struct change *ret, struct err *e);
void change_free(struct change *c);
/* [turn] Reserve the difference, and write down for operation @op what the CVM will be. */
int change_reserve(struct vmm *v, const struct cvm_row *cvm, const struct change *c, const char *op,
		   struct err *e);
/* [turn] The end of the change @x: what the CVM is not now is given back. */
int change_settle(struct vmm *v, const struct cvm_row *c, const struct change_row *x,
		  struct err *e);
/* [turn] An entry in the history of @c's app. @changed: JSON array. */
int change_remember(struct vmm *v, const struct cvm_row *c, const char *changed,
		    const struct op_row *op, struct err *e);

/* ------------------------------------------------------------------ power.c */
int power_timeout(unsigned *timeout_s, struct err *e); /* checked, or the default */
/* [turn] With its event; nothing if it is so already. */
int set_desired(struct vmm *v, const struct cvm_row *c, enum desired d, struct err *e);

/* ------------------------------------------------------------------ observe.c */
void observe_event(void *arg, const struct hv_event *ev);
void observe_link(void *arg, bool up, const struct err *e);
/* Ask libvirt for the state of the domain @uuid, or of all a second from now, and record it. */
void observe_look(struct vmm *v, const char *uuid);
/* Until the look is over, which wakes the operations of the CVM. */
bool observe_is_looking(const struct vmm *v, const char *uuid);
void observe_soon(struct vmm *v);
/* [turn] The domain of @c is now @o, and not paused. */
int observe_apply(struct vmm *v, const struct cvm_row *c, enum observed o, struct err *e);

/* ------------------------------------------------------------------ resume.c */
/* A guest may have been paused for want of space: look for it soon, and as long as one waits. */
void resume_look(struct vmm *v);
void resume_close(struct vmm *v);

/* ------------------------------------------------------------------ restart.c */
enum restart_do {
	RESTART_NOTHING, /* ... before @until (wall clock, ms; 0 = until something happens) */
	RESTART_FORGET,  /* one that is due no longer is */
	RESTART_GOOD,    /* it ran for long enough: the budget is whole again */
	RESTART_DUE_AT,  /* begin one at @until */
	RESTART_NOW,     /* begin it */
	RESTART_ENOUGH,  /* the budget is used up */
};
struct restart_decision {
	enum restart_do what;
	int64_t until;
	int64_t attempts; /* before this one, as they count now */
};
/* Pure: what is to be done about @r at @now (wall clock, ms). */
struct restart_decision restart_decide(const struct restart_settings *s,
				       const struct restart_row *r, int64_t now);
/* Look at all of them, and again when the next one is due. Not before the node is settled. */
void restart_look(struct vmm *v);
/* [turn] A client took over: the budget is whole, nothing is due, and it is no more its turn. */
int restart_reset(struct vmm *v, const struct cvm_row *c, struct err *e);

/* ------------------------------------------------------------------ pace.c */
/* [turn] Domains are known: what the end of the host took down waits for its turn to start. */
int pace_settled(struct vmm *v, struct err *e);
/* [turn] The same for one that is found lost later: when the first list could not be recorded. */
int pace_lost(struct vmm *v, const struct cvm_row *c, struct err *e);
/* Begin what may begin now. */
void pace_go(struct vmm *v);
/* The same inside a turn, for those who answer with what has begun. [turn] */
int pace_begin(struct vmm *v, struct err *e);
/* Something happened (an operation ended, a guest did, settings changed): restart_look() and
 * pace_go() when this turn is over. */
void policies_look(struct vmm *v);
/* The same @ms from now, in place of the timer that was set. */
void policies_look_at(struct vmm *v, int64_t ms);
/* turn_after() callback, @arg is the vmm: what could not be committed is tried again a second
 * later. */
void policies_written(void *arg, const struct err *e);

/* ------------------------------------------------------------------ owner.c */
/* At start: take the state folder if nobody owns it; fill v->foreign if somebody else does. */
int owner_check(struct vmm *v, struct err *e);
/* May anything be done to CVMs, or images? ERR_NODE_CLOSED while the state folder is not this
 * node's. */
int owner_allows(const struct vmm *v, struct err *e);

/* ------------------------------------------------------------------ maintenance.c */
/* May a CVM be added? ERR_NODE_CLOSED in maintenance. */
int maintenance_allows(struct vmm *v, struct err *e);
/* What @ask says, into *p. */
void policy_take(struct cvm_policy *p, const struct policy_ask *ask);

/* ------------------------------------------------------------------ host_watch.c */
/* Read the machine's facts in a job, unless one is under way. */
void host_watch_refresh(struct vmm *v);
void host_watch_free(struct vmm *v);

/* ------------------------------------------------------------------ guest.c */
void guest_listen(struct vmm *v, const struct cvm_row *c);
void guest_forget(struct vmm *v, int64_t cvm);
/* There may be more on its console than its row says. Operations look again when that is over. */
bool guest_is_unread(const struct vmm *v, int64_t cvm);
void guests_close(struct vmm *v);

/* ------------------------------------------------------------------ image_store.c */
void images_import_demo(struct vmm *v);
/* leftovers.c: remove temporary files that a killed daemon left in its state folder. Before
 * anything writes there. */
void leftovers_remove(const char *state_dir);
/* After the start: remove what imports left, and hold all images against what is recorded. */
void images_check(struct vmm *v);

void vmm_job_begin(struct vmm *v);
void vmm_job_end(struct vmm *v);
/* When a job or an operation has ended: it may have been the last one a close waits for. */
void vmm_close_if_idle(struct vmm *v);

#endif
