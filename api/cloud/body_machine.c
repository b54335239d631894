/* SPDX-License-Identifier: Apache-2.0
 * body_machine.c - request fields about the virtual machine: TDX and network interfaces.
 */
#include "api/cloud/body_machine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include <openssl/evp.h>

#include "base/array.h"
#include "base/id.h"
#include "base/json.h"
#include "vmm/admit/networks.h"
#include "vmm/admit/request.h"
#include "vmm/node/settings.h"
#include "vmm/virt/domain_spec.h"

enum { OPT = FIELD_NULLABLE, MR_BASE64 = TDX_MR_LEN / 3 * 4 };

const char *const tee_words[] = { "auto", "tdx", "none", NULL };
static_assert(ARRAY_SIZE(tee_words) == TEE_NONE + 2, "every setting has its word");

/* ------------------------------------------------------------------ interfaces */

static const char *const mode_words[] = { "user", "bridge", NULL };

static const struct field network_fields[] = {
	{ "mode", FIELD_WORD, OPT, 0, 0, FIELD_NOWHERE, mode_words, NULL, "default: user" },
	{ "bridge_name", FIELD_STRING, OPT, 0, BRIDGE_TEXT - 1, FIELD_NOWHERE, NULL, NULL,
	  "bridge of the host; only with mode bridge" },
};

const struct field_table network_table = { "NetworkRequest", network_fields,
					   ARRAY_SIZE(network_fields), true };

static int parse_network(const json_t *item, size_t i, struct network *ret, struct err *e)
{
	const char *mode = json_string_value(json_object_get(item, "mode"));
	const char *bridge = json_string_value(json_object_get(item, "bridge_name"));
	char field[48];

	(void)snprintf(field, sizeof(field), "networks[%zu].bridge_name", i);
	*ret = (struct network){ .mode = mode && !strcasecmp(mode, "bridge") ? NIC_BRIDGE
									     : NIC_USER };
	if (ret->mode == NIC_BRIDGE && (!bridge || !*bridge))
		return err_field(e, ERR_INVALID, field, NULL,
				 "%s is missing: mode bridge requires it", field);
	if (ret->mode == NIC_USER && bridge && *bridge)
		return err_field(e, ERR_INVALID, field, bridge,
				 "%s is allowed only with mode bridge", field);
	(void)snprintf(ret->bridge, sizeof(ret->bridge), "%s", bridge ? bridge : "");
	return 0;
}

int parse_network_list(const json_t *list, char out[NETWORKS_TEXT], struct err *e)
{
	struct network v[DOMAIN_NICS];
	size_t n = json_array_size(list);
	int r = 0;

	assert(n <= DOMAIN_NICS); /* the table has checked it */
	for (size_t i = 0; !r && i < n; i++)
		r = parse_network(json_array_get(list, i), i, &v[i], e);
	if (r)
		return r;
	networks_format(v, (unsigned)n, out);
	return 0;
}

/* ------------------------------------------------------------------ TDX */

static const struct field tdx_fields[] = {
	{ "policy", FIELD_STRING, OPT, 1, 18, FIELD_NOWHERE, NULL, NULL,
	  "attributes of the TD in hex: 0x1 debug, 0x10000000 no #VE for pending pages (default)" },
	{ "mr_owner", FIELD_STRING, OPT, 1, 256, FIELD_NOWHERE, NULL, NULL,
	  "MROWNER: base64 of 48 bytes" },
	{ "mr_owner_config", FIELD_STRING, OPT, 1, 256, FIELD_NOWHERE, NULL, NULL,
	  "MROWNERCONFIG: base64 of 48 bytes" },
};

const struct field_table tdx_table = { "TdxRequest", tdx_fields, ARRAY_SIZE(tdx_fields), true };

static const char *tdx_member_text(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

static int parse_td_policy(const json_t *j, uint64_t *ret, struct err *e)
{
	const uint64_t known = TDX_POLICY_DEBUG | TDX_POLICY_SEPT_VE_DISABLE;
	const char *s = tdx_member_text(j, "policy");
	unsigned long long value;
	char *end;

	if (!s)
		return 0;
	errno = 0;
	value = strtoull(s, &end, 16);
	if (strncmp(s, "0x", 2) != 0 || !s[2] || *end || errno)
		return err_field(
			e, ERR_INVALID, "tdx.policy", s,
			"tdx.policy is %s; allowed: a hexadecimal number such as 0x10000000", s);
	if (value & ~known)
		return err_field(e, ERR_INVALID, "tdx.policy", s,
				 "tdx.policy is %s; allowed bits: 0x1 (debug) and 0x10000000 "
				 "(sept-ve-disable)",
				 s);
	*ret = value;
	return 0;
}

static size_t base64_decoded_size(const char *s)
{
	size_t n = strlen(s), pad = 0;

	while (pad < 2 && pad < n && s[n - 1 - pad] == '=')
		pad++;
	return n / 4 * 3 - pad;
}

static int parse_td_register(const json_t *j, const char *key, char out[TDX_MR_HEX], struct err *e)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *s = tdx_member_text(j, key);
	uint8_t raw[TDX_MR_LEN];
	char field[32];
	size_t n;

	if (!s)
		return 0;
	(void)snprintf(field, sizeof(field), "tdx.%s", key);
	n = strlen(s);
	if (n % 4 || s[strspn(s, alphabet)] != (n && s[n - 1] == '=' ? '=' : '\0'))
		return err_field(e, ERR_INVALID, field, s, "%s is not base64", field);
	if (n != MR_BASE64 || strchr(s, '='))
		return err_field(e, ERR_INVALID, field, s, "%s has %zu bytes; allowed: exactly %d",
				 field, base64_decoded_size(s), TDX_MR_LEN);
	if (EVP_DecodeBlock(raw, (const unsigned char *)s, (int)n) != TDX_MR_LEN)
		return err_field(e, ERR_INVALID, field, s, "%s is not base64", field);
	id_hex(raw, sizeof(raw), out);
	return 0;
}

int parse_tdx(const json_t *j, struct tdx_request *ret, struct err *e)
{
	struct tdx_request t = { .given = json_object_size(j) > 0,
				 .policy = TDX_POLICY_SEPT_VE_DISABLE };
	int r = parse_td_policy(j, &t.policy, e);

	if (!r)
		r = parse_td_register(j, "mr_owner", t.mr_owner, e);
	if (!r)
		r = parse_td_register(j, "mr_owner_config", t.mr_owner_config, e);
	if (!r)
		*ret = t;
	return r;
}

int parse_tee(enum tee_setting tee, bool require_tdx, enum tee_setting *ret, struct err *e)
{
	if (require_tdx && tee == TEE_NONE)
		return err_field(e, ERR_INCOMPATIBLE, "tee", "none",
				 "tee is none, but require_tdx is true");
	*ret = require_tdx ? TEE_TDX : tee;
	return 0;
}
