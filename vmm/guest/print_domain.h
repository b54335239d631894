/* SPDX-License-Identifier: Apache-2.0
 * print_domain.h - domain XML without a host.
 */
#ifndef TEEPOD_VMM_GUEST_PRINT_DOMAIN_H
#define TEEPOD_VMM_GUEST_PRINT_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/node/node.h"

struct cvm_request;
struct vmm_settings;

/* The XML a create of @ask would define, from the settings and the image alone: no database, no
 * host is asked. A TD is printed on any host (tee auto: what hypervisor.tee says), with vsock, and
 * with a UUID made from @ask's own values, so that the same request gives the same bytes. Images:
 * those of images_dir, else of demo_images_dir. *ret malloc'd. */
int vmm_print_domain(const struct vmm_settings *s, const struct cvm_request *ask, char **ret,
		     struct err *e);

#endif
