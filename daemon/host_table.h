/* SPDX-License-Identifier: Apache-2.0
 * host_table.h - the host's checks as a table for a terminal.
 */
#ifndef TEEPOD_DAEMON_HOST_TABLE_H
#define TEEPOD_DAEMON_HOST_TABLE_H

#include "base/buf.h"
#include "vmm/host/host_check.h"

enum { HOST_TABLE_MIN = 60, HOST_TABLE_WIDTH = 80, HOST_TABLE_MAX = 120 };

/* Append the table and the sentence that sums it up, in lines of at most @width columns (taken as
 * HOST_TABLE_MIN to HOST_TABLE_MAX). What there is to do stands below what was found, behind an
 * arrow. */
void host_table(const struct host_check rows[HOST_CHECKS], unsigned width, struct buf *out);

#endif
