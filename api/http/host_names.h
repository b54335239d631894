/* SPDX-License-Identifier: Apache-2.0
 * host_names.h - the host names under which clients may reach this server.
 */
#ifndef TEEPOD_API_HTTP_HOST_NAMES_H
#define TEEPOD_API_HTTP_HOST_NAMES_H

#include <stdbool.h>

/* True if @text, a field Host or Origin ("localhost:8090", "[::1]", "https://node.example"),
 * names a loopback address, "localhost", or the host of one of @ours. @ours: names or URLs,
 * NULL-terminated. Ports are not compared. */
bool host_name_is_ours(const char *const *ours, const char *text);

#endif
