/* SPDX-License-Identifier: Apache-2.0
 * leftovers.c - remove the temporary files that a killed daemon left in the state folder.
 *
 * The daemon writes a file under a temporary name and then renames it. This runs at start, in the
 * process that holds the state lock, before any operation continues: so no temporary file is in
 * use. Only names that the daemon itself uses are removed, because a running guest may keep files
 * of its own in its shared folder. The image store is cleaned in images/import.c, under its locks:
 * several nodes of a host may share it.
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

static void leftovers_remove_file(const char *path)
{
	struct err e;

	if (file_remove_tree(path, &e))
		log_warn("cannot remove a temporary file: %s", e.text);
}

/* Call @each for the entries of @dir that match @pattern; NULL: for all of them. */
static void leftovers_for_each(const char *dir, const char *pattern, void (*each)(const char *path))
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

static void leftovers_remove_of_cvm(const char *dir)
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

		leftovers_remove_file(path);
	}
}

void leftovers_remove(const char *state_dir)
{
	static const char *const patterns[] = { "admin.key.tmp", "url.tmp", "owner.tmp",
						"teepod.db.v*.tmp", "teepod.db.v*.tmp-journal" };
	auto_free char *cvms = xasprintf("%s/cvms", state_dir);

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		leftovers_for_each(state_dir, patterns[i], leftovers_remove_file);
	leftovers_for_each(cvms, NULL, leftovers_remove_of_cvm);
}
