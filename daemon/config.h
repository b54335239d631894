/* SPDX-License-Identifier: Apache-2.0
 * config.h - load the configuration: defaults, files, drop-ins and command-line options.
 *
 * A later layer overrides an earlier one: 1. the defaults of the key table; 2. the presets of
 * --dev; 3. the file; 4. its drop-ins in order of their names; 5. --hypervisor and --listen; 6. -o.
 * Each file and each -o is one layer. A list set in a layer replaces the list of earlier layers.
 */
#ifndef TEEPOD_DAEMON_CONFIG_H
#define TEEPOD_DAEMON_CONFIG_H

#include "daemon/config_data.h"
#include "daemon/options.h"

#define CONFIG_FILE_DEFAULT "/etc/teepod/teepod.conf"

/* Load all layers that @o names. On success 0 and *ret, which the caller frees. Otherwise
 * -ERR_INVALID, every error found appended to @errors, one per line, and *ret unchanged. Blocking:
 * reads files. Any thread; takes no locks and writes nothing. */
int config_load(const struct options *o, struct config **ret, struct buf *errors);

void config_free(struct config *c);

#endif
