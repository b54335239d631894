/* SPDX-License-Identifier: Apache-2.0
 * domain_devices.h - the <devices> of a domain; a part of domain_xml.c that outgrew it.
 */
#ifndef TEEPOD_VMM_VIRT_DOMAIN_DEVICES_H
#define TEEPOD_VMM_VIRT_DOMAIN_DEVICES_H

#include "vmm/virt/domain_spec.h"
#include "vmm/virt/xml_out.h"

/* Returns false when the root bus has no slot left. */
bool domain_devices(struct xml_out *o, const struct domain_spec *d);

#endif
