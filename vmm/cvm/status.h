/* SPDX-License-Identifier: Apache-2.0
 * status.h - the status of a CVM, and its word in the API.
 */
#ifndef TEEPOD_VMM_CVM_STATUS_H
#define TEEPOD_VMM_CVM_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cvm_row;

enum status {
	STATUS_STOPPED,
	STATUS_STARTING,
	STATUS_RUNNING,
	STATUS_STOPPING,
	STATUS_SHUTTING_DOWN,
	STATUS_RESTARTING,
	STATUS_DELETING,
	STATUS_UPDATING,
	STATUS_CRASHED,
	STATUS_EXITED,
	STATUS_PAUSED,
	STATUS_RESUMING,
	STATUS_MAX
};

enum status cvm_status(const struct cvm_row *c);
const char *status_word(enum status s); /* the cloud's vocabulary, both versions */

#endif
