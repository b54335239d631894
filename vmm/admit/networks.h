/* SPDX-License-Identifier: Apache-2.0
 * networks.h - a CVM's network interfaces as text: "user,bridge:br0", first interface first.
 *
 * The text is what a row holds and what the configuration's default is. Resolved at admission and
 * kept: the number of interfaces is measured.
 */
#ifndef TEEPOD_VMM_ADMIT_NETWORKS_H
#define TEEPOD_VMM_ADMIT_NETWORKS_H

#include <stddef.h>

#include "base/err.h"
#include "vmm/virt/domain_spec.h"

/* IFNAMSIZ of Linux, with the NUL. */
enum { BRIDGE_TEXT = 16, NETWORKS_TEXT = 512 };

struct network {
	enum nic_mode mode;
	char bridge[BRIDGE_TEXT]; /* NIC_BRIDGE */
};

/* "" is one user interface. ERR_INVALID names @field, the entry and what is allowed. */
int networks_parse(const char *field, const char *text, struct network out[DOMAIN_NICS],
		   unsigned *ret_n, struct err *e);

void networks_format(const struct network *v, unsigned n, char out[NETWORKS_TEXT]);

/* Index of the first user interface: host ports are forwarded to it. -1: there is none. */
int networks_first_user(const struct network *v, unsigned n);

/* Is there a bridge of that name below @root ("" for the machine itself)? One stat() of a kernel
 * file. */
bool network_bridge_exists(const char *root, const char *bridge);

#endif
