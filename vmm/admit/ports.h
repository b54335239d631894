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

/* For whom: a new CVM of the workspace, or one that is there and has ports of its own. */
struct ports_for {
	int64_t workspace, cvm;
	const struct port_row *own;
	size_t n_own;
	bool probed; /* ports were probed for this request once, and too few of them were free */
};

/* Check rules and exclusivity, pick for host_port 0. Fills @out[CVM_PORTS_MAX]. Until a
 * probe has tried the ports it fails with the error of port_probe_missing(): see
 * admission_retry(). */
int ports_resolve(struct vmm *v, const struct ports_for *w, const struct port_request *asks,
		  size_t n, struct port_row *out, struct err *e);
bool ports_have(const struct port_row *rows, size_t n, const struct port_row *p);
int64_t ports_allowed(const struct vmm *v); /* how many forwards there can be at a time */

#endif
