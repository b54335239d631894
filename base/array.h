/* SPDX-License-Identifier: Apache-2.0
 * array.h - number of elements of an array.
 */
#ifndef TEEPOD_BASE_ARRAY_H
#define TEEPOD_BASE_ARRAY_H

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
