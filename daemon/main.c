/* SPDX-License-Identifier: Apache-2.0
 * main.c - the daemon process: start, reload and shutdown.
 *
 * Start: configuration, log, loop, signals, database, API, server, watchdog. The connection to
 * libvirt is opened in parallel, and the start does not wait for it.
 *
 * Shutdown: send the responses in flight and refuse new requests; close server and API; let running
 * operation steps end; close libvirt, the lanes and the database; last, close signals and watchdog,
 * which must work until then. Guests keep running, however this process ends.
 *
 * Responses and steps share api.drain_seconds. Closing libvirt may take 3 s more. If that hangs,
 * the process exits FORCE_MS after drain_seconds. Other actions of the command line: actions.c and
 * commands.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/cloud/authenticate.h"
#include "api/cloud/api.h"
#include "api/cloud/routes.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/lag.h"
#include "base/lanes.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/strings.h"
#include "base/utf8.h"
#include "daemon/actions.h"
#include "daemon/commands.h"
#include "daemon/config.h"
#include "daemon/config_apply.h"
#include "daemon/config_check.h"
#include "daemon/dev.h"
#include "daemon/notify.h"
#include "daemon/reload.h"
#include "daemon/config_settings.h"
#include "daemon/signals.h"
#include "daemon/sockets.h"
#include "daemon/state_lock.h"
#include "vmm/node/settings.h"

enum { FORCE_MS = 6000 };

struct daemon {
	uv_loop_t loop;
	struct options options;
	struct config *config;
	struct host_size host;
	struct vmm_settings settings; /* of the start; borrowed by the vmm until the end */
	struct vmm_settings reloaded; /* of the last reload */
	struct reload reload;
	char *images_dir;
	struct vmm *vmm;
	struct api *api;
	struct server *server;
	const char **hosts; /* array owned; the strings belong to @config */
	struct signals *signals;
	struct watchdog *watchdog;
	struct loop_timer *force_timer;
	bool stopping;
	int64_t end_by; /* deadline of responses and steps, clock_mono_ms() */
	unsigned stuck; /* jobs still running at the end: they use memory that must not be freed */
};

static int daemon_log_failure(const char *what, const struct err *e)
{
	log_error("%s: %s%s%s", what, e->text, e->hint[0] ? "; " : "", e->hint);
	return EXIT_FAILURE;
}

/* ------------------------------------------------------------------ settings */

static void daemon_make_settings(struct daemon *d, struct vmm_settings *ret)
{
	settings_make(d->config, &d->host, ret);
	ret->loop = &d->loop;
	ret->import_demo_images = d->options.dev_dir != NULL;
	ret->demo_images_dir = d->images_dir;
}

static struct api_settings daemon_api_settings(const struct config *c)
{
	return (struct api_settings){ .public_url = c->node.public_url,
				      .unix_admin_uids = c->api.unix_admin_uids.v,
				      .n_unix_admin_uids = c->api.unix_admin_uids.n,
				      .unix_role = (enum role)c->api.unix_role,
				      .cert_role = (enum role)c->api.cert_role,
				      .max_streams = (unsigned)c->api.max_streams,
				      .max_streams_per_caller =
					      (unsigned)c->api.max_streams_per_caller };
}

static void daemon_log_warnings(const struct buf *lines)
{
	for (const char *line = lines->data, *end; line && (end = strchr(line, '\n'));
	     line = end + 1)
		log_warn("%.*s", (int)(end - line), line);
}

static void daemon_log_keys(const char *what, const struct config_list *names)
{
	for (size_t i = 0; i < names->n; i++)
		log_info("%s: %s", what, names->v[i]);
}

/* Apply @d->config. The old settings are freed last, when vmm and API no longer point to them. */
static void daemon_use_config(struct daemon *d)
{
	struct vmm_settings s;
	struct api_settings api = daemon_api_settings(d->config);

	assert_loop_thread();
	assert(d->vmm && d->api && !d->stopping);
	log_open((enum log_level)d->config->logs.level, d->config->logs.format == LOG_FORMAT_JSON);
	daemon_make_settings(d, &s);
	vmm_reload(d->vmm, &s);
	api_reload(d->api, &api);
	settings_free(&d->reloaded);
	d->reloaded = s;
}

/* Apply the configuration that a reload has read. Keys are logged only when they are in effect. */
static bool daemon_apply_config(struct daemon *d, struct reload_result *f)
{
	struct config_changes changes = { 0 };

	if (!f->config) {
		log_error("configuration not reloaded, the old one stays in effect: %s",
			  f->errors.data);
		return false;
	}
	if (config_apply(d->config, f->config, &changes, &f->errors)) {
		log_error("configuration not reloaded, the old one stays in effect: the new values "
			  "conflict with keys that only a restart changes: %s",
			  f->errors.data);
		return false;
	}
	daemon_use_config(d);
	daemon_log_keys("applied", &changes.applied);
	daemon_log_keys("requires a restart", &changes.restart);
	config_changes_free(&changes);
	return true;
}

static void daemon_on_reload_done(void *arg, struct reload_result *f)
{
	struct daemon *d = arg;
	bool good;

	if (d->stopping) {
		d->reload.again = false;
		return;
	}
	good = daemon_apply_config(d, f);
	daemon_log_warnings(&f->warnings);
	if (f->tls)
		server_set_tls(d->server, f->tls);
	else if (f->tls_err.code)
		log_error("certificates not reloaded, the old ones stay in effect: %s",
			  f->tls_err.text);
	if (good && !f->tls_err.code)
		log_info("configuration reloaded");
	notify_ready();
}

static void daemon_on_reload(void *arg)
{
	struct daemon *d = arg;

	if (!d->stopping)
		reload_request(&d->reload);
}

/* ------------------------------------------------------------------ shutdown */

static void daemon_vmm_closed(void *arg, unsigned stuck)
{
	struct daemon *d = arg;

	assert(d->stopping && !d->server && !d->api);
	d->vmm = NULL;
	d->stuck = stuck;
	loop_after_cancel(&d->force_timer);
	watchdog_close(d->watchdog);
	lag_close();
	signals_close(d->signals);
	d->signals = NULL;
	log_info("stopped; guests keep running");
}

static unsigned daemon_time_left_ms(const struct daemon *d)
{
	int64_t left = d->end_by - clock_mono_ms();

	return left > 0 ? (unsigned)left : 0;
}

static void daemon_drained(void *arg)
{
	struct daemon *d = arg;

	assert(d->stopping && d->server && d->api);
	server_free(d->server);
	d->server = NULL;
	api_free(d->api);
	d->api = NULL;
	vmm_close(d->vmm, daemon_time_left_ms(d), daemon_vmm_closed, d);
}

/* The second signal, or FORCE_MS after the drain time. */
static void daemon_force_exit(void *arg)
{
	(void)arg;
	log_warn("exiting before the shutdown is complete; running operations continue at the "
		 "next start");
	_exit(EXIT_SUCCESS);
}

static void daemon_on_stop(void *arg, int signum, unsigned nth)
{
	struct daemon *d = arg;
	unsigned ms = (unsigned)d->config->api.drain_seconds * 1000;

	assert_loop_thread();
	if (nth > 1)
		daemon_force_exit(d);
	log_info("signal %d received, shutting down", signum);
	d->stopping = true;
	d->end_by = clock_mono_ms() + ms;
	notify_stopping(ms + FORCE_MS + 3000);
	(void)loop_after(&d->loop, ms + FORCE_MS, daemon_force_exit, d, &d->force_timer);
	api_drain(d->api);
	/* Imports and measurements take long and can be repeated: fail them now, so that their
	 * clients get a response. */
	lanes_refuse(&d->loop, LANE_BULK);
	server_drain(d->server, ms, daemon_drained, d);
}

/* ------------------------------------------------------------------ start */

/* Host names that the server accepts. It borrows the array until it is closed. */
static void daemon_list_hosts(struct daemon *d)
{
	const struct config *c = d->config;
	size_t n = 0;

	d->hosts = xcalloc(c->api.hosts.n + 3, sizeof(*d->hosts));
	d->hosts[n++] = c->node.name;
	d->hosts[n++] = c->node.public_url;
	for (size_t i = 0; i < c->api.hosts.n; i++)
		d->hosts[n++] = c->api.hosts.v[i];
}

static int daemon_open_server(struct daemon *d, struct err *e)
{
	const struct server_config cfg = { .loop = &d->loop,
					   .hosts = d->hosts,
					   .limits = settings_limits(d->config),
					   .routes = api_routes,
					   .authenticate = api_authenticate,
					   .after_commit = api_after_commit,
					   .still_valid = caller_still_valid,
					   .arg = d->api,
					   .proxies = d->config->api.trusted_proxies.v,
					   .n_proxies = d->config->api.trusted_proxies.n };
	int r = server_new(&cfg, &d->server, e);

	if (!r)
		api_set_server(d->api, d->server);
	return r;
}

static char *listen_url(const char *address, bool tls)
{
	if (!strncmp(address, "unix:", 5))
		return xstrdup(address);
	return xasprintf("%s://%s", tls ? "https" : "http", address);
}

static int daemon_listen(struct daemon *d, struct err *e)
{
	struct config_list plan = { 0 };
	bool url_written = false;
	int r = sockets_plan(&d->config->api.listen, &plan, e);

	for (size_t i = 0; !r && i < plan.n; i++) {
		struct listen_spec spec = settings_listen(d->config, plan.v[i]);
		auto_free char *url = NULL;
		char bound[256];

		r = server_listen(d->server, &spec, bound, e);
		if (r)
			break;
		url = listen_url(bound, spec.tls_cert != NULL);
		log_info("listening on %s", url);
		if (d->options.dev_dir && !url_written && strncmp(bound, "unix:", 5) != 0) {
			r = dev_write_url(d->options.dev_dir, url, e);
			url_written = true;
		}
	}
	config_list_free(&plan);
	return r;
}

static int daemon_start(struct daemon *d, struct err *e)
{
	const struct signal_calls calls = { .reload = daemon_on_reload,
					    .stop = daemon_on_stop,
					    .arg = d };
	struct api_settings api = daemon_api_settings(d->config);
	auto_buf struct buf warnings = { 0 };
	/* 0711: QEMU's user must be able to traverse the folder to reach disks and images, but not
	 * to list it. */
	int r = file_mkdirs(d->config->node.state_dir, 0711, e);

	if (!r)
		r = state_lock(d->config->node.state_dir, e);
	if (!r)
		r = signals_open(&d->loop, &calls, &d->signals, e);
	if (!r)
		r = settings_measure(d->config, &d->host, e);
	if (r)
		return r;
	config_check_dates(d->config, &warnings);
	daemon_log_warnings(&warnings);
	d->images_dir = dev_images_dir();
	daemon_make_settings(d, &d->settings);
	d->reload = (struct reload){ .loop = &d->loop,
				     .options = &d->options,
				     .running = d->config,
				     .on_done = daemon_on_reload_done,
				     .arg = d };
	r = vmm_open(&d->settings, &d->vmm, e);
	if (!r && d->options.dev_dir)
		r = dev_ensure_key(d->vmm, d->options.dev_dir, e);
	if (r)
		return r;
	d->api = api_new(d->vmm, &api);
	daemon_list_hosts(d);
	r = daemon_open_server(d, e);
	return r ? r : daemon_listen(d, e);
}

static int daemon_run(struct daemon *d)
{
	struct err e;

	if (daemon_start(d, &e))
		return daemon_log_failure("start failed", &e);
	d->watchdog = watchdog_open(&d->loop);
	notify_ready();
	log_info("teepod %s started, node %s", TEEPOD_VERSION, d->config->node.name);
	(void)uv_run(&d->loop, UV_RUN_DEFAULT);
	return EXIT_SUCCESS;
}

static int daemon_serve(struct daemon *d)
{
	struct lane_sizes sizes;
	int status;

	log_open((enum log_level)d->config->logs.level, d->config->logs.format == LOG_FORMAT_JSON);
	loop_reserve_fds();
	if (uv_loop_init(&d->loop)) {
		(void)fputs("teepod: cannot create the event loop\n", stderr);
		return EXIT_FAILURE;
	}
	lag_open(&d->loop);
	for (int n = 0; n < LANES; n++)
		sizes.n[n] = (unsigned)d->config->jobs.lane[n];
	lanes_open(&d->loop, &sizes);
	status = daemon_run(d);
	/* After a failed start, or if jobs did not end in time, jobs may still be running. They use
	 * memory that main() would free, so exit without freeing it. */
	if (status || d->stuck)
		_exit(status);
	if (uv_loop_close(&d->loop))
		log_debug("the event loop still has open handles");
	return status;
}

/* Disable core dumps of this process and its children: memory contains API keys, TLS keys and the
 * environments of guests; that of a QEMU contains a guest. PR_SET_DUMPABLE is not an option: it
 * would make /proc/self inaccessible to an unprivileged daemon and its children. */
static void daemon_forbid_cores(void)
{
	const struct rlimit none = { 0 };
	auto_close int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	(void)setrlimit(RLIMIT_CORE, &none);
	/* core(5): RLIMIT_CORE does not apply to a core piped to a program. Exclude all memory. */
	if (fd >= 0)
		(void)!write(fd, "0", 1);
}

int main(int argc, char **argv)
{
	static struct daemon d;
	auto_buf struct buf errors = { 0 };
	int status;

	daemon_forbid_cores();

	if (options_parse(argc, argv, &d.options, &errors)) {
		(void)action_failed("%s", errors.data);
		return EXIT_USAGE;
	}
	if (actions_run(&d.options, &status))
		return status;
	if (config_load(&d.options, &d.config, &errors)) {
		(void)utf8_print(stderr, errors.data);
		return EXIT_CONFIG;
	}
	if (!commands_run(&d.options, d.config, &status))
		status = daemon_serve(&d);
	settings_free(&d.reloaded);
	settings_free(&d.settings);
	free(d.images_dir);
	free(d.hosts);
	config_free(d.config);
	options_free(&d.options);
	return status;
}
