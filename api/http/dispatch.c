/* SPDX-License-Identifier: Apache-2.0
 * dispatch.c - from a complete head to the handler.
 *
 * Everything that can be refused is refused before a byte of the body is read: an unknown path, a
 * missing key, a role too low, a body too large. Only then is the client told to continue.
 */
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "api/http/envelope.h"
#include "api/http/forwarded.h"
#include "api/http/host_names.h"
#include "api/http/request.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/lag.h"
#include "base/log.h"
#include "base/own.h"

/* A common name leaves room for "cert:" before it: cut ones would be other callers' names, or no
 * UTF-8. */
enum {
	GUESS_LOG_MS = 1000,
	REQUEST_ID_MAX = 64,
	CERT_NAME = sizeof(((struct caller *)0)->name) - (sizeof("cert:") - 1)
};

static const char *const role_word[] = {
	[ROLE_NONE] = "none",         [ROLE_READER] = "reader", [ROLE_TENANT] = "tenant",
	[ROLE_OPERATOR] = "operator", [ROLE_ADMIN] = "admin",
};

static void choose_id(struct request *q)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	const char *given = call_header(&q->call, "X-Request-Id");
	size_t n = given ? strlen(given) : 0;

	if (n == 0 || n > REQUEST_ID_MAX || strspn(given, allowed) != n)
		id_uuid7(q->id);
	else
		memcpy(q->id, given, n + 1);
}

/* Host and port by which the client reached this server: the field Host, else the address of the
 * socket. */
static void find_authority(struct request *q, struct span host)
{
	struct sockaddr_storage ss = { 0 };
	char *out = q->data.authority;
	int n = sizeof(ss);

	if (host.n && host.n < sizeof(q->data.authority))
		memcpy(out, host.p, host.n);
	else if (q->conn->is_unix ||
		 uv_tcp_getsockname(&q->conn->uv.tcp, (struct sockaddr *)&ss, &n))
		memcpy(out, "localhost", sizeof("localhost"));
	else
		(void)peer_text((struct sockaddr *)&ss, out);
}

static void take(struct request *q, const struct head *h)
{
	struct span host = head_find(h, "host"), connection = head_find(h, "connection");
	const char *version;

	q->minor = h->minor;
	q->length = h->length;
	q->keep = h->minor > 0 && !head_has_token(connection, "close");
	q->expects = h->minor > 0 && head_find(h, "expect").p;
	find_authority(q, host);
	fields_cut(&q->data.fields, q->raw, h);
	q->call.method = span_cut(q->raw, h->method);
	choose_id(q);
	q->head_only = !strcmp(q->call.method, "HEAD");
	q->call.path = q->target.path;
	q->call.query = q->target.query;
	version = call_header(&q->call, "X-Phala-Version");
	q->call.version = version && !strcmp(version, "2025-10-28") ? 25 : 26;
}

/* ------------------------------------------------------------------ who, and may they */

/* NULL without either header. An empty key is refused (401) and not counted as a guess; it never
 * falls back to the peer's user id or certificate. */
static const char *api_key(const struct call *c)
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

/* A browser shows its user's certificate to whomever a page of somebody else makes it talk to, and
 * says whose page that was. */
static bool is_from_a_page(const struct call *c)
{
	return strcmp(c->method, "GET") != 0 && strcmp(c->method, "HEAD") != 0 &&
	       call_header(c, "Origin");
}

static int authenticate(struct request *q, struct err *e)
{
	struct conn *c = q->conn;
	struct credentials cred = { .api_key = api_key(&q->call) };
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
			       "no API key: send X-API-Key or Authorization: Bearer");
	if (cred.cert_cn && is_from_a_page(&q->call))
		return err_set(e, ERR_FORBIDDEN,
			       "web pages (header Origin) can not use a client certificate: send "
			       "an API key");
	r = q->s->authenticate(q->s->arg, &cred, &caller, e);
	if (r == 0) {
		q->call.caller = caller;
		q->conn->known = true;
		q->conn->spent = false;
	}
	return r;
}

/* One line for each address that reaches the limit, but at most one a second. */
static void log_guesses(struct server *s, const char *address)
{
	uint64_t now = uv_now(s->loop);

	if (s->guess_logged_ms && now - s->guess_logged_ms < GUESS_LOG_MS)
		return;
	s->guess_logged_ms = now;
	log_warn("%u wrong API keys from %s within a minute: further ones get 429",
		 s->limits.auth_fails, address);
}

/* Wrong keys that come too often from one address are to slow down: 429 instead of 401. A request
 * without a key is no try: any web page can make a browser send those. */
static int count_failure(struct request *q, struct err *e)
{
	struct server *s = q->s;
	const char *key = api_key(&q->call);
	struct peer_address client =
		forwarded_client(&q->data.fields, &s->proxies, &q->conn->address);
	struct peer_key k = peer_key_of(&client);
	char address[PEER_TEXT];
	unsigned n;

	s->metrics.auth_failed++;
	if (q->conn->is_unix || !key || !*key)
		return -ERR_UNAUTHENTICATED;
	n = auth_rate_failed(s->auth_rate, &k, uv_now(s->loop));
	(void)peer_address_text(&client, address);
	if (n == s->limits.auth_fails)
		log_guesses(s, address);
	if (n <= s->limits.auth_fails)
		return -ERR_UNAUTHENTICATED;
	err_set(e, ERR_RATE, "too many wrong API keys from this address, %s", address);
	e->retry_s = auth_rate_wait(s->auth_rate, &k, uv_now(s->loop));
	return -ERR_RATE;
}

/* Before anything else: a page of a stranger must not even count as a failed authentication of this
 * address. A unix socket is out of its reach, and with TLS the browser has compared the name with
 * the certificate. HTTP/1.0 needs no Host, and no browser speaks it. */
static bool is_for_us(struct request *q)
{
	const char *host = call_header(&q->call, "Host"), *origin = call_header(&q->call, "Origin");
	const char *const *ours = q->s->hosts;
	auto_free char *text = NULL;

	if (q->conn->is_unix || q->conn->tls || !ours)
		return true;
	if (host && !host_name_is_ours(ours, host))
		text = xasprintf("header Host is \"%.100s\"; allowed: localhost, a loopback "
				 "address, node.name, the "
				 "host of node.public_url, or a name in api.hosts",
				 host);
	else if (origin && !host_name_is_ours(ours, origin))
		text = xasprintf(
			"header Origin is \"%.100s\"; allowed: pages of localhost, of a loopback "
			"address, "
			"of node.name, of the host of node.public_url, or of a name in api.hosts",
			origin);
	if (text)
		request_refuse(q, host && !host_name_is_ours(ours, host) ? 421 : 403, text);
	return !text;
}

static bool has_credentials(const struct request *q)
{
	char name[CERT_NAME];
	int64_t ignored;

	return api_key(&q->call) || q->conn->is_unix ||
	       (q->conn->tls && tls_peer_name(q->conn->tls, name, sizeof(name), &ignored));
}

/* For routes that a good log link opens, too: a wrong key beside one does no harm. Without one, too
 * many wrong keys are answered 429; otherwise the handler decides. */
static int try_auth(struct request *q, struct err *e)
{
	int r = authenticate(q, e);

	if (r != -ERR_UNAUTHENTICATED)
		return r;
	r = count_failure(q, e);
	return r == -ERR_RATE && !call_query(&q->call, "token", 0) ? r : 0;
}

static int admit(struct request *q, struct err *e)
{
	const struct route *route = q->route;
	int r;

	if ((route->flags & ROUTE_TRY_AUTH) && has_credentials(q)) {
		r = try_auth(q, e);
		if (r < 0)
			return r;
	}
	if (!(route->flags & ROUTE_NO_AUTH)) {
		r = authenticate(q, e);
		if (r < 0)
			return r == -ERR_UNAUTHENTICATED ? count_failure(q, e) : r;
		if (q->call.caller.role < route->role)
			return err_set(e, ERR_FORBIDDEN, "this needs the role %s; the caller is %s",
				       role_word[route->role], role_word[q->call.caller.role]);
	}
	if (q->length <= route->body_max)
		return body_budget_reserve(&q->s->budget, &q->share, &q->call.caller, q->length, e);
	return err_set(e, ERR_TOO_LARGE, "the body has %llu bytes, at most %zu are accepted here",
		       (unsigned long long)q->length, route->body_max);
}

/* ------------------------------------------------------------------ where to */

static void refuse_method(struct request *q, unsigned allowed)
{
	char allow[ROUTER_ALLOW_TEXT];
	auto_free char *text = NULL;

	call_add_header(&q->call, "Allow", router_allow(allowed, allow));
	text = xasprintf("%s is not among the methods of this path: %s", q->call.method, allow);
	call_reply(&q->call, 405, envelope_plain(text, q->id));
}

static bool find_route(struct request *q)
{
	struct router_match m;
	struct err e;

	router_match(q->s->router, q->call.method, &q->target, &m);
	if (!m.route && m.allow) {
		refuse_method(q, m.allow);
		return false;
	}
	if (!m.route) {
		(void)err_set(&e, ERR_NOT_FOUND, "no such path: %.200s", q->call.path);
		call_reply_err(&q->call, &e);
		return false;
	}
	q->route = m.route;
	q->route_index = m.index;
	q->call.route = m.route->pattern;
	memcpy(q->call.param, m.param, sizeof(m.param));
	return true;
}

bool dispatch_is_urgent(const struct router *r, const char *head, size_t n)
{
	const char *sp = memchr(head, ' ', n), *path = sp ? sp + 1 : head + n;
	size_t len = 0;

	while (path + len < head + n && !strchr(" ?\r", path[len]))
		len++;
	for (unsigned i = 0; i < router_count(r); i++) {
		const struct route *route = router_route(r, i);

		if ((route->flags & ROUTE_URGENT) && strlen(route->pattern) == len &&
		    !memcmp(route->pattern, path, len))
			return true;
	}
	return false;
}

enum dispatch dispatch_head(struct request *q, const char *head, size_t n)
{
	struct head_fault fault;
	struct head h;
	const char *bad;
	struct err e;

	if (head_parse(head, n, &h, &fault)) {
		request_refuse(q, fault.status, fault.text);
		return DISPATCH_ANSWERED;
	}
	bad = target_read(h.target.p, h.target.n, &q->target);
	if (bad) {
		request_refuse(q, 400, bad);
		return DISPATCH_ANSWERED;
	}
	take(q, &h);
	if (!is_for_us(q) || !find_route(q))
		return DISPATCH_ANSWERED;
	if (admit(q, &e)) {
		call_reply_err(&q->call, &e);
		return DISPATCH_ANSWERED;
	}
	return q->length ? DISPATCH_BODY : DISPATCH_RUN;
}

/* ------------------------------------------------------------------ handler */

static void dispatch_handle_now(void *arg)
{
	struct request *q = arg;
	struct err e;

	assert(q->handed);
	if (!q->s) { /* the server is gone */
		request_free(q);
		return;
	}
	LAG_SECTION(q->route->method, q->route->pattern);
	/* The body may have taken hours to arrive. */
	if (q->length && q->s->still_valid && q->s->still_valid(&q->call, &e)) {
		call_reply_err(&q->call, &e);
		return;
	}
	q->route->handle(&q->call);
}

/* Requests of one turn share a transaction. The handler of a GET runs after its commit: otherwise
 * it could report what a failed commit or a crash then takes back. */
static void dispatch_handle(struct request *q)
{
	q->handed = true;
	if (q->s->read && !strcmp(q->route->method, "GET"))
		q->s->read(q->s->arg, dispatch_handle_now, q);
	else
		dispatch_handle_now(q);
}

static void dispatch_refuse_busy(struct request *q)
{
	struct err e;

	(void)err_set(&e, ERR_UNAVAILABLE, "the node is too busy to read the request body");
	q->handed = true;
	call_reply_err(&q->call, &e);
}

static void on_body_event(void *arg, enum body_event event)
{
	struct request *q = arg;

	switch (event) {
	case BODY_TAKEN:
		q->handed = true;
		break;
	case BODY_PARSED:
		dispatch_handle(q);
		break;
	case BODY_REFUSED:
		dispatch_refuse_busy(q);
		break;
	}
}

static void dispatch_parse_body(struct request *q)
{
	const struct body_spec spec = { .text = q->body.data,
					.len = q->body.len,
					.caller = &q->call.caller,
					.wants_canonical =
						call_header(&q->call, "Idempotency-Key") != NULL,
					.on_event = on_body_event,
					.arg = q };

	assert(!q->handed && !q->data.parsed);
	q->data.parsed = body_parse_start(&q->s->bodies, &spec);
	if (!q->data.parsed)
		dispatch_refuse_busy(q);
}

void dispatch_run(struct request *q)
{
	assert(q->route && q->body.len == q->length);
	if (q->body.len) {
		q->call.body = q->body.data;
		q->call.body_len = q->body.len;
	}
	if (q->route->body && q->body.len > BODY_LONG_BYTES)
		dispatch_parse_body(q);
	else
		dispatch_handle(q);
}
