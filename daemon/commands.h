/* SPDX-License-Identifier: Apache-2.0
 * commands.h - command-line actions that need the configuration but not the event loop.
 */
#ifndef TEEPOD_DAEMON_COMMANDS_H
#define TEEPOD_DAEMON_COMMANDS_H

#include <stdbool.h>

#include "daemon/config_data.h"
#include "daemon/options.h"

/* Run --check-db, --check-host, --accept-host, --add-key or --print-domain-xml: true, and
 * *ret_status is the exit status. False if @o->action is another one. Blocking. */
bool commands_run(const struct options *o, const struct config *c, int *ret_status);

#endif
