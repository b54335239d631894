/* SPDX-License-Identifier: Apache-2.0
 * sockets.h - listening sockets handed over by systemd (LISTEN_FDS).
 */
#ifndef TEEPOD_DAEMON_SOCKETS_H
#define TEEPOD_DAEMON_SOCKETS_H

#include "base/err.h"
#include "daemon/config_list.h"

/* Where to listen: "fd:3", ... for every socket handed over, then what @configured says, less the
 * addresses that one of those sockets already has (the shipped teepod.socket and the default
 * api.listen name the same path). Call once, before anything starts a process: takes LISTEN_FDS out
 * of the environment and marks the sockets close-on-exec. */
int sockets_plan(const struct config_list *configured, struct config_list *ret, struct err *e);

/* Address of a bound socket as api.listen would write it: "127.0.0.1:80", "[::1]:80", "unix:/path".
 */
int socket_address(int fd, char out[256], struct err *e);

#endif
