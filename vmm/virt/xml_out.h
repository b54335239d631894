/* SPDX-License-Identifier: Apache-2.0
 * xml_out.h - writing XML with libxml2, with errors noted once and asked for at the end.
 */
#ifndef TEEPOD_VMM_VIRT_XML_OUT_H
#define TEEPOD_VMM_VIRT_XML_OUT_H

#include <stdbool.h>

#include <libxml/xmlwriter.h>

struct xml_out {
	xmlTextWriter *w;
	xmlBuffer *buffer;
	bool failed; /* the writer did, once: only for lack of memory */
};

/* Two blanks an indent, attributes in single quotes. */
bool xml_out_open(struct xml_out *o);
/* The text, malloc'd, or NULL if anything failed on the way. @o is closed. */
char *xml_out_take(struct xml_out *o);

void xml_open_tag(struct xml_out *o, const char *name);
void xml_close_tag(struct xml_out *o);
void xml_attr(struct xml_out *o, const char *name, const char *value);
/* Attribute with a printf format. */
void xml_attrf(struct xml_out *o, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Text inside the open tag. */
void xml_text(struct xml_out *o, const char *value);
/* A number inside the open tag. */
void xml_number(struct xml_out *o, unsigned long long value);
/* <name>value</name> */
void xml_text_tag(struct xml_out *o, const char *name, const char *value);
/* <name a='b' .../>: attribute names and values in turn, ended by NULL. */
void xml_empty_tag(struct xml_out *o, const char *name, ...) __attribute__((sentinel));

/* XML 1.0 has no way to write control characters other than tab and newline, and the writer would
 * pass them on. */
bool xml_writable(const char *s);

#endif
