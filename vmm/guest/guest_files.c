/* SPDX-License-Identifier: Apache-2.0
 * guest_files.c - write the files of the shared folder in the format that dstack guests read.
 *
 * .sys-config.json is rewritten at every start, so it always has the current addresses of the
 * node. app-compose.json has the exact bytes whose hash is measured.
 *
 * A guest of an earlier release could write to this folder and may have left links or folders
 * under our names. Anything that is not a regular file is removed before a file is written, and
 * rename() replaces the target. Writing through an existing name would follow a guest's link.
 *
 * The values come from machine.c.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/file.h"
#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/guest/guest_files.h"

/* Readable for all, because QEMU may run as another user. guest_files_open_to() denies other users
 * the folders above. */
enum { SHARED_MODE = 0644 };

static json_t *json_text_list(const char *const *v)
{
	json_t *j = json_array();

	for (; v && *v; v++)
		json_array_append_new(j, json_string(*v));
	return j;
}

static void json_set_text(json_t *j, const char *key, const char *value)
{
	json_object_set_new(j, key, json_string(value ? value : ""));
}

char *guest_vm_config_text(const struct guest_vm_config *vm)
{
	auto_json json_t *j = json_object();

	if (vm->os_image_hash && *vm->os_image_hash)
		json_set_text(j, "os_image_hash", vm->os_image_hash);
	if (vm->qemu_version && *vm->qemu_version)
		json_set_text(j, "qemu_version", vm->qemu_version);
	if (vm->num_nics != 1)
		json_object_set_new(j, "num_nics", json_integer(vm->num_nics));
	if (vm->num_volumes)
		json_object_set_new(j, "num_verity_volumes", json_integer(vm->num_volumes));
	if (vm->ovmf_variant && *vm->ovmf_variant)
		json_set_text(j, "ovmf_variant", vm->ovmf_variant);
	if (vm->tdx_lite)
		json_set_text(j, "tdx_attestation_variant", "lite");
	if (vm->tdx_checksum_file && vm->tdx_measurement)
		json_object_set_new(j, "tdx_measurement",
				    json_pack("{s:s,s:s}", "checksum_file", vm->tdx_checksum_file,
					      "measurement", vm->tdx_measurement));
	json_set_text(j, "image", vm->image);
	json_set_text(j, "host_share_mode", vm->host_share_mode);
	json_object_set_new(j, "spec_version", json_integer(1));
	json_object_set_new(j, "cpu_count", json_integer(vm->vcpus));
	json_object_set_new(j, "memory_size", json_integer((json_int_t)vm->memory_mib * 1048576));
	json_object_set_new(j, "pci_hole64_size", json_integer(0));
	json_object_set_new(j, "hugepages", json_boolean(vm->hugepages));
	json_object_set_new(j, "num_gpus", json_integer(vm->num_gpus));
	json_object_set_new(j, "num_nvswitches", json_integer(vm->num_nvswitches));
	json_object_set_new(j, "hotplug_off", json_false());
	return json_canonical(j);
}

static char *sys_config_text(const struct guest_files *g)
{
	auto_json json_t *j = json_object();
	auto_free char *vm = guest_vm_config_text(&g->vm), *host_api = NULL;
	json_t *collateral = json_object();

	json_object_set_new(j, "kms_urls", json_text_list(g->kms_urls));
	json_object_set_new(j, "gateway_urls", json_text_list(g->gateway_urls));
	json_set_text(j, "pccs_url", g->pccs_url);
	if (g->pccs_url && *g->pccs_url)
		json_set_text(collateral, "pccs", g->pccs_url);
	json_object_set_new(j, "collateral_urls", collateral);
	json_object_set_new(j, "nvidia_attestation_proxy_url", json_null());
	json_set_text(j, "docker_registry", g->docker_registry);
	if (g->host_api_port) {
		host_api = xasprintf("vsock://2:%u/api", g->host_api_port);
		json_set_text(j, "host_api_url", host_api);
	}
	json_set_text(j, "vm_config", vm);
	if (g->mr_config)
		json_set_text(j, "mr_config", g->mr_config);
	return json_canonical(j);
}

/* Remove @path unless it is a regular file or missing. *regular: it is a regular file. */
static int remove_irregular(const char *path, bool *regular, struct err *e)
{
	struct stat st;

	*regular = false;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "cannot stat %s", path);
	*regular = S_ISREG(st.st_mode);
	return *regular ? 0 : file_remove_tree(path, e);
}

static int guest_file_put(const struct guest_files *g, const char *name, const void *data, size_t n,
			  size_t max, struct err *e)
{
	auto_free char *path = xasprintf("%s/%s", g->dir, name), *temp = xasprintf("%s.tmp", path);
	bool regular;

	if (n > max)
		return err_field(e, ERR_TOO_LARGE, name, NULL,
				 "%s has %zu bytes; the maximum is %zu bytes", name, n, max);
	if (remove_irregular(temp, &regular, e) < 0 || remove_irregular(path, &regular, e) < 0)
		return -(int)e->code;
	return file_replace(path, data, n, SHARED_MODE, e);
}

static int guest_file_put_or_remove(const struct guest_files *g, const char *name, const void *data,
				    size_t n, size_t max, struct err *e)
{
	auto_free char *path = NULL;

	if (data && n)
		return guest_file_put(g, name, data, n, max, e);
	path = xasprintf("%s/%s", g->dir, name);
	return file_remove_tree(path, e);
}

static int instance_info_put(const struct guest_files *g, struct err *e)
{
	auto_free char *path = xasprintf("%s/.instance_info", g->dir), *text = NULL;
	auto_json json_t *j = NULL;
	bool regular;

	if (remove_irregular(path, &regular, e) < 0)
		return -(int)e->code;
	if (g->instance_info)
		return guest_file_put(g, ".instance_info", g->instance_info,
				      strlen(g->instance_info), GUEST_SYS_CONFIG_MAX, e);
	if (regular)
		return 0;
	j = json_object();
	json_set_text(j, "app_id", g->app_id);
	text = json_canonical(j);
	return guest_file_put(g, ".instance_info", text, strlen(text), GUEST_SYS_CONFIG_MAX, e);
}

int guest_files_write(const struct guest_files *g, struct err *e)
{
	auto_free char *sys = sys_config_text(g);

	assert(g->dir && g->app_compose && g->app_id);
	if (file_mkdirs(g->dir, 0755, e) < 0 ||
	    guest_file_put(g, "app-compose.json", g->app_compose, g->app_compose_len,
			   GUEST_APP_COMPOSE_MAX, e) < 0 ||
	    guest_file_put(g, ".sys-config.json", sys, strlen(sys), GUEST_SYS_CONFIG_MAX, e) < 0 ||
	    guest_file_put_or_remove(g, ".encrypted-env", g->encrypted_env, g->encrypted_env_len,
				     GUEST_ENV_MAX, e) < 0 ||
	    guest_file_put_or_remove(g, ".user-config", g->user_config,
				     g->user_config ? strlen(g->user_config) : 0,
				     GUEST_USER_CONFIG_MAX, e) < 0)
		return -(int)e->code;
	return instance_info_put(g, e) < 0 ? -(int)e->code : file_sync_dir(g->dir, e);
}

/* ------------------------------------------------------------------ access of QEMU's group */

static int file_set_group(const char *path, gid_t gid, mode_t mode, struct err *e)
{
	if (!lchown(path, geteuid(), gid) && !chmod(path, mode))
		return 0;
	err_sys(e, errno, "cannot change the group of %s to %u", path, gid);
	if (e->sys == EPERM && geteuid())
		err_hint(e, "the daemon's user %u must own it and be a member of group %u, QEMU's",
			 geteuid(), gid);
	return -(int)e->code;
}

int guest_files_open_to(const char *cvm, const char *shared, gid_t gid, struct err *e)
{
	if (file_set_group(cvm, gid, 0710, e) < 0 || file_set_group(shared, gid, 0750, e) < 0)
		return -(int)e->code;
	return 0;
}

int guest_disk_open_to(const char *path, gid_t gid, bool writable, struct err *e)
{
	return file_set_group(path, gid, writable ? 0660 : 0640, e);
}
