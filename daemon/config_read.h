/* SPDX-License-Identifier: Apache-2.0
 * config_read.h - configuration files, their drop-ins, and -o.
 */
#ifndef TEEPOD_DAEMON_CONFIG_READ_H
#define TEEPOD_DAEMON_CONFIG_READ_H

#include "daemon/config_data.h"

/* One file and its drop-ins into @c; every problem is a line in @errors. @required: a missing file
 * is one. */
void config_read_files(struct config *c, const char *file, bool required, struct buf *errors);

/* `section.key=value`, as of -o. */
void config_read_option(struct config *c, const char *text, struct buf *errors);

#endif
