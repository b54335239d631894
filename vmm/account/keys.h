/* SPDX-License-Identifier: Apache-2.0
 * keys.h - API keys.
 */
#ifndef TEEPOD_VMM_ACCOUNT_KEYS_H
#define TEEPOD_VMM_ACCOUNT_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct key_row;
struct vmm;

/* New key; its text (shown once) into @ret_key. Opens a turn of its own. */
enum { API_KEY_TEXT = 80 };

/* Which API key is this? ERR_UNAUTHENTICATED if none that opens anything now. More on keys and
 * workspaces: account.h. */
int vmm_authenticate(struct vmm *v, const char *api_key, struct key_row *ret, struct err *e);
int vmm_add_key(struct vmm *v, const char *workspace, const char *name, int role,
		char ret_key[API_KEY_TEXT], struct err *e);
/* The same on a database that a daemon may have open at this moment (teepod --add-key). @alone: the
 * caller holds the state lock, so that the file may be created or migrated. */
int vmm_add_key_offline(const char *state_dir, bool alone, const char *workspace, const char *name,
			int role, char ret_key[API_KEY_TEXT], struct err *e);

#endif
