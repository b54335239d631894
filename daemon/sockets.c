/* SPDX-License-Identifier: Apache-2.0
 * sockets.c - merge the sockets passed by systemd with the configured addresses.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <systemd/sd-daemon.h>

#include "base/strings.h"
#include "daemon/sockets.h"

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

int socket_address(int fd, char out[256], struct err *e)
{
	union address a = { 0 };
	socklen_t len = sizeof(a);
	char text[INET6_ADDRSTRLEN];

	if (getsockname(fd, &a.any, &len))
		return err_sys(e, errno, "get the address of descriptor %d", fd);
	if (a.any.sa_family == AF_INET)
		(void)snprintf(out, 256, "%s:%u",
			       inet_ntop(AF_INET, &a.in.sin_addr, text, sizeof(text)),
			       ntohs(a.in.sin_port));
	else if (a.any.sa_family == AF_INET6)
		(void)snprintf(out, 256, "[%s]:%u",
			       inet_ntop(AF_INET6, &a.in6.sin6_addr, text, sizeof(text)),
			       ntohs(a.in6.sin6_port));
	else if (a.any.sa_family == AF_UNIX)
		(void)snprintf(out, 256, "unix:%.*s", (int)sizeof(a.un.sun_path), a.un.sun_path);
	else
		return err_set(e, ERR_UNSUPPORTED, "descriptor %d: unsupported address family %d",
			       fd, a.any.sa_family);
	return 0;
}

static int sockets_add_inherited(int fd, struct config_list *plan, struct config_list *inherited,
				 struct err *e)
{
	char address[256];
	int r = sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1);

	if (r < 0)
		return err_sys(e, -r, "check descriptor %d from systemd", fd);
	if (!r)
		return err_set(e, ERR_INVALID,
			       "descriptor %d from systemd is not a listening stream socket "
			       "(Accept=no, ListenStream=)",
			       fd);
	r = socket_address(fd, address, e);
	if (r < 0)
		return r;
	config_list_add(plan, xasprintf("fd:%d", fd));
	config_list_add(inherited, xstrdup(address));
	return 0;
}

int sockets_plan(const struct config_list *configured, struct config_list *ret, struct err *e)
{
	struct config_list plan = { 0 }, inherited = { 0 };
	int n = sd_listen_fds(1), r = 0;

	if (n < 0)
		return err_sys(e, -n, "get the sockets from systemd");
	for (int i = 0; i < n && !r; i++)
		r = sockets_add_inherited(SD_LISTEN_FDS_START + i, &plan, &inherited, e);
	for (size_t i = 0; i < configured->n; i++)
		if (!config_list_has(&inherited, configured->v[i]))
			config_list_add(&plan, xstrdup(configured->v[i]));
	config_list_free(&inherited);
	if (r < 0)
		config_list_free(&plan);
	else
		*ret = plan;
	return r;
}
