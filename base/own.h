/* SPDX-License-Identifier: Apache-2.0
 * own.h - resources that clean up after themselves.
 *
 *     auto_free char *path = NULL;         freed when it leaves scope
 *     auto_close int fd = -1;              closed when it leaves scope
 *     *ret = take_ptr(&path);              handed over: path is NULL afterwards
 *
 * Initialise at the declaration, always: an early return then does the right thing.
 */
#ifndef TEEPOD_BASE_OWN_H
#define TEEPOD_BASE_OWN_H

#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>

#include <jansson.h>

static inline void own_free(void *p)
{
	free(*(void **)p);
}

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

static inline void own_json(json_t **j)
{
	json_decref(*j);
}

#define auto_free   __attribute__((cleanup(own_free)))
#define auto_close  __attribute__((cleanup(own_close)))
#define auto_fclose __attribute__((cleanup(own_fclose)))
#define auto_json   __attribute__((cleanup(own_json)))

#define take_ptr(p)                          \
	({                                   \
		__auto_type own_tmp_ = *(p); \
		*(p) = NULL;                 \
		own_tmp_;                    \
	})

#define take_fd(p)                   \
	({                           \
		int own_tmp_ = *(p); \
		*(p) = -1;           \
		own_tmp_;            \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
