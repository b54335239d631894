/* SPDX-License-Identifier: Apache-2.0
 * check.c - consistency check of a database file, for teepod --check-db.
 *
 * It compares counts and sums that triggers and capacity.c maintain with the rows, and looks for
 * values that no reader accepts. A column with a rule in a reader (sql.h) needs a line in rules[]
 * here.
 */
#include "base/array.h"
#include "base/buf.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/changes.h"
#include "db/check.h"
#include "db/cvms.h"
#include "db/db.h"
#include "db/devices.h"
#include "db/held.h"
#include "db/history.h"
#include "db/operations.h"
#include "db/policies.h"
#include "db/sql.h"

/* Each row of each query is a finding. */
static const char *const checks[] = {
	"SELECT 'integrity: ' || integrity_check FROM pragma_integrity_check WHERE integrity_check "
	"<> 'ok'",
	"SELECT 'foreign key: row ' || coalesce(rowid, '?') || ' of ' || \"table\" || ' names a "
	"missing ' || parent"
	" FROM pragma_foreign_key_check",
	"SELECT 'capacity: ' || c.resource || ' promised ' || c.promised || ', rows hold ' || "
	"h.held FROM capacity c JOIN ("
	" SELECT 'vcpus' AS resource, (" VCPUS_HELD ") AS held"
	" UNION ALL SELECT 'memory_mib', (" MEMORY_HELD ")"
	" UNION ALL SELECT 'disk_gib', (" DISK_HELD ")"
	" UNION ALL SELECT 'slots', count(*) FROM cvms"
	" UNION ALL SELECT 'cids', count(*) FROM cvms"
	" UNION ALL SELECT 'tdx_keyids', coalesce(sum(tdx * holds_cpu), 0) FROM cvms"
	" UNION ALL SELECT 'host_ports', count(*) FROM ports) h ON h.resource = c.resource WHERE "
	"c.promised <> h.held",
	"SELECT 'NUMA node ' || n.node || ' promised ' || n.hugepages_promised || ' MiB of "
	"hugepages and ' || n.pinned_promised"
	" || ' MiB pinned, rows hold ' || h.huge || ' and ' || h.pinned FROM numa_nodes n JOIN "
	"(" NUMA_HELD ") h"
	" ON h.node = n.node WHERE n.hugepages_promised <> h.huge OR n.pinned_promised <> h.pinned",
	"SELECT 'device ' || d.address || ' is held by CVM ' || c.name || ', which asked for none' "
	"FROM devices d"
	" JOIN cvms c ON c.id = d.cvm WHERE c.gpu_attach = '' AND d.part <> 'other'",
	"SELECT 'CVM ' || c.name || ' holds no device of those it asked for' FROM cvms c WHERE "
	"c.gpu_attach <> ''"
	" AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.cvm = c.id AND d.part <> 'other')",
	"SELECT 'workspace ' || w.slug || ' counts ' || w.cvms || ' CVMs, has ' || (SELECT "
	"count(*) FROM cvms c WHERE"
	" c.workspace = w.id) FROM workspaces w WHERE w.cvms <> (SELECT count(*) FROM cvms c WHERE "
	"c.workspace = w.id)",
	"SELECT 'workspace ' || w.slug || ' counts ' || w.apps || ' apps, has ' || (SELECT "
	"count(*) FROM apps a WHERE"
	" a.workspace = w.id) FROM workspaces w WHERE w.apps <> (SELECT count(*) FROM apps a WHERE "
	"a.workspace = w.id)",
	"SELECT 'workspace ' || c.workspace || ' counts ' || c.n || ' operations ' || c.state || "
	"', has ' || (SELECT count(*)"
	" FROM operations o WHERE o.workspace = c.workspace AND o.state = c.state) FROM "
	"operation_counts c WHERE c.n <>"
	" (SELECT count(*) FROM operations o WHERE o.workspace = c.workspace AND o.state = "
	"c.state)",
	"SELECT 'workspace ' || o.workspace || ' has operations ' || o.state || ' that are not "
	"counted' FROM operations o"
	" WHERE NOT EXISTS (SELECT 1 FROM operation_counts c WHERE c.workspace = o.workspace AND "
	"c.state = o.state)"
	" GROUP BY o.workspace, o.state",
	"SELECT 'workspace ' || w.slug || ' counts ' || w.entries || ' entries of its ledger, has "
	"' || (SELECT count(*) FROM"
	" ledger l WHERE l.workspace = w.id) FROM workspaces w WHERE w.entries <> (SELECT count(*) "
	"FROM ledger l"
	" WHERE l.workspace = w.id)",
	"SELECT 'workspace ' || w.slug || ' counts ' || w.held_vcpus || ' vcpus, ' || "
	"w.held_memory_mib || ' MiB, '"
	" || w.held_disk_gib || ' GiB, ' || w.held_gpus || ' GPUs, its CVMs hold ' || h.vcpus || "
	"', ' || h.memory || ', '"
	" || h.disk || ', ' || h.gpus FROM workspaces w JOIN (SELECT w2.id, "
	"coalesce(sum(max(c.given_vcpus,"
	" coalesce(x.given_vcpus, 0)) * c.holds_cpu), 0) AS vcpus, "
	"coalesce(sum(max(c.given_memory_mib,"
	" coalesce(x.given_memory_mib, 0)) * c.holds_cpu), 0) AS memory, "
	"coalesce(sum(max(c.disk_gib,"
	" coalesce(x.disk_gib, 0))), 0) AS disk,"
	" coalesce(sum((SELECT count(*) FROM devices d WHERE d.cvm = c.id AND d.kind = 'gpu')), 0) "
	"AS gpus"
	" FROM workspaces w2 LEFT JOIN cvms c ON c.workspace = w2.id LEFT JOIN changes x ON x.cvm "
	"= c.id GROUP BY w2.id) h ON h.id = w.id WHERE"
	" (w.held_vcpus, w.held_memory_mib, w.held_disk_gib, w.held_gpus) <> (h.vcpus, h.memory, "
	"h.disk, h.gpus)",
	"SELECT 'workspace ' || w.slug || ' counts ' || w.held_host_ports || ' host ports, its "
	"CVMs hold ' || h.n"
	" FROM workspaces w JOIN (SELECT w2.id, count(p.host_port) AS n FROM workspaces w2 LEFT "
	"JOIN cvms c"
	" ON c.workspace = w2.id LEFT JOIN ports p ON p.cvm = c.id GROUP BY w2.id) h ON h.id = w.id"
	" WHERE w.held_host_ports <> h.n",
	"SELECT 'CVM ' || c.name || ' counts ' || c.held_host_ports || ' host ports, holds ' || "
	"(SELECT count(*) FROM ports p"
	" WHERE p.cvm = c.id) FROM cvms c WHERE c.held_host_ports <> (SELECT count(*) FROM ports p "
	"WHERE p.cvm = c.id)",
	"SELECT 'app ' || a.app_id || ' counts ' || a.bytes || ' bytes of revisions and history, "
	"has ' || h.bytes FROM apps a"
	" JOIN (SELECT a2.id, (SELECT coalesce(sum(256 + length(CAST(manifest AS BLOB))), 0) FROM "
	"revisions WHERE app = a2.id)"
	" + (SELECT 4096 * count(*) FROM history WHERE app = a2.id) AS bytes FROM apps a2) h ON "
	"h.id = a.id"
	" WHERE a.bytes <> h.bytes",
	"SELECT 'workspace ' || r.workspace || ' counts ' || r.bytes || ' bytes of ' || r.kind || "
	"', has ' || h.bytes"
	" FROM records r JOIN (SELECT r2.workspace, r2.kind, CASE r2.kind"
	" WHEN 'revisions' THEN (SELECT sum(bytes) FROM apps a WHERE a.workspace = r2.workspace)"
	" WHEN 'provisions' THEN (SELECT sum(256 + length(CAST(request AS BLOB)) + "
	"length(CAST(manifest AS BLOB)))"
	" FROM provisions p WHERE p.workspace = r2.workspace)"
	" WHEN 'answers' THEN (SELECT sum(512 + coalesce(length(CAST(body AS BLOB)), 0)) FROM "
	"idempotency i"
	" WHERE i.workspace = r2.workspace)"
	" WHEN 'events' THEN (SELECT sum(160 + length(CAST(data AS BLOB))) FROM events v WHERE "
	"v.workspace = r2.workspace)"
	" END AS bytes FROM records r2) h ON h.workspace = r.workspace AND h.kind = r.kind"
	" WHERE r.bytes <> coalesce(h.bytes, 0)",
	"SELECT 'workspace ' || w.slug || ' has a balance of ' || w.balance || ', its ledger ' || "
	"(SELECT"
	" coalesce(sum(l.amount), 0) FROM ledger l WHERE l.workspace = w.id) FROM workspaces w "
	"WHERE w.balance <>"
	" (SELECT coalesce(sum(l.amount), 0) FROM ledger l WHERE l.workspace = w.id)",
	"SELECT 'ledger: ' || cvm_name || ' is charged twice from ' || from_ms FROM (SELECT "
	"cvm_name, from_ms, lag(to_ms)"
	" OVER (PARTITION BY cvm_uuid ORDER BY from_ms) AS before FROM ledger WHERE kind = "
	"'charge') WHERE from_ms < before",
	"SELECT 'meter: of ' || m.cvm_name || ', which is no CVM' FROM meters m WHERE NOT EXISTS"
	" (SELECT 1 FROM cvms c WHERE c.id = m.cvm)",
	"SELECT 'workspace ' || w.slug || ' is deleted and has CVMs or keys' FROM workspaces w "
	"WHERE w.deleted_ms > 0 AND"
	" (w.cvms > 0 OR EXISTS (SELECT 1 FROM api_keys k WHERE k.workspace = w.id AND "
	"k.revoked_ms = 0))",
	"SELECT 'API key ' || k.id || ' may more than key ' || p.id || ', which made it' FROM "
	"api_keys k"
	" JOIN api_keys p ON p.id = k.parent WHERE k.revoked_ms = 0 AND (p.revoked_ms > 0 OR "
	"k.role > p.role"
	" OR (p.expires_ms > 0 AND (k.expires_ms = 0 OR k.expires_ms > p.expires_ms))"
	" OR (p.per_minute > 0 AND (k.per_minute = 0 OR k.per_minute > p.per_minute)))",
	"SELECT 'app ' || a.app_id || ' counts ' || a.cvms || ' CVMs, has ' || (SELECT count(*) "
	"FROM cvms c WHERE"
	" c.app = a.id) FROM apps a WHERE a.cvms <> (SELECT count(*) FROM cvms c WHERE c.app = "
	"a.id)",
	"SELECT 'events: numbers ' || min(seq) || ' to ' || max(seq) || ' hold ' || count(*) || ' "
	"rows' FROM events"
	" HAVING count(*) > 0 AND max(seq) - min(seq) + 1 <> count(*)",
	"SELECT 'operation ' || o.id || ' (' || o.kind || ', ' || o.state || ') has no CVM' FROM "
	"operations o"
	" WHERE o.state IN ('queued', 'running') AND NOT EXISTS (SELECT 1 FROM cvms c WHERE c.id = "
	"o.cvm)",
	"SELECT 'change of CVM ' || c.name || ' belongs to operation ' || x.op || ', which does "
	"not run' FROM changes x"
	" JOIN cvms c ON c.id = x.cvm WHERE NOT EXISTS (SELECT 1 FROM operations o WHERE o.id = "
	"x.op AND o.state = 'running')",
	"SELECT 'CVM ' || c.name || ' is not changed, and has ' || p.protocol || ' port ' || "
	"p.host_port || ' in one of two states'"
	" FROM ports p JOIN cvms c ON c.id = p.cvm WHERE p.vm_port <> p.other_vm_port"
	" AND NOT EXISTS (SELECT 1 FROM changes x WHERE x.cvm = c.id)",
	"SELECT 'CVM ' || c.name || ' is not changed, and has device ' || d.address || ' in one of "
	"two states'"
	" FROM devices d JOIN cvms c ON c.id = d.cvm WHERE d.part <> 'both'"
	" AND NOT EXISTS (SELECT 1 FROM changes x WHERE x.cvm = c.id)",
	"SELECT 'CVM ' || c.name || ' is not changed, and has shares of NUMA node ' || a.node || ' "
	"in one of two states'"
	" FROM cvm_nodes a JOIN cvms c ON c.id = a.cvm WHERE (a.hugepages_mib <> "
	"a.other_hugepages_mib"
	" OR a.pinned_mib <> a.other_pinned_mib) AND NOT EXISTS (SELECT 1 FROM changes x WHERE "
	"x.cvm = c.id)",
};

#define SIZE(type, member) sizeof(((type *)0)->member)
#define NATURAL(column)    column " BETWEEN 0 AND 2147483647"

/* Rules of columns (sql.h), each with the column that identifies its rows. */
static const struct rule {
	const char *table, *row, *column;
	const char *good; /* SQL condition; NULL: one of the words */
	const char *const *words;
	size_t n; /* number of @words; without: size of the reader's buffer, 0 = any length */
} rules[] = {
	{ "cvms", "name", "desired", NULL, desired_word, DESIRED_MAX },
	{ "cvms", "name", "observed", NULL, observed_word, OBSERVED_MAX },
	{ "cvms", "name", "paused", NULL, paused_word, PAUSED_MAX },
	{ "cvms", "name", "restart_policy", NULL, restart_policy_word, RESTART_POLICIES },
	{ "cvms", "name", "ended", NULL, ended_word, ENDED_MAX },
	{ "cvms", "name", "turn", NULL, turn_word, TURN_MAX },
	{ "cvms", "name", "cid", "cid BETWEEN 3 AND 4294967295", NULL, 0 },
	{ "cvms", "name", "numa_nodes", "numa_nodes NOT GLOB '*[^0-9,]*'", NULL, 0 },
	{ "operations", "id", "kind", NULL, op_kind_word, OP_KINDS },
	{ "operations", "id", "state", NULL, op_state_word, OP_STATES },
	{ "operations", "id", "params", "json_valid(params)", NULL, SIZE(struct op_row, params) },
	{ "operations", "id", "error", "(error = '' OR json_valid(error))", NULL,
	  SIZE(struct op_row, error) },
	{ "devices", "address", "kind", NULL, device_kind_word, DEVICE_KINDS },
	{ "api_keys", "id", "role", "role BETWEEN 1 AND 4", NULL, 0 },
	{ "images", "name", "nv", "nv IN (3, 4)", NULL, 0 },
	{ "images", "name", "v0", NATURAL("v0"), NULL, 0 },
	{ "images", "name", "v1", NATURAL("v1"), NULL, 0 },
	{ "images", "name", "v2", NATURAL("v2"), NULL, 0 },
	{ "images", "name", "v3", NATURAL("v3"), NULL, 0 },
	{ "maintenance", "id", "timeout_s", NATURAL("timeout_s"), NULL, 0 },
	{ "numa_nodes", "node", "node", NATURAL("node"), NULL, 0 },
	{ "devices", "address", "numa_node", NATURAL("numa_node"), NULL, 0 },
	{ "ports", "host_port", "vm_port", "vm_port BETWEEN 0 AND 65535", NULL, 0 },
	{ "ports", "host_port", "other_vm_port", "other_vm_port BETWEEN 0 AND 65535", NULL, 0 },
	{ "ports", "host_port", "host_port", "host_port BETWEEN 1 AND 65535", NULL, 0 },
	{ "changes", "op", "changed", "json_valid(changed)", NULL,
	  SIZE(struct change_row, changed) },
	{ "changes", "op", "numa_nodes", "numa_nodes NOT GLOB '*[^0-9,]*'", NULL, 0 },
	{ "history", "id", "changed", "json_valid(changed)", NULL,
	  SIZE(struct history_row, changed) },
	{ "revisions", "id", "manifest", "json_valid(manifest)", NULL, 0 },
	{ "provisions", "compose_hash", "request", "json_valid(request)", NULL, 0 },
	{ "provisions", "compose_hash", "manifest", "json_valid(manifest)", NULL, 0 },
	{ "idempotency", "key", "status", "status BETWEEN 100 AND 599", NULL, 0 },
	{ "idempotency", "key", "body", "json_valid(body)", NULL, 0 },
	{ "events", "seq", "data", "json_valid(data)", NULL, 0 },
};

static char *rule_sql(const struct rule *c)
{
	auto_buf struct buf good = { 0 };

	if (c->good) {
		buf_puts(&good, c->good);
		if (c->n)
			buf_printf(&good, " AND length(CAST(%s AS BLOB)) < %zu", c->column, c->n);
	} else {
		for (size_t i = 0; i < c->n; i++)
			buf_printf(&good, "%s'%s'", i ? ", " : "", c->words[i]);
		buf_puts(&good, ")");
	}
	return xasprintf("SELECT '%s.%s of row ' || %s || ' is ' || substr(quote(%s), 1, 80) ||"
			 " ', which no reader accepts' FROM %s WHERE NOT coalesce((%s%s%s), 1)",
			 c->table, c->column, c->row, c->column, c->table, c->good ? "" : c->column,
			 c->good ? "" : " IN (", good.data);
}

/* Not through the statement cache: the text of a rule is not static. */
static int run_check(struct db *db, const char *sql, struct buf *out, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->conn, sql, -1, &st, NULL), n = 0;

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(st);
		if (rc != SQLITE_ROW)
			break;
		buf_printf(out, "%s\n", (const char *)sqlite3_column_text(st, 0));
		n++;
	}
	if (rc != SQLITE_DONE)
		n = sql_error(db, "check", e);
	(void)sqlite3_finalize(st);
	return n;
}

static int run_rule(struct db *db, const struct rule *c, struct buf *out, struct err *e)
{
	auto_free char *sql = rule_sql(c);

	return run_check(db, sql, out, e);
}

int db_check(const char *path, struct buf *out, struct err *e)
{
	struct db *db = NULL;
	int findings = 0, r = db_open_read(path, &db, e);

	for (size_t i = 0; !r && i < ARRAY_SIZE(checks) + ARRAY_SIZE(rules); i++) {
		int n = i < ARRAY_SIZE(checks)
				? run_check(db, checks[i], out, e)
				: run_rule(db, &rules[i - ARRAY_SIZE(checks)], out, e);

		if (n < 0)
			r = n;
		else
			findings += n;
	}
	db_close(db);
	return r ? r : findings;
}
