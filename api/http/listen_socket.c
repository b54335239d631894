/* SPDX-License-Identifier: Apache-2.0
 * listen_socket.c - open a listening socket: IPv4, IPv6, a unix path, or an inherited descriptor.
 *
 * Plain HTTP carries API keys in the clear. Without a certificate only loopback addresses are
 * accepted, also for a socket inherited from systemd. A unix socket that exists at the path is
 * removed only if no process answers on it.
 */
#include "api/http/listen_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "api/http/peer.h"
#include "base/fd.h"
#include "base/strings.h"

enum { BACKLOG = 511 };

static int listen_bad_address(struct err *e, const char *address, const char *text)
{
	return err_field(e, ERR_INVALID, "listen", address, "listen address %s: %s", address, text);
}

static int listen_sys_failed(struct err *e, int error, const char *address)
{
	err_sys(e, error, "listen on %s", address);
	return error == EADDRINUSE ? err_hint(e, "ss -lntp shows which process listens there")
				   : -(int)e->code;
}

static int listen_require_loopback(const struct sockaddr *sa, const struct listen_spec *spec,
				   struct err *e)
{
	if (spec->tls_cert || peer_is_loopback(sa))
		return 0;
	return listen_bad_address(
		e, spec->address,
		"without a TLS certificate only loopback addresses (127.0.0.0/8, ::1) are served");
}

static int listen_bound_address(struct listen_socket *l, const char *address, struct err *e)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t n = sizeof(ss);
	char text[PEER_TEXT];

	if (getsockname(l->fd, (struct sockaddr *)&ss, &n))
		return listen_sys_failed(e, errno, address);
	(void)snprintf(l->address, sizeof(l->address), "%s",
		       peer_text((struct sockaddr *)&ss, text));
	return 0;
}

/* ------------------------------------------------------------------ TCP */

/* "127.0.0.1:80" or "[::1]:80". */
static int listen_parse_address(const char *address, struct sockaddr_storage *ss, struct err *e)
{
	const char *colon = strrchr(address, ':');
	char ip[64], *end;
	size_t n = colon ? (size_t)(colon - address) : 0;
	bool v6 = n > 2 && address[0] == '[' && address[n - 1] == ']';
	unsigned long port;

	if (!colon || n == 0 || n >= sizeof(ip) || colon[1] < '0' || colon[1] > '9')
		return listen_bad_address(
			e, address,
			"ADDRESS:PORT, [ADDRESS]:PORT, unix:PATH or fd:NUMBER is expected");
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > 65535)
		return listen_bad_address(e, address, "the port must be from 0 to 65535");
	(void)snprintf(ip, sizeof(ip), "%.*s", (int)(v6 ? n - 2 : n), address + (v6 ? 1 : 0));
	if (v6 ? uv_ip6_addr(ip, (int)port, (struct sockaddr_in6 *)ss)
	       : uv_ip4_addr(ip, (int)port, (struct sockaddr_in *)ss))
		return listen_bad_address(e, address, "not a numeric IPv4 or [IPv6] address");
	return 0;
}

static int listen_bind_tcp(int fd, const struct sockaddr_storage *ss)
{
	bool v6 = ss->ss_family == AF_INET6;
	int on = 1, off = 0;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off))))
		return -1;
	return bind(fd, (const struct sockaddr *)ss,
		    v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
}

static int listen_open_tcp(struct listen_socket *l, const struct listen_spec *spec, struct err *e)
{
	const char *address = spec->address;
	struct sockaddr_storage ss = { 0 };
	int r = listen_parse_address(address, &ss, e);

	if (r == 0)
		r = listen_require_loopback((struct sockaddr *)&ss, spec, e);
	if (r < 0)
		return r;
	l->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return l->fd < 0 || listen_bind_tcp(l->fd, &ss) ? listen_sys_failed(e, errno, address) : 0;
}

/* ------------------------------------------------------------------ unix */

static bool process_answers_on(const struct sockaddr_un *sun)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* A full backlog (EAGAIN) counts as an answer; so does every error that leaves it open. */
	return fd < 0 || connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
	       (errno != ECONNREFUSED && errno != ENOENT);
}

static int listen_clear_path(const char *address, const char *path, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;

	if (path[0] != '/' || strlen(path) >= sizeof(sun.sun_path))
		return listen_bad_address(e, address,
					  "an absolute path of at most 107 bytes is expected");
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (lstat(path, &st))
		return errno == ENOENT ? 0 : err_sys(e, errno, "%s", path);
	if (!S_ISSOCK(st.st_mode))
		return listen_bad_address(e, address, "the path exists and is not a socket");
	if (process_answers_on(&sun))
		return listen_bad_address(e, address, "another process listens on this socket");
	return unlink(path) ? err_sys(e, errno, "remove stale socket %s", path) : 0;
}

static int listen_open_unix(struct listen_socket *l, const struct listen_spec *spec, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = spec->address + strlen("unix:");
	mode_t old;
	int r = listen_clear_path(spec->address, path, e);

	if (r < 0)
		return r;
	if (spec->tls_cert)
		return listen_bad_address(e, spec->address,
					  "a unix socket uses plain HTTP: remove the certificate");
	l->is_unix = true;
	memcpy(sun.sun_path, path, strlen(path) + 1);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* Nobody may connect before the requested mode is set. */
	old = umask(0177);
	r = l->fd < 0 ? -1 : bind(l->fd, (struct sockaddr *)&sun, sizeof(sun));
	(void)umask(old);
	if (r)
		return listen_sys_failed(e, errno, spec->address);
	l->path = xstrdup(path);
	if (spec->unix_mode && chmod(path, spec->unix_mode & 0777))
		return err_sys(e, errno, "chmod %s", path);
	(void)snprintf(l->address, sizeof(l->address), "%s", spec->address);
	return 0;
}

/* ------------------------------------------------------------------ descriptors */

static int listen_adopt_fd(struct listen_socket *l, int fd, const struct sockaddr *sa,
			   const char *address, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return listen_sys_failed(e, errno, address);
	l->fd = fd;
	l->is_unix = sa->sa_family == AF_UNIX;
	if (l->is_unix)
		(void)snprintf(l->address, sizeof(l->address), "unix:%.*s",
			       (int)sizeof(((struct sockaddr_un *)0)->sun_path),
			       ((const struct sockaddr_un *)(const void *)sa)->sun_path);
	return 0;
}

static int listen_open_fd(struct listen_socket *l, const struct listen_spec *spec, struct err *e)
{
	const char *address = spec->address;
	struct sockaddr_storage ss = { 0 };
	socklen_t n = sizeof(ss), opt_n = sizeof(int);
	int accepting = 0, r;
	char *end;
	long fd = strtol(address + strlen("fd:"), &end, 10);

	if (*end || end == address + strlen("fd:") || fd < 0 || fd > 65535)
		return listen_bad_address(e, address, "fd:NUMBER is expected");
	if (getsockname((int)fd, (struct sockaddr *)&ss, &n))
		return err_sys(e, errno, "%s", address);
	if (getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &opt_n) || !accepting)
		return listen_bad_address(e, address, "not a listening stream socket");
	if (ss.ss_family == AF_UNIX && spec->tls_cert)
		return listen_bad_address(e, address,
					  "a unix socket uses plain HTTP: remove the certificate");
	if (ss.ss_family != AF_UNIX && ss.ss_family != AF_INET && ss.ss_family != AF_INET6)
		return listen_bad_address(e, address, "neither a TCP socket nor a unix socket");
	r = ss.ss_family == AF_UNIX ? 0 : listen_require_loopback((struct sockaddr *)&ss, spec, e);
	return r < 0 ? r : listen_adopt_fd(l, (int)fd, (struct sockaddr *)&ss, address, e);
}

int listen_socket_open(struct listen_socket *l, const struct listen_spec *spec, struct err *e)
{
	int r;

	*l = (struct listen_socket){ .fd = -1 };
	if (!strncmp(spec->address, "unix:", 5))
		r = listen_open_unix(l, spec, e);
	else if (!strncmp(spec->address, "fd:", 3))
		r = listen_open_fd(l, spec, e);
	else
		r = listen_open_tcp(l, spec, e);
	if (r < 0)
		return r;
	if (listen(l->fd, BACKLOG))
		return listen_sys_failed(e, errno, spec->address);
	return l->is_unix ? 0 : listen_bound_address(l, spec->address, e);
}

void listen_socket_close(struct listen_socket *l)
{
	if (l->fd >= 0)
		(void)close(l->fd);
	if (l->path)
		(void)unlink(l->path);
	free(l->path);
	*l = (struct listen_socket){ .fd = -1 };
}
