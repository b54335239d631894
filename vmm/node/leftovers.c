/* SPDX-License-Identifier: Apache-2.0
 * leftovers.c - temporary files in the state folder that a killed daemon left.
 *
 * All are written beside their final name and renamed. Called at the start, before any operation
 * goes on, by the process that holds the state lock: so nothing of this is being written. Only
 * names that the daemon gives are removed: in the shared folder a guest that runs may have files
 * of its own. The image store may be shared with other nodes of this host, and has locks
 * (images/import.c).
 */
#include <dirent.h>
#include <fnmatch.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "base/log.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/node/leftovers.h"

static void remove_one(const char *path)
{
	struct err e;

	if (file_remove_tree(path, &e))
		log_warn("cannot remove a temporary file: %s", e.text);
}

/* Entries of @dir that match @pattern are removed; without a pattern @each is called for them. */
static void walk(const char *dir, const char *pattern, void (*each)(const char *path))
{
	DIR *d = opendir(dir);

	for (struct dirent *de; d && (de = readdir(d));) {
		auto_free char *path = xasprintf("%s/%s", dir, de->d_name);

		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (!pattern || !fnmatch(pattern, de->d_name, 0))
			each(path);
	}
	if (d)
		(void)closedir(d);
}

static void in_cvm(const char *dir)
{
	static const char *const names[] = { "hda.img.tmp",
					     "shared.img.tmp",
					     "logs/.rotate.tmp",
					     "logs/boots.json.tmp",
					     "shared/app-compose.json.tmp",
					     "shared/.sys-config.json.tmp",
					     "shared/.encrypted-env.tmp",
					     "shared/.user-config.tmp",
					     "shared/.instance_info.tmp" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		auto_free char *path = xasprintf("%s/%s", dir, names[i]);

		remove_one(path);
	}
}

void leftovers_remove(const char *state_dir)
{
	static const char *const patterns[] = { "admin.key.tmp", "url.tmp", "owner.tmp",
						"teepod.db.v*.tmp", "teepod.db.v*.tmp-journal" };
	auto_free char *cvms = xasprintf("%s/cvms", state_dir);

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		walk(state_dir, patterns[i], remove_one);
	walk(cvms, NULL, in_cvm);
}
