/* SPDX-License-Identifier: Apache-2.0
 * monitor.c - port forwards of a running guest, through QEMU's human monitor.
 *
 * libvirt has no call for the forwards of QEMU's user network. The human monitor has commands for
 * them, but answers in prose: no output means success. QEMU prints one text for both "this forward
 * exists already" and "another process has the port" (7.2: "could not set up host forwarding rule
 * 'R'"; newer versions capitalise it and append the reason). "info usernet" distinguishes them.
 *
 * What must hold: only a checked IPv4 address and numbers get into a command line.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvirt/libvirt-qemu.h>

#include "base/own.h"
#include "vmm/virt/domain_ref.h"
#include "vmm/virt/hypervisor.h"
#include "vmm/virt/monitor.h"
#include "vmm/virt/virt_error.h"

static int monitor_command(virDomainPtr dom, const char *text, char **reply, struct err *e)
{
	if (virDomainQemuMonitorCommand(dom, text, reply, VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP))
		return virt_err(e, "port forward");
	return 0;
}

static bool is_same_address(const char *shown, const char *address)
{
	/* slirp prints the wildcard address as a star */
	return !strcmp(shown, address) || (!strcmp(shown, "*") && !strcmp(address, "0.0.0.0"));
}

/* Lines of the table look like
 *   TCP[HOST_FORWARD]  13       127.0.0.1 18080       10.0.2.15    80     0     0 */
static bool usernet_read_line(const char *line, bool udp, char address[64], unsigned *port,
			      unsigned *vm_port)
{
	char proto[32], guest[64];

	return sscanf(line, " %31s %*d %63s %u %63s %u", proto, address, port, guest, vm_port) ==
		       5 &&
	       !strcmp(proto, udp ? "UDP[HOST_FORWARD]" : "TCP[HOST_FORWARD]");
}

enum forward_found usernet_find(const char *reply, bool udp, const char *host_address,
				uint16_t host_port, uint16_t vm_port)
{
	for (const char *line = reply; line; line = strchr(line, '\n')) {
		unsigned port, to;
		char address[64];

		line += *line == '\n';
		if (usernet_read_line(line, udp, address, &port, &to) && port == host_port &&
		    is_same_address(address, host_address))
			return to == vm_port ? FORWARD_SAME : FORWARD_OTHER;
	}
	return FORWARD_NONE;
}

/* The text becomes part of a monitor command line, so it must be an address and nothing else. */
static int forward_check_address(const char *address, struct err *e)
{
	struct in_addr a;

	if (inet_pton(AF_INET, address, &a) == 1)
		return 0;
	err_set(e, ERR_INVALID,
		"host address %s is not an IPv4 address; QEMU cannot forward from others", address);
	return err_hint(e, "forward ports from an IPv4 address");
}

static int forward_refused(virDomainPtr dom, const char *reply, bool udp, const char *address,
			   uint16_t host_port, uint16_t vm_port, struct err *e)
{
	auto_free char *table = NULL;
	char cause[sizeof(e->text)];
	int r;

	err_cause(reply, cause, sizeof(cause));
	if (!strcasestr(reply, "could not set up host forwarding rule"))
		return err_set(e, ERR_HOST, "port forward: %s", cause);
	r = monitor_command(dom, "info usernet", &table, e);
	if (r)
		return r;
	if (usernet_find(table, udp, address, host_port, vm_port) == FORWARD_SAME)
		return 0;
	return err_set(e, ERR_IN_USE, "cannot use host port %s:%u/%s: %s", address,
		       (unsigned)host_port, udp ? "udp" : "tcp", cause);
}

int hv_forward_add(struct hypervisor *h, const char *uuid, unsigned nic, bool udp,
		   const char *host_address, uint16_t host_port, uint16_t vm_port, bool fresh,
		   struct err *e)
{
	auto_domain_ref struct domain_ref ref = { 0 };
	auto_free char *reply = NULL;
	char text[128];
	int r = forward_check_address(host_address, e);

	if (!r)
		r = domain_ref_open_running(h, uuid, fresh ? HV_LIBVIRT : HV_QEMU, &ref, e);
	if (r)
		return r;
	(void)snprintf(text, sizeof(text), "hostfwd_add hostnet%u %s:%s:%u-:%u", nic,
		       udp ? "udp" : "tcp", host_address, (unsigned)host_port, (unsigned)vm_port);
	r = monitor_command(ref.dom, text, &reply, e);
	if (r)
		return r;
	return reply[0] ? forward_refused(ref.dom, reply, udp, host_address, host_port, vm_port, e)
			: 0;
}

int hv_forward_remove(struct hypervisor *h, const char *uuid, unsigned nic, bool udp,
		      const char *host_address, uint16_t host_port, struct err *e)
{
	auto_domain_ref struct domain_ref ref = { 0 };
	auto_free char *reply = NULL;
	char text[128], cause[sizeof(e->text)];
	int r = forward_check_address(host_address, e);

	if (!r)
		r = domain_ref_open_running(h, uuid, HV_QEMU, &ref, e);
	if (r == -ERR_NOT_FOUND)
		return 0; /* the forwards ended with its QEMU */
	if (r)
		return r;
	(void)snprintf(text, sizeof(text), "hostfwd_remove hostnet%u %s:%s:%u", nic,
		       udp ? "udp" : "tcp", host_address, (unsigned)host_port);
	r = monitor_command(ref.dom, text, &reply, e);
	if (r || !reply[0] || strcasestr(reply, "removed") || strcasestr(reply, "not found"))
		return r;
	err_cause(reply, cause, sizeof(cause));
	return err_set(e, ERR_HOST, "port forward: %s", cause);
}
