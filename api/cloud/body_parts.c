/* SPDX-License-Identifier: Apache-2.0
 * body_parts.c - fields that several request bodies share.
 */
#include "api/cloud/body_parts.h"

#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/id.h"
#include "base/json.h"
#include "base/own.h"
#include "vmm/admit/request.h"

enum { OPT = FIELD_NULLABLE };

static const char *const protocol_words[] = { "tcp", "udp", NULL };
static const struct field port_fields[] = {
	{ "protocol", FIELD_WORD, OPT, 0, 0, FIELD_NOWHERE, protocol_words, NULL, "default: tcp" },
	{ "host_address", FIELD_STRING, OPT, 0, 45, FIELD_NOWHERE, NULL, NULL,
	  "an address in ports.addresses of the node; default: ports.default_address" },
	{ "host_port", FIELD_INT, OPT, 0, 65535, FIELD_NOWHERE, NULL, NULL,
	  "0 or absent: a free port is chosen" },
	{ "vm_port", FIELD_INT, FIELD_REQUIRED, 1, 65535, FIELD_NOWHERE, NULL, NULL, NULL },
};

const struct field_table port_table = { "PortRequest", port_fields, ARRAY_SIZE(port_fields), true };

const char *const gpu_attach_words[] = { "listed", "all", NULL };

static const struct field gpu_fields[] = {
	{ "slot", FIELD_STRING, OPT, 0, 12, FIELD_NOWHERE, NULL, NULL,
	  "PCI address such as 18:00.0 or 0000:18:00.0; default: any free GPU of the product" },
	{ "product_id", FIELD_STRING, OPT, 0, 9, FIELD_NOWHERE, NULL, NULL,
	  "product id such as 10de:2335; default: that of the GPU in the slot" },
};

const struct field_table gpu_table = { "GpuRequest", gpu_fields, ARRAY_SIZE(gpu_fields), true };

bool member_given(const json_t *body, const char *key)
{
	const json_t *j = json_object_get(body, key);

	return j && !json_is_null(j);
}

const char *text_or_null(const char *s)
{
	return s && *s ? s : NULL;
}

int parse_node_id(int64_t teepod_id, int64_t node_id, int64_t *ret, struct err *e)
{
	if (teepod_id && node_id && teepod_id != node_id)
		return err_field(
			e, ERR_INCOMPATIBLE, "node_id", NULL,
			"node_id is %lld, but teepod_id (its older name) is %lld: send one of them",
			(long long)node_id, (long long)teepod_id);
	*ret = node_id ? node_id : teepod_id;
	return 0;
}

int parse_encrypted_env(const char *hex, void **ret, size_t *ret_len, struct err *e)
{
	size_t n = hex ? strlen(hex) : 0;
	auto_free void *bytes = NULL;

	if (!n)
		return 0;
	bytes = xmalloc(n / 2 + 1);
	if (n % 2 || !id_unhex(hex, bytes, n / 2))
		return err_field(e, ERR_INVALID, "encrypted_env", hex,
				 "encrypted_env must be an even number of hex digits, without 0x");
	*ret = take_ptr(&bytes);
	*ret_len = n / 2;
	return 0;
}

static const char *member_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? s : NULL;
}

/* The table has checked types and ranges. */
void parse_ports(const json_t *list, struct port_request *out)
{
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item)
	{
		const char *protocol = member_text(item, "protocol");

		out[i] = (struct port_request){
			.udp = protocol && (*protocol | 0x20) == 'u',
			.host_address = member_text(item, "host_address"),
			.host_port =
				(uint16_t)json_number_value(json_object_get(item, "host_port")),
			.vm_port = (uint16_t)json_number_value(json_object_get(item, "vm_port")),
		};
	}
}

void parse_gpus(const json_t *list, struct gpu_request *out)
{
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item) out[i] =
		(struct gpu_request){ .slot = member_text(item, "slot"),
				      .product_id = member_text(item, "product_id") };
}

enum gpu_attach parse_gpu_attach(const json_t *gpus)
{
	const char *word = member_text(gpus, "attach_mode");

	if (word && !strcasecmp(word, "all"))
		return GPU_ALL;
	return json_array_size(json_object_get(gpus, "gpus")) ? GPU_LISTED : GPU_NONE;
}
