/* SPDX-License-Identifier: Apache-2.0
 * monitor.h - internal to virt/ and its tests: reads answers of QEMU's human monitor.
 */
#ifndef TEEPOD_VMM_VIRT_MONITOR_H
#define TEEPOD_VMM_VIRT_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

enum forward_found {
	FORWARD_NONE,
	FORWARD_SAME,  /* to the same port of the guest */
	FORWARD_OTHER, /* to another port of the guest */
};

/* Pure. Find the forward of a host port in @reply, the answer to "info usernet". */
enum forward_found usernet_find(const char *reply, bool udp, const char *host_address,
				uint16_t host_port, uint16_t vm_port);

#endif
