/* SPDX-License-Identifier: Apache-2.0
 * owner.c - which host and folder own the database. A copy of a state folder does not run CVMs.
 *
 * DOC: Theory of operation
 *
 * A copy of a state folder is a second node with the same CVMs, UUIDs and ports and, under the same
 * libvirtd, the same domains. Two such nodes would destroy each other's guests. So the database
 * records its owner: host, folder, and the inode and random id of a marker file, DIR/owner. At
 * start the record is compared with what is found:
 *
 *	different machine-id            - another host
 *	same id, different inode        - a copy (cp, rsync, an unpacked backup)
 *	same inode, different folder    - moved, or a copy by hard links or of the whole file system
 *	no marker, or a different id    - a database without its state folder
 *
 * The device number is not compared, because it may change with every boot. A copy of the database
 * alone that is restored to its own folder is accepted.
 *
 * While the folder is not owned by this node, the daemon does not connect to libvirt, neither
 * resumes nor begins operations, and reports the reason as maintenance. `teepod --accept-host`
 * makes this host and folder the owner. If the original folder still exists, its marker is replaced
 * by the path of the new owner, and the original refuses to run from then on.
 *
 * A database without an owner (new, or from an earlier release) gets one at the next start.
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

/* First word of the marker of a folder that is no longer the owner. The path of the new owner
 * follows. */
static const char given[] = "given ";

/* This host, and this folder as found. */
struct here {
	struct owner_row row;
	char given_to[PATH_MAX]; /* the new owner, if the marker names one; else "" */
};

static char *marker_path(const char *dir)
{
	return xasprintf("%s/owner", dir);
}

/* Hash of the host's machine-id; "" if it has none. The id itself is confidential (machine-id(5))
 * and is not stored. systemd writes "uninitialized" during the first boot: that counts as none. */
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

/* Fill marker, inode and given_to. A file with other content counts as no marker. */
static int read_marker(const char *dir, struct here *ret, struct err *e)
{
	auto_free char *path = marker_path(dir), *text = NULL;
	struct stat st;
	int r = file_read(path, MARKER_MAX, &text, NULL, e);

	ret->row.marker[0] = ret->given_to[0] = '\0';
	if (r)
		return r == -ERR_NOT_FOUND || r == -ERR_TOO_LARGE ? 0 : r;
	if (lstat(path, &st) < 0)
		return err_sys(e, errno, "stat %s", path);
	ret->row.inode = (int64_t)st.st_ino;
	text[strcspn(text, "\n")] = '\0';
	if (!strncmp(text, given, sizeof(given) - 1))
		(void)snprintf(ret->given_to, sizeof(ret->given_to), "%s",
			       text + sizeof(given) - 1);
	else
		(void)id_uuid_parse(text, ret->row.marker);
	return 0;
}

static int owner_read_here(const char *state_dir, const char *host_root, struct here *ret,
			   struct err *e)
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

/* Does the folder that @o names still hold the marker that @o names? */
static bool owner_original_exists(const struct owner_row *o)
{
	struct here there = { 0 };
	struct err ignored;

	return !read_marker(o->dir, &there, &ignored) && !strcmp(there.row.marker, o->marker) &&
	       there.row.inode == o->inode;
}

/* Why this host must not use the database that @o owns; "" if it may. An owner that was recorded
 * without a machine-id may have one by now, so that is not compared. */
static void owner_compare(const struct owner_row *o, const struct here *h, char out[FOREIGN_TEXT])
{
	static const char remedy[] = "if that one is no longer used: teepod --accept-host";

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
			       "the database belongs to another state folder (%.60s); %s", o->dir,
			       remedy);
	else if (o->inode == h->row.inode && !strcmp(o->dir, h->row.dir))
		out[0] = '\0';
	else if (owner_original_exists(o))
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

/* Make this host and folder the owner. The marker is written first: a marker without a row has no
 * effect, and the next claim replaces it. */
static int owner_claim(struct db *db, struct here *h, struct err *e)
{
	auto_free char *path = marker_path(h->row.dir), *line = NULL;
	struct owner_row row = h->row;
	struct stat st;
	int r;

	id_uuid4(row.marker);
	line = xasprintf("%s\n", row.marker);
	r = file_write(path, line, strlen(line), 0644, e);
	if (!r && lstat(path, &st) < 0)
		r = err_sys(e, errno, "stat %s", path);
	if (r)
		return r;
	row.inode = (int64_t)st.st_ino;
	return owner_set(db, &row, e);
}

/* Record the machine-id of a host that had none when it became the owner (its first boot). */
static int owner_add_machine(struct db *db, struct owner_row *o, const struct here *h,
			     struct err *e)
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
	int r = owner_read_here(vmm_settings(v)->state_dir,
				vmm_settings(v)->host_root ? vmm_settings(v)->host_root : "", &h,
				e);

	if (!r)
		r = owner_get(vmm_db(v), &o, e);
	if (r == -ERR_NOT_FOUND)
		return owner_claim(vmm_db(v), &h, e);
	if (r)
		return r;
	owner_compare(&o, &h, why);
	vmm_set_foreign(v, why);
	if (!*why)
		return owner_add_machine(vmm_db(v), &o, &h, e);
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

/* Write the path of the new owner to the marker of the original folder, if that is on this host:
 * only one of the two may run. An owner without a machine-id may be on this host; marker and inode
 * decide. */
static int owner_replace_original(const struct owner_row *o, const struct here *h,
				  int (*lock)(const char *dir, struct err *e), struct err *e)
{
	auto_free char *path = marker_path(o->dir), *line = xasprintf("%s%s\n", given, h->row.dir);
	int r;

	if (*o->machine && strcmp(o->machine, h->row.machine) != 0)
		return 0;
	if (!strcmp(o->dir, h->row.dir) || !owner_original_exists(o))
		return 0;
	r = lock(o->dir, e);
	if (r)
		return err_hint(e, "%s is a copy of it: stop the daemon of the original first",
				h->row.dir);
	return file_write(path, line, strlen(line), 0644, e);
}

static int owner_accept_here(struct db *db, struct here *h,
			     int (*lock)(const char *dir, struct err *e), bool *ret_changed,
			     struct err *e)
{
	char why[FOREIGN_TEXT];
	struct owner_row o;
	int r = owner_get(db, &o, e);

	if (r && r != -ERR_NOT_FOUND)
		return r;
	if (!r) {
		owner_compare(&o, h, why);
		if (!*why) {
			*ret_changed = false;
			return 0;
		}
		r = owner_replace_original(&o, h, lock, e);
		if (r)
			return r;
	}
	r = owner_claim(db, h, e);
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
	int r = owner_read_here(state_dir, host_root, &h, e);

	if (!r)
		r = db_open_as_is(path, false, &db, e);
	if (!r)
		r = owner_accept_here(db, &h, lock, ret_changed, e);
	db_close(db);
	return r;
}
