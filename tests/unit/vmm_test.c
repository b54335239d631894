/* SPDX-License-Identifier: Apache-2.0
 * vmm_test.c - what the node promises before any hypervisor is asked: names, capacity, ports, identifiers, keys.
 *
 * The hypervisor's address leads nowhere: operations wait for it, everything else has to work without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/own.h"
#include "db/turn.h"
#include "vmm/mutation.h"
#include "vmm/world.h"

struct node {
	char dir[32], images[48];
	uv_loop_t loop;
	struct vmm *v;
	struct port_range ranges[1];
	struct vmm_settings set;
};

static const char *const addresses[] = { "127.0.0.1", "0.0.0.0", NULL };
static const char *const none[] = { NULL };
static const struct instance_type types[] = { { "tdx.small", 1, 2048, 20 }, { "tdx.big", 64, 65536, 20 } };
static const struct request_ref ref = { "req-1", "tester" };

static void add_image(struct node *n, const char *name, const char *family, unsigned minor, bool dev)
{
	struct image_row row = { .v = { 1, minor, 0, 0 }, .nv = 3, .is_dev = dev };
	struct err e;

	(void)snprintf(row.name, sizeof(row.name), "%s", name);
	(void)snprintf(row.family, sizeof(row.family), "%s", family);
	(void)snprintf(row.version, sizeof(row.version), "1.%u.0", minor);
	assert_int_equal(images_add(n->v->db, &row, &row.id, &e), 0);
}

static void open_node(struct node *n)
{
	struct err e;

	(void)snprintf(n->images, sizeof(n->images), "%s/images", n->dir);
	n->set = (struct vmm_settings){
		.loop = &n->loop,
		.state_dir = n->dir,
		.images_dir = n->images,
		.node_id = 1,
		.node_name = "n1",
		.region = "local",
		.workspace = "local",
		.hypervisor_uri = "qemu+unix:///system?socket=/nonexistent/sock",
		.tee = TEE_NONE,
		.vcpus = 8,
		.memory_mib = 8192,
		.disk_gib = 100,
		.slots = 5,
		.cid_start = 1000,
		.cid_count = 100,
		.ports_enabled = true,
		.port_ranges = n->ranges,
		.n_port_ranges = 1,
		.port_addresses = addresses,
		.types = types,
		.n_types = 2,
		.keep_operation_days = 1,
		.keep_event_days = 1,
		.keep_idempotency_hours = 1,
		.kms_urls = none,
		.gateway_urls = none,
	};
	assert_int_equal(vmm_open(&n->set, &n->v, &e), 0);
}

static void closed(void *arg)
{
	*(bool *)arg = true;
}

static void close_node(struct node *n)
{
	bool over = false;

	vmm_close(n->v, 2000, closed, &over);
	while (!over)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
}

static int set_up(void **st)
{
	struct node *n = xcalloc(1, sizeof(*n));

	(void)snprintf(n->dir, sizeof(n->dir), "/tmp/teepod-vmm-XXXXXX");
	if (!mkdtemp(n->dir) || uv_loop_init(&n->loop))
		return -1;
	n->ranges[0] = (struct port_range){ true, true, 28700, 28702 };
	open_node(n);
	add_image(n, "demo-1.0.0", "demo", 0, false);
	*st = n;
	return 0;
}

static int tear_down(void **st)
{
	struct node *n = *st;
	auto_free char *cmd = xasprintf("rm -rf %s", n->dir);

	close_node(n);
	(void)uv_run(&n->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&n->loop), 0);
	free(n);
	return system(cmd);
}

/* ------------------------------------------------------------------ asking */

struct asking {
	struct node *n;
	struct cvm_ask ask;
	struct cvm_row row;
	struct op_row op;
};

static int create_turn(void *arg, struct err *e)
{
	struct asking *a = arg;

	return vmm_create(a->n->v, a->n->v->workspace, &a->ask, &ref, &a->row, &a->op, e);
}

static json_t *manifest(const char *name)
{
	return json_pack("{s:i, s:s, s:s, s:s}", "manifest_version", 2, "name", name, "runner",
			 "docker-compose", "docker_compose_file", "services:\n  a:\n    image: b\n");
}

static int create(struct node *n, const char *name, int64_t vcpus, struct asking *ret, struct err *e)
{
	auto_json json_t *m = manifest(name);

	ret->n = n;
	ret->ask.name = name;
	ret->ask.prefer_dev = -1;
	ret->ask.vcpus = vcpus;
	if (!ret->ask.memory_mib)
		ret->ask.memory_mib = 100;
	ret->ask.disk_gib = 1;
	ret->ask.stopped = true;
	ret->ask.manifest = m;
	return turn_do(n->v->turn, create_turn, ret, e);
}

static int64_t promised(struct node *n, const char *resource)
{
	struct capacity_row row;
	struct err e;

	assert_int_equal(capacity_get(n->v->db, resource, &row, &e), 0);
	return row.promised;
}

static void a_stopped_create_promises_everything_and_touches_nothing(void **st)
{
	struct node *n = *st;
	struct asking a = { 0 };
	auto_free char *dir = NULL;
	struct err e;

	assert_int_equal(create(n, "first", 2, &a, &e), 0);
	assert_int_equal(promised(n, "vcpus"), 2);
	assert_int_equal(promised(n, "memory_mib"), 100);
	assert_int_equal(promised(n, "slots"), 1);
	assert_int_equal(a.op.state, OP_SUCCEEDED);
	assert_int_equal(cvm_status(&a.row), STATUS_STOPPED);
	dir = cvm_dir(n->v, a.row.uuid);
	assert_int_equal(access(dir, F_OK), -1);
}

static void a_refusal_names_the_resource_with_numbers_and_promises_nothing(void **st)
{
	struct node *n = *st;
	struct asking a = { 0 };
	struct err e;

	assert_int_equal(create(n, "first", 3, &a, &e), 0);
	assert_int_equal(create(n, "second", 6, &a, &e), -ERR_CAPACITY);
	assert_string_equal(e.cap.resource, "vcpus");
	assert_int_equal(e.cap.asked, 6);
	assert_int_equal(e.cap.free, 5);
	assert_int_equal(e.cap.total, 8);
	assert_non_null(strstr(e.hint, "5 vcpus would fit"));
	assert_int_equal(promised(n, "vcpus"), 3);
	assert_int_equal(promised(n, "slots"), 1);
	a.ask.memory_mib = 9000;
	assert_int_equal(create(n, "second", 1, &a, &e), -ERR_CAPACITY);
	assert_string_equal(e.cap.resource, "memory_mib");
}

static void slots_run_out_and_an_unconfigured_resource_says_so(void **st)
{
	struct node *n = *st;
	char name[] = "cvm-0";
	struct asking a = { 0 };
	struct err e;

	for (int i = 0; i < 5; i++, name[4]++)
		assert_int_equal(create(n, name, 1, &a, &e), 0);
	assert_int_equal(create(n, "one-more", 1, &a, &e), -ERR_CAPACITY);
	assert_string_equal(e.cap.resource, "slots");
	assert_int_equal(capacity_set_total(n->v->db, "slots", -1, &e), 0);
	assert_int_equal(create(n, "one-more", 1, &a, &e), -ERR_CAPACITY_UNSET);
	assert_non_null(strstr(e.hint, "capacity.slots"));
}

static void preflight_answers_as_create_would_and_reserves_nothing(void **st)
{
	auto_json json_t *m = manifest("first");
	struct node *n = *st;
	struct cvm_ask ask = {
		.name = "first", .prefer_dev = -1, .vcpus = 8, .memory_mib = 8192, .manifest = m
	};
	struct cvm_row row;
	struct err e;

	assert_int_equal(vmm_preflight(n->v, n->v->workspace, &ask, &row, &e), 0);
	assert_int_equal(row.vcpus, 8);
	assert_string_equal(row.image_name, "demo-1.0.0");
	assert_int_equal(promised(n, "vcpus"), 0);
	ask.vcpus = 9;
	assert_int_equal(vmm_preflight(n->v, n->v->workspace, &ask, &row, &e), -ERR_CAPACITY);
	ask.node_id = 7;
	assert_int_equal(vmm_preflight(n->v, n->v->workspace, &ask, &row, &e), -ERR_NODE_NOT_FOUND);
}

static void names_follow_the_rule_and_are_taken_once(void **st)
{
	static const char *const bad[] = { "four",
					   "1abcde",
					   "abc--de",
					   "abcde-",
					   "ab_cde",
					   "abc de",
					   "\xc3\xa4"
					   "bcdef" };
	struct node *n = *st;
	struct asking a = { 0 };
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(create(n, bad[i], 1, &a, &e), -ERR_INVALID);
		assert_string_equal(e.field, "name");
		assert_string_equal(e.value, bad[i]);
	}
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(create(n, "first", 1, &a, &e), -ERR_NAME_TAKEN);
}

static void a_bare_image_name_picks_the_newest_version(void **st)
{
	struct node *n = *st;
	struct asking a = { .ask.image = "demo" };
	struct err e;

	add_image(n, "demo-1.10.0", "demo", 10, false);
	add_image(n, "demo-1.9.0", "demo", 9, false);
	add_image(n, "demo-1.11.0", "demo", 11, true);
	a.ask.image = "demo";
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_string_equal(a.row.image_name, "demo-1.11.0");
	a.ask.image = NULL;
	assert_int_equal(create(n, "second", 1, &a, &e), 0);
	assert_string_equal(a.row.image_name, "demo-1.10.0");
	a.ask.image = "other";
	assert_int_equal(create(n, "third", 1, &a, &e), -ERR_IMAGE_NOT_FOUND);
}

static void host_ports_are_exclusive_ranged_and_picked(void **st)
{
	struct node *n = *st;
	struct port_ask fixed = { .host_port = 28700, .vm_port = 80 }, any = { .vm_port = 80 };
	struct asking a = { .ask.ports = &fixed, .ask.n_ports = 1 };
	struct port_row *ports;
	size_t np;
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(create(n, "second", 1, &a, &e), -ERR_CAPACITY);
	assert_non_null(strstr(e.text, "mapped to CVM first"));
	fixed.host_address = "0.0.0.0";
	assert_int_equal(create(n, "second", 1, &a, &e), -ERR_CAPACITY);
	fixed.host_port = 80;
	assert_int_equal(create(n, "second", 1, &a, &e), -ERR_INVALID);
	assert_string_equal(e.field, "ports[0].host_port");
	assert_non_null(strstr(e.text, "28700-28702"));
	a.ask.ports = &any;
	assert_int_equal(create(n, "second", 1, &a, &e), 0);
	assert_int_equal(ports_of(n->v->db, a.row.id, &ports, &np, &e), 0);
	assert_int_equal(np, 1);
	assert_int_equal(ports[0].host_port, 28701);
	free(ports);
	assert_int_equal(promised(n, "host_ports"), 2);
}

static void a_port_that_a_stranger_listens_on_is_refused(void **st)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(28702),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct port_ask fixed = { .host_port = 28702, .vm_port = 80 };
	struct asking a = { .ask.ports = &fixed, .ask.n_ports = 1 };
	struct node *n = *st;
	struct err e;

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(create(n, "first", 1, &a, &e), -ERR_CAPACITY);
	assert_non_null(strstr(e.text, "not free on this host"));
	assert_int_equal(promised(n, "host_ports"), 0);
}

static void every_form_of_identifier_finds_the_cvm(void **st)
{
	struct node *n = *st;
	struct asking a = { 0 }, b = { 0 };
	struct cvm_row found;
	char form[8][64];
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	(void)snprintf(form[0], 64, "%s", a.row.uuid);
	(void)snprintf(form[1], 64, "%.8s%.4s%.4s%.4s%.12s", a.row.uuid, a.row.uuid + 9, a.row.uuid + 14,
		       a.row.uuid + 19, a.row.uuid + 24);
	(void)snprintf(form[2], 64, "app_%s", a.row.app_id);
	(void)snprintf(form[3], 64, "%s", a.row.app_id);
	(void)snprintf(form[4], 64, "0x%s", a.row.app_id);
	(void)snprintf(form[5], 64, "cvm_%lld", (long long)a.row.id);
	(void)snprintf(form[6], 64, "%lld", (long long)a.row.id);
	(void)snprintf(form[7], 64, "first");
	for (size_t i = 0; i < ARRAY_SIZE(form); i++) {
		assert_int_equal(vmm_find(n->v, 0, form[i], &found, &e), 0);
		assert_int_equal(found.id, a.row.id);
	}
	assert_int_equal(vmm_find(n->v, 0, "nobody", &found, &e), -ERR_CVM_NOT_FOUND);
	b.ask.app_id = a.row.app_id;
	assert_int_equal(create(n, "second", 1, &b, &e), 0);
	assert_int_equal(vmm_find(n->v, 0, form[2], &found, &e), -ERR_CVM_AMBIGUOUS);
	assert_int_equal(vmm_find(n->v, n->v->workspace + 1, form[0], &found, &e), -ERR_CVM_NOT_FOUND);
}

/* ------------------------------------------------------------------ operations without a hypervisor */

static int power_turn(void *arg, struct err *e)
{
	struct asking *a = arg;
	const struct power_ask start = { .kind = OP_START };

	return vmm_power(a->n->v, &a->row, &start, &ref, &a->op, e);
}

static int delete_turn(void *arg, struct err *e)
{
	struct asking *a = arg;
	const struct power_ask del = { .kind = OP_DELETE };

	return vmm_power(a->n->v, &a->row, &del, &ref, &a->op, e);
}

static void a_second_operation_is_refused_and_delete_overtakes(void **st)
{
	struct node *n = *st;
	struct asking a = { 0 }, second;
	struct op_row op;
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(turn_do(n->v->turn, power_turn, &a, &e), 0);
	(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	second = a;
	assert_int_equal(turn_do(n->v->turn, power_turn, &second, &e), -ERR_BUSY);
	assert_int_equal(turn_do(n->v->turn, delete_turn, &second, &e), 0);
	for (int i = 0; i < 20; i++)
		(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	assert_int_equal(ops_get(n->v->db, a.op.id, &op, &e), 0);
	assert_int_equal(op.state, OP_CANCELLED);
	assert_int_equal(ops_get(n->v->db, second.op.id, &op, &e), 0);
	assert_int_equal(op.state, OP_RUNNING);
	assert_int_equal(turn_do(n->v->turn, power_turn, &second, &e), -ERR_BUSY);
}

static void what_waits_for_the_hypervisor_waits_across_restarts(void **st)
{
	struct node *n = *st;
	struct asking a = { 0 };
	struct op_row op;
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(turn_do(n->v->turn, power_turn, &a, &e), 0);
	(void)uv_run(&n->loop, UV_RUN_NOWAIT);
	close_node(n);
	open_node(n);
	assert_int_equal(ops_get(n->v->db, a.op.id, &op, &e), 0);
	assert_int_equal(op.state, OP_RUNNING);
	assert_int_equal(n->v->n_ops, 1);
	assert_int_equal(promised(n, "vcpus"), 1);
}

/* ------------------------------------------------------------------ idempotency */

struct seen {
	struct node *n;
	int applied, answered, replayed, refused;
	bool fail;
	enum err_code code;
	long long body;
};

static int apply(void *arg, struct answer *ret, struct err *e)
{
	struct seen *s = arg;

	if (s->fail)
		return err_set(e, ERR_UNAVAILABLE, "not now");
	*ret = (struct answer){ 200, json_pack("{s:i}", "n", ++s->applied) };
	return 0;
}

static void done(void *arg, struct answer *a, bool replayed, const struct err *e)
{
	struct seen *s = arg;

	if (e) {
		s->refused++;
		s->code = e->code;
		return;
	}
	s->answered++;
	s->replayed += replayed;
	s->body = json_integer_value(json_object_get(a->body, "n"));
	json_decref(a->body);
}

static void the_same_key_gets_the_same_answer_and_a_failure_is_not_remembered(void **st)
{
	struct mutation m = { .caller = "key:1", .key = "k", .digest = "d1", .apply = apply, .done = done };
	struct seen s = { .n = *st, .fail = true };
	struct vmm *v = s.n->v;

	vmm_mutate(v, &m, &s);
	(void)uv_run(&s.n->loop, UV_RUN_NOWAIT);
	assert_int_equal(s.code, ERR_UNAVAILABLE);
	s.fail = false;
	vmm_mutate(v, &m, &s);
	vmm_mutate(v, &m, &s);
	(void)uv_run(&s.n->loop, UV_RUN_NOWAIT);
	assert_int_equal(s.applied, 1);
	assert_int_equal(s.answered, 2);
	assert_int_equal(s.replayed, 1);
	assert_int_equal(s.body, 1);
	m.digest = "d2";
	vmm_mutate(v, &m, &s);
	(void)uv_run(&s.n->loop, UV_RUN_NOWAIT);
	assert_int_equal(s.code, ERR_CONFLICT);
	m.caller = "key:2";
	vmm_mutate(v, &m, &s);
	(void)uv_run(&s.n->loop, UV_RUN_NOWAIT);
	assert_int_equal(s.applied, 2);
}

/* ------------------------------------------------------------------ status */

static void the_status_word_follows_from_wanted_seen_and_done(void **st)
{
	static const struct {
		enum desired d;
		enum observed o;
		const char *op, *word;
		enum op_kind kind;
	} rows[] = {
		{ DESIRED_STOPPED, OBSERVED_ABSENT, "", "stopped", 0 },
		{ DESIRED_STOPPED, OBSERVED_OFF, "", "stopped", 0 },
		{ DESIRED_STOPPED, OBSERVED_CRASHED, "", "stopped", 0 },
		{ DESIRED_RUNNING, OBSERVED_RUNNING, "", "running", 0 },
		{ DESIRED_RUNNING, OBSERVED_OFF, "", "exited", 0 },
		{ DESIRED_RUNNING, OBSERVED_ABSENT, "", "exited", 0 },
		{ DESIRED_RUNNING, OBSERVED_CRASHED, "", "crashed", 0 },
		{ DESIRED_RUNNING, OBSERVED_PAUSED, "", "paused", 0 },
		{ DESIRED_STOPPED, OBSERVED_RUNNING, "", "stopping", 0 },
		{ DESIRED_DELETED, OBSERVED_OFF, "", "deleting", 0 },
		{ DESIRED_RUNNING, OBSERVED_RUNNING, "x", "restarting", OP_RESTART },
		{ DESIRED_RUNNING, OBSERVED_ABSENT, "x", "starting", OP_CREATE },
		{ DESIRED_STOPPED, OBSERVED_RUNNING, "x", "shutting_down", OP_SHUTDOWN },
		{ DESIRED_DELETED, OBSERVED_RUNNING, "x", "deleting", OP_DELETE },
	};

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cvm_row c = { .desired = rows[i].d, .observed = rows[i].o, .op_kind = rows[i].kind };

		(void)snprintf(c.op_id, sizeof(c.op_id), "%s", rows[i].op);
		assert_string_equal(status_word(cvm_status(&c)), rows[i].word);
	}
}

#define WITH_NODE(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest t[] = {
		WITH_NODE(a_stopped_create_promises_everything_and_touches_nothing),
		WITH_NODE(a_refusal_names_the_resource_with_numbers_and_promises_nothing),
		WITH_NODE(slots_run_out_and_an_unconfigured_resource_says_so),
		WITH_NODE(preflight_answers_as_create_would_and_reserves_nothing),
		WITH_NODE(names_follow_the_rule_and_are_taken_once),
		WITH_NODE(a_bare_image_name_picks_the_newest_version),
		WITH_NODE(host_ports_are_exclusive_ranged_and_picked),
		WITH_NODE(a_port_that_a_stranger_listens_on_is_refused),
		WITH_NODE(every_form_of_identifier_finds_the_cvm),
		WITH_NODE(a_second_operation_is_refused_and_delete_overtakes),
		WITH_NODE(what_waits_for_the_hypervisor_waits_across_restarts),
		WITH_NODE(the_same_key_gets_the_same_answer_and_a_failure_is_not_remembered),
		cmocka_unit_test(the_status_word_follows_from_wanted_seen_and_done),
	};

	return cmocka_run_group_tests_name("vmm", t, NULL, NULL);
}
