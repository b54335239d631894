/* SPDX-License-Identifier: Apache-2.0
 * text.h - sizes of texts that several rows have.
 */
#ifndef TEEPOD_DB_TEXT_H
#define TEEPOD_DB_TEXT_H

enum { APP_ID_TEXT = 41, NAME_TEXT = 64, PROGRESS_TEXT = 128, ADDRESS_TEXT = 46, NODES_TEXT = 64 };

/* "tok_3 (name)", "uid:0", "cert:name", "teepod:drain": who asked, as records show it. */
enum { WHO_TEXT = 128 };

#endif
