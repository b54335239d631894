/* SPDX-License-Identifier: Apache-2.0
 * device_state.c - whether a device of the host is offered to CVMs, and whether it is free.
 *
 * Pure: the result depends on the row and the settings only. admit/devices.c decides which free
 * device a request gets.
 */
#include <stdio.h>
#include <string.h>

#include "db/devices.h"
#include "vmm/host/device_state.h"
#include "vmm/host/pci.h"
#include "vmm/node/settings.h"

const char *const device_state_word[DEVICE_STATES] = {
	[DEVICE_FREE] = "free",
	[DEVICE_RESERVED] = "reserved",
	[DEVICE_IN_USE] = "in_use",
	[DEVICE_BROKEN] = "broken",
};

enum device_state device_state(const struct device_row *d, char why[DEVICE_WHY])
{
	*why = '\0';
	if (!d->present || d->broken_reason[0]) {
		(void)snprintf(why, DEVICE_WHY, "%s",
			       d->present ? d->broken_reason : "it is no longer on the PCI bus");
		return DEVICE_BROKEN;
	}
	if (d->cvm)
		return d->cvm_up ? DEVICE_IN_USE : DEVICE_RESERVED;
	if (pci_host_driver(d->driver))
		(void)snprintf(why, DEVICE_WHY, "bound to the host's driver %s", d->driver);
	else if (d->opened)
		(void)snprintf(why, DEVICE_WHY, "in use by another program (through vfio-pci)");
	return *why ? DEVICE_IN_USE : DEVICE_FREE;
}

static bool text_is_in_list(const char *const *list, const char *text)
{
	for (; list && *list; list++)
		if (!strcmp(*list, text))
			return true;
	return false;
}

bool device_offered(const struct gpu_settings *g, const struct device_row *d)
{
	if (!g->enabled || text_is_in_list(g->exclude, d->address))
		return false;
	if (d->kind == DEVICE_NVSWITCH)
		return true;
	return text_is_in_list(g->listing, d->product_id) &&
	       (!g->include || !*g->include || text_is_in_list(g->include, d->address));
}
