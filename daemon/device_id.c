/* SPDX-License-Identifier: Apache-2.0
 * device_id.c - the identity of a TDX platform, derived from its PPID.
 *
 * config_check.c compares it with host.device_id; config_settings.c reports it to clients.
 */
#include <assert.h>
#include <stdbool.h>

#include "daemon/device_id.h"

enum { PPID_BYTES = 16 };

void device_id_of_ppid(const char *ppid, char ret[SHA256_HEX])
{
	uint8_t raw[PPID_BYTES] = { 0 };

	bool valid = id_unhex(ppid, raw, sizeof(raw));

	assert(valid); /* host.ppid accepts nothing else */
	id_sha256_hex(raw, sizeof(raw), ret);
}
