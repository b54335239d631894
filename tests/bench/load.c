/* SPDX-License-Identifier: Apache-2.0
 * load.c - generate load on a node's API and measure it from outside.
 *
 *	load creates URL KEY CLIENTS COUNT PREFIX
 *		Create stopped CVMs. Prints {"us", "made", "refused", "p50", "p99",
 *		"refused_p50", "cpu_us"}; p50 and p99 are those of the made ones.
 *	load admissions URL KEY CLIENTS COUNT PREFIX
 *		The same on a node that may refuse for lack of a slot.
 *	load gets ROUNDS {URL KEY PATH}...
 *		Read each path in turn, on one connection each. Prints {"p50": [...], "p99": [...]}.
 *	load boot URL KEY CVMS_FOLDER COUNT PREFIX
 *		Start CVMs in parallel, until each guest has printed its first line. Prints
 *		{"us", "uuids"}.
 *	load stop URL KEY UUID...
 *		Stop CVMs in parallel, until each operation has ended. Prints {"us"}.
 *
 * With --peer before the verb, the server is a dstack-vmm, which ignores KEY. It has no operations:
 * a stop ends when the state in its list is "stopped".
 *
 * All times are microseconds. Connections are opened before the measurement starts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/http.h"
#include "tests/bench/tool.h"

enum { FIRST_LINE_S = 120 };

static struct http_conn *open_all(const char *url, const char *key, size_t n)
{
	struct http_conn *conns = need(calloc(n, sizeof(*conns)));

	for (size_t i = 0; i < n; i++)
		http_open(&conns[i], url, key);
	return conns;
}

static void close_all(struct http_conn *conns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		http_close(&conns[i]);
	free(conns);
}

static void must(const struct http_conn *c, int low, int high)
{
	if (c->status < low || c->status > high)
		die("response %d: %.*s", c->status, (int)(c->body_len < 400 ? c->body_len : 400),
		    c->body);
}

/* What differs between the two servers, apart from how a stop is followed. */
struct dialect {
	const char *create_path, *id, *log_folder, *rest; /* rest: of the body of a create */
};

static const struct dialect node_api = {
	.create_path = "/api/v1/cvms",
	.id = "vm_uuid",
	.log_folder = "/logs",
	.rest = "\"compose_file\":{\"docker_compose_file\":"
		"\"services:\\n  web:\\n    image: nginx:1.27\\n\"}",
};

static const struct dialect peer_api = {
	.create_path = "/prpc/CreateVm?json",
	.id = "id",
	.log_folder = "",
	.rest = "\"no_tee\":true,\"compose_file\":\"{\\\"manifest_version\\\":2,\\\"name\\\":"
		"\\\"web\\\","
		"\\\"runner\\\":\\\"docker-compose\\\",\\\"docker_compose_file\\\":"
		"\\\"services:\\\\n  web:\\\\n    image: nginx:1.27\\\\n\\\"}\"",
};

static const struct dialect *dialect = &node_api;

static void send_create(struct http_conn *c, const char *prefix, size_t number, int stopped)
{
	char body[512];

	(void)snprintf(body, sizeof(body),
		       "{\"name\":\"%s-%zu\",\"image\":\"teepod-boot\",\"vcpu\":1,\"memory\":32,"
		       "\"disk_size\":1,\"stopped\":%s,%s}",
		       prefix, number, stopped ? "true" : "false", dialect->rest);
	http_send(c, "POST", dialect->create_path, body);
}

/* ------------------------------------------------------------------ creates */

struct creates {
	const char *prefix;
	int may_refuse;
	size_t next, count, n[2];
	int64_t *us[2]; /* 0: created, 1: refused for lack of a slot */
};

static int lacks_slot(const struct http_conn *c)
{
	char code[32];

	if (c->status != 400)
		return 0;
	http_field(c, "error_code", code, sizeof(code));
	return !strcmp(code, "ERR-02-005");
}

static void created(struct http_conn *c, void *arg)
{
	struct creates *l = arg;
	int refused = l->may_refuse && lacks_slot(c);

	if (!refused)
		must(c, 200, 201);
	l->us[refused][l->n[refused]++] = c->us;
	if (l->next < l->count)
		send_create(c, l->prefix, l->next++, 1);
}

static long long p_of(const struct creates *l, int refused, unsigned percent)
{
	return l->n[refused] ? quantile(l->us[refused], l->n[refused], percent) : 0;
}

static void creates(char **arg, int may_refuse)
{
	size_t clients = strtoul(arg[2], NULL, 10);
	struct creates l = { .prefix = arg[4],
			     .may_refuse = may_refuse,
			     .count = strtoul(arg[3], NULL, 10) };
	struct http_conn *conns = open_all(arg[0], arg[1], clients);
	int64_t began, us;

	for (int i = 0; i < 2; i++)
		l.us[i] = need(calloc(l.count + 1, sizeof(**l.us)));
	began = now_us();
	for (; l.next < clients && l.next < l.count; l.next++)
		send_create(&conns[l.next], l.prefix, l.next, 1);
	http_run(conns, clients, created, &l);
	us = now_us() - began;
	for (int i = 0; i < 2; i++)
		qsort(l.us[i], l.n[i], sizeof(**l.us), ascending);
	(void)printf(
		"{\"us\": %lld, \"made\": %zu, \"refused\": %zu, \"p50\": %lld, \"p99\": %lld, "
		"\"refused_p50\": %lld, \"cpu_us\": %lld}\n",
		(long long)us, l.n[0], l.n[1], p_of(&l, 0, 50), p_of(&l, 0, 99), p_of(&l, 1, 50),
		(long long)cpu_us());
	close_all(conns, clients);
	free(l.us[0]);
	free(l.us[1]);
}

/* ------------------------------------------------------------------ gets */

static void got(struct http_conn *c, void *arg)
{
	int64_t *us = arg;

	must(c, 200, 200);
	*us = c->us;
}

static void print_quantiles(const char *name, int64_t *const *us, size_t n, size_t rounds,
			    unsigned percent)
{
	(void)printf("\"%s\": [", name);
	for (size_t i = 0; i < n; i++)
		(void)printf("%s%lld", i ? ", " : "", quantile(us[i], rounds, percent));
	(void)printf("]");
}

static void gets(int n_args, char **arg)
{
	size_t rounds = strtoul(arg[0], NULL, 10), n = (size_t)(n_args - 1) / 3;
	struct http_conn *conns = need(calloc(n, sizeof(*conns)));
	int64_t **us = need(calloc(n, sizeof(*us)));

	for (size_t i = 0; i < n; i++) {
		http_open(&conns[i], arg[1 + 3 * i], arg[2 + 3 * i]);
		us[i] = need(calloc(rounds, sizeof(**us)));
	}
	for (size_t r = 0; r < rounds; r++) {
		for (size_t i = 0; i < n; i++) {
			http_send(&conns[i], "GET", arg[3 + 3 * i], NULL);
			http_run(&conns[i], 1, got, &us[i][r]);
		}
	}
	for (size_t i = 0; i < n; i++)
		qsort(us[i], rounds, sizeof(**us), ascending);
	(void)printf("{");
	print_quantiles("p50", us, n, rounds, 50);
	(void)printf(", ");
	print_quantiles("p99", us, n, rounds, 99);
	(void)printf("}\n");
	for (size_t i = 0; i < n; i++)
		free(us[i]);
	free(us);
	close_all(conns, n);
}

/* ------------------------------------------------------------------ boot */

static void take_uuid(struct http_conn *c, void *arg)
{
	char(*uuids)[40] = arg;

	must(c, 200, 201);
	http_field(c, dialect->id, uuids[c->index], sizeof(uuids[0]));
}

static void boot(char **arg)
{
	size_t n = strtoul(arg[3], NULL, 10);
	struct http_conn *conns = open_all(arg[0], arg[1], n);
	char(*uuids)[40] = need(calloc(n, sizeof(*uuids)));
	char **folders = need(calloc(n, sizeof(*folders)));
	int64_t began = now_us(), ended;

	for (size_t i = 0; i < n; i++)
		send_create(&conns[i], arg[4], i, 0);
	http_run(conns, n, take_uuid, uuids);
	for (size_t i = 0; i < n; i++)
		if (asprintf(&folders[i], "%s/%s%s", arg[2], uuids[i], dialect->log_folder) < 0)
			die("out of memory");
	ended = wait_first_lines((const char *const *)folders, n, FIRST_LINE_S);
	(void)printf("{\"us\": %lld, \"uuids\": [", (long long)(ended - began));
	for (size_t i = 0; i < n; i++) {
		(void)printf("%s\"%s\"", i ? ", " : "", uuids[i]);
		free(folders[i]);
	}
	(void)printf("]}\n");
	free(folders);
	free(uuids);
	close_all(conns, n);
}

/* ------------------------------------------------------------------ stop */

static void stopping(struct http_conn *c, void *arg)
{
	char(*ids)[40] = arg;
	char path[128], state[16];

	must(c, 200, 204);
	if (!ids[c->index][0])
		http_header(c, "X-Operation-Id", ids[c->index], sizeof(ids[0]));
	else {
		http_field(c, "state", state, sizeof(state));
		if (!strcmp(state, "succeeded"))
			return;
		if (strcmp(state, "running") != 0 && strcmp(state, "queued") != 0)
			die("stop %s: %s", state, c->body);
	}
	(void)snprintf(path, sizeof(path), "/api/v1/operations/%s?wait=30", ids[c->index]);
	http_send(c, "GET", path, NULL);
}

/* A dstack-vmm answers when the end was requested, so its list is read until it says "stopped". */
static void peer_stopping(struct http_conn *c, void *arg)
{
	char *const *ids = arg;
	char state[16] = "", body[128];

	must(c, 200, 200);
	if (strstr(c->body, "\"status\":"))
		http_field(c, "status", state, sizeof(state));
	if (!strcmp(state, "stopped"))
		return;
	(void)snprintf(body, sizeof(body), "{\"ids\":[\"%s\"],\"brief\":true}", ids[c->index]);
	http_send(c, "POST", "/prpc/Status?json", body);
}

static void send_stop(struct http_conn *c, const char *id)
{
	char text[128];

	if (dialect == &peer_api) {
		(void)snprintf(text, sizeof(text), "{\"id\":\"%s\"}", id);
		http_send(c, "POST", "/prpc/StopVm?json", text);
	} else {
		(void)snprintf(text, sizeof(text), "/api/v1/cvms/%s/stop", id);
		http_send(c, "POST", text, NULL);
	}
}

static void stop(int n_args, char **arg)
{
	size_t n = (size_t)n_args - 2;
	struct http_conn *conns = open_all(arg[0], arg[1], n);
	char(*ids)[40] = need(calloc(n, sizeof(*ids)));
	int64_t began = now_us();

	for (size_t i = 0; i < n; i++)
		send_stop(&conns[i], arg[2 + i]);
	if (dialect == &peer_api)
		http_run(conns, n, peer_stopping, arg + 2);
	else
		http_run(conns, n, stopping, ids);
	(void)printf("{\"us\": %lld}\n", (long long)(now_us() - began));
	free(ids);
	close_all(conns, n);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--peer")) {
		dialect = &peer_api;
		argc--;
		argv++;
	}
	const char *what = argc > 1 ? argv[1] : "";

	if ((!strcmp(what, "creates") || !strcmp(what, "admissions")) && argc == 7)
		creates(argv + 2, !strcmp(what, "admissions"));
	else if (!strcmp(what, "gets") && argc > 5 && argc % 3 == 0)
		gets(argc - 2, argv + 2);
	else if (!strcmp(what, "boot") && argc == 7)
		boot(argv + 2);
	else if (!strcmp(what, "stop") && argc > 4)
		stop(argc - 2, argv + 2);
	else
		die("usage: load creates|admissions|gets|boot|stop ... (see load.c)");
	return 0;
}
