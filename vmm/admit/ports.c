/* SPDX-License-Identifier: Apache-2.0
 * ports.c - host ports of port forwards: rules, conflicts, and the choice of a free port.
 *
 * A host port is forwarded to one CVM only, per protocol, address and port; 0.0.0.0 conflicts with
 * every address. A port that another process of the host uses is refused as well: port_probe.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/loop.h"
#include "db/ports.h"
#include "db/text.h"
#include "vmm/admit/port_probe.h"
#include "vmm/admit/capacity_state.h"
#include "vmm/admit/ports.h"
#include "vmm/admit/request.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"

static bool port_range_covers(const struct port_range *r, bool udp)
{
	return udp ? r->udp : r->tcp;
}

static int64_t ports_count(const struct vmm *v, bool udp)
{
	int64_t n = 0;

	for (size_t i = 0; i < vmm_settings(v)->n_port_ranges; i++)
		if (port_range_covers(&vmm_settings(v)->port_ranges[i], udp))
			n += vmm_settings(v)->port_ranges[i].to -
			     vmm_settings(v)->port_ranges[i].from + 1;
	return n;
}

int64_t ports_allowed(const struct vmm *v)
{
	int64_t addresses = 0;
	bool any = false;

	for (; vmm_settings(v)->port_addresses[addresses]; addresses++)
		any = any || !strcmp(vmm_settings(v)->port_addresses[addresses], "0.0.0.0");
	/* A port of 0.0.0.0 includes that port of all other addresses. */
	if (any && addresses > 1)
		addresses--;
	return vmm_settings(v)->ports_enabled
		       ? (ports_count(v, false) + ports_count(v, true)) * addresses
		       : 0;
}

/* The @n-th allowed port. *ret_last: the last port of its range. */
static uint16_t port_nth(const struct vmm *v, bool udp, int64_t n, uint16_t *ret_last)
{
	for (size_t i = 0; i < vmm_settings(v)->n_port_ranges; i++) {
		const struct port_range *r = &vmm_settings(v)->port_ranges[i];
		int64_t size = r->to - r->from + 1;

		if (!port_range_covers(r, udp))
			continue;
		*ret_last = (uint16_t)r->to;
		if (n < size)
			return (uint16_t)(r->from + n);
		n -= size;
	}
	return 0;
}

static bool port_is_allowed(const struct vmm *v, bool udp, uint16_t port)
{
	for (size_t i = 0; i < vmm_settings(v)->n_port_ranges; i++) {
		const struct port_range *r = &vmm_settings(v)->port_ranges[i];

		if (port_range_covers(r, udp) && port >= r->from && port <= r->to)
			return true;
	}
	return false;
}

static const char *port_field(size_t i, const char *key, char out[48])
{
	(void)snprintf(out, 48, "ports[%zu].%s", i, key);
	return out;
}

static void ports_list_ranges(const struct vmm *v, bool udp, char *out, size_t size)
{
	size_t n = 0;

	out[0] = 0;
	for (size_t i = 0; i < vmm_settings(v)->n_port_ranges && n < size; i++)
		if (port_range_covers(&vmm_settings(v)->port_ranges[i], udp))
			n += (size_t)snprintf(out + n, size - n, "%s%u-%u", n ? ", " : "",
					      vmm_settings(v)->port_ranges[i].from,
					      vmm_settings(v)->port_ranges[i].to);
}

static int port_check_address(const struct vmm *v, size_t i, const char *address, struct err *e)
{
	char name[48], allowed[160] = "";
	size_t n = 0;

	for (const char *const *a = vmm_settings(v)->port_addresses; *a; a++) {
		if (!strcmp(*a, address))
			return 0;
		if (n < sizeof(allowed))
			n += (size_t)snprintf(allowed + n, sizeof(allowed) - n, "%s%s",
					      n ? ", " : "", *a);
	}
	return err_field(e, ERR_INVALID, port_field(i, "host_address", name), address,
			 "host address %.45s is not allowed; allowed: %s", address, allowed);
}

static bool port_taken_before(const struct port_row *rows, size_t n, const struct port_row *p)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].udp == p->udp && rows[i].host_port == p->host_port &&
		    (!strcmp(rows[i].host_address, p->host_address) ||
		     !strcmp(rows[i].host_address, "0.0.0.0") ||
		     !strcmp(p->host_address, "0.0.0.0")))
			return true;
	return false;
}

/* The host does not have the address, so no port of it can be forwarded. */
static int port_refuse_address(size_t i, const struct port_row *p, struct err *e)
{
	char name[48];

	err_field(e, ERR_INCOMPATIBLE, port_field(i, "host_address", name), p->host_address,
		  "this host has no address %s: no port can be forwarded from it", p->host_address);
	return err_hint(e, "add the address to the host, or use another one of ports.addresses");
}

enum { UNPROBED = 1 }; /* a result, beside 0 and errors */

static int port_check_fixed(struct vmm *v, const struct ports_for *w, size_t i,
			    const struct port_row *earlier, const struct port_row *p, struct err *e)
{
	char name[48], value[8], ranges[120], holder[NAME_TEXT];
	const char *proto = p->udp ? "udp" : "tcp";
	int r;

	(void)port_field(i, "host_port", name);
	(void)snprintf(value, sizeof(value), "%u", p->host_port);
	ports_list_ranges(v, p->udp, ranges, sizeof(ranges));
	if (!port_is_allowed(v, p->udp, p->host_port))
		return err_field(e, ERR_INVALID, name, value,
				 "%s host port %s is not allowed; allowed: %s, or 0 for a free one",
				 proto, value, ranges);
	if (port_taken_before(earlier, i, p))
		return err_field(e, ERR_INVALID, name, value,
				 "%s host port %s:%s is requested twice", proto, p->host_address,
				 value);
	r = ports_holder(vmm_db(v), w->workspace, w->cvm, p->udp, p->host_address, p->host_port,
			 holder, e);
	if (r < 0)
		return r;
	if (r) {
		err_capacity(e, "host_ports", 1, 0, (uint64_t)ports_allowed(v));
		(void)snprintf(e->text, sizeof(e->text), "%s host port %s:%s is mapped to %s%s",
			       proto, p->host_address, value, *holder ? "CVM " : "another CVM",
			       holder);
	} else {
		/* The CVM's own QEMU listens on it, and releases it first. */
		if (port_taken_before(w->own, w->n_own, p))
			return 0;
		switch (port_probe_known(v, p, &r)) {
		case PORT_UNPROBED:
			(void)port_probe_want(v, p);
			return UNPROBED;
		case PORT_FREE:
			return 0;
		case PORT_TAKEN:
			if (r == -EADDRNOTAVAIL)
				return port_refuse_address(i, p, e);
			break;
		}
		err_capacity(e, "host_ports", 1, 0, (uint64_t)ports_allowed(v));
		(void)snprintf(e->text, sizeof(e->text),
			       "%s host port %s:%s is not free on this host: %s", proto,
			       p->host_address, value, strerrordesc_np(-r));
	}
	(void)snprintf(e->field, sizeof(e->field), "%s", name);
	(void)snprintf(e->value, sizeof(e->value), "%s", value);
	return err_hint(e, "use host_port 0 to get a free one of %s", ranges);
}

/* Add some of the @n ports, from the @at-th on, to the next probe, skipping ports that other
 * requests added. If a probe was made for this request before, add all ports. */
static void port_probe_some(struct vmm *v, const struct ports_for *w, const struct port_row *p,
			    int64_t at, int64_t n)
{
	struct port_row next = *p;
	uint16_t last;
	int found = 0;

	if (w->probed)
		port_probe_want_all(v);
	for (int64_t k = 0; k < n && found < PICK_PROBES && !w->probed; k++) {
		next.host_port = port_nth(v, p->udp, (at + k) % n, &last);
		if (!port_probe_may_be_wanted(v, &next))
			found += port_probe_want(v, &next);
	}
}

static int port_pick(struct vmm *v, const struct ports_for *w, size_t i,
		     const struct port_row *earlier, struct port_row *p, struct err *e)
{
	int64_t n = ports_count(v, p->udp);
	char name[48];

	assert(!p->host_port);
	for (int64_t k = 0; k < n; k++) {
		int64_t at = (vmm_capacity_state(v)->port_hint[p->udp] + k) % n;
		enum port_probe_state state;
		uint16_t last = 0, first = port_nth(v, p->udp, at, &last);
		int r = ports_first_free(vmm_db(v), w->cvm, p->udp, p->host_address, first, last,
					 &p->host_port, e);

		if (r < 0)
			return r;
		k += (r ? p->host_port : last) - first; /* the ports in between are taken */
		at += r ? p->host_port - first : 0;
		if (!r || port_taken_before(earlier, i, p))
			continue;
		state = port_probe_known(v, p, &r);
		if (state == PORT_UNPROBED) {
			port_probe_some(v, w, p, at, n);
			return UNPROBED;
		}
		if (state == PORT_TAKEN && r == -EADDRNOTAVAIL)
			return port_refuse_address(i, p, e);
		if (state == PORT_TAKEN)
			continue;
		vmm_capacity_state(v)->port_hint[p->udp] = (uint32_t)((at + 1) % n);
		return 0;
	}
	err_capacity(e, "host_ports", 1, 0, (uint64_t)n);
	(void)snprintf(e->field, sizeof(e->field), "%s", port_field(i, "host_port", name));
	return err_hint(e, "widen ports.range, or delete a CVM that has port mappings");
}

static bool ports_are_equal(const struct port_row *a, const struct port_row *b)
{
	return a->udp == b->udp && a->host_port == b->host_port && a->vm_port == b->vm_port &&
	       !strcmp(a->host_address, b->host_address);
}

bool ports_have(const struct port_row *rows, size_t n, const struct port_row *p)
{
	for (size_t i = 0; i < n; i++)
		if (ports_are_equal(&rows[i], p))
			return true;
	return false;
}

/* If the CVM has a forward to the requested guest port, "any free port" keeps its host port. */
static bool port_keep_own(const struct ports_for *w, const struct port_row *earlier, size_t i,
			  struct port_row *p)
{
	for (size_t k = 0; k < w->n_own; k++) {
		const struct port_row *own = &w->own[k];

		if (own->udp != p->udp || own->vm_port != p->vm_port ||
		    strcmp(own->host_address, p->host_address) != 0 ||
		    port_taken_before(earlier, i, own))
			continue;
		p->host_port = own->host_port;
		return true;
	}
	return false;
}

static int port_resolve(struct vmm *v, const struct ports_for *w, const struct port_request *req,
			size_t i, struct port_row *out, struct err *e)
{
	const char *address =
		req->host_address ? req->host_address : vmm_settings(v)->port_addresses[0];
	struct port_row *p = &out[i];
	char name[48];
	int r;

	*p = (struct port_row){ .udp = req->udp,
				.host_port = req->host_port,
				.vm_port = req->vm_port };
	(void)snprintf(p->host_address, sizeof(p->host_address), "%.45s", address);
	if (!p->vm_port)
		return err_field(e, ERR_INVALID, port_field(i, "vm_port", name), "0",
				 "vm_port 0 is not a port; allowed: 1 to 65535");
	r = port_check_address(v, i, address, e);
	if (r)
		return r;
	return p->host_port || port_keep_own(w, out, i, p) ? port_check_fixed(v, w, i, out, p, e)
							   : port_pick(v, w, i, out, p, e);
}

int ports_resolve(struct vmm *v, const struct ports_for *w, const struct port_request *reqs,
		  size_t n, struct port_row *out, struct err *e)
{
	bool unprobed = false;
	char given[24];
	int r = 0;

	assert_loop_thread();
	assert(w->cvm || !w->n_own);
	(void)snprintf(given, sizeof(given), "%zu", n);
	if (n > CVM_PORTS_MAX)
		return err_field(e, ERR_INVALID, "ports", given,
				 "ports has %s entries; allowed: 0 to %d", given, CVM_PORTS_MAX);
	if (n && !vmm_settings(v)->ports_enabled)
		return err_field(e, ERR_INVALID, "ports", NULL,
				 "port mappings are turned off on this node (ports.enabled)");
	/* Collect all ports that need a probe in one pass. The first invalid entry is reported. */
	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = port_resolve(v, w, &reqs[i], i, out, e);
		unprobed = unprobed || r == UNPROBED;
	}
	return unprobed ? port_probe_missing(v, e) : r;
}
