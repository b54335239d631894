/* SPDX-License-Identifier: Apache-2.0
 * config.c - layers of configuration, and what to do when they change.
 */
#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "daemon/config_key.h"

void config_set_origin(struct config *c, const struct key *k, const char *origin)
{
	free(c->origin[key_row(k)]);
	c->origin[key_row(k)] = xstrdup(origin);
}

void config_assign(struct config *c, const struct key *k, const char *text, bool append,
		   const char *origin, struct buf *errors)
{
	auto_buf struct buf why = { 0 };

	if (value_set(k, c, text, append, &why))
		config_set_origin(c, k, origin);
	else
		buf_printf(errors, "%s: [%s] %s: %s\n", origin, k->section, k->name, why.data);
}

/* ------------------------------------------------------------------ layers */

static struct config *defaults(void)
{
	struct config *c = xcalloc(1, sizeof(*c));
	auto_buf struct buf errors = { 0 };

	c->origin = xcalloc(config_keys_n, sizeof(*c->origin));
	for (size_t i = 0; i < config_keys_n; i++)
		config_assign(c, &config_keys[i], config_keys[i].preset, false, "default", &errors);
	assert(!errors.len);
	return c;
}

struct preset {
	const char *section, *name, *value;
};

/* Development mode: everything below one folder, on any machine. A laptop has few CPUs, and guests
 * that are being tried out seldom use theirs. */
static const struct preset dev_presets[] = {
	{ "api", "listen", "127.0.0.1:0" },
	{ "hypervisor", "uri", "qemu:///embed" },
	{ "hypervisor", "tee", "none" },
	{ "capacity", "vcpu_ratio", "8" },
	{ "cvm", "default_image", "teepod-demo" },
	{ "capacity", "reserve_vcpus", "0" },
	{ "capacity", "reserve_memory_mib", "512" },
	{ "capacity", "reserve_disk_gib", "1" },
};

static void add_dev(struct config *c, const char *dir, struct buf *errors)
{
	for (size_t i = 0; i < ARRAY_SIZE(dev_presets); i++) {
		const struct preset *p = &dev_presets[i];

		config_assign(c, key_find(p->section, p->name), p->value, false, "--dev", errors);
	}
	config_assign(c, key_find("node", "state_dir"), dir, false, "--dev", errors);
}

/* An operator's machine-wide file must not leak into a throw-away node: --dev reads a file only
 * when told. */
static void add_files(struct config *c, const struct options *o, struct buf *errors)
{
	if (o->config_file)
		config_read_files(c, o->config_file, true, errors);
	else if (!o->dev_dir)
		config_read_files(c, CONFIG_FILE_DEFAULT, false, errors);
}

static void add_options(struct config *c, const struct options *o, struct buf *errors)
{
	if (o->hypervisor)
		config_assign(c, key_find("hypervisor", "uri"), o->hypervisor, false,
			      "--hypervisor", errors);
	for (size_t i = 0; i < o->n_listen; i++)
		config_assign(c, key_find("api", "listen"), o->listen[i], i > 0, "--listen",
			      errors);
	for (size_t i = 0; i < o->n_set; i++)
		config_read_option(c, o->set[i], errors);
}

/* Keys whose default depends on others, or on the machine. */
static void derive(struct config *c, const char *section, const char *name, const char *value,
		   const char *origin)
{
	const struct key *k = key_find(section, name);
	auto_buf struct buf ignored = { 0 };

	if (!**(char *const *)key_value(k, c))
		config_assign(c, k, value, false, origin, &ignored);
}

static void add_derived(struct config *c)
{
	auto_free char *images = xasprintf("%s/images", c->node.state_dir);
	auto_free char *embed = xasprintf("%s/libvirt", c->node.state_dir);
	char host[256] = "";

	if (!gethostname(host, sizeof(host) - 1))
		host[strcspn(host, ".")] = '\0';
	derive(c, "node", "name", host, "default (host name)");
	/* A host may be called anything, or nothing. */
	derive(c, "node", "name", "teepod", "default");
	derive(c, "images", "dir", images, "default (state_dir)");
	derive(c, "hypervisor", "embed_root", embed, "default (state_dir)");
}

int config_load(const struct options *o, struct config **ret, struct buf *errors)
{
	struct config *c = defaults();
	size_t before = errors->len;

	if (o->dev_dir)
		add_dev(c, o->dev_dir, errors);
	add_files(c, o, errors);
	add_options(c, o, errors);
	add_derived(c);
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
		value_release(&config_keys[i], c);
		free(c->origin[i]);
	}
	free(c->origin);
	free(c);
}

/* ------------------------------------------------------------------ reload */

static void swap_value(const struct key *k, struct config *a, struct config *b)
{
	char tmp[32];

	assert(k->type->size <= sizeof(tmp));
	memcpy(tmp, key_value(k, a), k->type->size);
	memcpy(key_member(k, a), key_value(k, b), k->type->size);
	memcpy(key_member(k, b), tmp, k->type->size);
}

static void swap_origin(const struct key *k, struct config *a, struct config *b)
{
	char *tmp = a->origin[key_row(k)];

	a->origin[key_row(k)] = b->origin[key_row(k)];
	b->origin[key_row(k)] = tmp;
}

/* Twice is not at all. */
static void apply_key(const struct key *k, struct config *c, struct config *fresh,
		      struct config_changes *ch)
{
	auto_free char *old = value_text(k, c), *new = value_text(k, fresh);
	bool may = k->flags & KEY_RELOAD;

	if (!strcmp(old, new)) {
		swap_origin(k, c, fresh);
		return;
	}
	config_list_add(may ? &ch->applied : &ch->restart,
			xasprintf("%s.%s: %s -> %s", k->section, k->name, *old ? old : "\"\"",
				  *new ? new : "\"\""));
	if (may) {
		swap_value(k, c, fresh);
		swap_origin(k, c, fresh);
	}
}

static struct config_changes apply(struct config *c, struct config *fresh)
{
	struct config_changes ch = { 0 };

	for (size_t i = 0; i < config_keys_n; i++)
		apply_key(&config_keys[i], c, fresh, &ch);
	return ch;
}

int config_apply(struct config *c, struct config *fresh, struct config_changes *ret,
		 struct buf *errors)
{
	struct config_changes ch = apply(c, fresh), back;
	size_t before = errors->len;

	config_check_rules(c, errors);
	if (errors->len == before) {
		*ret = ch;
		return 0;
	}
	back = apply(c, fresh);
	config_changes_free(&back);
	config_changes_free(&ch);
	return -ERR_INVALID;
}

void config_changes_free(struct config_changes *ch)
{
	config_list_free(&ch->applied);
	config_list_free(&ch->restart);
}

/* ------------------------------------------------------------------ questions */

bool config_amount(const struct config_amount *a, uint64_t measured, uint64_t reserve,
		   uint64_t *ret)
{
	if (a->kind == AMOUNT_NONE)
		return false;
	if (a->kind == AMOUNT_NUMBER)
		*ret = a->value;
	else
		*ret = measured > reserve ? measured - reserve : 0;
	return true;
}
