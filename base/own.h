/* SPDX-License-Identifier: Apache-2.0
 * own.h - heap memory that is freed when its variable leaves scope.
 *
 *     auto_free char *path = NULL;         freed when it leaves scope
 *     *ret = take_ptr(&path);              handed over: path is NULL afterwards
 *
 * Initialise the variable at its declaration, so that an early return is always right. Descriptors
 * and files: fd.h. JSON: json.h. Buffers: buf.h.
 *
 * More than a third of the sources include this header, because ownership of memory is written this
 * way everywhere. It must therefore stay as small as it is.
 */
#ifndef TEEPOD_BASE_OWN_H
#define TEEPOD_BASE_OWN_H

#include <stdlib.h>

static inline void own_free(void *p)
{
	free(*(void **)p);
}

#define auto_free __attribute__((cleanup(own_free)))

#define take_ptr(p)                          \
	({                                   \
		__auto_type own_tmp_ = *(p); \
		*(p) = NULL;                 \
		own_tmp_;                    \
	})

#endif
