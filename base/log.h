/* SPDX-License-Identifier: Apache-2.0
 * log.h - one log for the whole daemon: the journal under systemd, lines on stderr otherwise.
 *
 * Only code that decides logs (the daemon, the operation engine, the API); what it calls returns
 * errors. Secrets, API keys and environment blobs never reach it. May be called from any thread.
 */
#ifndef TEEPOD_BASE_LOG_H
#define TEEPOD_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* What a line is about; any may be NULL. Become TEEPOD_CVM, TEEPOD_OP, TEEPOD_REQ in the journal.
 */
struct log_about {
	const char *cvm, *op, *req;
};

/* @level: least important level still written. @json: one JSON object a line instead of plain text.
 */
void log_open(enum log_level level, bool json);

void log_write(enum log_level level, const struct log_about *about, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, NULL, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, NULL, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, NULL, __VA_ARGS__)

#endif
