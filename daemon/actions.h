/* SPDX-License-Identifier: Apache-2.0
 * actions.h - command-line actions that need only the configuration.
 */
#ifndef TEEPOD_DAEMON_ACTIONS_H
#define TEEPOD_DAEMON_ACTIONS_H

#include <stdbool.h>

#include "daemon/options.h"

/* Run --help, --version, --help-config, --check-config or --print-config: true, and *ret_status is
 * the exit status. False if @o->action is another one. */
bool actions_run(const struct options *o, int *ret_status);

/* Print "teepod: TEXT" to standard error, with control characters escaped. Returns EXIT_FAILURE. */
int action_failed(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
