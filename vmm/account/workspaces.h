/* SPDX-License-Identifier: Apache-2.0
 * workspaces.h - workspaces.
 */
#ifndef TEEPOD_VMM_ACCOUNT_WORKSPACES_H
#define TEEPOD_VMM_ACCOUNT_WORKSPACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct vmm;
struct workspace_row;

int vmm_workspace(struct vmm *v, int64_t id, struct workspace_row *ret, struct err *e);

#endif
