/* SPDX-License-Identifier: Apache-2.0
 * load.c - generate load on a node's API and measure it from outside.
 *
 *	load creates URL KEY CLIENTS COUNT PREFIX
 *		Create stopped CVMs. Prints {"us", "p50", "p99", "cpu_us"}.
 *	load admissions URL KEY CLIENTS COUNT PREFIX
 *		The same on a node that may refuse for lack of capacity. Prints {"us", "made",
 *		"refused", "made_p50", "refused_p50"}; with one client, the cost of one decision.
 *	load gets ROUNDS {URL KEY PATH}...
 *		Read each path in turn, on one connection each. Prints {"p50": [...], "p99": [...]}.
 *	load boot URL KEY CVMS_FOLDER COUNT PREFIX
 *		Start CVMs in parallel, until each guest has printed its first line. Prints
 *		{"us", "uuids"}.
 *	load stop URL KEY UUID...
 *		Stop CVMs in parallel, until each operation has ended. Prints {"us"}.
 *
 * All times are microseconds. Connections are opened before the measurement starts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/http.h"
#include "tests/bench/tool.h"

enum { FIRST_LINE_S = 120 };

static int ascending(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* A quantile of sorted samples. */
static long long quantile(const int64_t *sorted, size_t n, unsigned percent)
{
	size_t i = n * percent / 100;

	return (long long)sorted[i < n ? i : n - 1];
}

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

static void send_create(struct http_conn *c, const char *prefix, size_t number, int stopped)
{
	char body[512];

	(void)snprintf(body, sizeof(body),
		       "{\"name\":\"%s-%zu\",\"image\":\"teepod-boot\",\"vcpu\":1,\"memory\":32,"
		       "\"disk_size\":1,\"stopped\":%s,\"compose_file\":{\"docker_compose_file\":"
		       "\"services:\\n  web:\\n    image: nginx:1.27\\n\"}}",
		       prefix, number, stopped ? "true" : "false");
	http_send(c, "POST", "/api/v1/cvms", body);
}

/* ------------------------------------------------------------------ creates */

struct creates {
	const char *prefix;
	size_t next, count, done;
	int64_t *us;
};

static void created(struct http_conn *c, void *arg)
{
	struct creates *l = arg;

	must(c, 200, 201);
	l->us[l->done++] = c->us;
	if (l->next < l->count)
		send_create(c, l->prefix, l->next++, 1);
}

static void creates(char **arg)
{
	size_t clients = strtoul(arg[2], NULL, 10);
	struct creates l = { .prefix = arg[4], .count = strtoul(arg[3], NULL, 10) };
	struct http_conn *conns = open_all(arg[0], arg[1], clients);
	int64_t began, us;

	l.us = need(calloc(l.count, sizeof(*l.us)));
	began = now_us();
	for (; l.next < clients && l.next < l.count; l.next++)
		send_create(&conns[l.next], l.prefix, l.next, 1);
	http_run(conns, clients, created, &l);
	us = now_us() - began;
	qsort(l.us, l.count, sizeof(*l.us), ascending);
	(void)printf("{\"us\": %lld, \"p50\": %lld, \"p99\": %lld, \"cpu_us\": %lld}\n",
		     (long long)us, quantile(l.us, l.count, 50), quantile(l.us, l.count, 99),
		     (long long)cpu_us());
	close_all(conns, clients);
	free(l.us);
}

/* ------------------------------------------------------------------ admissions */

struct admissions {
	const char *prefix;
	size_t next, count, n[2];
	int64_t *us[2]; /* 0: created, 1: refused */
};

static void decided(struct http_conn *c, void *arg)
{
	struct admissions *l = arg;
	int refused = c->status == 400;
	char code[32] = "";

	if (refused)
		http_field(c, "error_code", code, sizeof(code));
	if (refused ? strncmp(code, "ERR-02-", 7) != 0 : c->status != 200)
		die("response %d: %.*s", c->status, (int)(c->body_len < 400 ? c->body_len : 400),
		    c->body);
	l->us[refused][l->n[refused]++] = c->us;
	if (l->next < l->count)
		send_create(c, l->prefix, l->next++, 1);
}

static void admissions(char **arg)
{
	size_t clients = strtoul(arg[2], NULL, 10);
	struct admissions l = { .prefix = arg[4], .count = strtoul(arg[3], NULL, 10) };
	struct http_conn *conns = open_all(arg[0], arg[1], clients);
	int64_t began, us;

	for (int i = 0; i < 2; i++)
		l.us[i] = need(calloc(l.count + 1, sizeof(**l.us)));
	began = now_us();
	for (; l.next < clients && l.next < l.count; l.next++)
		send_create(&conns[l.next], l.prefix, l.next, 1);
	http_run(conns, clients, decided, &l);
	us = now_us() - began;
	for (int i = 0; i < 2; i++)
		qsort(l.us[i], l.n[i], sizeof(**l.us), ascending);
	(void)printf("{\"us\": %lld, \"made\": %zu, \"refused\": %zu, \"made_p50\": %lld, "
		     "\"refused_p50\": %lld}\n",
		     (long long)us, l.n[0], l.n[1], l.n[0] ? quantile(l.us[0], l.n[0], 50) : 0LL,
		     l.n[1] ? quantile(l.us[1], l.n[1], 50) : 0LL);
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
	http_field(c, "vm_uuid", uuids[c->index], sizeof(uuids[0]));
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
		if (asprintf(&folders[i], "%s/%s/logs", arg[2], uuids[i]) < 0)
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

static void stop(int n_args, char **arg)
{
	size_t n = (size_t)n_args - 2;
	struct http_conn *conns = open_all(arg[0], arg[1], n);
	char(*ids)[40] = need(calloc(n, sizeof(*ids)));
	int64_t began = now_us();

	for (size_t i = 0; i < n; i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "/api/v1/cvms/%s/stop", arg[2 + i]);
		http_send(&conns[i], "POST", path, NULL);
	}
	http_run(conns, n, stopping, ids);
	(void)printf("{\"us\": %lld}\n", (long long)(now_us() - began));
	free(ids);
	close_all(conns, n);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "creates") && argc == 7)
		creates(argv + 2);
	else if (!strcmp(what, "admissions") && argc == 7)
		admissions(argv + 2);
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
