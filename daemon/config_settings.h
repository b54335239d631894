/* SPDX-License-Identifier: Apache-2.0
 * config_settings.h - convert the configuration into the settings structs of vmm/ and api/.
 */
#ifndef TEEPOD_DAEMON_CONFIG_SETTINGS_H
#define TEEPOD_DAEMON_CONFIG_SETTINGS_H

#include "api/http/server.h"
#include "daemon/config_data.h"
#include "vmm/host/host_measure.h"
#include "vmm/vmm.h"

/* Size of the host: "auto" amounts are computed from it. */
struct host_size {
	struct host_measure measure;
	uint64_t disk_used_bytes; /* occupied by the disks of existing CVMs */
};

/* Measure the host. The state folder of @c must exist. Blocking: call it before the loop runs. */
int settings_measure(const struct config *c, struct host_size *ret, struct err *e);

/* Convert @c. The caller sets .loop and the demo images. The result borrows strings from @c and
 * owns its arrays and derived strings; free it with settings_free(). After config_apply(), convert
 * again with the same @host and call vmm_reload(); then free the old result. That is safe because
 * jobs use no list or string that a reload can change. */
void settings_make(const struct config *c, const struct host_size *host, struct vmm_settings *ret);
void settings_free(struct vmm_settings *s);

struct server_limits settings_limits(const struct config *c);

/* How to listen on one address of sockets_plan(). With TLS if a certificate is configured and
 * @address is not a unix socket. Borrows from @c and @address. */
struct listen_spec settings_listen(const struct config *c, const char *address);

#endif
