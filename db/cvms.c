/* SPDX-License-Identifier: Apache-2.0
 * cvms.c - rows of CVMs, joined with the columns of other tables that readers need.
 */
#include <assert.h>
#include <stdlib.h>

#include "db/cvms.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/sql.h"
#include "db/workspaces.h"

/* A damaged row may have any amount. Sums, and products with 1 GiB, must not overflow. */
#define AMOUNT_MAX (INT64_C(1) << 32)

/* A CVM without gpu_attach has no devices (check.c). */
#define DEVICES_OF(kind)                                                                     \
	" iif(c.gpu_attach = '', 0, (SELECT count(*) FROM devices d WHERE d.cvm = c.id AND " \
	"d.kind = '" kind "' AND d.part <> 'other')),"
#define CVM_COLUMNS                                                                              \
	"SELECT c.id, c.uuid, c.workspace, c.app, c.revision, c.image, c.name, c.app_id, "       \
	"c.instance_id,"                                                                         \
	" c.instance_type, c.vcpus, c.memory_mib, c.disk_gib, c.disk_made, c.holds_cpu, c.cid, " \
	"c.tdx, c.listed, c.desired,"                                                            \
	" c.observed, c.paused, c.boot, c.created_ms, c.started_ms, c.stopped_ms, "              \
	"c.boot_progress, c.boot_error,"                                                         \
	" c.shutdown_progress, c.tdx_policy, c.mr_owner, c.mr_owner_config, c.networks, "        \
	"c.hugepages, c.pin_numa,"                                                               \
	" c.numa_nodes, c.gpu_attach, c.given_vcpus, c.given_memory_mib,"                        \
	" c.generation, c.restart_policy, c.auto_start, c.start_order, c.ended, c.turn, "        \
	"c.restart_attempts, c.restart_next_ms, c.restart_exhausted,"
#define JOINED_COLUMNS                                                                            \
	" c.held_host_ports,"                                                                     \
	" r.compose_hash, r.public_logs, r.public_sysinfo, r.public_tcbinfo, r.gateway_enabled, " \
	"r.secure_time,"                                                                          \
	" r.storage_fs, i.name, i.version, i.os_image_hash, i.is_dev, i.serial_progress, o.id, "  \
	"o.kind, o.started_ms"
#define CVM_SELECT CVM_COLUMNS DEVICES_OF("gpu") DEVICES_OF("nvswitch") JOINED_COLUMNS
#define CVM_JOINS                                                                \
	" JOIN revisions r ON r.id = c.revision JOIN images i ON i.id = c.image" \
	" LEFT JOIN operations o ON o.cvm = c.id AND o.state = 'running'"
#define CVM_FROM " FROM cvms c" CVM_JOINS

static void read_cvm_policy(struct db *db, sqlite3_stmt *st, int k, struct cvm_policy *p)
{
	p->generation = sqlite3_column_int64(st, k++);
	p->restart =
		(enum restart_policy)sql_word(db, st, k++, restart_policy_word, RESTART_POLICIES);
	p->auto_start = sqlite3_column_int(st, k++);
	p->start_order = sqlite3_column_int64(st, k++);
	p->ended = (enum ended)sql_word(db, st, k++, ended_word, ENDED_MAX);
	p->turn = (enum turn_for)sql_word(db, st, k++, turn_word, TURN_MAX);
	p->attempts = sqlite3_column_int64(st, k++);
	p->next_ms = sqlite3_column_int64(st, k++);
	p->exhausted = sqlite3_column_int(st, k);
}

static void read_cvm_row(struct db *db, sqlite3_stmt *st, void *row)
{
	enum { POLICY_COLUMNS = 9 };
	struct cvm_row *c = row;
	int k = 0;

	*c = (struct cvm_row){ .id = sqlite3_column_int64(st, k++) };
	sql_text(st, k++, c->uuid, sizeof(c->uuid));
	c->workspace = sqlite3_column_int64(st, k++);
	c->app = sqlite3_column_int64(st, k++);
	c->revision = sqlite3_column_int64(st, k++);
	c->image = sqlite3_column_int64(st, k++);
	sql_text(st, k++, c->name, sizeof(c->name));
	sql_text(st, k++, c->app_id, sizeof(c->app_id));
	sql_text(st, k++, c->instance_id, sizeof(c->instance_id));
	sql_text(st, k++, c->instance_type, sizeof(c->instance_type));
	c->vcpus = sql_range(db, st, k++, 0, AMOUNT_MAX);
	c->memory_mib = sql_range(db, st, k++, 0, AMOUNT_MAX);
	c->disk_gib = sql_range(db, st, k++, 0, AMOUNT_MAX);
	c->disk_made = sql_range(db, st, k++, 0, AMOUNT_MAX);
	c->holds_cpu = sqlite3_column_int(st, k++);
	c->cid = (uint32_t)sql_range(db, st, k++, 3, UINT32_MAX);
	c->tdx = sqlite3_column_int(st, k++);
	c->listed = sqlite3_column_int(st, k++);
	c->desired = (enum desired)sql_word(db, st, k++, desired_word, DESIRED_MAX);
	c->observed = (enum observed)sql_word(db, st, k++, observed_word, OBSERVED_MAX);
	c->paused = (enum paused)sql_word(db, st, k++, paused_word, PAUSED_MAX);
	c->boot = sqlite3_column_int64(st, k++);
	c->created_ms = sqlite3_column_int64(st, k++);
	c->started_ms = sqlite3_column_int64(st, k++);
	c->stopped_ms = sqlite3_column_int64(st, k++);
	sql_text(st, k++, c->boot_progress, sizeof(c->boot_progress));
	sql_text(st, k++, c->boot_error, sizeof(c->boot_error));
	sql_text(st, k++, c->shutdown_progress, sizeof(c->shutdown_progress));
	c->tdx_policy = sqlite3_column_int64(st, k++);
	sql_text(st, k++, c->mr_owner, sizeof(c->mr_owner));
	sql_text(st, k++, c->mr_owner_config, sizeof(c->mr_owner_config));
	sql_text(st, k++, c->networks, sizeof(c->networks));
	c->hugepages = sqlite3_column_int(st, k++);
	c->pin_numa = sqlite3_column_int(st, k++);
	sql_numbers(db, st, k++, c->numa_nodes, sizeof(c->numa_nodes));
	sql_text(st, k++, c->gpu_attach, sizeof(c->gpu_attach));
	c->given_vcpus = sql_range(db, st, k++, 0, AMOUNT_MAX);
	c->given_memory_mib = sql_range(db, st, k++, 0, AMOUNT_MAX);
	read_cvm_policy(db, st, k, &c->policy);
	k += POLICY_COLUMNS;
	c->gpus = sqlite3_column_int64(st, k++);
	c->nvswitches = sqlite3_column_int64(st, k++);
	c->host_ports = sqlite3_column_int64(st, k++);
	sql_text(st, k++, c->compose_hash, sizeof(c->compose_hash));
	c->public_logs = sqlite3_column_int(st, k++);
	c->public_sysinfo = sqlite3_column_int(st, k++);
	c->public_tcbinfo = sqlite3_column_int(st, k++);
	c->gateway_enabled = sqlite3_column_int(st, k++);
	c->secure_time = sqlite3_column_int(st, k++);
	sql_text(st, k++, c->storage_fs, sizeof(c->storage_fs));
	sql_text(st, k++, c->image_name, sizeof(c->image_name));
	sql_text(st, k++, c->image_version, sizeof(c->image_version));
	sql_text(st, k++, c->image_hash, sizeof(c->image_hash));
	c->image_dev = sqlite3_column_int(st, k++);
	c->serial_progress = sqlite3_column_int(st, k++);
	sql_text(st, k++, c->op_id, sizeof(c->op_id));
	if (c->op_id[0])
		c->op_kind = (enum op_kind)sql_word(db, st, k, op_kind_word, OP_KINDS);
	c->op_started_ms = sqlite3_column_int64(st, k + 1);
}

int cvms_insert(struct db *db, const struct cvm_row *c, const struct cvm_blobs *blobs,
		int64_t *ret_id, struct err *e)
{
	int r = sql_run(db, e,
			"INSERT INTO cvms (uuid, workspace, app, revision, image, name, app_id, "
			"instance_id, instance_type,"
			" vcpus, memory_mib, disk_gib, holds_cpu, cid, tdx, listed, desired, "
			"observed, created_ms,"
			" encrypted_env, user_config, networks, hugepages, pin_numa, numa_nodes, "
			"gpu_attach, given_vcpus,"
			" given_memory_mib, tdx_policy, mr_owner, mr_owner_config, restart_policy, "
			"auto_start, start_order) VALUES"
			" (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
			"?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			"siiiissssiiididdssibssddssiiisssdi", c->uuid, c->workspace, c->app,
			c->revision, c->image, c->name, c->app_id, c->instance_id, c->instance_type,
			c->vcpus, c->memory_mib, c->disk_gib, (int)c->holds_cpu, (int64_t)c->cid,
			(int)c->tdx, (int)c->listed, desired_word[c->desired],
			observed_word[c->observed], c->created_ms,
			(const void *)blobs->encrypted_env, blobs->encrypted_env_len,
			blobs->user_config, c->networks, (int)c->hugepages, (int)c->pin_numa,
			c->numa_nodes, c->gpu_attach, c->given_vcpus ? c->given_vcpus : c->vcpus,
			c->given_memory_mib ? c->given_memory_mib : c->memory_mib, c->tdx_policy,
			c->mr_owner, c->mr_owner_config, restart_policy_word[c->policy.restart],
			(int)c->policy.auto_start, c->policy.start_order);

	if (r < 0)
		return r;
	*ret_id = sqlite3_last_insert_rowid(db->conn);
	return 0;
}

int cvms_get(struct db *db, int64_t id, struct cvm_row *ret, struct err *e)
{
	return sql_row(db, sql_query(db, e, CVM_SELECT CVM_FROM " WHERE c.id = ?", "i", id),
		       read_cvm_row, ret, e);
}

int cvms_by_uuid(struct db *db, const char *uuid, struct cvm_row *ret, struct err *e)
{
	return sql_row(db, sql_query(db, e, CVM_SELECT CVM_FROM " WHERE c.uuid = ?", "s", uuid),
		       read_cvm_row, ret, e);
}

static void read_cvm_blobs(struct db *db, sqlite3_stmt *st, void *row)
{
	struct cvm_blobs *b = row;

	(void)db;
	b->encrypted_env = sql_blob_dup(st, 0, &b->encrypted_env_len);
	b->user_config = sql_text_dup(st, 1);
}

int cvms_blobs(struct db *db, int64_t id, struct cvm_blobs *ret, struct err *e)
{
	sqlite3_stmt *st = sql_query(
		db, e, "SELECT encrypted_env, user_config FROM cvms WHERE id = ?", "i", id);

	return sql_row(db, st, read_cvm_blobs, ret, e);
}

void cvm_blobs_free(struct cvm_blobs *b)
{
	free(b->encrypted_env);
	free(b->user_config);
	*b = (struct cvm_blobs){ 0 };
}

int cvms_find(struct db *db, int64_t workspace, enum cvm_key by, const char *value,
	      struct cvm_row *ret, size_t max, struct err *e)
{
	static const char *const sql[CVM_KEYS] = {
		[CVM_BY_UUID] =
			CVM_SELECT CVM_FROM " WHERE c.uuid = ?1 AND (?2 = 0 OR c.workspace = ?2)",
		[CVM_BY_ID] = CVM_SELECT CVM_FROM
		" WHERE c.id = CAST(?1 AS INTEGER) AND (?2 = 0 OR c.workspace = ?2)",
		[CVM_BY_NAME] = CVM_SELECT CVM_FROM
		" WHERE c.name = ?1 COLLATE NOCASE AND (?2 = 0 OR c.workspace = ?2) ORDER BY c.id",
		[CVM_BY_APP] = CVM_SELECT CVM_FROM
		" WHERE c.app_id = ?1 AND (?2 = 0 OR c.workspace = ?2) ORDER BY c.id",
		[CVM_BY_INSTANCE] =
			CVM_SELECT CVM_FROM " WHERE c.instance_id = ?1 AND c.instance_id <> '' AND "
					    "(?2 = 0 OR c.workspace = ?2)",
	};
	sqlite3_stmt *st = sql_query(db, e, sql[by], "si", value, workspace);
	size_t n = 0;
	int r;

	assert(by < CVM_KEYS);
	while ((r = sql_next(db, st, e)) > 0) {
		if (n < max)
			read_cvm_row(db, st, &ret[n]);
		n++;
	}
	return r < 0 ? r : (int)n;
}

/* What a list is limited to. Each has a statement of its own, so that each can use an index: SQLite
 * plans a statement once for all values, so a condition like "?1 = 0 OR workspace = ?1" uses none.
 */
enum cvm_scope { CVMS_OF_ALL, CVMS_OF_WORKSPACE, CVMS_OF_APP, CVM_SCOPES };

static enum cvm_scope cvm_scope_of(const struct cvm_filter *f)
{
	return f->app_id ? CVMS_OF_APP : f->workspace ? CVMS_OF_WORKSPACE : CVMS_OF_ALL;
}

/* ?1 workspace, ?2 app_id, ?3 search, ?4 image, ?5 type, ?6 listed, ?7 before_id */
#define IN_ALL(t)       " WHERE ?1 = ?1 AND ?2 IS NULL"
#define IN_WORKSPACE(t) " WHERE " t ".workspace = ?1 AND ?2 IS NULL"
#define IN_APP(t)       " WHERE " t ".app_id = ?2 AND (?1 = 0 OR " t ".workspace = ?1)"
#define CVM_MATCHES(t)                                                                           \
	" AND (?3 IS NULL OR instr(c.name, ?3) OR instr(c.app_id, ?3) OR instr(i.name, ?3)) AND" \
	" (?4 IS NULL OR i.name = ?4) AND (?5 IS NULL OR c.instance_type = ?5) AND"              \
	" (?6 < 0 OR c.listed = ?6) AND " t ".id < ?7"
#define OF_EACH_SCOPE(BEFORE, t, AFTER)                                            \
	{                                                                          \
		[CVMS_OF_ALL] = BEFORE IN_ALL(t) CVM_MATCHES(t) AFTER,             \
		[CVMS_OF_WORKSPACE] = BEFORE IN_WORKSPACE(t) CVM_MATCHES(t) AFTER, \
		[CVMS_OF_APP] = BEFORE IN_APP(t) CVM_MATCHES(t) AFTER              \
	}

static bool is_unfiltered(const struct cvm_filter *f)
{
	return !f->app_id && !f->search && !f->image && !f->instance_type && f->listed < 0 &&
	       !f->before_id;
}

#define FILTER_FORMAT "issssdi"
#define FILTER_ARGS(f)                                                                         \
	(f)->workspace, (f)->app_id, (f)->search, (f)->image, (f)->instance_type, (f)->listed, \
		(f)->before_id ? (f)->before_id : INT64_MAX

#define APP_FROM  " FROM apps a CROSS JOIN cvms c ON c.id = a.current_cvm"
#define IMAGE_FOR " JOIN images i ON i.id = c.image"
#define PAGE      " LIMIT ?8 OFFSET ?9"

/* Triggers maintain these counts. Deleted workspaces have no CVMs and no apps. */
static int count_unfiltered(struct db *db, int64_t workspace, bool apps, int64_t *ret,
			    struct err *e)
{
	struct workspace_row w;
	int r;

	if (!workspace)
		return sql_int(db, e, 0, ret,
			       apps ? "SELECT sum(apps) FROM workspaces WHERE deleted_ms = 0"
				    : "SELECT sum(cvms) FROM workspaces WHERE deleted_ms = 0",
			       "");
	r = workspaces_get(db, workspace, &w, e);
	if (r && r != -ERR_NOT_FOUND)
		return r;
	*ret = r ? 0 : apps ? w.apps : w.cvms;
	return 0;
}

/* One page of @rows_sql. @total_sql counts the rows unless triggers have counted them. */
static int list_cvm_page(struct db *db, const struct cvm_filter *f, const char *total_sql,
			 const char *rows_sql, bool apps, int64_t offset, int64_t limit,
			 struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e)
{
	int r = 0;

	if (ret_total && is_unfiltered(f))
		r = count_unfiltered(db, f->workspace, apps, ret_total, e);
	else if (ret_total)
		r = sql_int(db, e, 0, ret_total, total_sql, FILTER_FORMAT, FILTER_ARGS(f));
	if (r)
		return r;
	if (ret_total)
		limit = sql_page(limit, offset, *ret_total);
	return sql_rows(
		db, sql_query(db, e, rows_sql, FILTER_FORMAT "ii", FILTER_ARGS(f), limit, offset),
		read_cvm_row, ret, n, e);
}

int cvms_list(struct db *db, const struct cvm_filter *f, int64_t offset, int64_t limit,
	      struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e)
{
	static const char *const total[CVM_SCOPES] =
		OF_EACH_SCOPE("SELECT count(*) FROM cvms c" IMAGE_FOR, "c", "");
	static const char *const newest[CVM_SCOPES] =
		OF_EACH_SCOPE(CVM_SELECT CVM_FROM, "c", " ORDER BY c.id DESC" PAGE);
	enum cvm_scope scope = cvm_scope_of(f);

	return list_cvm_page(db, f, total[scope], newest[scope], false, offset, limit, ret, n,
			     ret_total, e);
}

int cvms_list_apps(struct db *db, const struct cvm_filter *f, int64_t offset, int64_t limit,
		   struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e)
{
	static const char *const total[CVM_SCOPES] =
		OF_EACH_SCOPE("SELECT count(*)" APP_FROM IMAGE_FOR, "a", "");
	static const char *const newest[CVM_SCOPES] =
		OF_EACH_SCOPE(CVM_SELECT APP_FROM CVM_JOINS, "a", " ORDER BY a.id DESC" PAGE);
	enum cvm_scope scope = cvm_scope_of(f);

	return list_cvm_page(db, f, total[scope], newest[scope], true, offset, limit, ret, n,
			     ret_total, e);
}

int cvms_set_disk(struct db *db, int64_t id, int64_t gib, int64_t made, struct err *e)
{
	return sql_exec_one(db, e, "UPDATE cvms SET disk_gib = ?, disk_made = ? WHERE id = ?",
			    "iii", gib, made, id);
}

int cvms_delete(struct db *db, int64_t id, struct err *e)
{
	int64_t app;
	int r = sql_int(db, e, 0, &app, "SELECT app FROM cvms WHERE id = ?", "i", id);

	if (!r)
		r = sql_exec_one(db, e, "DELETE FROM cvms WHERE id = ?", "i", id);
	if (!r)
		r = sql_run(db, e, "DELETE FROM apps WHERE id = ? AND cvms = 0", "i", app);
	return r < 0 ? r : 0;
}
