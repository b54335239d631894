/* SPDX-License-Identifier: Apache-2.0
 * log_stream.c - names of the log streams in files and in the API.
 */
#include <string.h>

#include "vmm/logs/log_stream.h"

const char *const log_stream_word[LOG_STREAMS] = { [LOG_SERIAL] = "serial", [LOG_QEMU] = "qemu" };

int log_stream_from_channel(const char *channel)
{
	if (!strcmp(channel, "serial"))
		return LOG_SERIAL;
	if (!strcmp(channel, "stdout") || !strcmp(channel, "stderr"))
		return LOG_QEMU;
	return -1;
}
