/* SPDX-License-Identifier: Apache-2.0
 * node_fixture.h - a node in a temporary folder, and calls that create and change its CVMs.
 *
 *     struct node_fixture *n = node_fixture_new("/tmp");
 *
 *     n->set.vcpus = 8;
 *     node_fixture_open(n);
 *     ...
 *     node_fixture_free(n);
 *
 * The address of the hypervisor is invalid: operations wait for it, everything else works. Test and
 * loop take turns in one thread. Each function fails the test if it cannot do what it is for.
 */
#ifndef TEEPOD_TESTS_UNIT_NODE_FIXTURE_H
#define TEEPOD_TESTS_UNIT_NODE_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>
#include "base/err.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/admit/request.h"
#include "vmm/cvm/power.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/op/op_begin.h"

struct node_fixture {
	char dir[40], images[56];
	uv_loop_t loop;
	struct vmm *v; /* NULL: not open */
	struct port_range ranges[1];
	struct vmm_settings set; /* used by node_fixture_open() */
};

/* A folder below @parent, a loop and default settings: 64 vCPUs, 8 GiB, 1000 GiB, 50 slots, no port
 * forwards, no limits of one CVM. */
struct node_fixture *node_fixture_new(const char *parent);
/* Allow port forwards of the host's ports from @first to @last. Before node_fixture_open(). */
void node_fixture_set_ports(struct node_fixture *n, uint16_t first, uint16_t last);
void node_fixture_open(struct node_fixture *n);
/* Apply the settings in n->set that a running node may change. */
void node_fixture_reload(struct node_fixture *n);
void node_fixture_close(struct node_fixture *n);
/* Close the node if it is open, and remove the folder. */
void node_fixture_free(struct node_fixture *n);
/* cmocka tear-down: close the open node in *st, check its database, and free it. */
int node_fixture_tear_down(void **st);

/* Run the loop for @ms milliseconds, and at least once. */
void node_fixture_run(struct node_fixture *n, int64_t ms);
/* Wait until the jobs started by opening (inspection of the host, first connection) have ended and
 * their rows are written. */
void node_fixture_come_to_rest(struct node_fixture *n);
/* All checks of the database pass. */
void node_fixture_check_db(const struct node_fixture *n);
/* The row of an image "<family>-1.<minor>.0", without files. */
void node_fixture_add_image(struct node_fixture *n, const char *family, unsigned minor, bool dev);
/* Reserved amount of "vcpus", "slots", ... */
int64_t node_fixture_reserved(const struct node_fixture *n, const char *resource);
struct op_row node_fixture_op(const struct node_fixture *n, const char *op_id);
/* Run the loop until the operation has ended. */
struct op_row node_fixture_finish_op(struct node_fixture *n, const char *op_id);
/* An app-compose object that is valid. */
json_t *node_fixture_manifest(const char *name);

/* A call about one CVM: the request, and the rows that the node returned. */
struct cvm_call {
	struct node_fixture *n;
	struct cvm_request request;
	struct power_request power;
	struct cvm_row row;
	struct op_row op;
};

extern const struct request_ref fixture_ref;

/* Apply @turn to @c in a turn transaction. Returns what the turn returned. */
int cvm_call_apply(struct cvm_call *c, int (*turn)(void *call, struct err *e), struct err *e);

/* [turn] For cvm_call_apply(); @call is a struct cvm_call. */
int cvm_call_create_turn(void *call, struct err *e);
/* [turn] call->power. */
int cvm_call_power_turn(void *call, struct err *e);
/* [turn] Reserve CPUs and memory for a CVM that holds none, or release them. */
int cvm_call_hold_cpu_turn(void *call, struct err *e);
/* [turn] Release and delete the row, as the last step of a delete does. */
int cvm_call_delete_turn(void *call, struct err *e);

/* Create a stopped CVM as a client's request does: if admission lacks facts about the host, they
 * are read, and the request is applied again. Fields of c->request that are 0 become 1 vCPU, 100
 * MiB, 1 GiB. */
int cvm_call_create(struct node_fixture *n, const char *name, struct cvm_call *c, struct err *e);

#endif
