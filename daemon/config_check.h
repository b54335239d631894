/* SPDX-License-Identifier: Apache-2.0
 * config_check.h - rules between keys, and files that have to be there.
 */
#ifndef TEEPOD_DAEMON_CONFIG_CHECK_H
#define TEEPOD_DAEMON_CONFIG_CHECK_H

#include "daemon/config_data.h"

/* Rules between keys; config_check() looks also at the files that are named. */
void config_check(const struct config *c, struct buf *errors);
void config_check_rules(const struct config *c, struct buf *errors);

/* Certificates that are out of date, one a line. No reason not to start: the unix socket works, and
 * a renewed one is taken by SIGHUP. --check-config counts them as mistakes. */
void config_check_dates(const struct config *c, struct buf *out);

#endif
