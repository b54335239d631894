/* SPDX-License-Identifier: Apache-2.0
 * config_print.h - the configuration as text for people.
 */
#ifndef TEEPOD_DAEMON_CONFIG_PRINT_H
#define TEEPOD_DAEMON_CONFIG_PRINT_H

#include "daemon/config_data.h"

/* --print-config: every key with its value and where that came from, aligned. */
void config_print(const struct config *c, struct buf *out);

/* --help-config: configs/teepod.conf, every key commented out at its default with its explanation.
 */
void config_print_help(struct buf *out);

#endif
