/* SPDX-License-Identifier: Apache-2.0
 * port_probe.h - which host ports other processes hold.
 */
#ifndef TEEPOD_VMM_ADMIT_PORT_PROBE_H
#define TEEPOD_VMM_ADMIT_PORT_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/logs/serial_scan.h"

struct port_row;
struct probing;
struct vmm;

struct probing *probing_new(void);
void probing_free(struct probing *p);

enum { PROBES_WANTED = 1024, PICK_PROBES = 8 }; /* in all; for one port to be picked */

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
/* Read from the host what the refusal @why says is not known: devices and NUMA nodes (unless
 * @inspected), or which ports other processes hold. True: @done will be called, and must apply the
 * request again before it returns. False: the refusal is final. */
bool admission_retry(struct vmm *v, const struct err *why, bool inspected, void (*done)(void *arg),
		     void *arg);

/* For tests: ports that the next probe tries; does a request wait for it? */
size_t port_probe_wanted_count(const struct vmm *v);
bool port_probe_has_waiters(const struct vmm *v);

#endif
