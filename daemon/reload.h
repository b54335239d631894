/* SPDX-License-Identifier: Apache-2.0
 * reload.h - SIGHUP: read configuration and certificates again, beside the loop.
 */
#ifndef TEEPOD_DAEMON_RELOAD_H
#define TEEPOD_DAEMON_RELOAD_H

#include <uv.h>

#include "api/http/tls.h"
#include "daemon/config_data.h"
#include "daemon/options.h"

/* What was read; the receiver takes what it wants and leaves NULL in its place. */
struct reload_result {
	struct config *config;       /* NULL: errors say why */
	struct buf errors, warnings; /* lines */
	SSL_CTX *tls;                /* NULL: no certificate is configured, or tls_err says why */
	struct err tls_err;          /* code 0 = none */
};

struct reload {
	uv_loop_t *loop;
	const struct options *options;
	/* Its certificates, which no reload changes: nothing else of it may be read beside the
	 * loop. Both are borrowed to the end of the process. */
	const struct config *running;
	void (*found)(void *arg, struct reload_result *f);
	void *arg;
	struct reload_job *now; /* NULL: none is under way */
	bool again;             /* asked while one was */
};

/* Loop thread. Read, and call found(). While that is under way: once more after it. */
void reload_request(struct reload *r);

#endif
