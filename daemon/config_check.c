/* SPDX-License-Identifier: Apache-2.0
 * config_check.c - rules between keys, and checks of the files that keys name.
 *
 * Call these only if every key was accepted: a rejected key still has its default value, and a rule
 * would report an error about that. A rule that involves one key only belongs in config_value.c or
 * config_item.c.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/http/tls.h"
#include "base/buf.h"
#include "daemon/config_check.h"
#include "daemon/config_keys.h"
#include "daemon/device_id.h"
#include "vmm/node/settings.h"
#include "vmm/virt/embed_root.h"

static void check_error(const struct config *c, const char *section, const char *name,
			struct buf *errors, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

static void check_error(const struct config *c, const char *section, const char *name,
			struct buf *errors, const char *fmt, ...)
{
	const struct config_key *k = config_key_find(section, name);
	char text[512];
	va_list ap;

	assert(k);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(errors, "%s: [%s] %s: %s\n", c->origin[config_key_row(k)], section, name, text);
}

static bool listen_is_local(const char *listen)
{
	return !strncmp(listen, "unix:", 5) || !strncmp(listen, "127.", 4) ||
	       !strncmp(listen, "[::1]:", 6);
}

static void check_api_listen(const struct config *c, struct buf *errors)
{
	const struct config_list *l = &c->api.listen;

	for (size_t i = 0; i < l->n; i++) {
		struct config_list before = { l->v, i };
		const char *port = strrchr(l->v[i], ':');

		if (!*c->api.tls_cert && !listen_is_local(l->v[i]))
			check_error(c, "api", "listen", errors,
				    "%s is not a loopback address: TLS is required, set tls_cert "
				    "and tls_key",
				    l->v[i]);
		if (config_list_has(&before, l->v[i]) && strcmp(port, ":0") != 0)
			check_error(c, "api", "listen", errors, "%s is listed twice", l->v[i]);
	}
}

static void check_tls_readable(const struct config *c, const char *name, const char *path,
			       struct buf *errors)
{
	if (*path && access(path, R_OK))
		check_error(c, "api", name, errors, "%s: %s", path, strerror(errno));
}

static void check_tls_keys(const struct config *c, struct buf *errors)
{
	const struct config_api *a = &c->api;

	if (*a->tls_cert && !*a->tls_key)
		check_error(c, "api", "tls_cert", errors, "requires tls_key");
	if (*a->tls_key && !*a->tls_cert)
		check_error(c, "api", "tls_key", errors, "requires tls_cert");
	if (a->tls_client != TLS_CLIENT_NONE && !*a->tls_client_ca)
		check_error(c, "api", "tls_client", errors,
			    "requires tls_client_ca, to verify client certificates");
	if (*a->tls_client_ca && !*a->tls_cert)
		check_error(c, "api", "tls_client_ca", errors,
			    "requires tls_cert and tls_key: TLS is not enabled");
	if (*a->tls_client_ca && a->tls_client == TLS_CLIENT_NONE)
		check_error(c, "api", "tls_client_ca", errors,
			    "has no effect: set tls_client to optional or required");
}

static void check_tls_files(const struct config *c, struct buf *errors)
{
	const struct config_api *a = &c->api;

	check_tls_readable(c, "tls_cert", a->tls_cert, errors);
	check_tls_readable(c, "tls_key", a->tls_key, errors);
	check_tls_readable(c, "tls_client_ca", a->tls_client_ca, errors);
}

/* Call only if all files are readable: check_tls_files() reports those that are not. */
static void check_tls_context(const struct config *c, struct buf *errors)
{
	const struct config_api *a = &c->api;
	SSL_CTX *ctx = NULL;
	struct err e;

	if (*a->tls_cert && *a->tls_key &&
	    tls_context(a->tls_cert, a->tls_key, *a->tls_client_ca ? a->tls_client_ca : NULL,
			a->tls_client == TLS_CLIENT_REQUIRED, &ctx, &e))
		check_error(c, "api", e.field, errors, "%s", e.text + strlen(e.field) + 1);
	SSL_CTX_free(ctx);
}

static bool port_ranges_overlap(const struct port_range *a, const struct port_range *b)
{
	return ((a->tcp && b->tcp) || (a->udp && b->udp)) && a->from <= b->to && b->from <= a->to;
}

/* Capacity counts ports: a port that is listed twice would be counted twice. */
static void check_port_ranges(const struct config *c, struct buf *errors)
{
	const struct config_ranges *r = &c->ports.range;

	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < i; k++)
			if (port_ranges_overlap(&r->v[i], &r->v[k]))
				check_error(
					c, "ports", "range", errors,
					"%u-%u overlaps %u-%u: list each port once per protocol",
					r->v[i].from, r->v[i].to, r->v[k].from, r->v[k].to);
}

static void check_tls_dates(const struct config *c, const char *name, const char *file, bool all,
			    struct buf *out)
{
	struct err e;

	if (*file && tls_check_dates(name, file, all, &e))
		check_error(c, "api", name, out, "%s", e.text + strlen(name) + 1);
}

/* Of several CA certificates, one valid one is enough. */
void config_check_dates(const struct config *c, struct buf *out)
{
	check_tls_dates(c, "tls_cert", c->api.tls_cert, true, out);
	check_tls_dates(c, "tls_client_ca", c->api.tls_client_ca, false, out);
}

static void check_port_forwards(const struct config *c, struct buf *errors)
{
	const struct config_ports *p = &c->ports;

	check_port_ranges(c, errors);
	for (size_t i = 0; i < p->addresses.n; i++) {
		struct config_list before = { p->addresses.v, i };

		if (config_list_has(&before, p->addresses.v[i]))
			check_error(c, "ports", "addresses", errors, "%s is listed twice",
				    p->addresses.v[i]);
	}
	if (!p->enabled)
		return;
	if (!p->range.n)
		check_error(c, "ports", "range", errors,
			    "is empty: to disable port forwards, set enabled = no");
	if (!config_list_has(&p->addresses, p->default_address))
		check_error(c, "ports", "default_address", errors, "%s is not listed in addresses",
			    p->default_address);
}

static bool instance_type_in(const struct instance_type *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].name, name))
			return true;
	return false;
}

static void check_instance_types(const struct config *c, struct buf *errors)
{
	const struct config_types *t = &c->cvm.types;

	for (size_t i = 0; i < t->n; i++)
		if (instance_type_in(t->v, i, t->v[i].name))
			check_error(c, "cvm", "types", errors, "%s is listed twice", t->v[i].name);
}

static void check_embed_root(const struct config *c, struct buf *errors)
{
	const struct config_hypervisor *h = &c->hypervisor;

	if (!strncmp(h->uri, "qemu:///embed", 13) && strlen(h->embed_root) > EMBED_ROOT_MAX)
		check_error(
			c, "hypervisor", "embed_root", errors,
			"%s is %zu bytes long: at most %d are allowed, because QEMU's socket paths "
			"are below it",
			h->embed_root, strlen(h->embed_root), EMBED_ROOT_MAX);
}

static void check_device_id(const struct config *c, struct buf *errors)
{
	const struct config_host *h = &c->host;
	char id[SHA256_HEX];

	if (!*h->ppid || !*h->device_id)
		return;
	device_id_of_ppid(h->ppid, id);
	if (strcmp(id, h->device_id) != 0)
		check_error(
			c, "host", "device_id", errors,
			"%s is not the SHA-256 of ppid, which is %s: set only one of the two keys",
			h->device_id, id);
}

static void check_restart_backoff(const struct config *c, struct buf *errors)
{
	const struct config_restart *r = &c->restart;

	if (r->max_backoff < r->initial_backoff)
		check_error(c, "restart", "max_backoff", errors,
			    "%" PRId64 " s is less than initial_backoff (%" PRId64 " s)",
			    r->max_backoff, r->initial_backoff);
}

static void check_cid_range(const struct config *c, struct buf *errors)
{
	if (c->capacity.cid_start + c->capacity.cid_count - 1 >= UINT32_MAX)
		check_error(c, "capacity", "cid_count", errors,
			    "%" PRId64 " IDs from %" PRId64 " on exceed the highest ID, 4294967294",
			    c->capacity.cid_count, c->capacity.cid_start);
}

void config_check_rules(const struct config *c, struct buf *errors)
{
	check_api_listen(c, errors);
	check_tls_keys(c, errors);
	check_port_forwards(c, errors);
	check_instance_types(c, errors);
	check_embed_root(c, errors);
	check_device_id(c, errors);
	check_restart_backoff(c, errors);
	check_cid_range(c, errors);
}

void config_check(const struct config *c, struct buf *errors)
{
	size_t before = errors->len;

	config_check_rules(c, errors);
	check_tls_files(c, errors);
	if (errors->len == before)
		check_tls_context(c, errors);
	if (*c->hypervisor.emulator && access(c->hypervisor.emulator, X_OK))
		check_error(c, "hypervisor", "emulator", errors, "%s: %s", c->hypervisor.emulator,
			    strerror(errno));
}
