/* SPDX-License-Identifier: Apache-2.0
 * owner.h - the host that owns the state folder.
 */
#ifndef TEEPOD_VMM_NODE_OWNER_H
#define TEEPOD_VMM_NODE_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct vmm;

/* At start: take the state folder if nobody owns it; call vmm_set_foreign() with the reason if
 * somebody else does. */
int owner_check(struct vmm *v, struct err *e);
/* May anything be done to CVMs, or images? ERR_NODE_CLOSED while the state folder is not this
 * node's. */
int owner_allows(const struct vmm *v, struct err *e);
/* Make this host the owner of the state folder (owner.c). No daemon may run on it. @lock takes the
 * state lock of a folder. *ret_changed: false when it was the owner already. */
int vmm_accept_host(const char *state_dir, const char *host_root,
		    int (*lock)(const char *dir, struct err *e), bool *ret_changed, struct err *e);

#endif
