/* SPDX-License-Identifier: Apache-2.0
 * apps.h - rows of apps, revisions and provisions. For the common rules of these functions see
 * db.h.
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
	char *manifest; /* app-compose.json text, owned; NULL where only the row is asked for */
	bool public_logs, public_sysinfo, public_tcbinfo, gateway_enabled, kms_enabled, secure_time;
	char storage_fs[8];
};

int apps_ensure(struct db *db, int64_t workspace, const char *app_id, const char *name,
		int64_t *ret_id, struct err *e);
int apps_find(struct db *db, int64_t workspace, const char *app_id, struct app_row *ret,
	      struct err *e);
int revisions_ensure(struct db *db, const struct revision_row *row, int64_t *ret_id, struct err *e);
/* Manifest text of a revision, malloc'd. */
int revisions_manifest(struct db *db, int64_t id, char **ret, struct err *e);
/* A provision: everything a later create needs, as validated JSON text. Kept 14 days. */
int provisions_put(struct db *db, int64_t workspace, const char *app_id, const char *compose_hash,
		   const char *request, const char *manifest, int64_t expires_ms, struct err *e);
/* A CVM was made from it, or changed to it: it may be dropped when room is needed. */
int provisions_set_used(struct db *db, int64_t workspace, const char *app_id,
			const char *compose_hash, struct err *e);
/* As ops_prune(), of those that expired before @now_ms. */
int provisions_prune(struct db *db, int64_t now_ms, struct err *e);
/* @app_id "" = any. Texts malloc'd. Expired ones are not found. */
int provisions_get(struct db *db, int64_t workspace, const char *app_id, const char *compose_hash,
		   char **ret_request, char **ret_manifest, char ret_app_id[APP_ID_TEXT],
		   struct err *e);
/* Drop the oldest provisions that were used, at most @most. Returns how many. */
int provisions_drop(struct db *db, int64_t workspace, int most, struct err *e);

#endif
