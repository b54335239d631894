/* SPDX-License-Identifier: Apache-2.0
 * serialize_workspace.h - workspaces and amounts of money as JSON.
 */
#ifndef TEEPOD_API_CLOUD_SERIALIZE_WORKSPACE_H
#define TEEPOD_API_CLOUD_SERIALIZE_WORKSPACE_H

#include <stdint.h>
#include <jansson.h>

struct call;
struct vmm;
struct workspace_row;

json_t *serialize_workspace(const struct call *c, const struct workspace_row *w);

/* The short form inside other objects: id, name, slug. null if the workspace cannot be read. */
json_t *serialize_workspace_ref(struct vmm *v, int64_t id);

/* Micro-units as a decimal number without trailing zeros: "-12.345678", "0". Returns @out. */
enum { MONEY_TEXT = 32 };
char *money_text(int64_t micro, char out[MONEY_TEXT]);

#endif
