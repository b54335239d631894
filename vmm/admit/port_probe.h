/* SPDX-License-Identifier: Apache-2.0
 * port_probe.h - find out which host ports other processes use (port_probe.c). Loop thread only.
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

/* Ports in one probe; ports tried for one request entry with host_port 0. */
enum { PROBES_WANTED = 1024, PICK_PROBES = 8 };

enum port_probe_state {
	PORT_UNPROBED,
	PORT_FREE,
	PORT_TAKEN, /* another process of the host uses it, or bind() failed for another reason */
};

/* The result of the probe whose waiters are being called. *ret, if PORT_TAKEN: -errno of bind(). */
enum port_probe_state port_probe_known(const struct vmm *v, const struct port_row *row, int *ret);
/* Add a port to the next probe. False if it is in it already, or its address is not allowed. */
bool port_probe_want(struct vmm *v, const struct port_row *row);
/* False: the port is certainly not in the next probe. */
bool port_probe_may_be_wanted(struct vmm *v, const struct port_row *row);
/* Let the next probe try every allowed port. */
void port_probe_want_all(struct vmm *v);
/* Fill in the error of a request whose ports must be probed first; test whether @e is that error.
 */
int port_probe_missing(const struct vmm *v, struct err *e);
bool port_probe_is_missing(const struct err *e);
/* If @why refused a request because the state of the host is not known, read that state: devices
 * and NUMA nodes (unless @inspected), or the ports that other processes use. Returns true if @done
 * will be called; it must apply the request again before it returns. False: the refusal is final.
 */
bool admission_retry(struct vmm *v, const struct err *why, bool inspected, void (*done)(void *arg),
		     void *arg);

/* For tests: the number of ports in the next probe; does a request wait for it? */
size_t port_probe_wanted_count(const struct vmm *v);
bool port_probe_has_waiters(const struct vmm *v);

#endif
