/* SPDX-License-Identifier: Apache-2.0
 * api.h - the REST API as the daemon sees it: start, settings, drain, end.
 *
 * The routes are in routes.h, authentication of requests in authenticate.h, and the state that
 * handlers share in context.h.
 */
#ifndef TEEPOD_API_CLOUD_API_H
#define TEEPOD_API_CLOUD_API_H

#include "api/cloud/context.h"

struct api *api_new(struct vmm *v, const struct api_settings *s);

/* The server whose metrics /metrics shows. Borrowed. */
void api_set_server(struct api *a, const struct server *s);
void api_reload(struct api *a, const struct api_settings *s);

/* The daemon shuts down: answer calls that wait for an operation, end all streams, and report it in
 * /readyz. */
void api_drain(struct api *a);

/* Call it after server_free(). NULL is fine. */
void api_free(struct api *a);

/* Callback of struct server_config; @arg is the struct api. */
void api_after_commit(void *arg, void (*fn)(void *fn_arg), void *fn_arg);

#endif
