/* SPDX-License-Identifier: Apache-2.0
 * commands.c - command-line actions on the state folder and on the host.
 *
 * They run instead of the daemon. --check-db and --add-key also work while a daemon runs on the
 * same folder, --accept-host does not: it takes the state lock. See check_host.c for --check-host.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/cloud/body_cvm.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"
#include "base/utf8.h"
#include "daemon/actions.h"
#include "daemon/check_host.h"
#include "daemon/commands.h"
#include "daemon/dev.h"
#include "daemon/config_settings.h"
#include "daemon/state_lock.h"
#include "db/check.h"
#include "vmm/account/keys.h"
#include "vmm/guest/print_domain.h"
#include "vmm/guest/check_files.h"
#include "vmm/node/owner.h"

enum { SPEC_MAX = 1024 * 1024 }; /* bytes of a create request: the limit of the API */

/* Print @about, the error and its hint. Returns EXIT_FAILURE. */
static int command_failed(const char *about, const struct err *e)
{
	return action_failed("%s%s%s%s", about, e->text, e->hint[0] ? "; " : "", e->hint);
}

static int command_check_db(const struct config *c)
{
	auto_free char *path = xasprintf("%s/teepod.db", c->node.state_dir);
	auto_buf struct buf out = { 0 };
	struct err e;
	int n, files;

	if (access(path, F_OK))
		return action_failed(
			"%s: %s; run --check-db with the same --config, --dev and -o as the daemon",
			path, strerror(errno));
	n = db_check(path, &out, &e);
	files = n < 0 ? n : vmm_check_files(c->node.state_dir, c->images.dir, &out, &e);
	if (files < 0 && out.len)
		(void)utf8_print(stdout, out.data);
	if (files < 0)
		return command_failed("", &e);
	buf_printf(&out, "%s: %d findings\n", path, n + files);
	(void)utf8_print(stdout, out.data);
	return n + files ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int command_accept_host(const struct config *c)
{
	const struct host_size unmeasured = { 0 };
	const char *dir = c->node.state_dir;
	auto_buf struct buf out = { 0 };
	struct vmm_settings s;
	bool changed = false;
	struct err e;
	int r = state_lock(dir, &e);

	settings_make(c, &unmeasured, &s);
	if (r)
		err_hint(&e, "stop that daemon first");
	else
		r = vmm_accept_host(dir, s.host_root, state_lock, &changed, &e);
	settings_free(&s);
	if (r)
		return command_failed("", &e);
	buf_printf(&out, "%s %s owned by this host\n", dir, changed ? "is now" : "was already");
	(void)utf8_print(stdout, out.data);
	return EXIT_SUCCESS;
}

static int command_add_key(const struct options *o, const struct config *c)
{
	char key[API_KEY_TEXT];
	struct err e, taken;
	int r = file_mkdirs(c->node.state_dir, 0711, &e);
	bool alone = !r && !state_lock(c->node.state_dir, &taken); /* no daemon is running */

	if (!r)
		r = vmm_add_key_offline(c->node.state_dir, alone, c->node.workspace, o->key_name,
					(int)o->key_role, key, &e);
	if (r)
		return action_failed("%s", e.text);
	(void)printf("%s\n", key);
	return EXIT_SUCCESS;
}

/* Convert the create request in the file at @path into domain XML, which the caller frees. */
static int command_domain_xml(const char *path, const struct vmm_settings *s, char **ret,
			      struct err *e)
{
	auto_free char *text = NULL;
	auto_json json_t *body = NULL;
	auto_parsed_cvm struct parsed_cvm asked = { 0 };
	struct cvm_body req;
	size_t n = 0;
	int r = file_read(path, SPEC_MAX, &text, &n, e);

	if (!r) {
		body = json_read(text, n, e);
		r = body ? cvm_body_read(&create_table, body, &req, e) : -1;
	}
	if (!r)
		r = parse_cvm_body(&req, body, &asked, e);
	return r ? r : vmm_print_domain(s, &asked.req, ret, e);
}

/* The host is not measured: the domain XML does not depend on the capacity of the node. */
static int command_print_domain(const struct options *o, const struct config *c)
{
	const struct host_size unmeasured = { 0 };
	auto_free char *xml = NULL, *images_dir = dev_images_dir();
	auto_free char *about = xasprintf("%s: ", o->domain_file);
	struct vmm_settings s;
	struct err e;
	int r;

	settings_make(c, &unmeasured, &s);
	s.import_demo_images = o->dev_dir != NULL;
	s.demo_images_dir = images_dir;
	r = command_domain_xml(o->domain_file, &s, &xml, &e);
	settings_free(&s);
	if (r)
		return command_failed(about, &e);
	return fputs(xml, stdout) == EOF || fflush(stdout) == EOF ? EXIT_FAILURE : EXIT_SUCCESS;
}

bool commands_run(const struct options *o, const struct config *c, int *ret_status)
{
	switch (o->action) {
	case ACTION_CHECK_DB:
		*ret_status = command_check_db(c);
		return true;
	case ACTION_CHECK_HOST:
		*ret_status = check_host_run(c);
		return true;
	case ACTION_ACCEPT_HOST:
		*ret_status = command_accept_host(c);
		return true;
	case ACTION_ADD_KEY:
		*ret_status = command_add_key(o, c);
		return true;
	case ACTION_PRINT_DOMAIN:
		*ret_status = command_print_domain(o, c);
		return true;
	default:
		return false;
	}
}
