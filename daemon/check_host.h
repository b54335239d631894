/* SPDX-License-Identifier: Apache-2.0
 * check_host.h - teepod --check-host: what this host needs to run TDX guests, and what is missing.
 */
#ifndef TEEPOD_DAEMON_CHECK_HOST_H
#define TEEPOD_DAEMON_CHECK_HOST_H

#include "daemon/config_data.h"

/* Inspect the host, query libvirt (for at most 30 s) and print a table to standard output. Returns
 * EXIT_SUCCESS if TDX guests can run, EXIT_FAILURE if not, and 128 + N, without a table, after
 * signal N. Starts no guest, works with and without a running daemon, and leaves no files.
 * Blocking: runs a loop of its own. Call it before any other use of libuv. */
int check_host_run(const struct config *c);

#endif
