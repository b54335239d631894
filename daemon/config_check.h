/* SPDX-License-Identifier: Apache-2.0
 * config_check.h - rules between keys, and checks of the files that keys name.
 */
#ifndef TEEPOD_DAEMON_CONFIG_CHECK_H
#define TEEPOD_DAEMON_CONFIG_CHECK_H

#include "daemon/config_data.h"

/* Check the rules between keys, without I/O. Each error is one line in @errors. */
void config_check_rules(const struct config *c, struct buf *errors);

/* The same, and check that the files which keys name exist and are usable. Blocking. */
void config_check(const struct config *c, struct buf *errors);

/* Append one line for each certificate that is expired or not yet valid. The daemon starts all the
 * same, because the unix socket works and SIGHUP loads a renewed certificate. --check-config
 * reports these lines as errors. Blocking. */
void config_check_dates(const struct config *c, struct buf *out);

#endif
