/* SPDX-License-Identifier: Apache-2.0
 * admission_test.c - admission of new CVMs: capacity, names, images, host ports, identifiers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/array.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/own.h"
#include "db/capacity.h"
#include "db/ports.h"
#include "db/turn.h"
#include "tests/unit/node_fixture.h"
#include "vmm/admit/port_probe.h"
#include "vmm/cvm/create.h"
#include "vmm/cvm/status.h"
#include "vmm/host/waiters.h"
#include "vmm/node/find.h"
#include "vmm/vmm.h"

static const char *const addresses[] = { "127.0.0.1", "0.0.0.0", NULL };

static const struct instance_type types[] = { { "tdx.small", 1, 2048, 20 },
					      { "tdx.big", 64, 65536, 20 } };

static int set_up(void **st)
{
	struct node_fixture *n = node_fixture_new("/tmp");

	n->set.vcpus = 8;
	n->set.disk_gib = 100;
	n->set.slots = 5;
	n->set.port_addresses = addresses;
	n->set.types = types;
	n->set.n_types = ARRAY_SIZE(types);
	node_fixture_set_ports(n, 28700, 28702);
	node_fixture_open(n);
	node_fixture_add_image(n, "demo", 0, false);
	*st = n;
	return 0;
}

static int tear_down(void **st)
{
	node_fixture_free(*st);
	return 0;
}

static int create(struct node_fixture *n, const char *name, int64_t vcpus, struct cvm_call *c,
		  struct err *e)
{
	c->request.vcpus = vcpus;
	return cvm_call_create(n, name, c, e);
}

static void creating_a_stopped_cvm_reserves_everything_and_makes_no_files(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	auto_free char *dir = NULL;
	struct err e;

	assert_int_equal(create(n, "first", 2, &a, &e), 0);
	assert_int_equal(node_fixture_reserved(n, "vcpus"), 2);
	assert_int_equal(node_fixture_reserved(n, "memory_mib"), 100);
	assert_int_equal(node_fixture_reserved(n, "slots"), 1);
	assert_int_equal(a.op.state, OP_SUCCEEDED);
	assert_int_equal(cvm_status(&a.row), STATUS_STOPPED);
	dir = cvm_dir(n->v, a.row.uuid);
	assert_int_equal(access(dir, F_OK), -1);
}

static void a_refusal_names_the_resource_with_numbers_and_reserves_nothing(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
	struct err e;

	assert_int_equal(create(n, "first", 3, &a, &e), 0);
	assert_int_equal(create(n, "second", 6, &a, &e), -ERR_CAPACITY);
	assert_string_equal(e.cap.resource, "vcpus");
	assert_int_equal(e.cap.asked, 6);
	assert_int_equal(e.cap.free, 5);
	assert_int_equal(e.cap.total, 8);
	assert_non_null(strstr(e.hint, "5 vcpus would fit"));
	assert_int_equal(node_fixture_reserved(n, "vcpus"), 3);
	assert_int_equal(node_fixture_reserved(n, "slots"), 1);
	a.request.memory_mib = 9000;
	assert_int_equal(create(n, "second", 1, &a, &e), -ERR_CAPACITY);
	assert_string_equal(e.cap.resource, "memory_mib");
}

static void slots_are_limited_and_an_unconfigured_resource_has_its_own_error(void **st)
{
	struct node_fixture *n = *st;
	char name[] = "cvm-0";
	struct cvm_call a = { 0 };
	struct err e;

	for (int i = 0; i < 5; i++, name[4]++)
		assert_int_equal(create(n, name, 1, &a, &e), 0);
	assert_int_equal(create(n, "one-more", 1, &a, &e), -ERR_CAPACITY);
	assert_string_equal(e.cap.resource, "slots");
	assert_int_equal(capacity_set_total(vmm_db(n->v), "slots", -1, &e), 0);
	assert_int_equal(create(n, "one-more", 1, &a, &e), -ERR_CAPACITY_UNSET);
	assert_non_null(strstr(e.hint, "capacity.slots"));
}

static void preflight_answers_as_create_would_and_reserves_nothing(void **st)
{
	auto_json json_t *m = node_fixture_manifest("first");
	struct node_fixture *n = *st;
	struct cvm_request request = {
		.name = "first", .prefer_dev = -1, .vcpus = 8, .memory_mib = 8192, .manifest = m
	};
	struct cvm_row row;
	struct err e;

	assert_int_equal(vmm_preflight(n->v, vmm_default_workspace(n->v), &request, &row, &e), 0);
	assert_int_equal(row.vcpus, 8);
	assert_string_equal(row.image_name, "demo-1.0.0");
	assert_int_equal(node_fixture_reserved(n, "vcpus"), 0);
	request.vcpus = 9;
	assert_int_equal(vmm_preflight(n->v, vmm_default_workspace(n->v), &request, &row, &e),
			 -ERR_CAPACITY);
	request.node_id = 7;
	assert_int_equal(vmm_preflight(n->v, vmm_default_workspace(n->v), &request, &row, &e),
			 -ERR_NODE_NOT_FOUND);
}

static void names_follow_the_rule_and_are_taken_once(void **st)
{
	static const char *const bad[] = { "four",   "1abcde", "abc--de",       "abcde-",
					   "ab_cde", "abc de", "\xc3\xa4hnlich" };
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 };
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
	struct node_fixture *n = *st;
	struct cvm_call a = { .request.image = "demo" };
	struct err e;

	node_fixture_add_image(n, "demo", 10, false);
	node_fixture_add_image(n, "demo", 9, false);
	node_fixture_add_image(n, "demo", 11, true);
	a.request.image = "demo";
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_string_equal(a.row.image_name, "demo-1.11.0");
	a.request.image = NULL;
	assert_int_equal(create(n, "second", 1, &a, &e), 0);
	assert_string_equal(a.row.image_name, "demo-1.10.0");
	a.request.image = "other";
	assert_int_equal(create(n, "third", 1, &a, &e), -ERR_IMAGE_NOT_FOUND);
}

static void host_ports_are_exclusive_ranged_and_picked(void **st)
{
	struct node_fixture *n = *st;
	struct port_request fixed = { .host_port = 28700, .vm_port = 80 }, any = { .vm_port = 80 };
	struct cvm_call a = { .request.ports = &fixed, .request.n_ports = 1 };
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
	a.request.ports = &any;
	assert_int_equal(create(n, "second", 1, &a, &e), 0);
	assert_int_equal(ports_of(vmm_db(n->v), a.row.id, &ports, &np, &e), 0);
	assert_int_equal(np, 1);
	assert_int_equal(ports[0].host_port, 28701);
	free(ports);
	assert_int_equal(node_fixture_reserved(n, "host_ports"), 2);
}

/* The loop calls no bind(). Until a job has probed the ports, the request is refused, and nothing
 * is reserved. */
static void ports_are_not_probed_on_the_loop(void **st)
{
	struct port_request ports[] = { { .host_port = 28701, .vm_port = 80 }, { .vm_port = 81 } };
	auto_json json_t *m = node_fixture_manifest("first");
	struct node_fixture *n = *st;
	struct cvm_call a = { .n = n,
			      .request = { .name = "first",
					   .prefer_dev = -1,
					   .vcpus = 1,
					   .memory_mib = 100,
					   .disk_gib = 1,
					   .stopped = true,
					   .manifest = m,
					   .ports = ports,
					   .n_ports = 2 } };
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_create_turn, &a, &e), -ERR_UNAVAILABLE);
	assert_string_equal(e.field, "ports");
	assert_int_equal(node_fixture_reserved(n, "host_ports"), 0);
	assert_int_equal(port_probe_wanted_count(n->v), 1 + 2);
	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	assert_int_equal(node_fixture_reserved(n, "host_ports"), 2);
	/* the result of that probe is not used for another request */
	ports[0].host_port = 28702;
	a.request.name = "second";
	a.request.manifest = m;
	a.request.n_ports = 1;
	assert_int_equal(turn_do(vmm_turn(n->v), cvm_call_create_turn, &a, &e), -ERR_UNAVAILABLE);
}

struct probe_calls {
	const struct vmm *v;
	int before_others, last; /* calls while others waited for the next probe; while none did */
};

static void count_probe(void *arg)
{
	struct probe_calls *s = arg;

	++*(port_probe_has_waiters(s->v) ? &s->before_others : &s->last);
}

static void one_port_probe_serves_a_limited_number_of_callers(void **st)
{
	struct port_row port = { .host_address = "127.0.0.1", .host_port = 28702 };
	struct node_fixture *n = *st;
	struct probe_calls probe_calls = { .v = n->v };
	struct err e;

	(void)port_probe_missing(n->v, &e);
	assert_true(admission_retry(n->v, &e, false, count_probe, &probe_calls));
	assert_true(port_probe_want(n->v, &port));
	for (int i = 0; i < WAITERS_PER_RUN + 2; i++)
		assert_true(admission_retry(n->v, &e, false, count_probe, &probe_calls));
	while (probe_calls.before_others + probe_calls.last < 1 + WAITERS_PER_RUN + 2)
		(void)uv_run(&n->loop, UV_RUN_ONCE);
	assert_int_equal(probe_calls.before_others, 1 + WAITERS_PER_RUN);
	assert_int_equal(probe_calls.last, 2);
	assert_int_equal(port_probe_wanted_count(n->v), 0);
}

static void a_port_of_another_process_is_refused(void **st)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(28702),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct port_request fixed = { .host_port = 28702, .vm_port = 80 };
	struct cvm_call a = { .request.ports = &fixed, .request.n_ports = 1 };
	struct node_fixture *n = *st;
	struct err e;

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(create(n, "first", 1, &a, &e), -ERR_CAPACITY);
	assert_non_null(strstr(e.text, "not free on this host"));
	assert_int_equal(node_fixture_reserved(n, "host_ports"), 0);
}

static void every_form_of_identifier_finds_the_cvm(void **st)
{
	struct node_fixture *n = *st;
	struct cvm_call a = { 0 }, b = { 0 };
	struct cvm_row found;
	char form[8][64];
	struct err e;

	assert_int_equal(create(n, "first", 1, &a, &e), 0);
	(void)snprintf(form[0], 64, "%s", a.row.uuid);
	(void)snprintf(form[1], 64, "%.8s%.4s%.4s%.4s%.12s", a.row.uuid, a.row.uuid + 9,
		       a.row.uuid + 14, a.row.uuid + 19, a.row.uuid + 24);
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
	b.request.app_id = a.row.app_id;
	assert_int_equal(create(n, "second", 1, &b, &e), 0);
	assert_int_equal(vmm_find(n->v, 0, form[2], &found, &e), -ERR_CVM_AMBIGUOUS);
	assert_int_equal(vmm_find(n->v, vmm_default_workspace(n->v) + 1, form[0], &found, &e),
			 -ERR_CVM_NOT_FOUND);
}

#define WITH_NODE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest t[] = {
		WITH_NODE(creating_a_stopped_cvm_reserves_everything_and_makes_no_files),
		WITH_NODE(a_refusal_names_the_resource_with_numbers_and_reserves_nothing),
		WITH_NODE(slots_are_limited_and_an_unconfigured_resource_has_its_own_error),
		WITH_NODE(preflight_answers_as_create_would_and_reserves_nothing),
		WITH_NODE(names_follow_the_rule_and_are_taken_once),
		WITH_NODE(a_bare_image_name_picks_the_newest_version),
		WITH_NODE(host_ports_are_exclusive_ranged_and_picked),
		WITH_NODE(ports_are_not_probed_on_the_loop),
		WITH_NODE(one_port_probe_serves_a_limited_number_of_callers),
		WITH_NODE(a_port_of_another_process_is_refused),
		WITH_NODE(every_form_of_identifier_finds_the_cvm),
	};

	return cmocka_run_group_tests_name("admission", t, NULL, NULL);
}
