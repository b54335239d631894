/* SPDX-License-Identifier: Apache-2.0
 * listen_socket.h - open a listening socket: IPv4, IPv6, a unix path, or an inherited descriptor.
 */
#ifndef TEEPOD_API_HTTP_LISTEN_SOCKET_H
#define TEEPOD_API_HTTP_LISTEN_SOCKET_H

#include <stdbool.h>

#include "base/err.h"

enum { LISTEN_ADDRESS_TEXT = 256 };

/* One address to listen on. Strings are borrowed. */
struct listen_spec {
	/* "127.0.0.1:8080", "[::1]:0" (0: a free port), "unix:/run/teepod/teepod.sock", "fd:3"
	 * (inherited from systemd) */
	const char *address;
	/* PEM files: both or neither. TCP without them must be a loopback address. */
	const char *tls_cert, *tls_key;
	const char *tls_client_ca; /* PEM; NULL: client certificates are not requested */
	bool tls_client_required;
	unsigned unix_mode; /* permission bits of a unix socket, e.g. 0660; 0: 0600 */
};

struct listen_socket {
	int fd;     /* owned; -1: none */
	char *path; /* owned; of a unix socket that was created here, else NULL */
	bool is_unix;
	char address[LISTEN_ADDRESS_TEXT]; /* as bound: "127.0.0.1:41873", "unix:/x" */
};

/* Open a non-blocking listening socket. After an error *l holds what has to be closed. */
int listen_socket_open(struct listen_socket *l, const struct listen_spec *spec, struct err *e);
/* Close the descriptor and remove the path that was created. */
void listen_socket_close(struct listen_socket *l);

#endif
