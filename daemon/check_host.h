/* SPDX-License-Identifier: Apache-2.0
 * check_host.h - teepod --check-host: can this machine run TDX guests, and what is missing?
 */
#ifndef TEEPOD_DAEMON_CHECK_HOST_H
#define TEEPOD_DAEMON_CHECK_HOST_H

#include "daemon/config_data.h"

/* Look at the machine, ask libvirt (for half a minute at most), print the table on standard output.
 * EXIT_SUCCESS where TDX guests can run, EXIT_FAILURE where not, 128 + N without a table after
 * signal N. Starts no guest, needs no daemon and does not mind one, leaves nothing behind. To be
 * called before libuv is used for anything else. */
int check_host_run(const struct config *c);

#endif
