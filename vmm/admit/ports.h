/* SPDX-License-Identifier: Apache-2.0
 * ports.h - host ports of port forwards: rules, exclusivity, selection.
 */
#ifndef TEEPOD_VMM_ADMIT_PORTS_H
#define TEEPOD_VMM_ADMIT_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct port_request;
struct port_row;
struct vmm;

enum { CVM_PORTS_MAX = 64 };

/* The CVM that requests ports: a new one of @workspace (@cvm 0), or an existing one with the
 * forwards @own. */
struct ports_for {
	int64_t workspace, cvm;
	const struct port_row *own;
	size_t n_own;
	bool probed; /* ports were probed for this request once, and too few of them were free */
};

/* Check the rules and that each host port is free; choose a port where host_port is 0. Fills
 * @out[CVM_PORTS_MAX]. While a port was not probed, it fails with the error of
 * port_probe_missing(): see admission_retry(). */
int ports_resolve(struct vmm *v, const struct ports_for *w, const struct port_request *reqs,
		  size_t n, struct port_row *out, struct err *e);
/* True if @rows[n] contains the forward *p. */
bool ports_have(const struct port_row *rows, size_t n, const struct port_row *p);
/* The number of host ports that can be forwarded at the same time. */
int64_t ports_allowed(const struct vmm *v);

#endif
