/* SPDX-License-Identifier: Apache-2.0
 * tdx_variant.c - chooses how a verifier checks a TD: with its ACPI tables, or without.
 *
 * The rule: tdx_variant.h.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <openssl/evp.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/tdx/tdx_variant.h"

/* The material must fit into .sys-config.json, of which a guest reads 32 KiB. */
enum { MATERIAL_MAX = 8 * 1024, LITE_ALWAYS_MIB = 3072, LITE_ALSO_MIB = 2048 };

static int read_base64(const char *dir, const char *name, char **ret, struct err *e)
{
	auto_free char *path = xasprintf("%s/%s", dir, name), *raw = NULL;
	size_t n;
	int r = file_read(path, MATERIAL_MAX, &raw, &n, e);

	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r)
		return r;
	*ret = xmalloc((n + 2) / 3 * 4 + 1);
	(void)EVP_EncodeBlock((unsigned char *)*ret, (const unsigned char *)raw, (int)n);
	return 0;
}

static bool has_digest(const char *dir)
{
	auto_free char *path = xasprintf("%s/digest.txt", dir);

	return access(path, R_OK) == 0;
}

/* Both files or neither: one is checked against the other. */
static int read_lite_material(const char *dir, struct tdx_variant *v, struct err *e)
{
	int r = has_digest(dir) ? read_base64(dir, "measurement.tdx.cbor", &v->measurement, e) : 0;

	if (!r && v->measurement)
		r = read_base64(dir, "sha256sum.txt", &v->checksum_file, e);
	return r;
}

static int tdx_variant_decide(const json_t *manifest, uint64_t memory_mib, struct tdx_variant *v,
			      struct err *e)
{
	static const char field[] = "compose_file.requirements.tdx_measure_acpi_tables";
	const json_t *given = json_object_get(json_object_get(manifest, "requirements"),
					      "tdx_measure_acpi_tables");
	bool can = v->measurement && v->checksum_file;

	if (given && !json_is_null(given) && !json_is_boolean(given))
		return err_field(e, ERR_COMPOSE_INVALID, field, NULL, "%s: expected true or false",
				 field);
	if (json_is_false(given) && !can)
		return err_field(
			e, ERR_IMAGE_MISMATCH, field, "false",
			"%s is false, and the image has no measurement.tdx.cbor to be verified by",
			field);
	if (json_is_boolean(given))
		v->lite = json_is_false(given);
	else
		v->lite = can && (memory_mib >= LITE_ALWAYS_MIB || memory_mib == LITE_ALSO_MIB);
	return 0;
}

int tdx_variant_choose(const json_t *manifest, uint64_t memory_mib, const char *image_dir,
		       struct tdx_variant *ret, struct err *e)
{
	auto_tdx_variant struct tdx_variant v = { 0 };
	int r = read_lite_material(image_dir, &v, e);

	if (!r)
		r = tdx_variant_decide(manifest, memory_mib, &v, e);
	if (r)
		return r;
	*ret = v;
	v = (struct tdx_variant){ 0 };
	return 0;
}

void tdx_variant_free(struct tdx_variant *v)
{
	free(v->checksum_file);
	free(v->measurement);
	*v = (struct tdx_variant){ 0 };
}
