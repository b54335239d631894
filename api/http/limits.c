/* SPDX-License-Identifier: Apache-2.0
 * limits.c - defaults, and the number of connections that the descriptors of the process allow.
 *
 * A connection takes one descriptor, a followed log one more. Clients must never use up the
 * descriptors that files, the database and the hypervisor need: connections get three eighths.
 */
#include "api/http/limits.h"

#include <assert.h>
#include <sys/resource.h>

#include "base/log.h"

static void set_default(unsigned *v, unsigned def)
{
	if (!*v)
		*v = def;
}

static void fill_limits(struct server_limits *l)
{
	set_default(&l->head_ms, 10000);
	set_default(&l->body_idle_ms, 30000);
	set_default(&l->body_ms, 30000);
	set_default(&l->body_wait_ms, 60000);
	set_default(&l->keepalive_ms, 75000);
	set_default(&l->handshake_ms, 10000);
	set_default(&l->write_stall_ms, 30000);
	set_default(&l->per_peer, 1024);
	set_default(&l->connections, 4096);
	set_default(&l->auth_fails, 10);
	if (!l->head_bytes)
		l->head_bytes = 16384;
}

static void fit_descriptors(struct server_limits *l)
{
	rlim_t wanted = (rlim_t)l->connections * 4, most;
	struct rlimit have;

	if (getrlimit(RLIMIT_NOFILE, &have))
		return;
	if (have.rlim_cur < wanted && have.rlim_cur < have.rlim_max) {
		have.rlim_cur = wanted < have.rlim_max ? wanted : have.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &have) || getrlimit(RLIMIT_NOFILE, &have))
			return;
	}
	most = have.rlim_cur / 8 * 3;
	if (l->connections <= most)
		return;
	log_warn("at most %llu connections are served instead of %u (api.max_connections): the "
		 "process may open %llu files (RLIMIT_NOFILE; LimitNOFILE= of the service)",
		 (unsigned long long)most, l->connections, (unsigned long long)have.rlim_cur);
	l->connections = (unsigned)most;
}

void limits_complete(struct server_limits *l)
{
	fill_limits(l);
	fit_descriptors(l);
	assert(l->head_ms && l->head_bytes && l->auth_fails);
}
