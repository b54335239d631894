/* SPDX-License-Identifier: Apache-2.0
 * authorize.c - authorization of a request: origin, credentials, role.
 *
 * The checks run on the head alone, before a byte of the body is read. First the origin: a foreign
 * web page must not even cause a failed authentication to be counted for this address. Then the
 * credentials, which the authenticate callback turns into a caller, and the role of the route.
 */
#include "api/http/authorize.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "api/http/forwarded.h"
#include "api/http/host_names.h"
#include "api/http/reply.h"
#include "base/log.h"
#include "base/own.h"
#include "base/strings.h"

/* A common name leaves room for "cert:" before it: a name cut short could be that of another
 * caller, or no UTF-8. */
enum {
	WRONG_KEY_LOG_MS = 1000,
	CERT_NAME = sizeof(((struct caller *)0)->name) - (sizeof("cert:") - 1)
};

static const char *const role_word[] = {
	[ROLE_NONE] = "none",         [ROLE_READER] = "reader", [ROLE_TENANT] = "tenant",
	[ROLE_OPERATOR] = "operator", [ROLE_ADMIN] = "admin",
};

/* NULL without either header. An empty key is refused (401) and not counted as a wrong key; the
 * user id of the peer or its certificate are not tried instead. */
static const char *request_api_key(const struct call *c)
{
	static const char bearer[] = "Bearer ";
	const char *key = call_header(c, "X-API-Key"), *auth;

	if (key && *key)
		return key;
	auth = call_header(c, "Authorization");
	if (!auth || strncasecmp(auth, bearer, sizeof(bearer) - 1) != 0)
		return key;
	auth += sizeof(bearer) - 1;
	return auth + strspn(auth, " ");
}

/* A browser presents its user's certificate even when a foreign web page makes it send the request.
 * The header Origin then names that page. */
static bool is_from_web_page(const struct call *c)
{
	return strcmp(c->method, "GET") != 0 && strcmp(c->method, "HEAD") != 0 &&
	       call_header(c, "Origin");
}

static int request_authenticate(struct request *q, struct err *e)
{
	struct conn *c = q->conn;
	struct credentials cred = { .api_key = request_api_key(&q->call) };
	struct caller caller = { 0 };
	char name[CERT_NAME];
	int r;

	if (cred.api_key)
		;
	else if (c->is_unix)
		cred = (struct credentials){ .has_peer = true, .uid = c->uid, .gid = c->gid };
	else if (c->tls && tls_peer_name(c->tls, name, sizeof(name), &cred.cert_ends_ms))
		cred.cert_cn = name;
	else
		return err_set(e, ERR_UNAUTHENTICATED,
			       "an API key is required: send X-API-Key or Authorization: Bearer");
	if (cred.cert_cn && is_from_web_page(&q->call))
		return err_set(e, ERR_FORBIDDEN,
			       "web pages (header Origin) cannot use a client certificate: send "
			       "an API key");
	r = q->set->authenticate(q->set->arg, &cred, &caller, e);
	if (r == 0) {
		q->call.caller = caller;
		q->conn->known = true;
		q->conn->spent = false;
	}
	return r;
}

/* Log one line for each address that reaches the limit, but at most one a second. */
static void log_wrong_keys(struct request_set *set, const char *address)
{
	struct conn_pool *pool = set->pool;
	uint64_t now = uv_now(pool->loop);

	if (set->wrong_key_logged_ms && now - set->wrong_key_logged_ms < WRONG_KEY_LOG_MS)
		return;
	set->wrong_key_logged_ms = now;
	log_warn("%u wrong API keys from %s within a minute: further ones are answered 429",
		 pool->limits.auth_fails, address);
}

/* Count a failed authentication by the address of the client. Above the limit the answer is 429
 * instead of 401. A request without a key does not count: any web page can make a browser send
 * those. Returns the error code; *e is that of the failed authentication. */
static int count_wrong_key(struct request *q, struct err *e)
{
	struct request_set *set = q->set;
	struct conn_pool *pool = set->pool;
	const char *key = request_api_key(&q->call);
	struct peer_address client =
		forwarded_client(&q->data.fields, pool->proxies, &q->conn->address);
	struct peer_key k = peer_key_of(&client);
	char address[PEER_TEXT];
	unsigned n;

	pool->metrics->auth_failed++;
	if (q->conn->is_unix || !key || !*key)
		return -ERR_UNAUTHENTICATED;
	n = auth_rate_failed(set->auth_rate, &k, uv_now(pool->loop));
	(void)peer_address_text(&client, address);
	if (n == pool->limits.auth_fails)
		log_wrong_keys(set, address);
	if (n <= pool->limits.auth_fails)
		return -ERR_UNAUTHENTICATED;
	err_set(e, ERR_RATE, "too many wrong API keys from this address, %s", address);
	e->retry_s = auth_rate_wait(set->auth_rate, &k, uv_now(pool->loop));
	return -ERR_RATE;
}

bool authorize_origin(struct request *q)
{
	const char *host = call_header(&q->call, "Host"), *origin = call_header(&q->call, "Origin");
	const char *const *ours = q->set->hosts;
	auto_free char *text = NULL;

	if (q->conn->is_unix || q->conn->tls || !ours)
		return true;
	if (host && !host_name_is_ours(ours, host))
		text = xasprintf(
			"header Host is \"%.100s\"; allowed: localhost, a loopback address, "
			"node.name, the host of node.public_url, or a name in api.hosts",
			host);
	else if (origin && !host_name_is_ours(ours, origin))
		text = xasprintf("header Origin is \"%.100s\"; allowed: pages of localhost, of a "
				 "loopback address, of node.name, of the host of node.public_url, "
				 "or of a name in api.hosts",
				 origin);
	if (text)
		reply_refuse(q, host && !host_name_is_ours(ours, host) ? 421 : 403, text);
	return !text;
}

static bool has_credentials(const struct request *q)
{
	char name[CERT_NAME];
	int64_t ignored;

	return request_api_key(&q->call) || q->conn->is_unix ||
	       (q->conn->tls && tls_peer_name(q->conn->tls, name, sizeof(name), &ignored));
}

/* For routes that a log link opens, too: with the token of a link, a wrong key has no effect.
 * Without one, too many wrong keys are answered 429; otherwise the handler decides. */
static int authorize_optional(struct request *q, struct err *e)
{
	int r = request_authenticate(q, e);

	if (r != -ERR_UNAUTHENTICATED)
		return r;
	r = count_wrong_key(q, e);
	return r == -ERR_RATE && !call_query(&q->call, "token", 0) ? r : 0;
}

int authorize(struct request *q, struct err *e)
{
	const struct route *route = q->route;
	int r;

	assert(route && q->conn);
	if ((route->flags & ROUTE_TRY_AUTH) && has_credentials(q)) {
		r = authorize_optional(q, e);
		if (r < 0)
			return r;
	}
	if (route->flags & ROUTE_NO_AUTH)
		return 0;
	r = request_authenticate(q, e);
	if (r < 0)
		return r == -ERR_UNAUTHENTICATED ? count_wrong_key(q, e) : r;
	if (q->call.caller.role < route->role)
		return err_set(e, ERR_FORBIDDEN,
			       "this route requires the role %s; the caller has the role %s",
			       role_word[route->role], role_word[q->call.caller.role]);
	return 0;
}
