/* SPDX-License-Identifier: Apache-2.0
 * xml_out.h - writes XML with libxml2. Errors are recorded and reported once, by xml_out_take().
 */
#ifndef TEEPOD_VMM_VIRT_XML_OUT_H
#define TEEPOD_VMM_VIRT_XML_OUT_H

#include <stdbool.h>

#include <libxml/xmlwriter.h>

struct xml_out {
	xmlTextWriter *w;
	xmlBuffer *buffer;
	bool failed; /* the writer failed once: out of memory, or a value too long for xml_attrf()
		      */
};

/* Indent with two spaces, attributes in single quotes. */
bool xml_out_open(struct xml_out *o);
/* The text, malloc'd, or NULL if anything failed. Closes @o. */
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
/* <name a='b' .../>: attribute names and values alternate; NULL ends the list. */
void xml_empty_tag(struct xml_out *o, const char *name, ...) __attribute__((sentinel));

/* True if @s can be written. XML 1.0 cannot express control characters other than tab and newline,
 * and the writer does not reject them. */
bool xml_writable(const char *s);

#endif
