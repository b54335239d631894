/* SPDX-License-Identifier: Apache-2.0
 * apps.h - rows of apps, revisions and provisions. The rules for all row functions: db.h.
 */
#ifndef TEEPOD_DB_APPS_H
#define TEEPOD_DB_APPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"
#include "db/text.h"

struct app_row {
	int64_t id, workspace, cvms;
	char app_id[APP_ID_TEXT], name[NAME_TEXT];
	int64_t created_ms;
	int64_t current_cvm; /* newest live CVM, 0 if none */
};

struct revision_row {
	int64_t id, app;
	char compose_hash[SHA256_HEX];
	char *manifest; /* text of app-compose.json, owned; NULL if it was not read */
	bool public_logs, public_sysinfo, public_tcbinfo, gateway_enabled, kms_enabled, secure_time;
	char storage_fs[8];
};

int apps_ensure(struct db *db, int64_t workspace, const char *app_id, const char *name,
		int64_t *ret_id, struct err *e);
int apps_find(struct db *db, int64_t workspace, const char *app_id, struct app_row *ret,
	      struct err *e);
int revisions_ensure(struct db *db, const struct revision_row *row, int64_t *ret_id, struct err *e);
/* Text of a revision's manifest, malloc'd. */
int revisions_manifest(struct db *db, int64_t id, char **ret, struct err *e);
/* Store a provision: all that a later create needs, as validated JSON text. A provision with the
 * same key is replaced. */
int provisions_put(struct db *db, int64_t workspace, const char *app_id, const char *compose_hash,
		   const char *request, const char *manifest, int64_t expires_ms, struct err *e);
/* Mark the provision as used by a CVM: it may be removed when the workspace needs space. */
int provisions_set_used(struct db *db, int64_t workspace, const char *app_id,
			const char *compose_hash, struct err *e);
/* Like ops_prune(), for provisions that expired before @now_ms. */
int provisions_prune(struct db *db, int64_t now_ms, struct err *e);
/* The newest provision that has not expired. @app_id "": any app. Texts are malloc'd. */
int provisions_get(struct db *db, int64_t workspace, const char *app_id, const char *compose_hash,
		   char **ret_request, char **ret_manifest, char ret_app_id[APP_ID_TEXT],
		   struct err *e);
/* Delete the oldest used provisions, at most @most. Returns the number deleted. */
int provisions_drop(struct db *db, int64_t workspace, int most, struct err *e);

#endif
