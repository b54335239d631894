/* SPDX-License-Identifier: Apache-2.0
 * device_id.c - the identity of a TDX platform, derived from its PPID.
 *
 * config_check.c compares it with host.device_id; settings.c reports it to clients.
 */
#include "daemon/device_id.h"

enum { PPID_BYTES = 16 };

void device_id_of_ppid(const char *ppid, char ret[SHA256_HEX])
{
	uint8_t raw[PPID_BYTES] = { 0 };

	(void)id_unhex(ppid, raw, sizeof(raw));
	id_sha256_hex(raw, sizeof(raw), ret);
}
