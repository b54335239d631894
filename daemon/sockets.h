/* SPDX-License-Identifier: Apache-2.0
 * sockets.h - listening sockets passed by systemd (LISTEN_FDS).
 */
#ifndef TEEPOD_DAEMON_SOCKETS_H
#define TEEPOD_DAEMON_SOCKETS_H

#include "base/err.h"
#include "daemon/config_list.h"

/* The addresses to listen on: "fd:3", "fd:4" ... for the sockets passed by systemd, then the
 * addresses in @configured that none of these sockets has. (teepod.socket and the default of
 * api.listen name the same path.) Removes LISTEN_FDS from the environment and marks the sockets
 * close-on-exec: call it once, before any child process is started. The caller frees *ret with
 * config_list_free(). */
int sockets_plan(const struct config_list *configured, struct config_list *ret, struct err *e);

/* The address of a bound socket in the form of api.listen: "127.0.0.1:80", "[::1]:80",
 * "unix:/path".
 */
int socket_address(int fd, char out[256], struct err *e);

#endif
