/* SPDX-License-Identifier: Apache-2.0
 * networks.h - a CVM's network interfaces as text: "user,bridge:br0", first interface first.
 *
 * The text is the form of cvms.networks and of the configuration's default. It is resolved at
 * admission and then kept, because the number of interfaces is measured.
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

/* "" means one user interface. ERR_INVALID names @field, the entry and the rule. */
int networks_parse(const char *field, const char *text, struct network out[DOMAIN_NICS],
		   unsigned *ret_n, struct err *e);

void networks_format(const struct network *v, unsigned n, char out[NETWORKS_TEXT]);

/* Index of the first user interface, to which host ports are forwarded; -1 if none. */
int networks_first_user(const struct network *v, unsigned n);

/* True if a bridge of that name exists below @root ("" for the machine itself). One access() of a
 * kernel file. */
bool network_bridge_exists(const char *root, const char *bridge);

#endif
