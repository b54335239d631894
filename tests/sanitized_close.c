/* SPDX-License-Identifier: Apache-2.0
 * sanitized_close.c - linked into the daemon for the thread sanitizer only.
 *
 * libuv closes descriptors by syscall(SYS_close), which the sanitizer does not see: the next file
 * that gets the number of a connection that is gone would look like a race with it. This syscall()
 * stands before the one of the C library and closes by close().
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

long syscall(long number, ...)
{
	static long (*next)(long, ...);
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_close)
		return close((int)a[0]);
	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
