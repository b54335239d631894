/* SPDX-License-Identifier: Apache-2.0
 * config_print.h - the configuration as text for operators.
 */
#ifndef TEEPOD_DAEMON_CONFIG_PRINT_H
#define TEEPOD_DAEMON_CONFIG_PRINT_H

#include "daemon/config_data.h"

/* --print-config: one line for each key, with its value and where it was set, in columns. */
void config_print(const struct config *c, struct buf *out);

/* --help-config: the text of configs/teepod.conf. Each key is explained and commented out, with its
 * default. */
void config_print_help(struct buf *out);

#endif
