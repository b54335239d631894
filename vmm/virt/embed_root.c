/* SPDX-License-Identifier: Apache-2.0
 * embed_root.c - prepares the root folder of libvirt's embedded QEMU driver.
 *
 * DOC: Theory of operation
 *
 * ROOT/run/qemu has one status file per running domain, with the pid of QEMU. If the driver opens a
 * root and cannot reach the monitor of such a domain, it sends SIGTERM to that pid without checking
 * the process. After a crash of QEMU this is right. After a reboot the pid may belong to another
 * process. libvirtd is not affected, because /run is empty after a boot. ROOT is on disk.
 *
 * What must hold: ROOT/run belongs to this boot. ROOT/boot names the boot that ROOT/run is from,
 * and ROOT/run is removed if that is another one. A boot is the time during which pids keep their
 * meaning: the boot id of the kernel, the pid namespace, and the start time of its first process,
 * because a restarted container keeps the boot id. The stamp also names the folder: in a copy of a
 * root the status files name QEMUs of the original, and the driver would take over their monitors
 * or end them.
 *
 * ROOT/etc/qemu.conf is rewritten at every start.
 */
#include "vmm/virt/embed_root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"

/* The longest socket is ROOT/lib/qemu/domain-<id>-<20 bytes of name>/monitor.sock; sun_path holds
 * 108 with its NUL. Leaves eight digits for the id. */
enum {
	SOCKET_PATH_MAX = 107,
	BELOW_ROOT = sizeof("/lib/qemu/domain-12345678-12345678901234567890/monitor.sock") - 1
};
_Static_assert(EMBED_ROOT_MAX + BELOW_ROOT <= SOCKET_PATH_MAX, "monitor sockets fit");

enum { STAMP_LEN = 320, STATUS_MAX = 1 << 20 };

/* stdio_handler: "logd" would need a running virtlogd. namespaces: a mount namespace for QEMU needs
 * privileges that containers lack. remember_owner: the same for extended attributes.
 * hugetlbfs_mount is added below: the driver creates folders in these mounts and does not start if
 * it cannot, so only writable ones are listed. */
static const char conf_root[] = "user = \"root\"\n"
				"group = \"root\"\n";
static const char conf_common[] = "stdio_handler = \"file\"\n"
				  "security_driver = \"none\"\n"
				  "cgroup_controllers = []\n"
				  "namespaces = []\n"
				  "remember_owner = 0\n";

static void read_first_line(const char *path, char *out, size_t n)
{
	auto_fclose FILE *f = fopen(path, "re");

	if (!f || !fgets(out, (int)n, f))
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

/* Field 22 of /proc/1/stat; the name in field 2 may hold spaces and parentheses. */
static unsigned long long first_process_start(void)
{
	unsigned long long start = 0;
	char line[512];
	const char *p;

	read_first_line("/proc/1/stat", line, sizeof(line));
	p = strrchr(line, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		start = strtoull(p + 1, NULL, 10);
	return start;
}

static void boot_stamp(const char *root, char out[STAMP_LEN])
{
	char id[64], ns[64] = "";
	ssize_t n = readlink("/proc/self/ns/pid", ns, sizeof(ns) - 1);
	auto_free char *real = realpath(root, NULL);
	struct stat st = { 0 };

	ns[n > 0 ? n : 0] = '\0';
	read_first_line("/proc/sys/kernel/random/boot_id", id, sizeof(id));
	(void)stat(root, &st);
	(void)snprintf(out, STAMP_LEN, "%s %s %llu %ju %s", id, ns, first_process_start(),
		       (uintmax_t)st.st_ino, real ? real : root);
}

static int embed_root_check_path(const char *root, struct err *e)
{
	if (root[0] != '/')
		return err_set(e, ERR_INVALID, "hypervisor folder %s: not an absolute path", root);
	if (strlen(root) <= EMBED_ROOT_MAX)
		return 0;
	err_set(e, ERR_INVALID,
		"hypervisor folder %s: %zu bytes long, at most %d leave room for QEMU's sockets",
		root, strlen(root), EMBED_ROOT_MAX);
	return err_hint(e, "use a shorter path");
}

/* Must not be called for a root that this process has open: closing any descriptor of a file drops
 * all POSIX locks that the process holds on it. */
static int embed_root_check_free(const char *root, struct err *e)
{
	auto_free char *path = NULL;
	auto_close int fd = -1;
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (asprintf(&path, "%s/run/qemu/driver.pid", root) < 0)
		abort();
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_GETLK, &lock) || lock.l_type == F_UNLCK)
		return 0;
	return err_set(e, ERR_UNAVAILABLE, "hypervisor folder %s is in use by process %d", root,
		       (int)lock.l_pid);
}

/* Stamps of earlier releases do not contain the folder. */
static bool is_same_boot(const char *old, const char *stamp)
{
	size_t n = strlen(old);

	return n && !strncmp(old, stamp, n) &&
	       (!stamp[n] || (stamp[n] == ' ' && !strchr(old, '/')));
}

static int remove_state_of_other_boot(const char *root, const char *stamp, struct err *e)
{
	auto_free char *run = NULL, *mark = NULL;
	char old[STAMP_LEN];
	int r;

	if (asprintf(&run, "%s/run", root) < 0 || asprintf(&mark, "%s/boot", root) < 0)
		abort();
	read_first_line(mark, old, sizeof(old));
	if (!strcmp(old, stamp))
		return 0;
	r = is_same_boot(old, stamp) ? 0 : file_remove_tree(run, e);
	if (r)
		return r;
	return file_write(mark, stamp, strlen(stamp), 0644, e);
}

/* True if this status file is of a domain whose QEMU was never executed. The driver writes the file
 * before it knows QEMU's pid, and the child waits for the driver before exec. If the driver dies in
 * between, the file has pid='0' and no process exists. */
static bool is_unborn_domain(const char *path)
{
	auto_free char *text = NULL;
	struct err ignored;
	const char *tag, *pid;

	if (file_read(path, STATUS_MAX, &text, NULL, &ignored))
		return false;
	tag = strstr(text, "<domstatus ");
	pid = tag ? strstr(tag, " pid='") : NULL;
	return pid && pid < strchr(tag, '>') && !strncmp(pid, " pid='0'", 8);
}

/* The driver would list such a domain as paused, and locked for the 30 s in which it tries to reach
 * the monitor. Only for a root that no process has open. */
static void remove_unborn_domains(const char *root)
{
	auto_free char *run = NULL;
	DIR *d;

	if (asprintf(&run, "%s/run/qemu", root) < 0)
		abort();
	d = opendir(run);
	for (struct dirent *de; d && (de = readdir(d));) {
		auto_free char *path = NULL;
		size_t n = strlen(de->d_name);

		if (n < 5 || strcmp(de->d_name + n - 4, ".xml") != 0)
			continue;
		if (asprintf(&path, "%s/%s", run, de->d_name) < 0)
			abort();
		if (!is_unborn_domain(path))
			continue;
		(void)unlink(path);
		memcpy(path + strlen(path) - 3, "pid", 3);
		(void)unlink(path);
	}
	if (d)
		(void)closedir(d);
}

/* Paths with a quotation mark or a backslash cannot be written to qemu.conf. */
static bool is_usable_hugetlbfs(const struct mntent *m)
{
	return !strcmp(m->mnt_type, "hugetlbfs") && !strpbrk(m->mnt_dir, "\"\\\n") &&
	       access(m->mnt_dir, W_OK) == 0;
}

static void add_hugetlbfs(struct buf *conf)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	const char *comma = "";

	buf_puts(conf, "hugetlbfs_mount = [");
	for (const struct mntent *m; f && (m = getmntent(f));) {
		if (!is_usable_hugetlbfs(m))
			continue;
		buf_printf(conf, "%s\"%s\"", comma, m->mnt_dir);
		comma = ", ";
	}
	buf_puts(conf, "]\n");
	if (f)
		(void)endmntent(f);
}

static int write_qemu_conf(const char *root, struct err *e)
{
	auto_free char *path = xasprintf("%s/etc/qemu.conf", root);
	auto_buf struct buf conf = { 0 };

	buf_printf(&conf, "%s%s", geteuid() ? "" : conf_root, conf_common);
	if (!geteuid())
		add_hugetlbfs(&conf);
	return file_write(path, conf.data, strlen(conf.data), 0644, e);
}

static int embed_root_make_folders(const char *root, struct err *e)
{
	static const char *const names[] = { "etc", "run", "lib", "log", "cache" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		auto_free char *path = NULL;
		int r;

		if (asprintf(&path, "%s/%s", root, names[i]) < 0)
			abort();
		r = file_mkdirs(path, 0755, e);
		if (r)
			return r;
	}
	return 0;
}

int embed_root_prepare_for(const char *root, const char *stamp, struct err *e)
{
	int r = embed_root_check_path(root, e);

	if (!r)
		r = embed_root_check_free(root, e);
	if (!r)
		r = remove_state_of_other_boot(root, stamp, e);
	if (!r)
		remove_unborn_domains(root);
	if (!r)
		r = embed_root_make_folders(root, e);
	return r ? r : write_qemu_conf(root, e);
}

int embed_root_prepare(const char *root, struct err *e)
{
	char stamp[STAMP_LEN];
	int r = embed_root_check_path(root, e);

	if (!r)
		r = file_mkdirs(root, 0755, e);
	if (r)
		return r;
	boot_stamp(root, stamp);
	return embed_root_prepare_for(root, stamp, e);
}
