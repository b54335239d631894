/* SPDX-License-Identifier: Apache-2.0
 * log_stream.h - the two log streams of a CVM.
 */
#ifndef TEEPOD_VMM_LOGS_LOG_STREAM_H
#define TEEPOD_VMM_LOGS_LOG_STREAM_H

enum log_stream {
	LOG_SERIAL, /* the serial console of the guest */
	LOG_QEMU,   /* stdout and stderr of QEMU, which libvirt writes to one file */
	LOG_STREAMS
};

/* File name part of each stream: "serial", "qemu". */
extern const char *const log_stream_word[LOG_STREAMS];

/* The stream of a channel of the API: "serial", "stdout" or "stderr"; -1 for any other word. */
int log_stream_from_channel(const char *channel);

#endif
