/* SPDX-License-Identifier: Apache-2.0
 * lookup.h - the workspaces, CVMs, apps and capacity that a caller may see.
 */
#ifndef TEEPOD_API_CLOUD_LOOKUP_H
#define TEEPOD_API_CLOUD_LOOKUP_H

#include <stdint.h>
#include <jansson.h>
#include "base/err.h"
#include "vmm/vmm.h"

struct app_row;
struct call;
struct cvm_row;
struct workspace_row;

/* The workspace with slug or id ("ws_<n>") @slug: for tenants and readers their own, for operators
 * and admins any. ERR_NOT_FOUND for the workspaces of others too. */
int api_find_workspace(const struct call *c, const char *slug, struct workspace_row *ret,
		       struct err *e);

/* The workspace that ?workspace=@slug names. For a tenant that names another workspace the result
 * is 0 with an id that no workspace has: every search in it finds nothing. */
int api_named_workspace(const struct call *c, const char *slug, struct workspace_row *ret,
			struct err *e);

/* The CVM that @identifier names for this caller: in its own workspace, for operators in others
 * too; ?workspace=SLUG selects one. Return the same 404 for "does not exist" and "not yours", so
 * that the answer does not reveal which. */
int api_find_cvm(struct call *c, const char *identifier, struct cvm_row *ret, struct err *e);

/* Like api_find_cvm(), but an app id selects the oldest CVM of the app within one workspace.
 * ERR_CVM_AMBIGUOUS for an operator if the app is in several workspaces and not in the caller's
 * own. */
int api_find_first_cvm(struct call *c, const char *identifier, struct cvm_row *ret, struct err *e);

/* The app with id @identifier (40 hex digits, "app_" or "0x" before them allowed), searched where
 * api_find_cvm() searches. ERR_CVM_AMBIGUOUS as above. */
int api_find_app(struct call *c, const char *identifier, struct app_row *ret, struct err *e);

/* The manifest of @row as a new object. ERR_HOST if the stored text is not JSON. */
int api_load_manifest(const struct call *c, const struct cvm_row *row, json_t **ret, struct err *e);

/* Total and reserved capacity of the node. A caller who sees one workspace gets the reservations of
 * that workspace, and as free the amount that it may still reserve, which is at most the free
 * amount of the node. Totals of the node are hidden from this caller. */
int api_visible_capacity(const struct call *c, struct capacity_row rows[CAPACITY_ROWS],
			 struct err *e);

/* Name of the capacity row that limits @quota (enum quota). */
const char *quota_resource(int quota);

#endif
