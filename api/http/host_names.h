/* SPDX-License-Identifier: Apache-2.0
 * host_names.h - the names under which this server may be asked for.
 */
#ifndef TEEPOD_API_HTTP_HOST_NAMES_H
#define TEEPOD_API_HTTP_HOST_NAMES_H

#include <stdbool.h>

/* Does @text (a Host or Origin header: "localhost:8090", "[::1]", "https://node.example") name a
 * loopback address, "localhost", or the host of one of @ours (names or URLs; NULL ends)? Ports do
 * not count. */
bool host_name_is_ours(const char *const *ours, const char *text);

#endif
