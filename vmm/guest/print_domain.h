/* SPDX-License-Identifier: Apache-2.0
 * print_domain.h - print the domain XML of a create request without a host.
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

/* Print the XML that a create of this request would define. Uses only the settings and the image:
 * no database, no hypervisor. A TD is printed on any host (tee auto: hypervisor.tee decides), with
 * vsock, and with a UUID derived from the request, so that the same request gives the same bytes.
 * The image is searched in images_dir, then in demo_images_dir. *ret is malloc'd. */
int vmm_print_domain(const struct vmm_settings *s, const struct cvm_request *req, char **ret,
		     struct err *e);

#endif
