/* SPDX-License-Identifier: Apache-2.0
 * volumes.c - read-only volumes that a manifest names. See volumes.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "base/own.h"
#include "base/strings.h"
#include "vmm/admit/volumes.h"
#include "vmm/virt/domain_spec.h"

enum { VERITY_ROOT_HEX = 64 };

static int volume_refuse(size_t i, const char *key, const char *given, struct err *e,
			 const char *rule)
{
	char field[64];

	(void)snprintf(field, sizeof(field), "compose_file.verity_volumes[%zu]%s%s", i,
		       key ? "." : "", key ? key : "");
	return err_field(e, ERR_INVALID, field, given, "%s: %s", field, rule);
}

static bool volume_root_is_hex(const char *s)
{
	return s && strlen(s) == VERITY_ROOT_HEX &&
	       strspn(s, "0123456789abcdefABCDEF") == VERITY_ROOT_HEX;
}

/* dstack's own launcher passes names in comma-separated arguments. Names that it refuses are
 * refused here too. */
static bool volume_name_is_allowed(const char *s)
{
	return s && *s && *s != '.' && strlen(s) < 256 && !strpbrk(s, "/,=\\\n\r\t");
}

static int volume_check(const json_t *item, size_t i, struct err *e)
{
	const char *source = json_string_value(json_object_get(item, "source"));
	const char *root = json_string_value(json_object_get(item, "verity_root"));
	const char *target = json_string_value(json_object_get(item, "target"));

	if (!json_is_object(item))
		return volume_refuse(i, NULL, NULL, e,
				     "expected an object with source, verity_root and target");
	if (!volume_name_is_allowed(source))
		return volume_refuse(
			i, "source", source, e,
			"expected the name of a file in the node's volumes folder, no path, "
			"',' or '='");
	if (!volume_root_is_hex(root))
		return volume_refuse(i, "verity_root", root, e, "expected 64 hex digits");
	if (!target || *target != '/')
		return volume_refuse(i, "target", target, e,
				     "expected an absolute path in the guest");
	return 0;
}

/* Files with the same root hash have the same content: one attachment serves both targets. */
static bool volume_root_is_new(const json_t *list, size_t i)
{
	const char *root =
		json_string_value(json_object_get(json_array_get(list, i), "verity_root"));

	for (size_t k = 0; k < i; k++) {
		const char *other =
			json_string_value(json_object_get(json_array_get(list, k), "verity_root"));

		if (other && root && !strcasecmp(other, root))
			return false;
	}
	return true;
}

static int volume_add(const json_t *list, size_t i, const char *dir, struct volumes *v,
		      struct err *e)
{
	const char *source = json_string_value(json_object_get(json_array_get(list, i), "source"));
	auto_free char *path = xasprintf("%s/%s", dir, source);
	struct stat st;

	if (lstat(path, &st) < 0)
		return volume_refuse(i, "source", source, e,
				     errno == ENOENT ? "no such file in the node's volumes folder"
						     : strerror(errno));
	if (!S_ISREG(st.st_mode))
		return volume_refuse(i, "source", source, e,
				     "not a regular file in the node's volumes folder");
	if (!volume_root_is_new(list, i))
		return 0;
	if (v->n == DOMAIN_VOLUMES)
		return volume_refuse(i, NULL, NULL, e, "too many volumes; allowed: 8");
	v->path[v->n++] = take_ptr(&path);
	return 0;
}

static int volumes_collect(const json_t *list, const char *dir, struct volumes *v, struct err *e)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		int r = volume_check(json_array_get(list, i), i, e);

		if (!r)
			r = volume_add(list, i, dir, v, e);
		if (r)
			return r;
	}
	return 0;
}

int volumes_of(const json_t *manifest, const char *dir, struct volumes *ret, struct err *e)
{
	const json_t *list = json_object_get(manifest, "verity_volumes");
	auto_volumes struct volumes v = { 0 };

	if (list && !json_is_null(list) && !json_is_array(list))
		return err_field(e, ERR_INVALID, "compose_file.verity_volumes", NULL,
				 "compose_file.verity_volumes: expected an array");
	if (json_array_size(list) && (!dir || !*dir)) {
		err_field(e, ERR_UNSUPPORTED, "compose_file.verity_volumes", NULL,
			  "this node has no volumes folder");
		return err_hint(e, "set cvm.volumes_dir in teepod.conf");
	}
	if (volumes_collect(list, dir, &v, e) < 0)
		return -(int)e->code;
	*ret = v;
	v = (struct volumes){ 0 };
	return 0;
}

void volumes_free(struct volumes *v)
{
	for (unsigned i = 0; i < v->n; i++)
		free(v->path[i]);
	*v = (struct volumes){ 0 };
}
