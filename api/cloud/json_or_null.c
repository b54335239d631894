/* SPDX-License-Identifier: Apache-2.0
 * json_or_null.c - JSON values of columns that may be empty.
 */
#include "api/cloud/json_or_null.h"

#include "base/clock.h"
#include "base/json.h"

/* Guests write some of these, and fixed sizes may cut a character in two. */
json_t *json_text_or_null(const char *s)
{
	return s && *s ? json_text(s) : json_null();
}

json_t *json_time_or_null(int64_t wall_ms)
{
	char at[CLOCK_TEXT];

	return wall_ms ? json_string(clock_rfc3339(wall_ms, at)) : json_null();
}

void json_put_text(json_t *o, const char *key, const char *value)
{
	if (*value)
		json_object_set_new(o, key, json_text(value));
}
