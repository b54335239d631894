/* SPDX-License-Identifier: Apache-2.0
 * text.h - sizes of texts that several rows contain, with the NUL.
 */
#ifndef TEEPOD_DB_TEXT_H
#define TEEPOD_DB_TEXT_H

enum { APP_ID_TEXT = 41, NAME_TEXT = 64, PROGRESS_TEXT = 128, ADDRESS_TEXT = 46, NODES_TEXT = 64 };

/* "tok_3 (name)", "uid:0", "cert:name", "teepod:drain": the caller, as shown in records. */
enum { WHO_TEXT = 128 };

#endif
