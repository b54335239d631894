/* SPDX-License-Identifier: Apache-2.0
 * networks.c - a CVM's network interfaces as text: "user,bridge:br0", first interface first.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/admit/networks.h"
#include "vmm/virt/domain_spec.h"

static const char bridge_prefix[] = "bridge:";

/* An interface name that the kernel accepts (dev_valid_name) and that needs no quoting. */
static bool bridge_name_is_valid(const char *s)
{
	if (!*s || strlen(s) >= BRIDGE_TEXT || !strcmp(s, ".") || !strcmp(s, ".."))
		return false;
	for (; *s; s++)
		if (!isascii(*s) || (!isalnum((unsigned char)*s) && !strchr("._-", *s)))
			return false;
	return true;
}

static int network_parse(const char *field, const char *word, struct network *ret, struct err *e)
{
	if (!strcmp(word, "user")) {
		*ret = (struct network){ .mode = NIC_USER };
		return 0;
	}
	if (!strncmp(word, bridge_prefix, sizeof(bridge_prefix) - 1) &&
	    bridge_name_is_valid(word + sizeof(bridge_prefix) - 1)) {
		*ret = (struct network){ .mode = NIC_BRIDGE };
		(void)snprintf(ret->bridge, sizeof(ret->bridge), "%s",
			       word + sizeof(bridge_prefix) - 1);
		return 0;
	}
	return err_field(e, ERR_INVALID, field, word,
			 "%s: %.60s is no interface; allowed: user, or bridge:NAME with a name of "
			 "at most %d letters, digits, '.', '_' and '-'",
			 field, word, BRIDGE_TEXT - 1);
}

int networks_parse(const char *field, const char *text, struct network out[DOMAIN_NICS],
		   unsigned *ret_n, struct err *e)
{
	struct network found[DOMAIN_NICS] = { 0 };
	auto_free char *copy = xstrdup(*text ? text : "user");
	char *rest = copy, *word;
	unsigned n = 0;

	while ((word = strsep(&rest, ","))) {
		if (n == DOMAIN_NICS)
			return err_field(e, ERR_INVALID, field, text,
					 "%s has more than %d interfaces; allowed: 1 to %d", field,
					 DOMAIN_NICS, DOMAIN_NICS);
		word += strspn(word, " ");
		word[strcspn(word, " ")] = '\0';
		if (network_parse(field, word, &found[n], e) < 0)
			return -(int)e->code;
		n++;
	}
	memcpy(out, found, n * sizeof(*found));
	*ret_n = n;
	return 0;
}

void networks_format(const struct network *v, unsigned n, char out[NETWORKS_TEXT])
{
	auto_buf struct buf b = { 0 };

	for (unsigned i = 0; i < n && i < DOMAIN_NICS; i++)
		buf_printf(&b, "%s%s%s", i ? "," : "",
			   v[i].mode == NIC_BRIDGE ? bridge_prefix : "user",
			   v[i].mode == NIC_BRIDGE ? v[i].bridge : "");
	(void)snprintf(out, NETWORKS_TEXT, "%s", b.data ? b.data : "");
}

int networks_first_user(const struct network *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (v[i].mode == NIC_USER)
			return (int)i;
	return -1;
}

bool network_bridge_exists(const char *root, const char *bridge)
{
	auto_free char *path = xasprintf("%s/sys/class/net/%s/bridge", root, bridge);

	return access(path, F_OK) == 0;
}
