/* SPDX-License-Identifier: Apache-2.0
 * software.c - the software of a CVM, read only: manifest and parts of it, configuration, and the
 * OS images.
 */
#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/lookup.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/json.h"
#include "base/own.h"
#include "db/cvms.h"
#include "db/images.h"
#include "vmm/vmm.h"

/* The manifest of the CVM in the path, as an object. NULL: the call has been answered with an
 * error. */
static json_t *software_manifest(struct call *c, struct cvm_row *ret)
{
	json_t *manifest = NULL;
	struct err e;

	if (api_find_cvm(c, c->param[0], ret, &e) || api_load_manifest(c, ret, &manifest, &e))
		call_reply_err(c, &e);
	return manifest;
}

/* Clients require docker_compose_file, which only the docker-compose runner has. */
static void get_compose_file(struct call *c)
{
	struct cvm_row row;
	json_t *manifest = software_manifest(c, &row);

	if (!manifest)
		return;
	if (!json_is_string(json_object_get(manifest, "docker_compose_file")))
		json_object_set_new(manifest, "docker_compose_file", json_string(""));
	call_reply(c, 200, manifest);
}

static void reply_manifest_part(struct call *c, const char *key, const char *type)
{
	struct cvm_row row;
	auto_json json_t *manifest = software_manifest(c, &row);
	const json_t *part = json_object_get(manifest, key);

	if (!manifest)
		return;
	if (json_is_string(part))
		call_reply_text(c, 200, type, json_string_value(part), json_string_length(part));
	else
		call_reply_text(c, 200, type, "", 0);
}

static void get_docker_compose(struct call *c)
{
	reply_manifest_part(c, "docker_compose_file", "text/yaml; charset=utf-8");
}

static void get_script(struct call *c)
{
	reply_manifest_part(c, "pre_launch_script", "text/plain; charset=utf-8");
}

/* ------------------------------------------------------------------ configuration */

static json_t *user_config_text(const json_t *o, const char *key)
{
	const json_t *j = json_object_get(o, key);

	return json_is_string(j) ? json_string(json_string_value(j)) : json_null();
}

static json_t *user_config_ssh_keys(const json_t *o)
{
	json_t *out = json_array(), *v;
	size_t i;

	json_array_foreach(json_object_get(o, "ssh_authorized_keys"), i, v)
	{
		if (json_is_string(v))
			json_array_append(out, v);
	}
	return out;
}

/* user_config is free text for the guest. If it is JSON, known fields are shown. */
static void get_user_config(struct call *c)
{
	auto_json json_t *parsed = NULL;
	auto_free char *text = NULL;
	struct cvm_row row;
	struct err e;

	if (api_find_cvm(c, c->param[0], &row, &e) ||
	    vmm_user_config(api_of(c)->vmm, &row, &text, &e)) {
		call_reply_err(c, &e);
		return;
	}
	parsed = text ? json_loads(text, 0, NULL) : NULL;
	call_reply(c, 200,
		   json_pack("{s:o,s:o,s:o,s:o}", "hostname", user_config_text(parsed, "hostname"),
			     "ssh_authorized_keys", user_config_ssh_keys(parsed),
			     "default_gateway_domain",
			     user_config_text(parsed, "default_gateway_domain"), "user_config",
			     json_text_or_null(text)));
}

/* ------------------------------------------------------------------ images */

static json_t *serialize_image_version(const struct image_row *image)
{
	json_t *v = json_array();

	for (unsigned i = 0; i < image->nv; i++)
		json_array_append_new(v, json_integer(image->v[i]));
	return v;
}

static json_t *serialize_image_variant(const struct image_row *image, const struct cvm_row *cvm)
{
	return json_pack("{s:s,s:o,s:b}", "name", image->name, "os_image_hash",
			 json_text_or_null(image->os_image_hash), "is_current",
			 image->id == cvm->image);
}

/* A row is one version with its production and its dev image. A second image of the same kind and
 * version gets a row of its own. */
static void put_image_variant(json_t *rows, const struct image_row *image,
			      const struct cvm_row *cvm)
{
	auto_json json_t *version = serialize_image_version(image);
	const char *kind = image->is_dev ? "dev" : "prod";
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (json_equal(json_object_get(row, "version"), version) &&
		    json_is_null(json_object_get(row, kind))) {
			json_object_set_new(row, kind, serialize_image_variant(image, cvm));
			return;
		}
	}
	row = json_pack("{s:O,s:n,s:n}", "version", version, "prod", "dev");
	json_object_set_new(row, kind, serialize_image_variant(image, cvm));
	json_array_append_new(rows, row);
}

static void get_available_images(struct call *c)
{
	auto_free struct image_row *images = NULL;
	struct cvm_row row;
	json_t *rows;
	struct err e;
	size_t n = 0;

	if (api_find_cvm(c, c->param[0], &row, &e) ||
	    vmm_images(api_of(c)->vmm, -1, 0, -1, &images, &n, &e) < 0) {
		call_reply_err(c, &e);
		return;
	}
	rows = json_array();
	for (size_t i = 0; i < n; i++)
		put_image_variant(rows, &images[i], &row);
	call_reply(c, 200, rows);
}

#define CVM "/api/v1/cvms/{id}"

const struct route software_routes[] = {
	{ "GET", CVM "/compose_file", ROLE_READER, 0, 0, get_compose_file, NULL },
	{ "GET", CVM "/docker-compose.yml", ROLE_READER, 0, 0, get_docker_compose, NULL },
	{ "GET", CVM "/pre-launch-script", ROLE_READER, 0, 0, get_script, NULL },
	{ "GET", CVM "/user_config", ROLE_READER, 0, 0, get_user_config, NULL },
	{ "GET", CVM "/available-os-images", ROLE_READER, 0, 0, get_available_images, NULL },
	{ 0 },
};
