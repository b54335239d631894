/* SPDX-License-Identifier: Apache-2.0
 * config.c - load the configuration layer by layer; see config.h for the order.
 *
 * The errors of all layers are collected before loading fails, so that an operator sees every error
 * at once. Rules between keys are checked only if each key is valid: otherwise the error would be
 * about a default value. The values of the key table itself are always valid (asserted).
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/own.h"
#include "base/strings.h"
#include "daemon/config.h"
#include "daemon/config_check.h"
#include "daemon/config_keys.h"
#include "daemon/config_member.h"
#include "daemon/config_read.h"

static struct config *config_defaults(void)
{
	struct config *c = xcalloc(1, sizeof(*c));
	auto_buf struct buf errors = { 0 };

	c->origin = xcalloc(config_keys_n, sizeof(*c->origin));
	for (size_t i = 0; i < config_keys_n; i++)
		config_assign(c, &config_keys[i], config_keys[i].preset, false, "default", &errors);
	assert(!errors.len);
	return c;
}

struct config_preset {
	const char *section, *name, *value;
};

/* Development mode: all files are below one folder, and any machine will do. A laptop has few CPUs
 * and test guests are mostly idle, hence the high vcpu_ratio. */
static const struct config_preset dev_presets[] = {
	{ "api", "listen", "127.0.0.1:0" },
	{ "hypervisor", "uri", "qemu:///embed" },
	{ "hypervisor", "tee", "none" },
	{ "capacity", "vcpu_ratio", "8" },
	{ "cvm", "default_image", "teepod-demo" },
	{ "capacity", "reserve_vcpus", "0" },
	{ "capacity", "reserve_memory_mib", "512" },
	{ "capacity", "reserve_disk_gib", "1" },
};

static void config_add_dev(struct config *c, const char *dir, struct buf *errors)
{
	for (size_t i = 0; i < ARRAY_SIZE(dev_presets); i++) {
		const struct config_preset *p = &dev_presets[i];

		config_assign(c, config_key_find(p->section, p->name), p->value, false, "--dev",
			      errors);
	}
	config_assign(c, config_key_find("node", "state_dir"), dir, false, "--dev", errors);
}

/* --dev reads a file only if --config names one: the file of the host's service must not configure
 * a development node. */
static void config_add_files(struct config *c, const struct options *o, struct buf *errors)
{
	if (o->config_file)
		config_read_files(c, o->config_file, true, errors);
	else if (!o->dev_dir)
		config_read_files(c, CONFIG_FILE_DEFAULT, false, errors);
}

static void config_add_options(struct config *c, const struct options *o, struct buf *errors)
{
	if (o->hypervisor)
		config_assign(c, config_key_find("hypervisor", "uri"), o->hypervisor, false,
			      "--hypervisor", errors);
	for (size_t i = 0; i < o->n_listen; i++)
		config_assign(c, config_key_find("api", "listen"), o->listen[i], i > 0, "--listen",
			      errors);
	for (size_t i = 0; i < o->n_set; i++)
		config_read_option(c, o->set[i], errors);
}

/* Set a string key that no layer has set. A @value that is not allowed is ignored. */
static void config_set_if_empty(struct config *c, const char *section, const char *name,
				const char *value, const char *origin)
{
	const struct config_key *k = config_key_find(section, name);
	auto_buf struct buf ignored = { 0 };

	assert(k);
	if (!**(char *const *)config_key_value(k, c))
		config_assign(c, k, value, false, origin, &ignored);
}

/* Keys whose default depends on another key or on the host. */
static void config_add_derived(struct config *c)
{
	auto_free char *images = xasprintf("%s/images", c->node.state_dir);
	auto_free char *embed = xasprintf("%s/libvirt", c->node.state_dir);
	char host[256] = "";

	if (!gethostname(host, sizeof(host) - 1))
		host[strcspn(host, ".")] = '\0';
	config_set_if_empty(c, "node", "name", host, "default (host name)");
	/* The host name may be empty or not allowed as a node name. */
	config_set_if_empty(c, "node", "name", "teepod", "default");
	config_set_if_empty(c, "images", "dir", images, "default (state_dir)");
	config_set_if_empty(c, "hypervisor", "embed_root", embed, "default (state_dir)");
}

int config_load(const struct options *o, struct config **ret, struct buf *errors)
{
	struct config *c = config_defaults();
	size_t before = errors->len;

	if (o->dev_dir)
		config_add_dev(c, o->dev_dir, errors);
	config_add_files(c, o, errors);
	config_add_options(c, o, errors);
	config_add_derived(c);
	if (errors->len == before)
		config_check(c, errors);
	if (errors->len != before) {
		config_free(c);
		return -ERR_INVALID;
	}
	*ret = c;
	return 0;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < config_keys_n; i++) {
		config_value_release(&config_keys[i], c);
		free(c->origin[i]);
	}
	free(c->origin);
	free(c);
}
