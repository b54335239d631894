/* SPDX-License-Identifier: Apache-2.0
 * xml_out.c - writes XML with libxml2. Errors are recorded and reported once, by xml_out_take().
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/strings.h"
#include "vmm/virt/xml_out.h"

static void xml_note(struct xml_out *o, int written)
{
	o->failed |= written < 0;
}

bool xml_out_open(struct xml_out *o)
{
	*o = (struct xml_out){ .buffer = xmlBufferCreate() };
	o->w = o->buffer ? xmlNewTextWriterMemory(o->buffer, 0) : NULL;
	if (!o->w) {
		xmlBufferFree(o->buffer);
		return false;
	}
	(void)xmlTextWriterSetIndent(o->w, 1);
	(void)xmlTextWriterSetIndentString(o->w, (const xmlChar *)"  ");
	(void)xmlTextWriterSetQuoteChar(o->w, '\'');
	return true;
}

char *xml_out_take(struct xml_out *o)
{
	char *copy = NULL;

	xml_note(o, xmlTextWriterEndDocument(o->w));
	xmlFreeTextWriter(o->w);
	if (!o->failed)
		copy = xstrdup((const char *)xmlBufferContent(o->buffer));
	xmlBufferFree(o->buffer);
	return copy;
}

void xml_open_tag(struct xml_out *o, const char *name)
{
	xml_note(o, xmlTextWriterStartElement(o->w, (const xmlChar *)name));
}

void xml_close_tag(struct xml_out *o)
{
	assert(o->w);
	xml_note(o, xmlTextWriterEndElement(o->w));
}

void xml_attr(struct xml_out *o, const char *name, const char *value)
{
	xml_note(o,
		 xmlTextWriterWriteAttribute(o->w, (const xmlChar *)name, (const xmlChar *)value));
}

void xml_attrf(struct xml_out *o, const char *name, const char *fmt, ...)
{
	char value[256];
	va_list ap;

	va_start(ap, fmt);
	o->failed |= vsnprintf(value, sizeof(value), fmt, ap) >= (int)sizeof(value);
	va_end(ap);
	xml_attr(o, name, value);
}

void xml_text(struct xml_out *o, const char *value)
{
	xml_note(o, xmlTextWriterWriteString(o->w, (const xmlChar *)value));
}

void xml_number(struct xml_out *o, unsigned long long value)
{
	char digits[24];

	(void)snprintf(digits, sizeof(digits), "%llu", value);
	xml_text(o, digits);
}

void xml_text_tag(struct xml_out *o, const char *name, const char *value)
{
	xml_note(o, xmlTextWriterWriteElement(o->w, (const xmlChar *)name, (const xmlChar *)value));
}

void xml_empty_tag(struct xml_out *o, const char *name, ...)
{
	const char *key;
	va_list ap;

	xml_open_tag(o, name);
	va_start(ap, name);
	while ((key = va_arg(ap, const char *)))
		xml_attr(o, key, va_arg(ap, const char *));
	va_end(ap);
	xml_close_tag(o);
}

bool xml_writable(const char *s)
{
	for (const unsigned char *p = (const unsigned char *)s; *p; p++)
		if (*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r')
			return false;
	return xmlCheckUTF8((const xmlChar *)s);
}
