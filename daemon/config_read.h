/* SPDX-License-Identifier: Apache-2.0
 * config_read.h - configuration files, their drop-ins, and -o.
 */
#ifndef TEEPOD_DAEMON_CONFIG_READ_H
#define TEEPOD_DAEMON_CONFIG_READ_H

#include "daemon/config_data.h"

/* Read @file and its drop-ins, the *.conf files in FILE.d in byte order of their names, into @c.
 * Each error is one line in @errors. A missing @file is an error only if @required. */
void config_read_files(struct config *c, const char *file, bool required, struct buf *errors);

/* Set one key from the argument of -o: SECTION.KEY=VALUE. */
void config_read_option(struct config *c, const char *text, struct buf *errors);

#endif
