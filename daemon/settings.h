/* SPDX-License-Identifier: Apache-2.0
 * settings.h - the configuration in the words of the rooms below: vmm/ and api/.
 */
#ifndef TEEPOD_DAEMON_SETTINGS_H
#define TEEPOD_DAEMON_SETTINGS_H

#include "api/http/server.h"
#include "daemon/config_data.h"
#include "vmm/host/host_measure.h"
#include "vmm/vmm.h"

/* What auto amounts are counted from. */
struct host_size {
	struct host_measure measure;
	uint64_t disk_used_bytes; /* by the disks of CVMs there are */
};

/* Measure the machine for @c. Its state folder must exist. Blocking: before the loop runs. */
int settings_measure(const struct config *c, struct host_size *ret, struct err *e);

/* Everything but .loop and the demo images, which the command line decides. Values and strings are
 * borrowed from @c; what settings_free() frees is arrays and what is made from keys. After
 * config_apply() make new ones from the same @host for vmm_reload(); the old ones may be freed
 * after it: jobs use no list or string that a reload may change. */
void settings_make(const struct config *c, const struct host_size *host, struct vmm_settings *ret);
void settings_free(struct vmm_settings *s);

struct server_limits settings_limits(const struct config *c);

/* One place of sockets_plan(). TLS where the configuration has a certificate and @address is not a
 * unix socket. */
struct listen_spec settings_listen(const struct config *c, const char *address);

#endif
