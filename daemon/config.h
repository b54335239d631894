/* SPDX-License-Identifier: Apache-2.0
 * config.h - what the operator asked for: defaults, files, drop-ins and options.
 *
 * Layers, each winning over those before: the table's default, the presets of --dev, the file, its
 * drop-ins in the order of their names, --hypervisor and --listen, -o. A list given in a layer (one
 * file is one layer) replaces the list of those before.
 */
#ifndef TEEPOD_DAEMON_CONFIG_H
#define TEEPOD_DAEMON_CONFIG_H

#include "api/http/caller.h"
#include "daemon/config_data.h"
#include "daemon/options.h"

#define CONFIG_FILE_DEFAULT "/etc/teepod/teepod.conf"

/* Read everything @o says. 0 and *ret, or -ERR_INVALID with every error found appended to @errors,
 * one a line, *ret untouched. Takes no locks, makes no files, may be called again at any time. */
int config_load(const struct options *o, struct config **ret, struct buf *errors);

void config_free(struct config *c);

#endif
