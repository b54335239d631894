/* SPDX-License-Identifier: Apache-2.0
 * listen.c - the four kinds of places to listen at: IPv4, IPv6, a path, a descriptor somebody handed over.
 *
 * Plain HTTP carries API keys in the clear, so without a certificate only loopback addresses are accepted, also from
 * systemd. A unix socket that is in the way is removed only when nobody answers behind it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/server_impl.h"
#include "base/buf.h"
#include "base/own.h"

enum { BACKLOG = 511 };

static int bad_address(struct err *e, const char *address, const char *text)
{
	return err_field(e, ERR_INVALID, "listen", address, "listen address %s: %s", address, text);
}

static int uv_failed(struct err *e, int status, const char *address)
{
	err_sys(e, -status, "listen on %s", address);
	return status == UV_EADDRINUSE ? err_hint(e, "ss -lntp shows which process listens there")
				       : -(int)e->code;
}

static int only_loopback(const struct listener *l, const struct sockaddr *sa, const char *address,
			 struct err *e)
{
	if (l->ctx || peer_is_loopback(sa))
		return 0;
	return bad_address(e, address,
			   "without a TLS certificate only loopback addresses (127.0.0.0/8, ::1) are served");
}

static int note_tcp_address(struct listener *l, const char *address, struct err *e)
{
	struct sockaddr_storage ss = { 0 };
	int n = sizeof(ss), r;
	char text[PEER_TEXT];

	r = uv_tcp_getsockname(&l->uv.tcp, (struct sockaddr *)&ss, &n);
	if (r)
		return uv_failed(e, r, address);
	(void)snprintf(l->address, sizeof(l->address), "%s", peer_text((struct sockaddr *)&ss, text));
	return 0;
}

/* ------------------------------------------------------------------ TCP */

/* "127.0.0.1:80" or "[::1]:80". */
static int parse(const char *address, struct sockaddr_storage *ss, struct err *e)
{
	const char *colon = strrchr(address, ':');
	char ip[64], *end;
	size_t n = colon ? (size_t)(colon - address) : 0;
	bool v6 = n > 2 && address[0] == '[' && address[n - 1] == ']';
	unsigned long port;

	if (!colon || n == 0 || n >= sizeof(ip) || colon[1] < '0' || colon[1] > '9')
		return bad_address(e, address,
				   "ADDRESS:PORT, [ADDRESS]:PORT, unix:PATH or fd:NUMBER is expected");
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > 65535)
		return bad_address(e, address, "the port must be from 0 to 65535");
	(void)snprintf(ip, sizeof(ip), "%.*s", (int)(v6 ? n - 2 : n), address + (v6 ? 1 : 0));
	if (v6 ? uv_ip6_addr(ip, (int)port, (struct sockaddr_in6 *)ss)
	       : uv_ip4_addr(ip, (int)port, (struct sockaddr_in *)ss))
		return bad_address(e, address, "not a numeric IPv4 or [IPv6] address");
	return 0;
}

static int open_tcp(struct listener *l, uv_loop_t *loop, const char *address, struct err *e)
{
	struct sockaddr_storage ss = { 0 };
	int r = parse(address, &ss, e);

	if (r == 0)
		r = only_loopback(l, (struct sockaddr *)&ss, address, e);
	if (r < 0)
		return r;
	r = uv_tcp_init(loop, &l->uv.tcp);
	if (r == 0)
		r = uv_tcp_bind(&l->uv.tcp, (struct sockaddr *)&ss, 0);
	return r ? uv_failed(e, r, address) : 0;
}

/* ------------------------------------------------------------------ unix */

static bool somebody_answers(const struct sockaddr_un *sun)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* a full backlog (EAGAIN) is somebody too; so is what we may not know */
	return fd < 0 || connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
	       (errno != ECONNREFUSED && errno != ENOENT);
}

static int clear_path(const char *address, const char *path, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;

	if (path[0] != '/' || strlen(path) >= sizeof(sun.sun_path))
		return bad_address(e, address, "an absolute path of at most 107 bytes is expected");
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (lstat(path, &st))
		return errno == ENOENT ? 0 : err_sys(e, errno, "%s", path);
	if (!S_ISSOCK(st.st_mode))
		return bad_address(e, address, "the path exists and is no socket");
	if (somebody_answers(&sun))
		return bad_address(e, address, "another process answers there");
	return unlink(path) ? err_sys(e, errno, "remove stale socket %s", path) : 0;
}

static bool folder_exists(const char *path)
{
	auto_free char *folder = xstrndup(path, (size_t)(strrchr(path, '/') - path));

	return access(*folder ? folder : "/", F_OK) == 0;
}

static int open_unix(struct listener *l, uv_loop_t *loop, const struct listen_spec *spec, struct err *e)
{
	const char *path = spec->address + strlen("unix:");
	mode_t old;
	int r = clear_path(spec->address, path, e);

	if (r < 0)
		return r;
	if (l->ctx)
		return bad_address(e, spec->address,
				   "a unix socket speaks plain HTTP, without a certificate");
	r = uv_pipe_init(loop, &l->uv.pipe, 0);
	/* nobody may connect before the mode is what was asked for */
	old = umask(0177);
	if (r == 0)
		r = uv_pipe_bind(&l->uv.pipe, path);
	(void)umask(old);
	/* libuv says EACCES for a folder that is not there. */
	if (r == UV_EACCES && !folder_exists(path))
		r = UV_ENOENT;
	if (r)
		return uv_failed(e, r, spec->address);
	if (spec->unix_mode && chmod(path, spec->unix_mode & 0777))
		return err_sys(e, errno, "chmod %s", path);
	l->is_unix = true;
	(void)snprintf(l->address, sizeof(l->address), "%s", spec->address);
	return 0;
}

/* ------------------------------------------------------------------ descriptors */

static int adopt(struct listener *l, uv_loop_t *loop, int fd, const struct sockaddr *sa, const char *address,
		 struct err *e)
{
	int r;

	if (sa->sa_family == AF_UNIX) {
		r = uv_pipe_init(loop, &l->uv.pipe, 0);
		if (r == 0)
			r = uv_pipe_open(&l->uv.pipe, fd);
		l->is_unix = true;
		(void)snprintf(l->address, sizeof(l->address), "unix:%.*s",
			       (int)sizeof(((struct sockaddr_un *)0)->sun_path),
			       ((const struct sockaddr_un *)(const void *)sa)->sun_path);
	} else {
		r = uv_tcp_init(loop, &l->uv.tcp);
		if (r == 0)
			r = uv_tcp_open(&l->uv.tcp, fd);
	}
	return r ? uv_failed(e, r, address) : 0;
}

static int open_fd(struct listener *l, uv_loop_t *loop, const char *address, struct err *e)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t n = sizeof(ss), opt_n = sizeof(int);
	int accepting = 0, r;
	char *end;
	long fd = strtol(address + strlen("fd:"), &end, 10);

	if (*end || end == address + strlen("fd:") || fd < 0 || fd > 65535)
		return bad_address(e, address, "fd:NUMBER is expected");
	if (getsockname((int)fd, (struct sockaddr *)&ss, &n))
		return err_sys(e, errno, "%s", address);
	if (getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &opt_n) || !accepting)
		return bad_address(e, address, "not a listening stream socket");
	if (ss.ss_family == AF_UNIX && l->ctx)
		return bad_address(e, address, "a unix socket speaks plain HTTP, without a certificate");
	if (ss.ss_family != AF_UNIX && ss.ss_family != AF_INET && ss.ss_family != AF_INET6)
		return bad_address(e, address, "neither a TCP nor a unix socket");
	r = ss.ss_family == AF_UNIX ? 0 : only_loopback(l, (struct sockaddr *)&ss, address, e);
	return r < 0 ? r : adopt(l, loop, (int)fd, (struct sockaddr *)&ss, address, e);
}

int listener_open(struct listener *l, uv_loop_t *loop, const struct listen_spec *spec,
		  uv_connection_cb on_connection, struct err *e)
{
	int r;

	if (!strncmp(spec->address, "unix:", 5))
		r = open_unix(l, loop, spec, e);
	else if (!strncmp(spec->address, "fd:", 3))
		r = open_fd(l, loop, spec->address, e);
	else
		r = open_tcp(l, loop, spec->address, e);
	if (r < 0)
		return r;
	l->uv.handle.data = l;
	r = uv_listen(&l->uv.stream, BACKLOG, on_connection);
	if (r)
		return uv_failed(e, r, spec->address);
	return l->is_unix ? 0 : note_tcp_address(l, spec->address, e);
}
