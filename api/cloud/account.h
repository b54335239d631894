/* SPDX-License-Identifier: Apache-2.0
 * account.h - what the routes of workspaces, tokens and money share.
 */
#ifndef TEEPOD_API_CLOUD_ACCOUNT_H
#define TEEPOD_API_CLOUD_ACCOUNT_H

#include "api/cloud/serialize_cvm.h"
#include "db/capacity.h"
#include "vmm/vmm.h"

struct workspace_row;

const char *role_text(enum role r);

/* 0, or ERR_UNAUTHENTICATED if the caller's key or certificate has ended, or its user id lost its
 * role, since the request was authenticated. For answers that go on, and for what is done later
 * than the head of the request came. Reads the database only after a key was revoked. */
int caller_still_valid(struct call *c, struct err *e);

/* A workspace by slug or "ws_<n>": the caller's own, for operators and admins any. Others' are not
 * told apart from none. */
int api_find_workspace(const struct call *c, const char *slug, struct workspace_row *ret,
		       struct err *e);

/* What the node has and has promised. To a caller who sees one workspace: what that one holds, as
 * promised, and beside it what it may still have, as far as the node has it free; no totals of the
 * node. */
int api_visible_capacity(const struct call *c, struct capacity_row rows[CAPACITY_ROWS],
			 struct err *e);

json_t *serialize_workspace(const struct call *c, const struct workspace_row *w);

/* Micro-units as a decimal number: "-12.345678", "0". */
enum { MONEY_TEXT = 32 };
char *money_text(int64_t micro, char out[MONEY_TEXT]);

#endif
