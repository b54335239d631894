/* SPDX-License-Identifier: Apache-2.0
 * config_member.h - the member of struct config that belongs to a key: set, format, free.
 */
#ifndef TEEPOD_DAEMON_CONFIG_MEMBER_H
#define TEEPOD_DAEMON_CONFIG_MEMBER_H

#include "daemon/config_data.h"
#include "daemon/config_key.h"

/* Set @k in @c from @text. Lists: items separated by commas, appended to the list if @append; an
 * empty text empties it. On refusal false, with `"x" is not allowed: what is` in @why. */
bool config_value_set(const struct config_key *k, struct config *c, const char *text, bool append,
		      struct buf *why);

/* The value as one would write it in the file. */
void config_value_format(const struct config_key *k, const struct config *c, struct buf *out);
char *config_value_text(const struct config_key *k, const struct config *c);

void config_value_release(const struct config_key *k, struct config *c);

/* Set the key, or say why not: `ORIGIN: [section] key: "x" is not allowed: ...`. */
void config_assign(struct config *c, const struct config_key *k, const char *text, bool append,
		   const char *origin, struct buf *errors);

/* Remember where the value of @k came from. */
void config_set_origin(struct config *c, const struct config_key *k, const char *origin);

#endif
