/* SPDX-License-Identifier: Apache-2.0
 * host_names.c - the host names under which clients may reach this server.
 *
 * A web page can make its own host name resolve to 127.0.0.1 (DNS rebinding). The browser then
 * treats this server as part of that page and lets the page read the answers. The field Host still
 * has the name of the page, so the server refuses names that are not its own. Ports are not
 * compared, because ssh -L and containers change them.
 */
#include "api/http/host_names.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "api/http/head.h"
#include "api/http/peer.h"

/* The host of "NAME", "NAME:PORT", "[ADDRESS]:PORT" or a URL, without brackets and a trailing dot.
 */
static struct span host_name_of(const char *text)
{
	const char *scheme = strstr(text, "://");
	const char *at = scheme ? scheme + 3 : text;
	struct span s = { at, strcspn(at, ":/") };

	if (*at == '[') {
		size_t n = strcspn(at, "]");

		return at[n] ? (struct span){ at + 1, n - 1 } : (struct span){ at, 0 };
	}
	if (s.n > 1 && s.p[s.n - 1] == '.')
		s.n--;
	return s;
}

static bool host_name_is_loopback(struct span host)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	char text[INET6_ADDRSTRLEN];

	if (host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (!strcasecmp(text, "localhost"))
		return true;
	return (inet_pton(AF_INET, text, &in.sin_addr) == 1 &&
		peer_is_loopback((struct sockaddr *)&in)) ||
	       (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1 &&
		peer_is_loopback((struct sockaddr *)&in6));
}

bool host_name_is_ours(const char *const *ours, const char *text)
{
	struct span host = host_name_of(text);

	if (host_name_is_loopback(host))
		return true;
	for (; *ours; ours++) {
		struct span own = host_name_of(*ours);

		if (own.n && own.n == host.n && !strncasecmp(own.p, host.p, own.n))
			return true;
	}
	return false;
}
