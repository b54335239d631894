/* SPDX-License-Identifier: Apache-2.0
 * dev.c - the files of --dev; see dev.h.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "daemon/dev.h"
#include "db/keys.h"
#include "vmm/account/keys.h"

char *dev_images_dir(void)
{
	const char *given = getenv("TEEPOD_IMAGES");
	char self[4096];
	ssize_t n = given ? -1 : readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return xstrdup(given ? given : "/usr/share/teepod/images");
	self[n] = 0;
	/* build/teepod and build/VARIANT/teepod share build/images. */
	for (int up = 0; up < 2; up++) {
		auto_free char *dir = NULL;

		slash = strrchr(self, '/');
		if (!slash)
			break;
		*slash = 0;
		dir = xasprintf("%s/images", self);
		if (access(dir, R_OK) == 0)
			return take_ptr(&dir);
	}
	return xstrdup("/usr/share/teepod/images");
}

int dev_write_url(const char *dir, const char *url, struct err *e)
{
	auto_free char *path = xasprintf("%s/url", dir), *line = xasprintf("%s\n", url);

	return file_write(path, line, strlen(line), 0644, e);
}

static bool dev_key_is_valid(struct vmm *v, const char *path)
{
	auto_free char *key = NULL;
	struct key_row row;
	struct err e;

	if (file_read(path, API_KEY_TEXT, &key, NULL, &e))
		return false;
	key[strcspn(key, "\n")] = 0;
	return vmm_authenticate(v, key, &row, &e) == 0;
}

int dev_ensure_key(struct vmm *v, const char *dir, struct err *e)
{
	auto_free char *path = xasprintf("%s/admin.key", dir), *line = NULL;
	char key[API_KEY_TEXT];
	int r;

	if (dev_key_is_valid(v, path))
		return 0;
	r = vmm_add_key(v, NULL, "dev-admin", 4, key, e);
	if (r)
		return r;
	line = xasprintf("%s\n", key);
	return file_write(path, line, strlen(line), 0600, e);
}
