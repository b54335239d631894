/* SPDX-License-Identifier: Apache-2.0
 * config_item.c - kinds of list items: parse and format one item.
 *
 * Parsing a formatted item gives the same item (see config_value.c). config_member.c splits a list
 * at commas and trims the parts, so that @text never contains a comma and is never empty.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "api/http/peer.h"
#include "base/buf.h"
#include "base/own.h"
#include "base/strings.h"
#include "daemon/config_item.h"
#include "daemon/config_list.h"
#include "daemon/config_value.h"
#include "vmm/host/pci.h"
#include "vmm/node/settings.h"

static void release_item(void *value)
{
	free(*(char **)value);
}

static bool item_store(char *s, void *dst)
{
	*(char **)dst = s;
	return s;
}

static void format_item(const struct config_key *k, const void *src, struct buf *out)
{
	(void)k;
	buf_puts(out, *(char *const *)src);
}

static bool parse_item_url(const struct config_key *k, const char *text, void *dst)
{
	(void)k;
	return item_store(value_parse_url(text), dst);
}

static bool parse_item_address(const struct config_key *k, const char *text, void *dst)
{
	(void)k;
	return item_store(value_parse_host_address(text), dst);
}

static bool parse_item_host(const struct config_key *k, const char *text, void *dst)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
	char *address = value_parse_address(text);

	(void)k;
	if (address)
		return item_store(address, dst);
	return item_store(text[n] || n > 253 || strspn(text, ".-") ? NULL : xstrdup(text), dst);
}

static bool parse_item_proxy(const struct config_key *k, const char *text, void *dst)
{
	struct peer_network ignored;

	(void)k;
	return item_store(peer_network_parse(text, &ignored) ? xstrdup(text) : NULL, dst);
}

static char *listen_normal_form(const char *text)
{
	const char *colon = strrchr(text, ':');
	bool v6 = *text == '[';
	uint64_t port;

	if (!colon || !value_parse_number(colon + 1, strlen(colon + 1), UINT16_MAX, &port) ||
	    (v6 && (colon - text < 2 || colon[-1] != ']')))
		return NULL;

	auto_free char *host = xstrndup(text + v6, (size_t)(colon - text) - (v6 ? 2 : 0));
	auto_free char *address = !strchr(host, ':') == !v6 ? value_parse_address(host) : NULL;

	if (!address)
		return NULL;
	return xasprintf(v6 ? "[%s]:%" PRIu64 : "%s:%" PRIu64, address, port);
}

static bool parse_item_listen(const struct config_key *k, const char *text, void *dst)
{
	size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);

	(void)k;
	if (strncmp(text, "unix:", 5) != 0)
		return item_store(listen_normal_form(text), dst);
	return item_store(text[5] == '/' && strlen(text + 5) < room ? xstrdup(text) : NULL, dst);
}

static bool parse_item_uid(const struct config_key *k, const char *text, void *dst)
{
	uint64_t n;

	(void)k;
	if (!value_parse_number(text, strlen(text), UINT32_MAX - 1, &n))
		return false;
	*(uint32_t *)dst = (uint32_t)n;
	return true;
}

static void format_uid(const struct config_key *k, const void *src, struct buf *out)
{
	(void)k;
	buf_printf(out, "%" PRIu32, *(const uint32_t *)src);
}

static bool parse_port_range(const struct config_key *k, const char *text, void *dst)
{
	bool tcp = !strncmp(text, "tcp:", 4), udp = !strncmp(text, "udp:", 4);
	const char *from = text + (tcp || udp ? 4 : 0), *dash = strchr(from, '-');
	uint64_t a, b;

	(void)k;
	if (!value_parse_number(from, dash ? (size_t)(dash - from) : strlen(from), UINT16_MAX,
				&a) ||
	    !a)
		return false;
	b = a;
	if ((dash && !value_parse_number(dash + 1, strlen(dash + 1), UINT16_MAX, &b)) || b < a)
		return false;
	*(struct port_range *)dst = (struct port_range){
		.tcp = !udp, .udp = !tcp, .from = (uint16_t)a, .to = (uint16_t)b
	};
	return true;
}

static void format_port_range(const struct config_key *k, const void *src, struct buf *out)
{
	const struct port_range *r = src;

	(void)k;
	buf_printf(out, "%s%u", r->tcp && r->udp ? "" : r->tcp ? "tcp:" : "udp:", r->from);
	if (r->to != r->from)
		buf_printf(out, "-%u", r->to);
}

static bool parse_instance_type(const struct config_key *k, const char *text, void *dst)
{
	static const uint64_t max[3] = { 4096, 1 << 30, 1 << 30 };
	size_t name = strcspn(text, ":"), n;
	const char *at = text + name;
	uint64_t got[3];

	(void)k;
	if (!name || name >= NAME_TEXT || strcspn(text, " \t\"/\\") != strlen(text))
		return false;
	for (size_t i = 0; i < 3; i++, at += n) {
		if (*at++ != ':')
			return false;
		n = strcspn(at, ":");
		if (!value_parse_number(at, n, max[i], &got[i]) || !got[i])
			return false;
	}
	if (*at)
		return false;

	struct instance_type t = {
		.vcpus = (int64_t)got[0],
		.memory_mib = (int64_t)got[1],
		.disk_gib = (int64_t)got[2],
	};

	memcpy(t.name, text, name);
	*(struct instance_type *)dst = t;
	return true;
}

static void format_instance_type(const struct config_key *k, const void *src, struct buf *out)
{
	const struct instance_type *t = src;

	(void)k;
	buf_printf(out, "%s:%" PRId64 ":%" PRId64 ":%" PRId64, t->name, t->vcpus, t->memory_mib,
		   t->disk_gib);
}

/* "10DE:2335" -> "10de:2335" */
static bool parse_item_product(const struct config_key *k, const char *text, void *dst)
{
	char id[PRODUCT_TEXT] = "";

	(void)k;
	if (strlen(text) != sizeof(id) - 1 || text[4] != ':')
		return false;
	for (size_t i = 0; i < sizeof(id) - 1; i++) {
		if (i != 4 && !isxdigit((unsigned char)text[i]))
			return false;
		id[i] = (char)tolower((unsigned char)text[i]);
	}
	return item_store(xstrdup(id), dst);
}

static bool parse_item_slot(const struct config_key *k, const char *text, void *dst)
{
	char address[PCI_TEXT];

	(void)k;
	return pci_address(text, address) && item_store(xstrdup(address), dst);
}

#define TEXTS(parser, text_rule)                                                   \
	{                                                                          \
		.item_size = sizeof(char *), .size = sizeof(struct config_list),   \
		.parse = (parser), .format = format_item, .release = release_item, \
		.rule = (text_rule)                                                \
	}

const struct value_type type_listen = TEXTS(
	parse_item_listen, "ADDRESS:PORT, [ADDRESS]:PORT or unix:/path, with a numeric address");
const struct value_type type_hosts =
	TEXTS(parse_item_host, "host names or IP addresses, without ports");
const struct value_type type_urls = TEXTS(parse_item_url, "http:// or https:// URLs");
const struct value_type type_addresses =
	TEXTS(parse_item_address,
	      "IPv4 addresses of this host, or 0.0.0.0; QEMU has no IPv6 port forwards");
const struct value_type type_proxies =
	TEXTS(parse_item_proxy,
	      "IPv4 or IPv6 addresses, or networks such as 10.0.0.0/8 whose host bits are 0; "
	      "not /0");

const struct value_type type_products =
	TEXTS(parse_item_product, "PCI product IDs such as 10de:2335");
const struct value_type type_slots =
	TEXTS(parse_item_slot, "PCI addresses such as 0000:18:00.0 or 18:00.0");

const struct value_type type_uids = { .item_size = sizeof(uint32_t),
				      .size = sizeof(struct config_list),
				      .parse = parse_item_uid,
				      .format = format_uid,
				      .rule = "numeric user IDs" };
const struct value_type type_ranges = {
	.item_size = sizeof(struct port_range),
	.size = sizeof(struct config_list),
	.parse = parse_port_range,
	.format = format_port_range,
	.rule = "PORT or FROM-TO with ports from 1 to 65535, after tcp: or udp: for one protocol "
		"only",
};
const struct value_type type_types = {
	.item_size = sizeof(struct instance_type),
	.size = sizeof(struct config_list),
	.parse = parse_instance_type,
	.format = format_instance_type,
	.rule = "NAME:VCPUS:MEMORY_MIB:DISK_GIB, each number at least 1",
};
