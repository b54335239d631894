/* SPDX-License-Identifier: Apache-2.0
 * durable_test.c - a power loss after each write, and an I/O error or a full disk at each call:
 * acknowledged changes exist, refused changes do not, and no change exists partly.
 *
 * The node runs on tests/vfs/disk.h, with an invalid hypervisor address. After each commit a digest
 * of all rows is stored with the length of the log. After a cut at any length the rows must be
 * those of the last commit acknowledged by then, or of the commit in progress.
 *
 * All cuts take minutes, so only each fourth cut and call is tried unless TEEPOD_DURABLE=full is
 * set. TEEPOD_CUT_SEEDS: number of ways to lose unsynced data per cut (default 1: all of it, or a
 * random part, alternately).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/check.h"
#include "db/sql.h"
#include "db/turn.h"
#include "tests/unit/node_fixture.h"
#include "tests/vfs/disk.h"
#include "vmm/admit/port_probe.h"
#include "vmm/cvm/create.h"
#include "vmm/cvm/replicate.h"
#include "vmm/cvm/update.h"
#include "vmm/op/step_table.h"
#include "vmm/op/mutation.h"
#include "vmm/vmm.h"

enum { COMMITS_MAX = 400, CHECKPOINT_PAGES = 24, DELETE_REMOVE = 2 };

struct commit {
	size_t log;
	char rows[SHA256_HEX];
};

/* A node on the recorded disk, and its commits. */
struct recorded_node {
	struct node_fixture *n;
	struct commit commit[COMMITS_MAX];
	int commits;
	unsigned names, keys; /* used so far */
};

/* ------------------------------------------------------------------ digest of all rows */

static void fold_table(sqlite3 *conn, const char *table, struct buf *out)
{
	auto_free char *sql = xasprintf("SELECT * FROM \"%s\"", table);
	sqlite3_stmt *st;

	assert_int_equal(sqlite3_prepare_v2(conn, sql, -1, &st, NULL), SQLITE_OK);
	buf_printf(out, "== %s\n", table);
	while (sqlite3_step(st) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(st); i++) {
			const char *text = (const char *)sqlite3_column_text(st, i);

			buf_printf(out, "%d:%s|", sqlite3_column_bytes(st, i), text ? text : "-");
		}
		buf_puts(out, "\n");
	}
	assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
}

static void digest(sqlite3 *conn, char out[SHA256_HEX])
{
	auto_buf struct buf b = { 0 };
	sqlite3_stmt *st;

	assert_int_equal(
		sqlite3_prepare_v2(
			conn, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
			-1, &st, NULL),
		SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW)
		fold_table(conn, (const char *)sqlite3_column_text(st, 0), &b);
	assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
	id_sha256_hex(b.data, b.len, out);
}

/* Through a second connection, because the next turn may be open on that of the node. */
static void rows_of(const char *path, char out[SHA256_HEX])
{
	sqlite3 *conn;

	assert_int_equal(sqlite3_open_v2(path, &conn, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	digest(conn, out);
	assert_int_equal(sqlite3_close(conn), SQLITE_OK);
}

static void rows_now(const struct node_fixture *n, char out[SHA256_HEX])
{
	auto_free char *path = xasprintf("%s/teepod.db", n->dir);

	rows_of(path, out);
}

static void committed(void *arg)
{
	struct recorded_node *r = arg;
	struct commit *c = &r->commit[r->commits++];

	assert_true(r->commits < COMMITS_MAX);
	c->log = disk_log();
	rows_now(r->n, c->rows);
}

/* ------------------------------------------------------------------ a node */

static void open_node(struct node_fixture *n)
{
	auto_free char *pragma = xasprintf("PRAGMA wal_autocheckpoint = %d", CHECKPOINT_PAGES);

	node_fixture_open(n);
	assert_int_equal(sqlite3_exec(vmm_db(n->v)->conn, pragma, NULL, NULL, NULL), SQLITE_OK);
}

static void add_image(struct node_fixture *n)
{
	auto_free char *files = xasprintf("%s/demo-1.0.0", n->images);
	auto_free char *meta = xasprintf("%s/metadata.json", files);
	struct err e;

	assert_int_equal(file_mkdirs(files, 0755, &e), 0);
	assert_int_equal(file_write(meta, "{}", 2, 0644, &e), 0);
	node_fixture_add_image(n, "demo", 0, false);
}

/* In memory where the host has a file system for it: the tests write a lot. */
static struct recorded_node *new_recorded_node(void)
{
	struct recorded_node *r = xcalloc(1, sizeof(*r));

	r->n = node_fixture_new(access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	disk_begin(r->n->dir);
	return r;
}

static int set_up(void **st)
{
	struct recorded_node *r = new_recorded_node();

	r->n->set.vcpus = 4000;
	r->n->set.memory_mib = 400000;
	r->n->set.disk_gib = 4000;
	r->n->set.slots = 3000;
	r->n->set.cid_count = 3000;
	node_fixture_set_ports(r->n, 12000, 41999);
	open_node(r->n);
	add_image(r->n);
	node_fixture_come_to_rest(r->n);
	*st = r;
	return 0;
}

static int set_up_disk(void **st)
{
	*st = new_recorded_node();
	return 0;
}

static int tear_down(void **st)
{
	struct recorded_node *r = *st;

	(void)disk_heal();
	if (r->n->v)
		node_fixture_close(r->n);
	disk_end();
	node_fixture_free(r->n);
	free(r);
	return 0;
}

/* ------------------------------------------------------------------ mutations */

struct attempt {
	struct recorded_node *r;
	struct cvm_row cvm; /* the CVM that is changed or created */
	struct op_row op;
	int result;   /* 1 acknowledged, -1 refused, 0 neither yet */
	bool retried; /* after facts about the host were read */
	char key[16];
	struct err err;
	const struct act *act;
};

struct act {
	const char *name;
	bool on_cvm; /* needs a stopped CVM */
	bool to_end; /* its operation can finish without a hypervisor */
	int (*apply)(struct attempt *a, struct err *e);
};

static int do_create(struct attempt *a, struct err *e)
{
	const struct port_request ports[] = { { .vm_port = 80 }, { .udp = true, .vm_port = 7 } };
	char name[16];
	auto_json json_t *m = NULL;
	struct cvm_request request;

	(void)snprintf(name, sizeof(name), "cvm-%u", a->r->names++);
	m = node_fixture_manifest(name);
	request = (struct cvm_request){ .name = name,
					.prefer_dev = -1,
					.vcpus = 1,
					.memory_mib = 64,
					.disk_gib = 1,
					.stopped = true,
					.manifest = m,
					.ports = ports,
					.n_ports = ARRAY_SIZE(ports) };
	return vmm_create(a->r->n->v, vmm_default_workspace(a->r->n->v), &request, &fixture_ref,
			  &a->cvm, &a->op, e);
}

static int do_provision(struct attempt *a, struct err *e)
{
	char name[16];
	auto_json json_t *m = NULL;
	struct provision_result ret;
	struct cvm_request request;

	(void)snprintf(name, sizeof(name), "pro-%u", a->r->names++);
	m = node_fixture_manifest(name);
	request = (struct cvm_request){ .name = name,
					.prefer_dev = -1,
					.vcpus = 1,
					.memory_mib = 64,
					.disk_gib = 1,
					.manifest = m };
	return vmm_provision(a->r->n->v, vmm_default_workspace(a->r->n->v), &request, &ret, e);
}

static int power(struct attempt *a, enum op_kind kind, struct err *e)
{
	const struct power_request request = { .kind = kind };

	return vmm_power(a->r->n->v, &a->cvm, &request, &fixture_ref, &a->op, e);
}

static int do_start(struct attempt *a, struct err *e)
{
	return power(a, OP_START, e);
}

static int do_restart(struct attempt *a, struct err *e)
{
	return power(a, OP_RESTART, e);
}

static int do_resize(struct attempt *a, struct err *e)
{
	const struct update_request request = { .vcpus = 2, .memory_mib = 96, .listed = -1 };

	return vmm_update(a->r->n->v, &a->cvm, &request, &fixture_ref, &a->op, e);
}

static int do_upgrade(struct attempt *a, struct err *e)
{
	const struct port_request ports[] = { { .vm_port = 80 }, { .vm_port = 443 } };
	auto_json json_t *m = node_fixture_manifest("upgraded");
	const struct update_request request = { .manifest = m,
						.set_env = true,
						.encrypted_env = "secret",
						.encrypted_env_len = 6,
						.set_ports = true,
						.ports = ports,
						.n_ports = ARRAY_SIZE(ports),
						.listed = 1 };

	return vmm_update(a->r->n->v, &a->cvm, &request, &fixture_ref, &a->op, e);
}

static int do_replicate(struct attempt *a, struct err *e)
{
	const struct replicate_request request = { .workspace = vmm_default_workspace(a->r->n->v),
						   .source = a->cvm.uuid,
						   .stopped = true };
	auto_free struct replica *made = NULL;
	size_t n;
	struct err why;

	return vmm_replicate(a->r->n->v, &request, 1, false, &fixture_ref, &made, &n, &why, e);
}

/* Continue at the step that needs no hypervisor; guest and definition do not exist. */
static int do_delete(struct attempt *a, struct err *e)
{
	int r = power(a, OP_DELETE, e);

	op_set_step(&a->op, DELETE_REMOVE);
	return r ? r : ops_update(vmm_db(a->r->n->v), &a->op, e);
}

static const struct act acts[] = {
	{ "create", false, false, do_create },      { "provision", false, false, do_provision },
	{ "start", true, false, do_start },         { "restart", true, false, do_restart },
	{ "resize", true, true, do_resize },        { "upgrade", true, true, do_upgrade },
	{ "replicate", true, false, do_replicate }, { "delete", true, true, do_delete },
};

static int apply(void *arg, struct answer *ret, struct err *e)
{
	struct attempt *a = arg;
	int r = a->act->apply(a, e);

	if (!r)
		*ret = (struct answer){ 200, json_pack("{s:s}", "uuid", a->cvm.uuid) };
	return r;
}

static void mutate(void *arg);

static void done(void *arg, struct answer *answer, bool replayed, const struct err *e)
{
	struct attempt *a = arg;

	(void)replayed;
	if (e && admission_retry(a->r->n->v, e, a->retried, mutate, a)) {
		a->retried = true;
		return;
	}
	a->result = e ? -1 : 1;
	if (e)
		a->err = *e;
	else
		json_decref(answer->body);
}

static void mutate(void *arg)
{
	struct attempt *a = arg;
	const struct mutation m = {
		.caller = "key:1", .key = a->key, .digest = "d", .apply = apply, .done = done
	};

	vmm_mutate(a->r->n->v, &m, a);
}

/* Like a request: applied in a turn, with an Idempotency-Key, answered after the commit; repeated
 * after ports were probed. */
static void try_act(struct recorded_node *r, const struct act *act, struct attempt *a)
{
	(void)snprintf(a->key, sizeof(a->key), "k%u", r->keys++);
	a->r = r;
	a->act = act;
	a->result = 0;
	a->retried = false;
	mutate(a);
	for (int i = 0; i < 100 && !a->result; i++)
		(void)uv_run(&r->n->loop, a->retried ? UV_RUN_ONCE : UV_RUN_NOWAIT);
	assert_int_not_equal(a->result, 0);
}

static void act_ok(struct recorded_node *r, const struct act *act, struct attempt *a)
{
	try_act(r, act, a);
	if (a->result < 0)
		print_error("%s: %s\n", act->name, a->err.text);
	assert_int_equal(a->result, 1);
}

static void finish(const struct attempt *a)
{
	assert_int_equal(node_fixture_finish_op(a->r->n, a->op.id).state, OP_SUCCEEDED);
}

/* ------------------------------------------------------------------ cuts */

struct tally {
	unsigned cuts, before, after;
};

static unsigned stride(void)
{
	const char *given = getenv("TEEPOD_DURABLE");

	return given && !strcmp(given, "full") ? 1 : 4;
}

static unsigned seeds(void)
{
	const char *given = getenv("TEEPOD_CUT_SEEDS");

	return given ? (unsigned)strtoul(given, NULL, 10) : 1;
}

/* Lose all unsynced data, then random parts; with one way per cut, alternately. */
static uint64_t seed_of(size_t log, uint64_t way)
{
	if (seeds() == 1)
		return log / stride() % 2 ? log + 2 : CUT_LOSES_ALL;
	return way ? way + 1 : CUT_LOSES_ALL;
}

static void clean(const char *folder)
{
	struct err e;

	assert_int_equal(file_remove_tree(folder, &e), 0);
	assert_int_equal(file_mkdirs(folder, 0700, &e), 0);
}

static void sound(const char *path)
{
	auto_buf struct buf found = { 0 };
	struct err e;
	int n = db_check(path, &found, &e);

	if (n)
		print_error("%s\n", n < 0 ? e.text : (char *)found.data);
	assert_int_equal(n, 0);
}

/* The number of commits acknowledged when the log had this length. */
static int acknowledged(const struct recorded_node *r, size_t log)
{
	int k = 0;

	while (k < r->commits && r->commit[k].log <= log)
		k++;
	return k;
}

static void cut(const struct recorded_node *r, size_t log, uint64_t seed, const char *folder,
		struct tally *t)
{
	auto_free char *path = xasprintf("%s/teepod.db", folder);
	int k = acknowledged(r, log);
	char rows[SHA256_HEX];
	struct db *db;
	struct err e;

	clean(folder);
	disk_cut(log, seed, folder);
	if (db_open(path, &db, &e)) {
		print_error("cut after %zu with seed %llu: %s\n", log, (unsigned long long)seed,
			    e.text);
		fail();
	}
	digest(db->conn, rows);
	db_close(db);
	sound(path);
	t->cuts++;
	if (k && !strcmp(rows, r->commit[k - 1].rows)) {
		t->before++;
	} else if (k < r->commits && !strcmp(rows, r->commit[k].rows)) {
		t->after++;
	} else {
		print_error("cut after %zu with seed %llu shows neither commit %d nor commit %d\n",
			    log, (unsigned long long)seed, k - 1, k);
		fail();
	}
}

static void at_every_cut_the_rows_are_those_of_a_commit_and_none_acknowledged_is_missing(void **st)
{
	struct recorded_node *r = *st;
	struct attempt a[ARRAY_SIZE(acts)] = { 0 }, other = { 0 };
	auto_free char *folder = xasprintf("%s/cut", r->n->dir);
	struct tally t = { 0 };
	size_t first, last;

	(void)turn_watch(vmm_turn(r->n->v), committed, r);
	act_ok(r, &acts[0], &other); /* the first known commit */
	first = r->commit[0].log;
	for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
		if (acts[i].on_cvm)
			act_ok(r, &acts[0], &a[i]);
		act_ok(r, &acts[i], &a[i]);
		if (acts[i].to_end)
			finish(&a[i]);
	}
	last = disk_log();
	assert_true(r->commits > (int)ARRAY_SIZE(acts));
	for (size_t log = first; log <= last; log += stride())
		for (uint64_t way = 0; way < seeds(); way++)
			cut(r, log, seed_of(log, way), folder, &t);
	print_message("# %d commits, %zu writes and syncs, %u cuts: %u showed the last commit "
		      "acknowledged, %u the one being made\n",
		      r->commits, last - first, t.cuts, t.before, t.after);
	assert_true(t.before && t.after);
}

static void a_first_start_cut_short_at_any_write_is_begun_again(void **st)
{
	struct recorded_node *r = *st;
	auto_free char *path = xasprintf("%s/teepod.db", r->n->dir),
		       *folder = xasprintf("%s/cut", r->n->dir);
	auto_free char *cut_path = xasprintf("%s/teepod.db", folder);
	struct db *db;
	struct err e;
	size_t last;

	assert_int_equal(db_open(path, &db, &e), 0);
	db_close(db);
	last = disk_log();
	assert_true(last > 20);
	for (size_t log = 0; log <= last; log += stride()) {
		for (uint64_t way = 0; way < seeds(); way++) {
			clean(folder);
			disk_cut(log, seed_of(log, way), folder);
			if (db_open(cut_path, &db, &e)) {
				print_error("cut after %zu with seed %llu: %s\n", log,
					    (unsigned long long)seed_of(log, way), e.text);
				fail();
			}
			db_close(db);
			sound(cut_path);
		}
	}
	print_message("# %zu writes and syncs of a first start, a cut after each or each fourth\n",
		      last);
}

/* ------------------------------------------------------------------ errors */

/* Run once with the @nth call failing. True if a call failed. */
static bool fail_nth_call(struct recorded_node *r, const struct act *act, struct attempt *a,
			  unsigned long nth, enum disk_fault fault, bool lasting)
{
	char before[SHA256_HEX], after[SHA256_HEX];
	bool failed;

	rows_now(r->n, before);
	disk_fail(nth, fault, lasting);
	try_act(r, act, a);
	failed = disk_heal();
	node_fixture_run(r->n, 0);
	if (a->result > 0)
		return failed;
	if (!failed)
		print_error("%s was refused without a failed call: %s\n", act->name, a->err.text);
	assert_true(failed);
	assert_int_equal(a->err.code, ERR_HOST);
	rows_now(r->n, after);
	if (strcmp(before, after) != 0)
		print_error("%s refused with \"%s\" (call %lu) has changed rows\n", act->name,
			    a->err.text, nth);
	assert_string_equal(before, after);
	return true;
}

static unsigned every_call(struct recorded_node *r, const struct act *act, enum disk_fault fault,
			   bool lasting)
{
	auto_free char *path = xasprintf("%s/teepod.db", r->n->dir);
	struct attempt a = { 0 };
	unsigned refused = 0;
	bool ready = false;
	unsigned long nth = 1;

	/* A call that fails after the answer is repeated one second later: try fewer of those. */
	for (;; nth += stride() * (act->to_end ? 5 : 1)) {
		bool failed;

		if (act->on_cvm && !ready)
			act_ok(r, &acts[0], &a);
		ready = true;
		failed = fail_nth_call(r, act, &a, nth, fault, lasting);
		if (a.result > 0) {
			/* After a failed checkpoint the next one has more to do, so the nth call
			 * fails again, without end. Make one that succeeds. */
			(void)sqlite3_wal_checkpoint_v2(vmm_db(r->n->v)->conn, NULL,
							SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
			ready = false; /* this CVM is changed: take a new one */
			if (act->to_end)
				finish(&a);
		}
		refused += a.result < 0;
		if (!failed)
			break;
		if (nth % 16 == 1)
			sound(path);
	}
	sound(path);
	return refused;
}

/* Each on its own node, because the digest of many rows takes most of the time. */
static unsigned on_a_node(const struct act *act, enum disk_fault fault, bool lasting)
{
	char before[SHA256_HEX], after[SHA256_HEX];
	void *st = NULL;
	unsigned refused;
	struct recorded_node *r;

	assert_int_equal(set_up(&st), 0);
	r = st;
	refused = every_call(r, act, fault, lasting);
	rows_now(r->n, before);
	node_fixture_close(r->n);
	rows_now(r->n, after);
	assert_string_equal(before, after);
	assert_int_equal(tear_down(&st), 0);
	return refused;
}

static void every_call_of_every_act(enum disk_fault fault, bool lasting)
{
	unsigned refused = 0;

	for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
		refused += on_a_node(&acts[i], fault, lasting);
	print_message("# %u changes refused\n", refused);
	assert_true(refused);
}

static void an_io_error_at_any_call_refuses_the_change_and_leaves_no_trace(void **st)
{
	(void)st;
	every_call_of_every_act(DISK_IOERR, false);
}

static void io_errors_from_any_call_on_refuse_the_change_and_leave_no_trace(void **st)
{
	(void)st;
	every_call_of_every_act(DISK_IOERR, true);
}

static void no_space_at_any_call_refuses_the_change_and_leaves_no_trace(void **st)
{
	(void)st;
	every_call_of_every_act(DISK_FULL, false);
}

static void no_space_from_any_call_on_refuses_the_change_and_leaves_no_trace(void **st)
{
	(void)st;
	every_call_of_every_act(DISK_FULL, true);
}

static void an_open_that_fails_reports_the_error_and_the_next_one_works(void **st)
{
	struct recorded_node *r = *st;
	auto_free char *path = xasprintf("%s/teepod.db", r->n->dir);
	char before[SHA256_HEX], after[SHA256_HEX];
	unsigned failed = 0;
	struct attempt a = { 0 };
	struct err e;
	bool hit = true;

	act_ok(r, &acts[0], &a);
	rows_now(r->n, before);
	node_fixture_close(r->n);
	for (unsigned long nth = 1; hit; nth++) {
		struct db *db = (struct db *)&a; /* untouched on failure */

		disk_fail(nth, DISK_IOERR, false);
		e.text[0] = '\0';
		if (db_open(path, &db, &e)) {
			assert_ptr_equal(db, &a);
			assert_true(e.text[0]);
			failed++;
		} else {
			db_close(db);
		}
		hit = disk_heal();
		assert_int_equal(db_open(path, &db, &e), 0);
		digest(db->conn, after);
		db_close(db);
		assert_string_equal(before, after);
	}
	print_message("# %u starts met an I/O error\n", failed);
	assert_true(failed);
}

#define WITH_NODE(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest t[] = {
		WITH_NODE(
			at_every_cut_the_rows_are_those_of_a_commit_and_none_acknowledged_is_missing),
		cmocka_unit_test_setup_teardown(a_first_start_cut_short_at_any_write_is_begun_again,
						set_up_disk, tear_down),
		cmocka_unit_test(an_io_error_at_any_call_refuses_the_change_and_leaves_no_trace),
		cmocka_unit_test(io_errors_from_any_call_on_refuse_the_change_and_leave_no_trace),
		cmocka_unit_test(no_space_at_any_call_refuses_the_change_and_leaves_no_trace),
		cmocka_unit_test(no_space_from_any_call_on_refuses_the_change_and_leaves_no_trace),
		WITH_NODE(an_open_that_fails_reports_the_error_and_the_next_one_works),
	};

	return cmocka_run_group_tests_name("durable", t, NULL, NULL);
}
