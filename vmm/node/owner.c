/* SPDX-License-Identifier: Apache-2.0
 * owner.c - whose state folder this is: refuses to run the CVMs of a copy.
 *
 * DOC: Theory of operation
 *
 * A state folder that is copied is a second node with the same CVMs, UUIDs, ports and, below one
 * libvirtd, the same domains. So the database records its owner, and beside it lies a marker file,
 * DIR/owner, with a random id:
 *
 *	other machine-id                     another host
 *	same id in the marker, other inode   a copy (cp, rsync, a backup that was unpacked)
 *	same inode, other folder             moved, or copied with hard links or as a whole file
 * system no marker, or another id in it       a database without its folder
 *
 * The device number is not compared: it may change with every boot. A restored copy of just the
 * database, in its own folder, passes.
 *
 * While the folder is not this node's, the daemon does not connect to libvirt at all, resumes no
 * operation and begins none, and shows the reason as maintenance. `teepod --accept-host` makes
 * this host and folder the owner. The original, if it is still there, is told so in its marker,
 * and then is the one that is not run.
 *
 * A database without an owner, new or of an earlier release, is taken at the next start.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"
#include "base/log.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/node.h"
#include "vmm/node/node.h"
#include "vmm/node/owner.h"
#include "vmm/node/settings.h"
#include "vmm/virt/xml_out.h"

enum { MACHINE_ID_MAX = 4096, MARKER_MAX = 2 * PATH_MAX };

/* First word of a marker whose folder was replaced; the folder that replaced it follows. */
static const char given[] = "given ";

/* This host, and this folder as it is found. */
struct here {
	struct owner_row row;
	char given_to[PATH_MAX]; /* "" = not given away */
};

static char *marker_path(const char *dir)
{
	return xasprintf("%s/owner", dir);
}

/* The id itself is confidential (machine-id(5)): only its hash is kept. "" for a host without one;
 * systemd writes "uninitialized" while a first boot is under way. */
static int read_machine(const char *root, char out[SHA256_HEX], struct err *e)
{
	static const char *const names[] = { "/etc/machine-id", "/var/lib/dbus/machine-id" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		auto_free char *path = xasprintf("%s%s", root, names[i]), *text = NULL,
			       *salted = NULL;
		int r = file_read(path, MACHINE_ID_MAX, &text, NULL, e);

		if (r == -ERR_NOT_FOUND)
			continue;
		if (r)
			return r;
		text[strcspn(text, " \r\n")] = '\0';
		if (!*text || !strcmp(text, "uninitialized"))
			continue;
		salted = xasprintf("teepod:%s", text);
		id_sha256_hex(salted, strlen(salted), out);
		return 0;
	}
	out[0] = '\0';
	return 0;
}

/* Fills marker, inode and given_to; what is no marker counts as none. */
static int read_marker(const char *dir, struct here *ret, struct err *e)
{
	auto_free char *path = marker_path(dir), *text = NULL;
	struct stat st;
	int r = file_read(path, MARKER_MAX, &text, NULL, e);

	ret->row.marker[0] = ret->given_to[0] = '\0';
	if (r)
		return r == -ERR_NOT_FOUND || r == -ERR_TOO_LARGE ? 0 : r;
	if (lstat(path, &st) < 0)
		return err_sys(e, errno, "look at %s", path);
	ret->row.inode = (int64_t)st.st_ino;
	text[strcspn(text, "\n")] = '\0';
	if (!strncmp(text, given, sizeof(given) - 1))
		(void)snprintf(ret->given_to, sizeof(ret->given_to), "%s",
			       text + sizeof(given) - 1);
	else
		(void)id_uuid_parse(text, ret->row.marker);
	return 0;
}

static int look_here(const char *state_dir, const char *host_root, struct here *ret, struct err *e)
{
	*ret = (struct here){ 0 };
	if (!realpath(state_dir, ret->row.dir))
		return err_sys(e, errno, "state folder %s", state_dir);
	if (gethostname(ret->row.host, sizeof(ret->row.host) - 1))
		ret->row.host[0] = '\0';
	if (read_machine(host_root, ret->row.machine, e))
		return -(int)e->code;
	return read_marker(ret->row.dir, ret, e);
}

/* Is the folder that @o names still what it names? */
static bool original_is_there(const struct owner_row *o)
{
	struct here there = { 0 };
	struct err ignored;

	return !read_marker(o->dir, &there, &ignored) && !strcmp(there.row.marker, o->marker) &&
	       there.row.inode == o->inode;
}

/* Why the database of @o must not be used here; "" if it may. An owner without a machine-id may
 * have got one. */
static void judge(const struct owner_row *o, const struct here *h, char out[FOREIGN_TEXT])
{
	static const char remedy[] = "if that is not used any more: teepod --accept-host";

	if (*o->machine && strcmp(o->machine, h->row.machine) != 0)
		(void)snprintf(out, FOREIGN_TEXT,
			       "the state folder belongs to another host (%.40s); %s",
			       *o->host ? o->host : "its name is not known", remedy);
	else if (*h->given_to)
		(void)snprintf(
			out, FOREIGN_TEXT,
			"the state folder was replaced by %.70s; to use this one again: teepod "
			"--accept-host",
			h->given_to);
	else if (strcmp(o->marker, h->row.marker) != 0)
		(void)snprintf(out, FOREIGN_TEXT,
			       "the database is not that of this state folder but of %.60s; %s",
			       o->dir, remedy);
	else if (o->inode == h->row.inode && !strcmp(o->dir, h->row.dir))
		out[0] = '\0';
	else if (original_is_there(o))
		(void)snprintf(out, FOREIGN_TEXT, "the state folder is a copy of %.80s; %s", o->dir,
			       remedy);
	else if (o->inode == h->row.inode)
		(void)snprintf(out, FOREIGN_TEXT, "the state folder was moved here from %.80s; %s",
			       o->dir, remedy);
	else
		(void)snprintf(out, FOREIGN_TEXT,
			       "the state folder was restored or copied from %.60s; %s", o->dir,
			       remedy);
}

/* The marker first: without the row it is nobody's, and made anew. */
static int claim(struct db *db, struct here *h, struct err *e)
{
	auto_free char *path = marker_path(h->row.dir), *line = NULL;
	struct owner_row row = h->row;
	struct stat st;
	int r;

	id_uuid4(row.marker);
	line = xasprintf("%s\n", row.marker);
	r = file_write(path, line, strlen(line), 0644, e);
	if (!r && lstat(path, &st) < 0)
		r = err_sys(e, errno, "look at %s", path);
	if (r)
		return r;
	row.inode = (int64_t)st.st_ino;
	return owner_set(db, &row, e);
}

/* The host has got its machine-id since: its first boot is over. */
static int complete(struct db *db, struct owner_row *o, const struct here *h, struct err *e)
{
	if (*o->machine || !*h->row.machine)
		return 0;
	memcpy(o->machine, h->row.machine, sizeof(o->machine));
	return owner_set(db, o, e);
}

int owner_check(struct vmm *v, struct err *e)
{
	char why[FOREIGN_TEXT] = "";
	struct owner_row o;
	struct here h;
	int r = look_here(vmm_settings(v)->state_dir,
			  vmm_settings(v)->host_root ? vmm_settings(v)->host_root : "", &h, e);

	if (!r)
		r = owner_get(vmm_db(v), &o, e);
	if (r == -ERR_NOT_FOUND)
		return claim(vmm_db(v), &h, e);
	if (r)
		return r;
	judge(&o, &h, why);
	vmm_set_foreign(v, why);
	if (!*why)
		return complete(vmm_db(v), &o, &h, e);
	log_error("maintenance: no guest is started or adopted: %s", why);
	return 0;
}

int owner_allows(const struct vmm *v, struct err *e)
{
	if (!*vmm_foreign(v))
		return 0;
	err_field(e, ERR_NODE_CLOSED, "node_id", vmm_settings(v)->node_name,
		  "node in maintenance: %s", vmm_foreign(v));
	return err_hint(e, "stop teepod, run teepod --accept-host once, and start it again");
}

/* ------------------------------------------------------------------ --accept-host */

/* A folder has one owner: the original on this host is told that it was replaced. Without a
 * recorded machine-id it may be on this host: marker and inode tell. */
static int replace_original(const struct owner_row *o, const struct here *h,
			    int (*lock)(const char *dir, struct err *e), struct err *e)
{
	auto_free char *path = marker_path(o->dir), *line = xasprintf("%s%s\n", given, h->row.dir);
	int r;

	if (*o->machine && strcmp(o->machine, h->row.machine) != 0)
		return 0;
	if (!strcmp(o->dir, h->row.dir) || !original_is_there(o))
		return 0;
	r = lock(o->dir, e);
	if (r)
		return err_hint(e, "it is the original of %s: stop it first", h->row.dir);
	return file_write(path, line, strlen(line), 0644, e);
}

static int accept_here(struct db *db, struct here *h, int (*lock)(const char *dir, struct err *e),
		       bool *ret_changed, struct err *e)
{
	char why[FOREIGN_TEXT];
	struct owner_row o;
	int r = owner_get(db, &o, e);

	if (r && r != -ERR_NOT_FOUND)
		return r;
	if (!r) {
		judge(&o, h, why);
		if (!*why) {
			*ret_changed = false;
			return 0;
		}
		r = replace_original(&o, h, lock, e);
		if (r)
			return r;
	}
	r = claim(db, h, e);
	if (!r)
		*ret_changed = true;
	return r;
}

int vmm_accept_host(const char *state_dir, const char *host_root,
		    int (*lock)(const char *dir, struct err *e), bool *ret_changed, struct err *e)
{
	auto_free char *path = xasprintf("%s/teepod.db", state_dir);
	struct db *db = NULL;
	struct here h;
	int r = look_here(state_dir, host_root, &h, e);

	if (!r)
		r = db_open_as_is(path, false, &db, e);
	if (!r)
		r = accept_here(db, &h, lock, ret_changed, e);
	db_close(db);
	return r;
}
