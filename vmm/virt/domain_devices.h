/* SPDX-License-Identifier: Apache-2.0
 * domain_devices.h - internal to virt/: the <devices> element of a domain.
 */
#ifndef TEEPOD_VMM_VIRT_DOMAIN_DEVICES_H
#define TEEPOD_VMM_VIRT_DOMAIN_DEVICES_H

#include "vmm/virt/domain_spec.h"
#include "vmm/virt/xml_out.h"

/* Write the devices of @d. False if the root bus has too few slots. */
bool domain_devices(struct xml_out *o, const struct domain_spec *d);

#endif
