/* SPDX-License-Identifier: Apache-2.0
 * config_member.h - the member of struct config that belongs to a key: set, format, free.
 */
#ifndef TEEPOD_DAEMON_CONFIG_MEMBER_H
#define TEEPOD_DAEMON_CONFIG_MEMBER_H

#include "daemon/config_data.h"
#include "daemon/config_key.h"

/* Set @k in @c from @text. A list is separated by commas; @append adds the items to the current
 * list. An empty text makes the list empty. If @text is not allowed, returns false, leaves @c
 * unchanged and appends `"x" is not allowed: RULE` to @why. */
bool config_value_set(const struct config_key *k, struct config *c, const char *text, bool append,
		      struct buf *why);

/* The value as it is written in a file; parsing it again gives the same value. config_value_text()
 * returns a string that the caller frees. */
void config_value_format(const struct config_key *k, const struct config *c, struct buf *out);
char *config_value_text(const struct config_key *k, const struct config *c);

/* Free what the member owns. The member may not be used afterwards. */
void config_value_release(const struct config_key *k, struct config *c);

/* config_value_set() that records @origin, or appends `ORIGIN: [section] key: "x" is not allowed:
 * RULE` and a newline to @errors. */
void config_assign(struct config *c, const struct config_key *k, const char *text, bool append,
		   const char *origin, struct buf *errors);

/* Record where the value of @k was set: "default", "FILE:LINE", "-o" ... */
void config_set_origin(struct config *c, const struct config_key *k, const char *origin);

#endif
