/* SPDX-License-Identifier: Apache-2.0
 * fd.h - descriptors, files and folders that are closed when their variable leaves scope.
 *
 *     auto_close int fd = -1;              closed when it leaves scope
 *     *ret = take_fd(&fd);                 handed over: fd is -1 afterwards
 */
#ifndef TEEPOD_BASE_FD_H
#define TEEPOD_BASE_FD_H

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

static inline void own_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void own_fclose(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

static inline void own_closedir(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

#define auto_close    __attribute__((cleanup(own_close)))
#define auto_fclose   __attribute__((cleanup(own_fclose)))
#define auto_closedir __attribute__((cleanup(own_closedir)))

#define take_fd(p)                   \
	({                           \
		int own_tmp_ = *(p); \
		*(p) = -1;           \
		own_tmp_;            \
	})

#endif
