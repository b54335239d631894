/* SPDX-License-Identifier: Apache-2.0
 * find.c - find CVMs by every form of identifier that clients use.
 *
 * admit.c refuses a new name that has another form of identifier. Rows that are older than that
 * rule, and names that differ only in case, may still clash. An identifier that matches two CVMs is
 * refused as ambiguous; no guess is made. "cvm_3" always identifies one CVM: no name contains an
 * underscore.
 */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "db/cvms.h"
#include "db/text.h"
#include "vmm/node/find.h"
#include "vmm/node/node.h"

static bool is_short_number(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n > 0 && n < 16 && !s[n];
}

/* Returns the column to search; @value: the normalized value. */
static enum cvm_key identifier_classify(const char *id, char value[80])
{
	char uuid[UUID_TEXT];
	const char *hex = id;

	(void)snprintf(value, 80, "%.79s", id);
	if (id_uuid_parse(id, uuid)) {
		memcpy(value, uuid, sizeof(uuid));
		return CVM_BY_UUID;
	}
	if (!strncasecmp(id, "cvm_", 4) && is_short_number(id + 4)) {
		(void)snprintf(value, 80, "%.20s", id + 4);
		return CVM_BY_ID;
	}
	if (is_short_number(id) && strlen(id) < 16)
		return CVM_BY_ID;
	if (!strncasecmp(id, "app_", 4))
		hex = id + 4;
	else if (!strncasecmp(id, "instance_", 9))
		hex = id + 9;
	else if (!strncasecmp(id, "0x", 2))
		hex = id + 2;
	if (!id_is_hex(hex, 40))
		return CVM_BY_NAME;
	for (size_t i = 0; i <= 40; i++)
		value[i] = (char)tolower((unsigned char)hex[i]);
	return hex == id + 9 ? CVM_BY_INSTANCE : CVM_BY_APP;
}

bool identifier_is_name(const char *identifier)
{
	char value[80];

	return identifier_classify(identifier, value) == CVM_BY_NAME;
}

bool found_by_odd_name(const char *identifier, const struct cvm_row *row)
{
	return !identifier_is_name(identifier) && !strcasecmp(row->name, identifier);
}

bool identifier_app(const char *identifier, char app_id[APP_ID_TEXT])
{
	char value[80];

	if (identifier_classify(identifier, value) != CVM_BY_APP)
		return false;
	memcpy(app_id, value, APP_ID_TEXT);
	return true;
}

static int identifier_ambiguous(const char *identifier, int found, const struct cvm_row *rows,
				struct err *e)
{
	assert(found > 1);
	err_field(e, ERR_CVM_AMBIGUOUS, "identifier", identifier, "%d CVMs match %.60s", found,
		  identifier);
	return err_hint(e, "name one of them by vm_uuid or number: %s (cvm_%lld), %s (cvm_%lld)%s",
			rows[0].uuid, (long long)rows[0].id, rows[1].uuid, (long long)rows[1].id,
			found > 2 ? ", ..." : "");
}

/* Add the CVMs whose name is @identifier to the @n CVMs that another form of identifier found.
 * @rows holds the first two of all. Returns the new count, or a negative error. */
static int find_add_named(struct vmm *v, int64_t workspace, const char *identifier,
			  struct cvm_row rows[2], int n, struct err *e)
{
	struct cvm_row named[2];
	int found = cvms_find(vmm_db(v), workspace, CVM_BY_NAME, identifier, named, 2, e);

	for (int i = 0; i < found && i < 2; i++) {
		if (n == 1 && rows[0].id == named[i].id)
			continue;
		if (n < 2)
			rows[n] = named[i];
		n++;
	}
	return found < 0 ? found : n;
}

int vmm_find(struct vmm *v, int64_t workspace, const char *identifier, struct cvm_row *ret,
	     struct err *e)
{
	struct cvm_row rows[2];
	char value[80];
	enum cvm_key by = identifier_classify(identifier, value);
	int n = cvms_find(vmm_db(v), workspace, by, value, rows, 2, e);

	if (n >= 0 && n < 2 && by != CVM_BY_NAME)
		n = find_add_named(v, workspace, identifier, rows, n, e);
	if (n < 0)
		return n;
	if (n == 0)
		return err_field(e, ERR_CVM_NOT_FOUND, "cvm_id", identifier, "no CVM %.60s",
				 identifier);
	if (n > 1)
		return identifier_ambiguous(identifier, n, rows, e);
	*ret = rows[0];
	return 0;
}

int vmm_find_uuid(struct vmm *v, int64_t workspace, const char *uuid, struct cvm_row *ret,
		  struct err *e)
{
	int n = cvms_find(vmm_db(v), workspace, CVM_BY_UUID, uuid, ret, 1, e);

	if (n == 0)
		return err_field(e, ERR_CVM_NOT_FOUND, "cvm_id", uuid, "no CVM %.60s", uuid);
	return n < 0 ? n : 0;
}

int instances_of(struct vmm *v, int64_t workspace, const char *app_id, struct cvm_row **ret,
		 size_t *n, struct err *e)
{
	const struct cvm_filter f = { .workspace = workspace, .app_id = app_id, .listed = -1 };
	auto_free struct cvm_row *rows = NULL;
	size_t all = 0, live = 0;
	int r = cvms_list(vmm_db(v), &f, 0, -1, &rows, &all, NULL, e);

	if (r)
		return r;
	for (size_t i = 0; i < all; i++)
		if (rows[i].desired != DESIRED_DELETED)
			rows[live++] = rows[i];
	*ret = take_ptr(&rows);
	*n = live;
	return 0;
}

/* The oldest instance in another workspace than that of the oldest of all, rows[n - 1]; NULL if
 * there is none. */
static const struct cvm_row *find_other_workspace(const struct cvm_row *rows, size_t n)
{
	assert(n > 0);
	for (size_t i = n - 1; i-- > 0;)
		if (rows[i].workspace != rows[n - 1].workspace)
			return &rows[i];
	return NULL;
}

int vmm_find_first(struct vmm *v, int64_t workspace, const char *identifier, struct cvm_row *ret,
		   struct err *e)
{
	auto_free struct cvm_row *rows = NULL;
	const struct cvm_row *other;
	struct cvm_row two[2];
	char app_id[APP_ID_TEXT];
	size_t n;
	int r;

	if (!identifier_app(identifier, app_id))
		return vmm_find(v, workspace, identifier, ret, e);
	r = instances_of(v, workspace, app_id, &rows, &n, e);
	if (r)
		return r;
	if (!n)
		return err_field(e, ERR_CVM_NOT_FOUND, "cvm_id", identifier, "no CVM %.60s",
				 identifier);
	two[0] = rows[n - 1];
	other = find_other_workspace(rows, n);
	if (other) {
		two[1] = *other;
		return identifier_ambiguous(identifier, (int)n, two, e);
	}
	r = find_add_named(v, workspace, identifier, two, 1, e);
	if (r > 1)
		return identifier_ambiguous(identifier, r, two, e);
	if (r == 1)
		*ret = two[0];
	return r < 0 ? r : 0;
}
