/* SPDX-License-Identifier: Apache-2.0
 * libvirt_client.c - a minimal libvirt client that runs the same guests: define, create, destroy,
 * with one thread per guest.
 *
 *	libvirt_client ROOT FOLDER
 *
 * ROOT is the root of an embedded driver, not shared with a running node. FOLDER/N contains
 * domain.xml and all files that it names. Prints "ready N" when it is connected and has found the N
 * guests of an earlier process. Then it reads commands from standard input, one per line. The
 * answer to each is its duration in microseconds:
 *
 *	boot COUNT    define and create guests 0..COUNT-1 in parallel, until all printed a line
 *	row COUNT N   the same with N threads; each takes the next guest when its guest printed
 *	stop COUNT    destroy the guests in parallel
 *
 * The definition and the console log of a stopped guest are removed outside the measured time.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "tests/bench/tool.h"

enum { GUESTS_MAX = 64, FIRST_LINE_S = 120 };

struct guest {
	virConnectPtr conn;
	char folder[512];
	char *xml;
	virDomainPtr dom;
	int64_t at;
};

static void failed(const char *what)
{
	die("%s: %s", what, virGetLastErrorMessage());
}

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = need(calloc(1, 65536));

	if (!f || fread(text, 1, 65535, f) == 0)
		die("cannot read %s", path);
	(void)fclose(f);
	return text;
}

static void *boot(void *arg)
{
	struct guest *g = arg;
	const char *const folder = g->folder;

	g->dom = virDomainDefineXML(g->conn, g->xml);
	if (!g->dom)
		failed("define");
	if (virDomainCreate(g->dom))
		failed("create");
	g->at = wait_first_lines(&folder, 1, FIRST_LINE_S);
	return NULL;
}

static void *stop(void *arg)
{
	struct guest *g = arg;

	if (virDomainDestroy(g->dom))
		failed("destroy");
	g->at = now_us();
	return NULL;
}

/* Run @fn for all guests in parallel. Returns the microseconds until the last one was done. */
static int64_t at_once(struct guest *guests, int n, void *(*fn)(void *arg))
{
	pthread_t threads[GUESTS_MAX];
	int64_t began = now_us(), last = 0;

	for (int i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, fn, &guests[i]))
			die("cannot start a thread");
	for (int i = 0; i < n; i++) {
		(void)pthread_join(threads[i], NULL);
		if (guests[i].at > last)
			last = guests[i].at;
	}
	return last - began;
}

/* ------------------------------------------------------------------ N threads */

struct row {
	struct guest *guests;
	int n, next;
	pthread_mutex_t lock;
};

static int take(struct row *r)
{
	int i;

	(void)pthread_mutex_lock(&r->lock);
	i = r->next < r->n ? r->next++ : -1;
	(void)pthread_mutex_unlock(&r->lock);
	return i;
}

static void *boot_next(void *arg)
{
	struct row *r = arg;

	for (int i; (i = take(r)) >= 0;)
		(void)boot(&r->guests[i]);
	return NULL;
}

static int64_t in_a_row(struct guest *guests, int n, int at_a_time)
{
	struct row r = { guests, n, 0, PTHREAD_MUTEX_INITIALIZER };
	pthread_t threads[GUESTS_MAX];
	int64_t began = now_us(), last = 0;

	for (int i = 0; i < at_a_time; i++)
		if (pthread_create(&threads[i], NULL, boot_next, &r))
			die("cannot start a thread");
	for (int i = 0; i < at_a_time; i++)
		(void)pthread_join(threads[i], NULL);
	for (int i = 0; i < n; i++)
		if (guests[i].at > last)
			last = guests[i].at;
	return last - began;
}

/* ------------------------------------------------------------------ before and after */

static void prepare(virConnectPtr conn, const char *folder, struct guest *guests, int n)
{
	for (int i = 0; i < n; i++) {
		struct guest *g = &guests[i];
		char path[600];

		g->conn = conn;
		(void)snprintf(g->folder, sizeof(g->folder), "%s/%d", folder, i);
		(void)snprintf(path, sizeof(path), "%s/domain.xml", g->folder);
		free(g->xml);
		g->xml = read_text(path);
		(void)snprintf(path, sizeof(path), "%s/serial.log", g->folder);
		(void)unlink(path);
	}
}

static void clear(struct guest *guests, int n)
{
	for (int i = 0; i < n; i++) {
		if (virDomainUndefine(guests[i].dom))
			failed("undefine");
		(void)virDomainFree(guests[i].dom);
	}
}

static void *events(void *arg)
{
	for (;;)
		if (virEventRunDefaultImpl() < 0)
			return arg;
}

static void ignore_error(void *arg, virErrorPtr e)
{
	(void)arg;
	(void)e;
}

/* Guests of an earlier process of this root are found again by threads of the driver. Each holds
 * its domain meanwhile, so a question to the domain waits for it. */
static int wait_for_found_guests(virConnectPtr conn)
{
	virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
	virDomainPtr *found = NULL;
	int n = virConnectListAllDomains(conn, &found, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

	if (n < 0)
		failed("list");
	for (int i = 0; i < n; i++) {
		if (virDomainMemoryStats(found[i], stats, VIR_DOMAIN_MEMORY_STAT_NR, 0) < 0)
			failed("found guest");
		(void)virDomainFree(found[i]);
	}
	free(found);
	return n;
}

static virConnectPtr connect_root(const char *root)
{
	char uri[600];
	virConnectPtr conn;
	pthread_t thread;

	(void)setenv("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null", 0);
	virSetErrorFunc(NULL, ignore_error);
	if (virInitialize() || virEventRegisterDefaultImpl() ||
	    pthread_create(&thread, NULL, events, NULL))
		failed("libvirt");
	(void)snprintf(uri, sizeof(uri), "qemu:///embed?root=%s", root);
	conn = virConnectOpen(uri);
	if (!conn)
		failed("open");
	return conn;
}

int main(int argc, char **argv)
{
	static struct guest guests[GUESTS_MAX];
	char line[128], verb[16];
	int n, at_a_time;

	if (argc != 3)
		die("usage: libvirt_client ROOT FOLDER");
	virConnectPtr conn = connect_root(argv[1]);
	(void)printf("ready %d\n", wait_for_found_guests(conn));
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		int64_t us;

		at_a_time = GUESTS_MAX;
		if (sscanf(line, "%15s %d %d", verb, &n, &at_a_time) < 2 || n < 1 ||
		    n > GUESTS_MAX || at_a_time < 1 || at_a_time > GUESTS_MAX)
			die("invalid command: %s", line);
		if (!strcmp(verb, "boot") || !strcmp(verb, "row")) {
			prepare(conn, argv[2], guests, n);
			us = !strcmp(verb, "boot") ? at_once(guests, n, boot)
						   : in_a_row(guests, n, at_a_time);
		} else {
			us = at_once(guests, n, stop);
			clear(guests, n);
		}
		(void)printf("%lld\n", (long long)us);
		(void)fflush(stdout);
	}
	return 0;
}
