/* SPDX-License-Identifier: Apache-2.0
 * reload.h - SIGHUP: read the configuration and the certificates again, on a worker thread.
 */
#ifndef TEEPOD_DAEMON_RELOAD_H
#define TEEPOD_DAEMON_RELOAD_H

#include <uv.h>

#include "api/http/tls.h"
#include "base/buf.h"
#include "daemon/config_data.h"
#include "daemon/options.h"

/* The result of reading. The receiver may take an object and set the member to NULL; reload.c frees
 * the others. */
struct reload_result {
	struct config *config;       /* NULL: see errors */
	struct buf errors, warnings; /* one per line */
	SSL_CTX *tls;                /* NULL: no certificate is configured, or see tls_err */
	struct err tls_err;          /* code 0: no error */
};

struct reload {
	uv_loop_t *loop;
	const struct options *options;
	/* The running configuration. The worker reads only its tls_ keys, which no reload changes;
	 * all other keys belong to the loop thread. Borrowed until the end of the process, as
	 * @options. */
	const struct config *running;
	void (*on_done)(void *arg, struct reload_result *f); /* loop thread */
	void *arg;
	struct reload_job *now; /* the running job, or NULL */
	bool again;             /* requested while a job was running */
};

/* Start reading; on_done() gets the result. If a job is running, another one follows it. Loop
 * thread.
 */
void reload_request(struct reload *r);

#endif
