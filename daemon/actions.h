/* SPDX-License-Identifier: Apache-2.0
 * actions.h - what the command line can ask for that needs nothing but the configuration.
 */
#ifndef TEEPOD_DAEMON_ACTIONS_H
#define TEEPOD_DAEMON_ACTIONS_H

#include <stdbool.h>

#include "daemon/options.h"

/* --help, --version, --help-config, --check-config and --print-config. False if @o asks for
 * something else; else it is done and *ret_status is the exit status. */
bool actions_run(const struct options *o, int *ret_status);

/* "teepod: TEXT" on standard error, without what would steer a terminal. Returns EXIT_FAILURE. */
int action_failed(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
