/* SPDX-License-Identifier: Apache-2.0
 * log.h - the log of the daemon: the journal under systemd, else lines on stderr.
 *
 * Code that handles an error logs it (the daemon, the operation engine, the API); code below
 * returns it. Never log secrets, API keys or environment blobs. Any thread.
 */
#ifndef TEEPOD_BASE_LOG_H
#define TEEPOD_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Subject of a line; each may be NULL. In the journal: TEEPOD_CVM, TEEPOD_OP, TEEPOD_REQ. */
struct log_about {
	const char *cvm, *op, *req;
};

/* Lines less important than @level are not written. @json: one JSON object per line instead of
 * text. */
void log_open(enum log_level level, bool json);

void log_write(enum log_level level, const struct log_about *about, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, NULL, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, NULL, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, NULL, __VA_ARGS__)

#endif
