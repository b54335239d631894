/* SPDX-License-Identifier: Apache-2.0
 * owner.h - which host and folder own the database (owner.c).
 */
#ifndef TEEPOD_VMM_NODE_OWNER_H
#define TEEPOD_VMM_NODE_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct vmm;

/* At start: become the owner if the database has none. If another host or folder owns it, the
 * reason is readable with vmm_foreign(), and 0 is returned. */
int owner_check(struct vmm *v, struct err *e);
/* 0 if CVMs and images may be changed. ERR_NODE_CLOSED while this node does not own the state
 * folder. */
int owner_allows(const struct vmm *v, struct err *e);
/* Make this host and folder the owner (teepod --accept-host). No daemon may run on the folder.
 * @lock takes the state lock of a folder. *ret_changed: false if it was the owner already. */
int vmm_accept_host(const char *state_dir, const char *host_root,
		    int (*lock)(const char *dir, struct err *e), bool *ret_changed, struct err *e);

#endif
