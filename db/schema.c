/* SPDX-License-Identifier: Apache-2.0
 * schema.c - definition of the tables, as numbered migrations.
 *
 * PRAGMA user_version is the number of migrations applied. Each runs in its own transaction. A
 * released migration must never be edited: append another one. Before an existing file is migrated
 * it is copied (VACUUM INTO).
 *
 * Triggers maintain counts, so that the total of a list is one row (workspaces.apps, .cvms,
 * .entries of the ledger; apps.cvms, .current_cvm; operation_counts), what is reserved of a
 * workspace's quotas (workspaces.held_*), the size of its records (records, apps.bytes) and its
 * balance, the sum of its ledger. A migration that rebuilds a table (cvms, devices, operations,
 * ledger) must create its triggers and indexes again.
 *
 * numa.c changes the reserved memory of a NUMA node (numa_nodes.*_promised) together with the row
 * in cvm_nodes. A CVM under change has a second state: see changes.c. The columns other_vm_port,
 * part and other_* say which state a port, device or NUMA memory belongs to; without a change both
 * states are the same. Event numbers have no gaps, because the counter of AUTOINCREMENT is a table
 * that rolls back with its transaction.
 *
 * No statement that a request can trigger reads a whole table that grows (plan.c).
 */
#include <assert.h>
#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/schema.h"
#include "db/sql.h"

enum { COPIES_KEPT = 2 };

static const char *const migrations[] = {
	/* 1 */
	"CREATE TABLE workspaces ("
	" id INTEGER PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL, created_ms "
	"INTEGER NOT NULL,"
	" apps INTEGER NOT NULL DEFAULT 0, cvms INTEGER NOT NULL DEFAULT 0) STRICT;"

	"CREATE TABLE api_keys ("
	" id INTEGER PRIMARY KEY, workspace INTEGER NOT NULL REFERENCES workspaces, name TEXT NOT "
	"NULL,"
	" role INTEGER NOT NULL CHECK (role BETWEEN 1 AND 4), hash BLOB NOT NULL UNIQUE CHECK "
	"(length(hash) = 32),"
	" created_ms INTEGER NOT NULL) STRICT;"

	"CREATE TABLE images ("
	" id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, family TEXT NOT NULL, version TEXT "
	"NOT NULL,"
	" v0 INTEGER NOT NULL, v1 INTEGER NOT NULL, v2 INTEGER NOT NULL, v3 INTEGER NOT NULL, nv "
	"INTEGER NOT NULL"
	" CHECK (nv IN (3, 4)), is_dev INTEGER NOT NULL CHECK (is_dev IN (0, 1)), os_image_hash "
	"TEXT NOT NULL,"
	" serial_progress INTEGER NOT NULL CHECK (serial_progress IN (0, 1)), bytes INTEGER NOT "
	"NULL,"
	" created_ms INTEGER NOT NULL) STRICT;"

	"CREATE TABLE apps ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, workspace INTEGER NOT NULL REFERENCES workspaces, "
	"app_id TEXT NOT NULL"
	" CHECK (length(app_id) = 40), name TEXT NOT NULL, created_ms INTEGER NOT NULL, cvms "
	"INTEGER NOT NULL DEFAULT 0,"
	" current_cvm INTEGER, UNIQUE (workspace, app_id)) STRICT;"
	"CREATE INDEX apps_app_id ON apps (app_id);"
	"CREATE TRIGGER apps_added AFTER INSERT ON apps BEGIN"
	" UPDATE workspaces SET apps = apps + 1 WHERE id = NEW.workspace; END;"
	"CREATE TRIGGER apps_gone AFTER DELETE ON apps BEGIN"
	" UPDATE workspaces SET apps = apps - 1 WHERE id = OLD.workspace; END;"

	"CREATE TABLE revisions ("
	" id INTEGER PRIMARY KEY, app INTEGER NOT NULL REFERENCES apps ON DELETE CASCADE, "
	"compose_hash TEXT NOT NULL"
	" CHECK (length(compose_hash) = 64), manifest TEXT NOT NULL, public_logs INTEGER NOT NULL, "
	"public_sysinfo INTEGER"
	" NOT NULL, public_tcbinfo INTEGER NOT NULL, gateway_enabled INTEGER NOT NULL, kms_enabled "
	"INTEGER NOT NULL,"
	" secure_time INTEGER NOT NULL, storage_fs TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	" UNIQUE (app, compose_hash)) STRICT;"

	"CREATE TABLE provisions ("
	" workspace INTEGER NOT NULL REFERENCES workspaces, app_id TEXT NOT NULL, compose_hash "
	"TEXT NOT NULL,"
	" request TEXT NOT NULL, manifest TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms "
	"INTEGER NOT NULL,"
	" PRIMARY KEY (workspace, compose_hash, app_id)) STRICT;"

	"CREATE TABLE cvms ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE CHECK (length(uuid) = "
	"36),"
	" workspace INTEGER NOT NULL REFERENCES workspaces, app INTEGER NOT NULL REFERENCES apps,"
	" revision INTEGER NOT NULL REFERENCES revisions, image INTEGER NOT NULL REFERENCES "
	"images, name TEXT NOT NULL,"
	" app_id TEXT NOT NULL, instance_id TEXT NOT NULL DEFAULT '', instance_type TEXT NOT NULL "
	"DEFAULT '',"
	" vcpus INTEGER NOT NULL CHECK (vcpus > 0), memory_mib INTEGER NOT NULL CHECK (memory_mib "
	"> 0),"
	" disk_gib INTEGER NOT NULL CHECK (disk_gib > 0), holds_cpu INTEGER NOT NULL CHECK "
	"(holds_cpu IN (0, 1)),"
	" cid INTEGER NOT NULL UNIQUE CHECK (cid >= 3), tdx INTEGER NOT NULL CHECK (tdx IN (0, 1)),"
	" listed INTEGER NOT NULL CHECK (listed IN (0, 1)),"
	" desired TEXT NOT NULL CHECK (desired IN ('stopped', 'running', 'deleted')),"
	" observed TEXT NOT NULL CHECK (observed IN ('absent', 'off', 'crashed', 'running', "
	"'paused')),"
	" boot INTEGER NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL, started_ms INTEGER NOT "
	"NULL DEFAULT 0,"
	" stopped_ms INTEGER NOT NULL DEFAULT 0, boot_progress TEXT NOT NULL DEFAULT '', "
	"boot_error TEXT NOT NULL DEFAULT '',"
	" shutdown_progress TEXT NOT NULL DEFAULT '', encrypted_env BLOB, user_config TEXT,"
	" UNIQUE (workspace, name)) STRICT;"
	"CREATE INDEX cvms_app ON cvms (app);"
	"CREATE INDEX cvms_app_id ON cvms (app_id);"
	"CREATE INDEX cvms_image ON cvms (image);"
	"CREATE INDEX cvms_revision ON cvms (revision);"
	"CREATE INDEX cvms_instance ON cvms (instance_id) WHERE instance_id <> '';"
	"CREATE TRIGGER cvms_added AFTER INSERT ON cvms BEGIN"
	" UPDATE workspaces SET cvms = cvms + 1 WHERE id = NEW.workspace;"
	" UPDATE apps SET cvms = cvms + 1, current_cvm = NEW.id WHERE id = NEW.app; END;"
	"CREATE TRIGGER cvms_gone AFTER DELETE ON cvms BEGIN"
	" UPDATE workspaces SET cvms = cvms - 1 WHERE id = OLD.workspace;"
	" UPDATE apps SET cvms = cvms - 1, current_cvm = (SELECT max(id) FROM cvms WHERE app = "
	"OLD.app)"
	" WHERE id = OLD.app; END;"

	"CREATE TABLE ports ("
	" protocol TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp')), host_address TEXT NOT NULL,"
	" host_port INTEGER NOT NULL CHECK (host_port BETWEEN 1 AND 65535),"
	" vm_port INTEGER NOT NULL CHECK (vm_port BETWEEN 1 AND 65535),"
	" cvm INTEGER NOT NULL REFERENCES cvms ON DELETE CASCADE,"
	" PRIMARY KEY (protocol, host_port, host_address)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX ports_cvm ON ports (cvm);"

	"CREATE TABLE capacity ("
	" resource TEXT PRIMARY KEY, total INTEGER NOT NULL, promised INTEGER NOT NULL DEFAULT 0 "
	"CHECK (promised >= 0))"
	" STRICT, WITHOUT ROWID;"

	"CREATE TABLE operations ("
	" id TEXT PRIMARY KEY, cvm INTEGER NOT NULL, cvm_uuid TEXT NOT NULL, cvm_name TEXT NOT "
	"NULL,"
	" workspace INTEGER NOT NULL, kind TEXT NOT NULL CHECK (kind IN"
	" ('create', 'start', 'stop', 'shutdown', 'restart', 'delete')),"
	" state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', "
	"'cancelled')),"
	" step INTEGER NOT NULL, undoing INTEGER NOT NULL CHECK (undoing IN (0, 1)), cancel "
	"INTEGER NOT NULL"
	" CHECK (cancel IN (0, 1)), params TEXT NOT NULL, error TEXT NOT NULL, request_id TEXT NOT "
	"NULL,"
	" caller TEXT NOT NULL, created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, "
	"finished_ms INTEGER NOT NULL)"
	" STRICT, WITHOUT ROWID;"
	"CREATE UNIQUE INDEX operations_running ON operations (cvm) WHERE state = 'running';"
	"CREATE UNIQUE INDEX operations_queued ON operations (cvm) WHERE state = 'queued';"
	"CREATE INDEX operations_live ON operations (id) WHERE state IN ('queued', 'running');"
	"CREATE INDEX operations_cvm ON operations (cvm_uuid);"
	"CREATE INDEX operations_finished ON operations (finished_ms) WHERE finished_ms > 0;"

	"CREATE TABLE idempotency ("
	" caller TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, status INTEGER NOT NULL, "
	"body TEXT,"
	" created_ms INTEGER NOT NULL, PRIMARY KEY (caller, key)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX idempotency_created ON idempotency (created_ms);"

	"CREATE TABLE events ("
	" seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, workspace INTEGER NOT "
	"NULL, type TEXT NOT NULL,"
	" cvm_uuid TEXT NOT NULL, op_id TEXT NOT NULL, data TEXT NOT NULL) STRICT;"
	"CREATE INDEX events_workspace ON events (workspace, seq);",

	/* 2: devices and NUMA nodes, and their reservations */
	"ALTER TABLE cvms ADD COLUMN networks TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE cvms ADD COLUMN hugepages INTEGER NOT NULL DEFAULT 0 CHECK (hugepages IN (0, "
	"1));"
	"ALTER TABLE cvms ADD COLUMN pin_numa INTEGER NOT NULL DEFAULT 0 CHECK (pin_numa IN (0, "
	"1));"
	"ALTER TABLE cvms ADD COLUMN numa_nodes TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE cvms ADD COLUMN gpu_attach TEXT NOT NULL DEFAULT '' CHECK (gpu_attach IN ('', "
	"'listed', 'all'));"
	"ALTER TABLE cvms ADD COLUMN tdx_policy INTEGER NOT NULL DEFAULT 268435456 CHECK "
	"(tdx_policy >= 0);"
	"ALTER TABLE cvms ADD COLUMN mr_owner TEXT NOT NULL DEFAULT '' CHECK (length(mr_owner) IN "
	"(0, 96));"
	"ALTER TABLE cvms ADD COLUMN mr_owner_config TEXT NOT NULL DEFAULT '' CHECK "
	"(length(mr_owner_config) IN (0, 96));"
	"ALTER TABLE cvms ADD COLUMN given_vcpus INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE cvms ADD COLUMN given_memory_mib INTEGER NOT NULL DEFAULT 0;"
	"UPDATE cvms SET given_vcpus = vcpus, given_memory_mib = memory_mib;"

	"CREATE TABLE devices ("
	" address TEXT PRIMARY KEY CHECK (length(address) = 12), kind TEXT NOT NULL CHECK (kind IN "
	"('gpu', 'nvswitch')),"
	" product_id TEXT NOT NULL CHECK (length(product_id) = 9), description TEXT NOT NULL,"
	" numa_node INTEGER NOT NULL CHECK (numa_node >= 0), iommu_group INTEGER NOT NULL CHECK "
	"(iommu_group >= -1),"
	" driver TEXT NOT NULL, opened INTEGER NOT NULL CHECK (opened IN (0, 1)),"
	" offered INTEGER NOT NULL CHECK (offered IN (0, 1)), present INTEGER NOT NULL CHECK "
	"(present IN (0, 1)),"
	" broken_reason TEXT NOT NULL, cvm INTEGER REFERENCES cvms ON DELETE SET NULL) STRICT, "
	"WITHOUT ROWID;"
	"CREATE INDEX devices_cvm ON devices (cvm) WHERE cvm IS NOT NULL;"

	"CREATE TABLE numa_nodes ("
	" node INTEGER PRIMARY KEY CHECK (node >= 0), cpus TEXT NOT NULL, vcpus INTEGER NOT NULL, "
	"memory_mib INTEGER NOT NULL,"
	" page_kib INTEGER NOT NULL, hugepages_mib INTEGER NOT NULL, foreign_mib INTEGER NOT NULL, "
	"present INTEGER NOT NULL"
	" CHECK (present IN (0, 1)), hugepages_promised INTEGER NOT NULL DEFAULT 0 CHECK "
	"(hugepages_promised >= 0),"
	" pinned_promised INTEGER NOT NULL DEFAULT 0 CHECK (pinned_promised >= 0)) STRICT;"
	"CREATE TABLE cvm_nodes ("
	" cvm INTEGER NOT NULL REFERENCES cvms ON DELETE CASCADE, node INTEGER NOT NULL REFERENCES "
	"numa_nodes,"
	" hugepages_mib INTEGER NOT NULL CHECK (hugepages_mib >= 0), pinned_mib INTEGER NOT NULL "
	"CHECK (pinned_mib >= 0),"
	" PRIMARY KEY (cvm, node)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX cvm_nodes_node ON cvm_nodes (node);",

	/* 3: policies, maintenance, and the generation that If-Match is compared with. A change of
	 * a column that a client sets, or that follows from it, increments the generation. A change
	 * of an observed column (boot, progress, attempts) does not, because If-Match would then
	 * always fail while a CVM boots. A new column that a client sets needs such a trigger. */
	"ALTER TABLE cvms ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;"
	"ALTER TABLE cvms ADD COLUMN restart_policy TEXT NOT NULL DEFAULT 'on-crash' CHECK "
	"(restart_policy IN"
	" ('on-crash', 'never', 'always'));"
	"ALTER TABLE cvms ADD COLUMN auto_start INTEGER NOT NULL DEFAULT 1 CHECK (auto_start IN "
	"(0, 1));"
	"ALTER TABLE cvms ADD COLUMN start_order INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE cvms ADD COLUMN ended TEXT NOT NULL DEFAULT '' CHECK (ended IN"
	" ('', 'off', 'crashed', 'failed', 'lost'));"
	"ALTER TABLE cvms ADD COLUMN turn TEXT NOT NULL DEFAULT '' CHECK (turn IN ('', 'start', "
	"'drain', 'drained'));"
	"ALTER TABLE cvms ADD COLUMN restart_attempts INTEGER NOT NULL DEFAULT 0 CHECK "
	"(restart_attempts >= 0);"
	"ALTER TABLE cvms ADD COLUMN restart_next_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE cvms ADD COLUMN restart_exhausted INTEGER NOT NULL DEFAULT 0 CHECK "
	"(restart_exhausted IN (0, 1));"
	"UPDATE cvms SET ended = observed WHERE observed IN ('off', 'crashed');"
	"CREATE INDEX cvms_down ON cvms (id) WHERE ended <> '' AND desired = 'running';"
	"CREATE INDEX cvms_attempts ON cvms (id) WHERE restart_attempts > 0;"
	"CREATE INDEX cvms_turn ON cvms (turn, start_order, id) WHERE turn <> '';"
	"CREATE TRIGGER cvms_changed AFTER UPDATE OF name, revision, image, instance_type, vcpus, "
	"memory_mib, disk_gib, listed,"
	" desired, encrypted_env, user_config, networks, hugepages, pin_numa, gpu_attach, "
	"tdx_policy, mr_owner,"
	" mr_owner_config, restart_policy, auto_start, start_order ON cvms WHEN (OLD.name, "
	"OLD.revision, OLD.image,"
	" OLD.instance_type, OLD.vcpus, OLD.memory_mib, OLD.disk_gib, OLD.listed, OLD.desired, "
	"OLD.encrypted_env,"
	" OLD.user_config, OLD.networks, OLD.hugepages, OLD.pin_numa, OLD.gpu_attach, "
	"OLD.tdx_policy, OLD.mr_owner,"
	" OLD.mr_owner_config, OLD.restart_policy, OLD.auto_start, OLD.start_order) IS NOT "
	"(NEW.name, NEW.revision, NEW.image,"
	" NEW.instance_type, NEW.vcpus, NEW.memory_mib, NEW.disk_gib, NEW.listed, NEW.desired, "
	"NEW.encrypted_env,"
	" NEW.user_config, NEW.networks, NEW.hugepages, NEW.pin_numa, NEW.gpu_attach, "
	"NEW.tdx_policy, NEW.mr_owner,"
	" NEW.mr_owner_config, NEW.restart_policy, NEW.auto_start, NEW.start_order) BEGIN"
	" UPDATE cvms SET generation = generation + 1 WHERE id = NEW.id; END;"
	"CREATE TRIGGER ports_added AFTER INSERT ON ports BEGIN"
	" UPDATE cvms SET generation = generation + 1 WHERE id = NEW.cvm; END;"
	"CREATE TRIGGER ports_gone AFTER DELETE ON ports BEGIN"
	" UPDATE cvms SET generation = generation + 1 WHERE id = OLD.cvm; END;"
	"CREATE TRIGGER devices_moved AFTER UPDATE OF cvm ON devices WHEN OLD.cvm IS NOT NEW.cvm "
	"BEGIN"
	" UPDATE cvms SET generation = generation + 1 WHERE id IN (OLD.cvm, NEW.cvm); END;"
	"CREATE TABLE maintenance ("
	" id INTEGER PRIMARY KEY CHECK (id = 1), reason TEXT NOT NULL, caller TEXT NOT NULL, "
	"since_ms INTEGER NOT NULL,"
	" timeout_s INTEGER NOT NULL, force INTEGER NOT NULL CHECK (force IN (0, 1))) STRICT;",

	/* 4: quotas of workspaces, expiry of API keys, prepaid balance */
	"ALTER TABLE workspaces ADD COLUMN max_vcpus INTEGER CHECK (max_vcpus >= 0);"
	"ALTER TABLE workspaces ADD COLUMN max_memory_mib INTEGER CHECK (max_memory_mib >= 0);"
	"ALTER TABLE workspaces ADD COLUMN max_disk_gib INTEGER CHECK (max_disk_gib >= 0);"
	"ALTER TABLE workspaces ADD COLUMN max_cvms INTEGER CHECK (max_cvms >= 0);"
	"ALTER TABLE workspaces ADD COLUMN max_gpus INTEGER CHECK (max_gpus >= 0);"
	"ALTER TABLE workspaces ADD COLUMN held_vcpus INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE workspaces ADD COLUMN held_memory_mib INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE workspaces ADD COLUMN held_disk_gib INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE workspaces ADD COLUMN held_gpus INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE workspaces ADD COLUMN balance INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE workspaces ADD COLUMN deleted_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE cvms ADD COLUMN held_gpus INTEGER NOT NULL DEFAULT 0;"
	"UPDATE cvms SET held_gpus = (SELECT count(*) FROM devices d WHERE d.cvm = cvms.id AND "
	"d.kind = 'gpu');"
	"UPDATE workspaces SET (held_vcpus, held_memory_mib, held_disk_gib, held_gpus) = (SELECT"
	" coalesce(sum(given_vcpus * holds_cpu), 0), coalesce(sum(given_memory_mib * holds_cpu), "
	"0),"
	" coalesce(sum(disk_gib), 0), coalesce(sum(held_gpus), 0) FROM cvms c WHERE c.workspace = "
	"workspaces.id);"
	"CREATE TRIGGER cvms_held_added AFTER INSERT ON cvms BEGIN"
	" UPDATE workspaces SET held_vcpus = held_vcpus + NEW.given_vcpus * NEW.holds_cpu,"
	" held_memory_mib = held_memory_mib + NEW.given_memory_mib * NEW.holds_cpu,"
	" held_disk_gib = held_disk_gib + NEW.disk_gib, held_gpus = held_gpus + NEW.held_gpus"
	" WHERE id = NEW.workspace; END;"
	"CREATE TRIGGER cvms_held_gone AFTER DELETE ON cvms BEGIN"
	" UPDATE workspaces SET held_vcpus = held_vcpus - OLD.given_vcpus * OLD.holds_cpu,"
	" held_memory_mib = held_memory_mib - OLD.given_memory_mib * OLD.holds_cpu,"
	" held_disk_gib = held_disk_gib - OLD.disk_gib, held_gpus = held_gpus - OLD.held_gpus"
	" WHERE id = OLD.workspace; END;"
	"CREATE TRIGGER cvms_held_changed AFTER UPDATE OF given_vcpus, given_memory_mib, disk_gib, "
	"holds_cpu, held_gpus"
	" ON cvms BEGIN"
	" UPDATE workspaces SET"
	" held_vcpus = held_vcpus + NEW.given_vcpus * NEW.holds_cpu - OLD.given_vcpus * "
	"OLD.holds_cpu,"
	" held_memory_mib = held_memory_mib + NEW.given_memory_mib * NEW.holds_cpu - "
	"OLD.given_memory_mib * OLD.holds_cpu,"
	" held_disk_gib = held_disk_gib + NEW.disk_gib - OLD.disk_gib,"
	" held_gpus = held_gpus + NEW.held_gpus - OLD.held_gpus WHERE id = NEW.workspace; END;"
	"CREATE TRIGGER devices_held AFTER UPDATE OF cvm, kind ON devices"
	" WHEN OLD.cvm IS NOT NEW.cvm OR OLD.kind <> NEW.kind BEGIN"
	" UPDATE cvms SET held_gpus = held_gpus - (OLD.kind = 'gpu') WHERE id = OLD.cvm;"
	" UPDATE cvms SET held_gpus = held_gpus + (NEW.kind = 'gpu') WHERE id = NEW.cvm; END;"

	"ALTER TABLE api_keys ADD COLUMN prefix TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE api_keys ADD COLUMN per_minute INTEGER NOT NULL DEFAULT 0 CHECK (per_minute "
	">= 0);"
	"ALTER TABLE api_keys ADD COLUMN expires_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE api_keys ADD COLUMN revoked_ms INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE api_keys ADD COLUMN last_used_ms INTEGER NOT NULL DEFAULT 0;"
	"CREATE INDEX api_keys_workspace ON api_keys (workspace, created_ms);"

	"CREATE TABLE billing_clock ("
	" id INTEGER PRIMARY KEY CHECK (id = 1), now_ms INTEGER NOT NULL, boot_id TEXT NOT NULL, "
	"boot_ms INTEGER NOT NULL)"
	" STRICT;"
	"CREATE TABLE meters ("
	" cvm INTEGER PRIMARY KEY, workspace INTEGER NOT NULL REFERENCES workspaces, cvm_uuid TEXT "
	"NOT NULL,"
	" cvm_name TEXT NOT NULL, from_ms INTEGER NOT NULL, rate INTEGER NOT NULL CHECK (rate >= "
	"0),"
	" rest INTEGER NOT NULL CHECK (rest BETWEEN 0 AND 3599999)) STRICT;"
	"CREATE INDEX meters_workspace ON meters (workspace);"
	"CREATE TABLE ledger ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, workspace INTEGER NOT NULL REFERENCES workspaces,"
	" kind TEXT NOT NULL CHECK (kind IN ('credit', 'charge')), amount INTEGER NOT NULL, "
	"balance INTEGER NOT NULL,"
	" at_ms INTEGER NOT NULL, cvm_uuid TEXT NOT NULL DEFAULT '', cvm_name TEXT NOT NULL "
	"DEFAULT '',"
	" from_ms INTEGER NOT NULL DEFAULT 0, to_ms INTEGER NOT NULL DEFAULT 0, rate INTEGER NOT "
	"NULL DEFAULT 0,"
	" caller TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '', CHECK (to_ms >= from_ms),"
	" CHECK (kind = 'credit' OR amount <= 0)) STRICT;"
	"CREATE INDEX ledger_workspace ON ledger (workspace, id);"
	"CREATE UNIQUE INDEX ledger_once ON ledger (cvm_uuid, from_ms) WHERE kind = 'charge';"
	"CREATE TRIGGER ledger_added AFTER INSERT ON ledger BEGIN"
	" UPDATE workspaces SET balance = balance + NEW.amount WHERE id = NEW.workspace; END;"
	"CREATE TRIGGER ledger_kept BEFORE UPDATE ON ledger BEGIN SELECT raise(ABORT, 'the ledger "
	"is append-only'); END;"
	"CREATE TRIGGER ledger_stays BEFORE DELETE ON ledger BEGIN SELECT raise(ABORT, 'the ledger "
	"is append-only'); END;",

	/* 5: changes of CVMs in progress, and the history of their apps */
	"CREATE TABLE operations_5 ("
	" id TEXT PRIMARY KEY, cvm INTEGER NOT NULL, cvm_uuid TEXT NOT NULL, cvm_name TEXT NOT "
	"NULL,"
	" workspace INTEGER NOT NULL, kind TEXT NOT NULL CHECK (kind IN"
	" ('create', 'start', 'stop', 'shutdown', 'restart', 'delete', 'resize', 'upgrade')),"
	" state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', "
	"'cancelled')),"
	" step INTEGER NOT NULL, undoing INTEGER NOT NULL CHECK (undoing IN (0, 1)), cancel "
	"INTEGER NOT NULL"
	" CHECK (cancel IN (0, 1)), params TEXT NOT NULL, error TEXT NOT NULL, request_id TEXT NOT "
	"NULL,"
	" caller TEXT NOT NULL, created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, "
	"finished_ms INTEGER NOT NULL)"
	" STRICT, WITHOUT ROWID;"
	"INSERT INTO operations_5 SELECT id, cvm, cvm_uuid, cvm_name, workspace, kind, state, "
	"step, undoing, cancel, params,"
	" error, request_id, caller, created_ms, started_ms, finished_ms FROM operations;"
	"DROP TABLE operations;"
	"ALTER TABLE operations_5 RENAME TO operations;"
	"CREATE UNIQUE INDEX operations_running ON operations (cvm) WHERE state = 'running';"
	"CREATE UNIQUE INDEX operations_queued ON operations (cvm) WHERE state = 'queued';"
	"CREATE INDEX operations_live ON operations (id) WHERE state IN ('queued', 'running');"
	"CREATE INDEX operations_cvm ON operations (cvm_uuid);"
	"CREATE INDEX operations_finished ON operations (finished_ms) WHERE finished_ms > 0;"

	/* 0 = not in that state of the CVM */
	"CREATE TABLE ports_5 ("
	" protocol TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp')), host_address TEXT NOT NULL,"
	" host_port INTEGER NOT NULL CHECK (host_port BETWEEN 1 AND 65535),"
	" vm_port INTEGER NOT NULL CHECK (vm_port BETWEEN 0 AND 65535),"
	" other_vm_port INTEGER NOT NULL CHECK (other_vm_port BETWEEN 0 AND 65535),"
	" cvm INTEGER NOT NULL REFERENCES cvms ON DELETE CASCADE, CHECK (vm_port > 0 OR "
	"other_vm_port > 0),"
	" PRIMARY KEY (protocol, host_port, host_address)) STRICT, WITHOUT ROWID;"
	"INSERT INTO ports_5 SELECT protocol, host_address, host_port, vm_port, vm_port, cvm FROM "
	"ports;"
	"DROP TABLE ports;"
	"ALTER TABLE ports_5 RENAME TO ports;"
	"CREATE INDEX ports_cvm ON ports (cvm);"
	/* The triggers of the former table were deleted with it. A generation counts what the CVM
	   is, not what is held for a change of it. */
	"CREATE TRIGGER ports_added AFTER INSERT ON ports WHEN NEW.vm_port > 0 BEGIN"
	" UPDATE cvms SET generation = generation + 1 WHERE id = NEW.cvm; END;"
	"CREATE TRIGGER ports_gone AFTER DELETE ON ports WHEN OLD.vm_port > 0 BEGIN"
	" UPDATE cvms SET generation = generation + 1 WHERE id = OLD.cvm; END;"
	"CREATE TRIGGER ports_led AFTER UPDATE OF vm_port ON ports WHEN OLD.vm_port <> NEW.vm_port "
	"BEGIN"
	" UPDATE cvms SET generation = generation + 1 WHERE id = NEW.cvm; END;"

	"ALTER TABLE devices ADD COLUMN part TEXT NOT NULL DEFAULT 'both' CHECK (part IN ('both', "
	"'now', 'other'));"
	"DROP TRIGGER devices_moved;"
	"CREATE TRIGGER devices_moved AFTER UPDATE OF cvm, part ON devices"
	" WHEN iif(OLD.part = 'other', NULL, OLD.cvm) IS NOT iif(NEW.part = 'other', NULL, "
	"NEW.cvm) BEGIN"
	" UPDATE cvms SET generation = generation + 1 WHERE id IN (OLD.cvm, NEW.cvm); END;"
	"ALTER TABLE cvm_nodes ADD COLUMN other_hugepages_mib INTEGER NOT NULL DEFAULT 0 CHECK "
	"(other_hugepages_mib >= 0);"
	"ALTER TABLE cvm_nodes ADD COLUMN other_pinned_mib INTEGER NOT NULL DEFAULT 0 CHECK "
	"(other_pinned_mib >= 0);"
	"UPDATE cvm_nodes SET other_hugepages_mib = hugepages_mib, other_pinned_mib = pinned_mib;"

	"CREATE TABLE changes ("
	" op TEXT PRIMARY KEY, cvm INTEGER NOT NULL UNIQUE REFERENCES cvms ON DELETE CASCADE,"
	" applied INTEGER NOT NULL CHECK (applied IN (0, 1)), changed TEXT NOT NULL,"
	" revision INTEGER NOT NULL REFERENCES revisions, image INTEGER NOT NULL REFERENCES images,"
	" instance_type TEXT NOT NULL, vcpus INTEGER NOT NULL CHECK (vcpus > 0), memory_mib "
	"INTEGER NOT NULL"
	" CHECK (memory_mib > 0), disk_gib INTEGER NOT NULL CHECK (disk_gib > 0), given_vcpus "
	"INTEGER NOT NULL,"
	" given_memory_mib INTEGER NOT NULL, numa_nodes TEXT NOT NULL, gpu_attach TEXT NOT NULL,"
	" listed INTEGER NOT NULL CHECK (listed IN (0, 1)), encrypted_env BLOB, user_config TEXT) "
	"STRICT, WITHOUT ROWID;"

	/* For a quota, a CVM under change counts with the larger of its two states. */
	"DROP TRIGGER cvms_held_changed;"
	"CREATE TRIGGER cvms_held_changed AFTER UPDATE OF given_vcpus, given_memory_mib, disk_gib, "
	"holds_cpu, held_gpus"
	" ON cvms BEGIN"
	" UPDATE workspaces SET (held_vcpus, held_memory_mib, held_disk_gib, held_gpus) = (SELECT"
	" held_vcpus + max(NEW.given_vcpus, x.vcpus) * NEW.holds_cpu - max(OLD.given_vcpus, "
	"x.vcpus) * OLD.holds_cpu,"
	" held_memory_mib + max(NEW.given_memory_mib, x.memory) * NEW.holds_cpu - "
	"max(OLD.given_memory_mib, x.memory)"
	" * OLD.holds_cpu, held_disk_gib + max(NEW.disk_gib, x.disk) - max(OLD.disk_gib, x.disk),"
	" held_gpus + NEW.held_gpus - OLD.held_gpus FROM (SELECT coalesce(max(given_vcpus), 0) AS "
	"vcpus,"
	" coalesce(max(given_memory_mib), 0) AS memory, coalesce(max(disk_gib), 0) AS disk FROM "
	"changes"
	" WHERE cvm = NEW.id) x) WHERE id = NEW.workspace; END;"
	"CREATE TRIGGER changes_held_added AFTER INSERT ON changes BEGIN"
	" UPDATE workspaces SET (held_vcpus, held_memory_mib, held_disk_gib) = (SELECT"
	" held_vcpus + max(0, NEW.given_vcpus - c.given_vcpus) * c.holds_cpu,"
	" held_memory_mib + max(0, NEW.given_memory_mib - c.given_memory_mib) * c.holds_cpu,"
	" held_disk_gib + max(0, NEW.disk_gib - c.disk_gib) FROM cvms c WHERE c.id = NEW.cvm)"
	" WHERE id = (SELECT workspace FROM cvms WHERE id = NEW.cvm); END;"
	"CREATE TRIGGER changes_held_gone BEFORE DELETE ON changes BEGIN"
	" UPDATE workspaces SET (held_vcpus, held_memory_mib, held_disk_gib) = (SELECT"
	" held_vcpus - max(0, OLD.given_vcpus - c.given_vcpus) * c.holds_cpu,"
	" held_memory_mib - max(0, OLD.given_memory_mib - c.given_memory_mib) * c.holds_cpu,"
	" held_disk_gib - max(0, OLD.disk_gib - c.disk_gib) FROM cvms c WHERE c.id = OLD.cvm)"
	" WHERE id = (SELECT workspace FROM cvms WHERE id = OLD.cvm); END;"

	"CREATE TABLE history ("
	" id INTEGER PRIMARY KEY, app INTEGER NOT NULL REFERENCES apps ON DELETE CASCADE, number "
	"INTEGER NOT NULL,"
	" revision INTEGER NOT NULL REFERENCES revisions, cvm_uuid TEXT NOT NULL, image TEXT NOT "
	"NULL, changed TEXT NOT NULL,"
	" op TEXT NOT NULL, caller TEXT NOT NULL, created_ms INTEGER NOT NULL, UNIQUE (app, "
	"number)) STRICT;"
	"CREATE INDEX history_cvm ON history (cvm_uuid);"
	"CREATE INDEX history_revision ON history (revision);"
	"INSERT INTO history (app, number, revision, cvm_uuid, image, changed, op, caller, "
	"created_ms)"
	" SELECT c.app, row_number() OVER (PARTITION BY c.app ORDER BY c.id), c.revision, c.uuid, "
	"i.name, '[\"created\"]',"
	" coalesce(o.id, ''), coalesce(o.caller, ''), c.created_ms FROM cvms c JOIN images i ON "
	"i.id = c.image"
	" LEFT JOIN operations o ON o.cvm = c.id AND o.kind = 'create' ORDER BY c.id;",

	/* 6: lists and totals by an index; operations and entries of ledgers are counted by
	   triggers */
	"CREATE INDEX cvms_name ON cvms (name);"
	"CREATE INDEX cvms_workspace ON cvms (workspace);"
	"CREATE INDEX apps_workspace ON apps (workspace);"
	"CREATE INDEX api_keys_open ON api_keys (id) WHERE revoked_ms = 0;"
	"CREATE INDEX api_keys_open_of ON api_keys (workspace) WHERE revoked_ms = 0;"
	"CREATE INDEX workspaces_live ON workspaces (slug) WHERE deleted_ms = 0;"
	"CREATE INDEX provisions_expires ON provisions (expires_ms);"
	"CREATE INDEX operations_workspace ON operations (workspace);"
	/* Not for 'succeeded', which matches nearly every row, nor for the states in
	   operations_live. */
	"CREATE INDEX operations_unsuccessful ON operations (state) WHERE state IN ('failed', "
	"'cancelled');"
	"CREATE INDEX operations_unsuccessful_of ON operations (workspace, state)"
	" WHERE state IN ('failed', 'cancelled');"
	"CREATE TABLE operation_counts ("
	" workspace INTEGER NOT NULL, state TEXT NOT NULL, n INTEGER NOT NULL CHECK (n >= 0),"
	" PRIMARY KEY (workspace, state)) STRICT, WITHOUT ROWID;"
	"INSERT INTO operation_counts SELECT workspace, state, count(*) FROM operations GROUP BY "
	"workspace, state;"
	"CREATE TRIGGER operations_added AFTER INSERT ON operations BEGIN"
	" INSERT INTO operation_counts VALUES (NEW.workspace, NEW.state, 1) ON CONFLICT DO UPDATE "
	"SET n = n + 1; END;"
	"CREATE TRIGGER operations_gone AFTER DELETE ON operations BEGIN"
	" UPDATE operation_counts SET n = n - 1 WHERE workspace = OLD.workspace AND state = "
	"OLD.state; END;"
	"CREATE TRIGGER operations_moved AFTER UPDATE OF state ON operations WHEN OLD.state <> "
	"NEW.state BEGIN"
	" UPDATE operation_counts SET n = n - 1 WHERE workspace = OLD.workspace AND state = "
	"OLD.state;"
	" INSERT INTO operation_counts VALUES (NEW.workspace, NEW.state, 1) ON CONFLICT DO UPDATE "
	"SET n = n + 1; END;"
	"ALTER TABLE workspaces ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;"
	"UPDATE workspaces SET entries = (SELECT count(*) FROM ledger l WHERE l.workspace = "
	"workspaces.id);"
	"DROP TRIGGER ledger_added;"
	"CREATE TRIGGER ledger_added AFTER INSERT ON ledger BEGIN"
	" UPDATE workspaces SET balance = balance + NEW.amount, entries = entries + 1 WHERE id = "
	"NEW.workspace; END;",

	/* 7: steps of operations by name, with the version of the table of steps (vmm/op/engine.h).
	 * Older rows have the index of a step; the names below are those of version 1 of each
	 * table.
	 */
	"ALTER TABLE operations RENAME COLUMN step TO step_index;"
	"ALTER TABLE operations ADD COLUMN step TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE operations ADD COLUMN step_table INTEGER NOT NULL DEFAULT 1;"
	"WITH steps (kinds, list) AS (VALUES"
	" ('[\"create\",\"start\"]', "
	"'[\"reserve\",\"files\",\"disk\",\"define\",\"start\",\"forwards\",\"boot\"]'),"
	" ('[\"stop\"]', '[\"stop\"]'), ('[\"shutdown\"]', '[\"signal\",\"wait\",\"stop\"]'),"
	" ('[\"restart\"]', "
	"'[\"signal\",\"wait\",\"stop\",\"files\",\"disk\",\"define\",\"start\",\"forwards\","
	"\"boot\"]'),"
	" ('[\"delete\"]', '[\"stop\",\"undefine\",\"remove\"]'),"
	" ('[\"resize\",\"upgrade\"]', "
	"'[\"reserve\",\"signal\",\"wait\",\"stop\",\"disk\",\"apply\",\"files\",\"define\","
	"\"start\","
	"\"forwards\",\"boot\"]'))"
	" UPDATE operations SET step = coalesce((SELECT name.value FROM steps, "
	"json_each(steps.kinds) kind, json_each(steps.list) name"
	" WHERE kind.value = operations.kind AND name.key = operations.step_index), '');"
	"ALTER TABLE operations DROP COLUMN step_index;",

	/* 8: the node that owns this database (vmm/node/owner.c) */
	"CREATE TABLE owner ("
	" id INTEGER PRIMARY KEY CHECK (id = 1), marker TEXT NOT NULL, inode INTEGER NOT NULL, "
	"machine TEXT NOT NULL,"
	" host TEXT NOT NULL, dir TEXT NOT NULL) STRICT;"

	/* Names of CVMs that differ only in case are equal. The index is not UNIQUE, because such
	 * rows may exist; a search for their name is then refused. */
	"DROP INDEX cvms_name;"
	"CREATE INDEX cvms_name ON cvms (name COLLATE NOCASE);"

	/* Quota of host ports. Each CVM counts its own ports, because its row is deleted before
	   theirs. */
	"ALTER TABLE workspaces ADD COLUMN max_host_ports INTEGER CHECK (max_host_ports >= 0);"
	"ALTER TABLE workspaces ADD COLUMN held_host_ports INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE cvms ADD COLUMN held_host_ports INTEGER NOT NULL DEFAULT 0;"
	"UPDATE cvms SET held_host_ports = (SELECT count(*) FROM ports p WHERE p.cvm = cvms.id);"
	"UPDATE workspaces SET held_host_ports = (SELECT coalesce(sum(c.held_host_ports), 0) FROM "
	"cvms c"
	" WHERE c.workspace = workspaces.id);"
	/* In one trigger with the generation, because a request may add thousands of ports. */
	"DROP TRIGGER ports_added;"
	"DROP TRIGGER ports_gone;"
	"CREATE TRIGGER ports_added AFTER INSERT ON ports BEGIN UPDATE cvms SET held_host_ports = "
	"held_host_ports + 1,"
	" generation = generation + (NEW.vm_port > 0) WHERE id = NEW.cvm; END;"
	"CREATE TRIGGER ports_gone AFTER DELETE ON ports BEGIN UPDATE cvms SET held_host_ports = "
	"held_host_ports - 1,"
	" generation = generation + (OLD.vm_port > 0) WHERE id = OLD.cvm; END;"
	"CREATE TRIGGER cvms_held_ports_changed AFTER UPDATE OF held_host_ports ON cvms BEGIN"
	" UPDATE workspaces SET held_host_ports = held_host_ports + NEW.held_host_ports - "
	"OLD.held_host_ports"
	" WHERE id = NEW.workspace; END;"
	"CREATE TRIGGER cvms_held_ports_gone AFTER DELETE ON cvms BEGIN"
	" UPDATE workspaces SET held_host_ports = held_host_ports - OLD.held_host_ports WHERE id = "
	"OLD.workspace; END;"

	/* The created size of a data disk (0: not created), and the record of the files of an
	 * image, made when they were last verified. Older rows: a guest that ran has a disk of any
	 * size; files are not known. */
	"ALTER TABLE cvms ADD COLUMN disk_made INTEGER NOT NULL DEFAULT 0 CHECK (disk_made >= 0);"
	"UPDATE cvms SET disk_made = 1 WHERE observed <> 'absent' OR stopped_ms > 0 OR instance_id "
	"<> ''"
	" OR boot_progress <> '';"
	"ALTER TABLE images ADD COLUMN files TEXT NOT NULL DEFAULT '';"

	/* Why a guest is paused, and the operation that resumes it. The table of operations is
	 * rebuilt to change its CHECK of kinds; this also deletes its triggers and indexes. */
	"ALTER TABLE cvms ADD COLUMN paused TEXT NOT NULL DEFAULT '' CHECK (paused IN ('', "
	"'nospc', 'ioerror', 'other'));"
	"UPDATE cvms SET paused = 'other' WHERE observed = 'paused';"
	"CREATE INDEX cvms_paused ON cvms (id) WHERE paused = 'nospc';"
	"CREATE TABLE operations_8 ("
	" id TEXT PRIMARY KEY, cvm INTEGER NOT NULL, cvm_uuid TEXT NOT NULL, cvm_name TEXT NOT "
	"NULL,"
	" workspace INTEGER NOT NULL, kind TEXT NOT NULL CHECK (kind IN"
	" ('create', 'start', 'stop', 'shutdown', 'restart', 'delete', 'resize', 'upgrade', "
	"'resume')),"
	" state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', "
	"'cancelled')),"
	" undoing INTEGER NOT NULL CHECK (undoing IN (0, 1)), cancel INTEGER NOT NULL"
	" CHECK (cancel IN (0, 1)), params TEXT NOT NULL, error TEXT NOT NULL, request_id TEXT NOT "
	"NULL,"
	" caller TEXT NOT NULL, created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, "
	"finished_ms INTEGER NOT NULL,"
	" step TEXT NOT NULL DEFAULT '', step_table INTEGER NOT NULL DEFAULT 1) STRICT, WITHOUT "
	"ROWID;"
	"INSERT INTO operations_8 SELECT id, cvm, cvm_uuid, cvm_name, workspace, kind, state, "
	"undoing, cancel, params, error,"
	" request_id, caller, created_ms, started_ms, finished_ms, step, step_table FROM "
	"operations;"
	"DROP TABLE operations;"
	"ALTER TABLE operations_8 RENAME TO operations;"
	"CREATE UNIQUE INDEX operations_running ON operations (cvm) WHERE state = 'running';"
	"CREATE UNIQUE INDEX operations_queued ON operations (cvm) WHERE state = 'queued';"
	"CREATE INDEX operations_live ON operations (id) WHERE state IN ('queued', 'running');"
	"CREATE INDEX operations_cvm ON operations (cvm_uuid);"
	"CREATE INDEX operations_finished ON operations (finished_ms) WHERE finished_ms > 0;"
	"CREATE INDEX operations_workspace ON operations (workspace);"
	"CREATE INDEX operations_unsuccessful ON operations (state) WHERE state IN ('failed', "
	"'cancelled');"
	"CREATE INDEX operations_unsuccessful_of ON operations (workspace, state)"
	" WHERE state IN ('failed', 'cancelled');"
	"CREATE TRIGGER operations_added AFTER INSERT ON operations BEGIN"
	" INSERT INTO operation_counts VALUES (NEW.workspace, NEW.state, 1) ON CONFLICT DO UPDATE "
	"SET n = n + 1; END;"
	"CREATE TRIGGER operations_gone AFTER DELETE ON operations BEGIN"
	" UPDATE operation_counts SET n = n - 1 WHERE workspace = OLD.workspace AND state = "
	"OLD.state; END;"
	"CREATE TRIGGER operations_moved AFTER UPDATE OF state ON operations WHEN OLD.state <> "
	"NEW.state BEGIN"
	" UPDATE operation_counts SET n = n - 1 WHERE workspace = OLD.workspace AND state = "
	"OLD.state;"
	" INSERT INTO operation_counts VALUES (NEW.workspace, NEW.state, 1) ON CONFLICT DO UPDATE "
	"SET n = n + 1; END;"

	/* Which API key made an API key. Of older keys that is not known: NULL, as of those that no
	   key made. */
	"ALTER TABLE api_keys ADD COLUMN parent INTEGER REFERENCES api_keys ON DELETE SET NULL;"
	"CREATE INDEX api_keys_parent ON api_keys (parent) WHERE parent IS NOT NULL;"

	/* Size of a workspace's records. Each app counts its revisions and history, because its row
	 * is deleted before theirs. An entry of the history counts more than its size, because
	 * deleting its app deletes all of them in one turn. */
	"CREATE TABLE records ("
	" workspace INTEGER NOT NULL, kind TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY "
	"(workspace, kind))"
	" STRICT, WITHOUT ROWID;"
	"ALTER TABLE apps ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE provisions ADD COLUMN used INTEGER NOT NULL DEFAULT 0 CHECK (used IN (0, 1));"
	"CREATE INDEX provisions_age ON provisions (workspace, created_ms);"
	"CREATE INDEX provisions_used ON provisions (workspace, created_ms) WHERE used = 1;"
	"ALTER TABLE history ADD COLUMN workspace INTEGER NOT NULL DEFAULT 0;"
	"UPDATE history SET workspace = (SELECT a.workspace FROM apps a WHERE a.id = history.app);"
	"CREATE INDEX history_workspace ON history (workspace);"
	"DROP INDEX history_cvm;"
	"CREATE INDEX history_cvm ON history (cvm_uuid, number);"
	"ALTER TABLE idempotency ADD COLUMN workspace INTEGER NOT NULL DEFAULT 0;" /* 0: of
										      operators, and
										      older ones */
	"CREATE INDEX idempotency_workspace ON idempotency (workspace, created_ms);"
	"CREATE INDEX api_keys_revoked ON api_keys (revoked_ms) WHERE revoked_ms > 0;"
	"CREATE INDEX api_keys_expires ON api_keys (expires_ms) WHERE expires_ms > 0;"
	/* Left by failed changes: no CVM and no history refers to them. */
	"DELETE FROM revisions WHERE NOT EXISTS (SELECT 1 FROM history h WHERE h.revision = "
	"revisions.id)"
	" AND NOT EXISTS (SELECT 1 FROM cvms c WHERE c.revision = revisions.id)"
	" AND NOT EXISTS (SELECT 1 FROM changes x WHERE x.revision = revisions.id);"
	"UPDATE apps SET bytes = (SELECT coalesce(sum(256 + length(CAST(manifest AS BLOB))), 0) "
	"FROM revisions WHERE"
	" app = apps.id) + (SELECT count(*) * 4096 FROM history WHERE app = apps.id);"
	"INSERT INTO records SELECT workspace, 'revisions', sum(bytes) FROM apps GROUP BY "
	"workspace;"
	"INSERT INTO records SELECT workspace, 'provisions', sum(256 + length(CAST(request AS "
	"BLOB)) +"
	" length(CAST(manifest AS BLOB))) FROM provisions GROUP BY workspace;"
	"INSERT INTO records SELECT workspace, 'answers', sum(512 + coalesce(length(CAST(body AS "
	"BLOB)), 0)) FROM"
	" idempotency GROUP BY workspace;"
	"INSERT INTO records SELECT workspace, 'events', sum(160 + length(CAST(data AS BLOB))) "
	"FROM events GROUP BY"
	" workspace;"
	"CREATE TRIGGER provisions_counted AFTER INSERT ON provisions BEGIN INSERT INTO records "
	"VALUES (NEW.workspace,"
	" 'provisions', 256 + length(CAST(NEW.request AS BLOB)) + length(CAST(NEW.manifest AS "
	"BLOB))) ON CONFLICT DO"
	" UPDATE SET bytes = bytes + excluded.bytes; END;"
	"CREATE TRIGGER provisions_uncounted AFTER DELETE ON provisions BEGIN UPDATE records SET "
	"bytes = bytes - (256 +"
	" length(CAST(OLD.request AS BLOB)) + length(CAST(OLD.manifest AS BLOB))) WHERE workspace "
	"= OLD.workspace AND"
	" kind = 'provisions'; END;"
	"CREATE TRIGGER idempotency_counted AFTER INSERT ON idempotency BEGIN INSERT INTO records "
	"VALUES"
	" (NEW.workspace, 'answers', 512 + coalesce(length(CAST(NEW.body AS BLOB)), 0)) ON "
	"CONFLICT DO UPDATE SET bytes"
	" = bytes + excluded.bytes; END;"
	"CREATE TRIGGER idempotency_uncounted AFTER DELETE ON idempotency BEGIN UPDATE records SET "
	"bytes = bytes - (512"
	" + coalesce(length(CAST(OLD.body AS BLOB)), 0)) WHERE workspace = OLD.workspace AND kind "
	"= 'answers'; END;"
	"CREATE TRIGGER events_counted AFTER INSERT ON events BEGIN INSERT INTO records VALUES "
	"(NEW.workspace,"
	" 'events', 160 + length(CAST(NEW.data AS BLOB))) ON CONFLICT DO UPDATE SET bytes = bytes "
	"+ excluded.bytes;"
	" END;"
	"CREATE TRIGGER events_uncounted AFTER DELETE ON events BEGIN UPDATE records SET bytes = "
	"bytes - (160 +"
	" length(CAST(OLD.data AS BLOB))) WHERE workspace = OLD.workspace AND kind = 'events'; END;"
	"CREATE TRIGGER revisions_counted AFTER INSERT ON revisions BEGIN UPDATE apps SET bytes = "
	"bytes + 256 +"
	" length(CAST(NEW.manifest AS BLOB)) WHERE id = NEW.app; END;"
	"CREATE TRIGGER revisions_uncounted AFTER DELETE ON revisions BEGIN UPDATE apps SET bytes "
	"= bytes - (256 +"
	" length(CAST(OLD.manifest AS BLOB))) WHERE id = OLD.app; END;"
	"CREATE TRIGGER history_counted AFTER INSERT ON history BEGIN UPDATE apps SET bytes = "
	"bytes + 4096 WHERE id ="
	" NEW.app; END;"
	"CREATE TRIGGER history_uncounted AFTER DELETE ON history BEGIN UPDATE apps SET bytes = "
	"bytes - 4096 WHERE id"
	" = OLD.app; END;"
	"CREATE TRIGGER apps_bytes_changed AFTER UPDATE OF bytes ON apps BEGIN INSERT INTO records "
	"VALUES"
	" (NEW.workspace, 'revisions', NEW.bytes - OLD.bytes) ON CONFLICT DO UPDATE SET bytes = "
	"bytes + excluded.bytes;"
	" END;"
	"CREATE TRIGGER apps_bytes_gone AFTER DELETE ON apps BEGIN UPDATE records SET bytes = "
	"bytes - OLD.bytes WHERE"
	" workspace = OLD.workspace AND kind = 'revisions'; END;"
	"CREATE TRIGGER history_dropped AFTER DELETE ON history BEGIN DELETE FROM revisions WHERE "
	"id = OLD.revision AND"
	" NOT EXISTS (SELECT 1 FROM history h WHERE h.revision = OLD.revision) AND NOT EXISTS "
	"(SELECT 1 FROM cvms c"
	" WHERE c.revision = OLD.revision) AND NOT EXISTS (SELECT 1 FROM changes x WHERE "
	"x.revision = OLD.revision);"
	" END;"
	"CREATE TRIGGER changes_dropped AFTER DELETE ON changes BEGIN DELETE FROM revisions WHERE "
	"id = OLD.revision AND"
	" NOT EXISTS (SELECT 1 FROM history h WHERE h.revision = OLD.revision) AND NOT EXISTS "
	"(SELECT 1 FROM cvms c"
	" WHERE c.revision = OLD.revision) AND NOT EXISTS (SELECT 1 FROM changes x WHERE "
	"x.revision = OLD.revision);"
	" END;",

	/* 9: IN () with more than two words builds a table of the words each time, and the nine of
	 * these CHECKs were a quarter of a create. The conditions stay the same, so only the text
	 * of the schema is changed. The index is for the newest image of a family. */
	"PRAGMA writable_schema = ON;"
	"UPDATE sqlite_schema SET sql = replace(sql, 'desired IN (''stopped'', ''running'', "
	"''deleted'')',"
	" 'desired = ''stopped'' OR desired = ''running'' OR desired = ''deleted''') WHERE name = "
	"'cvms';"
	"UPDATE sqlite_schema SET sql = replace(sql, 'observed IN (''absent'', ''off'', "
	"''crashed'', ''running'', ''paused'')',"
	" 'observed = ''absent'' OR observed = ''off'' OR observed = ''crashed''"
	" OR observed = ''running'' OR observed = ''paused''') WHERE name = 'cvms';"
	"UPDATE sqlite_schema SET sql = replace(sql, 'gpu_attach IN ('''', ''listed'', ''all'')',"
	" 'gpu_attach = '''' OR gpu_attach = ''listed'' OR gpu_attach = ''all''') WHERE name = "
	"'cvms';"
	"UPDATE sqlite_schema SET sql = replace(sql, 'restart_policy IN (''on-crash'', ''never'', "
	"''always'')',"
	" 'restart_policy = ''on-crash'' OR restart_policy = ''never''"
	" OR restart_policy = ''always''') WHERE name = 'cvms';"
	"UPDATE sqlite_schema SET sql = replace(sql, 'ended IN ('''', ''off'', ''crashed'', "
	"''failed'', ''lost'')',"
	" 'ended = '''' OR ended = ''off'' OR ended = ''crashed'' OR ended = ''failed''"
	" OR ended = ''lost''') WHERE name = 'cvms';"
	"UPDATE sqlite_schema SET sql = replace(sql, 'turn IN ('''', ''start'', ''drain'', "
	"''drained'')',"
	" 'turn = '''' OR turn = ''start'' OR turn = ''drain'' OR turn = ''drained''') WHERE name "
	"= 'cvms';"
	"UPDATE sqlite_schema SET sql = replace(sql, 'paused IN ('''', ''nospc'', ''ioerror'', "
	"''other'')',"
	" 'paused = '''' OR paused = ''nospc'' OR paused = ''ioerror''"
	" OR paused = ''other''') WHERE name = 'cvms';"
	"UPDATE sqlite_schema SET sql = replace(sql, 'kind IN (''create'', ''start'', ''stop'', "
	"''shutdown'', ''restart'', ''delete'', ''resize'', ''upgrade'', ''resume'')',"
	" 'kind = ''create'' OR kind = ''start'' OR kind = ''stop''"
	" OR kind = ''shutdown'' OR kind = ''restart'' OR kind = ''delete''"
	" OR kind = ''resize'' OR kind = ''upgrade'' OR kind = ''resume''') WHERE name = "
	"'operations';"
	"UPDATE sqlite_schema SET sql = replace(sql, 'state IN (''queued'', ''running'', "
	"''succeeded'', ''failed'', ''cancelled'')',"
	" 'state = ''queued'' OR state = ''running'' OR state = ''succeeded''"
	" OR state = ''failed'' OR state = ''cancelled''') WHERE name = 'operations';"
	"PRAGMA writable_schema = RESET;",
};

int schema_version(void)
{
	return (int)ARRAY_SIZE(migrations);
}

static int copy_before_migration(struct db *db, const char *path, int64_t version, struct err *e)
{
	auto_free char *copy =
		xasprintf("%s.v%lld-%lld", path, (long long)version, (long long)clock_wall_ms());
	auto_free char *temp =
		xasprintf("%s.tmp", copy); /* an incomplete copy must not have the final name */
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->conn, "VACUUM INTO ?", -1, &st, NULL);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_text(st, 1, temp, -1, SQLITE_TRANSIENT);
		rc = sqlite3_step(st);
	}
	(void)sqlite3_finalize(st);
	if (rc != SQLITE_DONE)
		sql_error(db, "copy before migration", e);
	else if (!rename(temp, copy))
		return 0;
	else
		err_sys(e, errno, "cannot name %s", copy);
	(void)unlink(temp);
	return -(int)e->code;
}

static int64_t copied_ms(const char *path)
{
	const char *at = strrchr(path, '-');

	return at ? strtoll(at + 1, NULL, 10) : 0;
}

static int compare_copy_age(const void *a, const void *b)
{
	int64_t x = copied_ms(*(char *const *)a), y = copied_ms(*(char *const *)b);

	return x < y ? -1 : x > y;
}

/* Is @name the name of a copy of @path: PATH.vVERSION-TIME, followed by @end? Other names belong to
 * the operator. */
static bool is_copy_name(const char *name, const char *path, const char *end)
{
	static const char digits[] = "0123456789";
	size_t n = strlen(path), version, time;

	if (strncmp(name, path, n) != 0 || strncmp(name + n, ".v", 2) != 0)
		return false;
	name += n + 2;
	version = strspn(name, digits);
	if (!version || name[version] != '-')
		return false;
	name += version + 1;
	time = strspn(name, digits);
	return time && !strcmp(name + time, end);
}

static void remove_copy(const char *name)
{
	if (unlink(name))
		log_warn("cannot remove %s: %s", name, strerror(errno));
}

/* Keep the copies of the last two migrations: a copy is as large as the database was. Remove the
 * older ones, and incomplete copies of migrations that were interrupted. */
static void remove_old_copies(const char *path)
{
	auto_free char *pattern = xasprintf("%s.v[0-9]*-[0-9]*", path);
	size_t n = 0;
	glob_t found;

	if (glob(pattern, GLOB_NOSORT, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char *name = found.gl_pathv[i];

		if (is_copy_name(name, path, ".tmp") || is_copy_name(name, path, ".tmp-journal"))
			remove_copy(name);
		if (!is_copy_name(name, path, ""))
			continue;
		found.gl_pathv[i] = found.gl_pathv[n];
		found.gl_pathv[n++] = name;
	}
	qsort(found.gl_pathv, n, sizeof(*found.gl_pathv), compare_copy_age);
	for (size_t i = 0; i + COPIES_KEPT < n; i++)
		remove_copy(found.gl_pathv[i]);
	globfree(&found);
}

/* The text of the schema is writable for migrations only. */
static void protect_schema(struct db *db, bool on)
{
	(void)sqlite3_db_config(db->conn, SQLITE_DBCONFIG_DEFENSIVE, (int)on, NULL);
}

static int apply_migration(struct db *db, int number, struct err *e)
{
	int rc;

	assert(number > 0 && number <= schema_version());
	auto_free char *sql = xasprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT;",
					migrations[number - 1], number);

	protect_schema(db, false);
	rc = sqlite3_exec(db->conn, sql, NULL, NULL, NULL);
	protect_schema(db, true);
	if (rc == SQLITE_OK)
		return 0;
	sql_error(db, "migration", e);
	(void)sqlite3_exec(db->conn, "ROLLBACK", NULL, NULL, NULL);
	return -(int)e->code;
}

/* The version of the file; ERR_UNSUPPORTED if this program does not know it. */
static int schema_version_of(struct db *db, const char *path, int64_t *ret, struct err *e)
{
	int64_t found = 0;
	int r = sql_int(db, e, 0, &found, "PRAGMA user_version", "");

	if (r)
		return r;
	if (found > schema_version())
		return err_set(e, ERR_UNSUPPORTED,
			       "%s has schema %lld, this teepod knows up to %d: it was written by "
			       "a newer teepod; "
			       "run that version or restore a copy (%s.v*)",
			       path, (long long)found, schema_version(), path);
	*ret = found;
	return 0;
}

int schema_migrate(struct db *db, const char *path, struct err *e)
{
	int64_t found = 0;
	int r = schema_version_of(db, path, &found, e);

	if (r)
		return r;
	if (found > 0 && found < schema_version()) {
		r = copy_before_migration(db, path, found, e);
		if (r)
			return r;
	}
	for (int n = (int)found + 1; n <= schema_version(); n++) {
		r = apply_migration(db, n, e);
		if (r)
			return r;
	}
	if (found < schema_version())
		remove_old_copies(path);
	return 0;
}

int schema_current(struct db *db, const char *path, bool may_create, struct err *e)
{
	int64_t found = 0;
	int r = schema_version_of(db, path, &found, e);

	if (r || found == schema_version())
		return r;
	if (!found && may_create)
		return schema_migrate(db, path, e);
	return err_set(
		e, ERR_UNSUPPORTED,
		"%s has schema %lld, this teepod needs schema %d, and only the daemon may migrate"
		" it: start or restart the daemon with this version first",
		path, (long long)found, schema_version());
}
