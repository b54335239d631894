/* SPDX-License-Identifier: Apache-2.0
 * device_id.h - the identity of a TDX platform, derived from its PPID.
 */
#ifndef TEEPOD_DAEMON_DEVICE_ID_H
#define TEEPOD_DAEMON_DEVICE_ID_H

#include "base/id.h"

/* SHA-256 of a PPID given as 32 hex digits, in hex. */
void device_id_of_ppid(const char *ppid, char ret[SHA256_HEX]);

#endif
