/* SPDX-License-Identifier: Apache-2.0
 * compose_lint.c - checks docker compose text before a CVM is made for it.
 *
 * The text itself is hashed and measured, so nothing is ever written back.
 *
 * What must hold: hostile text costs bounded time and memory. Anchors and aliases are refused
 * because nine levels of them expand to a billion nodes. Tags are refused because they request
 * other types. Scalars stay text (compose is YAML 1.2: "on" and 22:22 are strings); only a plain
 * empty scalar, ~ and null are null. Entries of "ports": compose_port.c.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/json.h"
#include "base/own.h"
#include "vmm/compose/compose_lint.h"

/* A scalar takes about 2 us. Each event is a scalar, or the start or end of a mapping or sequence.
 */
enum { TAG_DIRECTIVES_MAX = 16, EVENTS_MAX = 16384 };

#define FIELD_PATH "compose_file.docker_compose_file"

struct lint {
	yaml_parser_t parser;
	unsigned events;
	struct err *e;
};

static int lint_fault(struct lint *l, yaml_mark_t at, const char *what)
{
	return err_field(l->e, ERR_COMPOSE_INVALID, FIELD_PATH, NULL, "%zu:%zu: %s", at.line + 1,
			 at.column + 1, what);
}

static void own_yaml_event(yaml_event_t *ev)
{
	yaml_event_delete(ev);
}
#define auto_event __attribute__((cleanup(own_yaml_event)))

static int lint_next(struct lint *l, yaml_event_t *ev)
{
	const char *problem;

	if (yaml_parser_parse(&l->parser, ev))
		return ++l->events <= EVENTS_MAX
			       ? 0
			       : lint_fault(l, ev->start_mark,
					    "more than 16384 scalars, mappings and sequences");
	memset(ev, 0, sizeof(*ev));
	problem = l->parser.problem ? l->parser.problem : "not YAML";
	/* If the encoding is invalid, only the byte offset is known, not the line. */
	if (l->parser.error == YAML_READER_ERROR)
		return err_field(l->e, ERR_COMPOSE_INVALID, FIELD_PATH, NULL, "byte %zu: %s",
				 l->parser.problem_offset, problem);
	return lint_fault(l, l->parser.problem_mark, problem);
}

static int lint_refuse_extras(struct lint *l, const yaml_event_t *ev, const yaml_char_t *anchor,
			      const yaml_char_t *tag)
{
	if (anchor)
		return lint_fault(l, ev->start_mark, "anchors (&) are not accepted");
	if (tag)
		return lint_fault(l, ev->start_mark, "tags (!) are not accepted");
	return 0;
}

static json_t *lint_scalar(const yaml_event_t *ev)
{
	const char *text = (const char *)ev->data.scalar.value;

	if (ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	    (!*text || !strcmp(text, "~") || !strcasecmp(text, "null")))
		return json_null();
	return json_stringn(text, ev->data.scalar.length);
}

static json_t *lint_node(struct lint *l, const yaml_event_t *ev, unsigned depth);

static json_t *lint_sequence(struct lint *l, unsigned depth)
{
	auto_json json_t *v = json_array();

	for (;;) {
		auto_event yaml_event_t ev = { 0 };
		json_t *item;

		if (lint_next(l, &ev) < 0)
			return NULL;
		if (ev.type == YAML_SEQUENCE_END_EVENT)
			return take_ptr(&v);
		item = lint_node(l, &ev, depth + 1);
		if (!item)
			return NULL;
		json_array_append_new(v, item);
	}
}

static int lint_key(struct lint *l, const json_t *map, const yaml_event_t *ev)
{
	const char *text = (const char *)ev->data.scalar.value;

	if (ev->type == YAML_ALIAS_EVENT)
		return lint_fault(l, ev->start_mark, "aliases (*) are not accepted");
	if (ev->type != YAML_SCALAR_EVENT)
		return lint_fault(l, ev->start_mark,
				  "a key is a mapping or a sequence, expected a scalar");
	if (lint_refuse_extras(l, ev, ev->data.scalar.anchor, ev->data.scalar.tag) < 0)
		return -1;
	if (strlen(text) != ev->data.scalar.length)
		return lint_fault(l, ev->start_mark, "a key contains a NUL character");
	if (json_object_get(map, text))
		return lint_fault(l, ev->start_mark, "duplicate key");
	return 0;
}

static json_t *lint_mapping(struct lint *l, unsigned depth)
{
	auto_json json_t *map = json_object();

	for (;;) {
		auto_event yaml_event_t key = { 0 }, value = { 0 };
		json_t *v;

		if (lint_next(l, &key) < 0)
			return NULL;
		if (key.type == YAML_MAPPING_END_EVENT)
			return take_ptr(&map);
		if (lint_key(l, map, &key) < 0 || lint_next(l, &value) < 0)
			return NULL;
		v = lint_node(l, &value, depth + 1);
		if (!v)
			return NULL;
		if (json_object_set_new(map, (const char *)key.data.scalar.value, v) < 0) {
			lint_fault(l, key.start_mark, "the key is not text");
			return NULL;
		}
	}
}

static json_t *lint_node(struct lint *l, const yaml_event_t *ev, unsigned depth)
{
	json_t *v = NULL;

	assert(depth);
	if (depth > COMPOSE_DEPTH_MAX) {
		lint_fault(l, ev->start_mark, "nested deeper than 32 levels");
		return NULL;
	}
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		if (lint_refuse_extras(l, ev, ev->data.scalar.anchor, ev->data.scalar.tag) < 0)
			return NULL;
		v = lint_scalar(ev);
		if (!v)
			lint_fault(l, ev->start_mark, "not text");
		return v;
	case YAML_SEQUENCE_START_EVENT:
		if (lint_refuse_extras(l, ev, ev->data.sequence_start.anchor,
				       ev->data.sequence_start.tag) < 0)
			return NULL;
		return lint_sequence(l, depth);
	case YAML_MAPPING_START_EVENT:
		if (lint_refuse_extras(l, ev, ev->data.mapping_start.anchor,
				       ev->data.mapping_start.tag) < 0)
			return NULL;
		return lint_mapping(l, depth);
	case YAML_ALIAS_EVENT:
		lint_fault(l, ev->start_mark, "aliases (*) are not accepted");
		return NULL;
	default:
		lint_fault(l, ev->start_mark, "expected a value");
		return NULL;
	}
}

/* Read one event, which must be of type @type; @what is the error otherwise. */
static int lint_expect(struct lint *l, yaml_event_type_t type, const char *what)
{
	auto_event yaml_event_t ev = { 0 };

	if (lint_next(l, &ev) < 0)
		return -1;
	return ev.type == type ? 0 : lint_fault(l, ev.start_mark, what);
}

static json_t *lint_document(struct lint *l)
{
	static const char no_document[] = "empty, expected a mapping with services";
	auto_event yaml_event_t root = { 0 };
	auto_json json_t *j = NULL;

	if (lint_expect(l, YAML_STREAM_START_EVENT, no_document) < 0 ||
	    lint_expect(l, YAML_DOCUMENT_START_EVENT, no_document) < 0 || lint_next(l, &root) < 0)
		return NULL;
	if (root.type != YAML_MAPPING_START_EVENT) {
		lint_fault(l, root.start_mark, "expected a mapping with services");
		return NULL;
	}
	j = lint_node(l, &root, 1);
	if (!j || lint_expect(l, YAML_DOCUMENT_END_EVENT, "expected the end of the document") < 0 ||
	    lint_expect(l, YAML_STREAM_END_EVENT, "a second YAML document, expected one") < 0)
		return NULL;
	return take_ptr(&j);
}

/* ------------------------------------------------------------------ ports */

struct collected {
	struct compose_port *v;
	size_t n, max;
};

static int lint_port_fault(struct err *e, const char *service, const char *value, const char *what)
{
	return err_field(e, ERR_COMPOSE_INVALID, FIELD_PATH, value, "services.%.80s.ports: %s",
			 service, what);
}

static int collect_port_text(struct collected *c, const char *service, const char *text,
			     struct err *e)
{
	struct compose_port none;
	size_t got = 0;

	assert(c->n <= c->max);
	if (strchr(text, '$'))
		return 0;
	if (!compose_port_parse(text, c->max > c->n ? c->v + c->n : &none, c->max - c->n, &got))
		return lint_port_fault(
			e, service, text,
			"expected [[address:]published:]target[/protocol], ports 1 to 65535");
	c->n += got;
	return 0;
}

/* The long form is written as the short form, so that one place checks both. */
static int collect_port_object(struct collected *c, const char *service, const json_t *j,
			       struct err *e)
{
	const char *target = json_string_value(json_object_get(j, "target"));
	const char *published = json_string_value(json_object_get(j, "published"));
	const char *protocol = json_string_value(json_object_get(j, "protocol"));
	const char *address = json_string_value(json_object_get(j, "host_ip"));
	char text[128];
	int n;

	if (!target)
		return lint_port_fault(e, service, NULL, "an entry has no target");
	n = snprintf(text, sizeof(text), "%s%s%s%s%s/%s", address ? address : "",
		     address ? ":" : "", published ? published : "",
		     published || address ? ":" : "", target, protocol ? protocol : "tcp");
	if (n < 0 || (size_t)n >= sizeof(text))
		return lint_port_fault(e, service, target, "an entry is too long");
	return collect_port_text(c, service, text, e);
}

static int collect_service_ports(struct collected *c, const char *name, const json_t *service,
				 struct err *e)
{
	const json_t *ports = json_object_get(service, "ports");
	size_t i;
	json_t *v;

	if (!json_is_object(service) && !json_is_null(service))
		return err_field(e, ERR_COMPOSE_INVALID, FIELD_PATH, NULL,
				 "services.%.80s: expected a mapping", name);
	if (!ports || json_is_null(ports))
		return 0;
	if (!json_is_array(ports))
		return lint_port_fault(e, name, NULL, "expected a list");
	json_array_foreach(ports, i, v)
	{
		int r = json_is_object(v) ? collect_port_object(c, name, v, e)
			: json_is_string(v)
				? collect_port_text(c, name, json_string_value(v), e)
				: lint_port_fault(e, name, NULL,
						  "an entry is neither text nor a mapping");

		if (r < 0)
			return r;
	}
	return 0;
}

static int lint_services(const json_t *doc, struct collected *c, struct err *e)
{
	json_t *services = json_object_get(doc, "services"), *v;
	const char *name;

	if (!json_is_object(services) || !json_object_size(services))
		return err_field(
			e, ERR_COMPOSE_INVALID, FIELD_PATH, NULL, "%s",
			services ? "services is empty or no mapping, expected at least one service"
				 : "services is missing, expected a mapping with at least one "
				   "service");
	json_object_foreach(services, name,
			    v) if (collect_service_ports(c, name, v, e) < 0) return -(int)e->code;
	return 0;
}

/* libyaml compares each %TAG directive with all before it: 256 KiB of them take half a second. No
 * valid text has any, because tags are refused. */
static bool has_many_tag_directives(const char *text, size_t len)
{
	/* last bytes of the line breaks of YAML 1.1: LF, CR, NEL, LS, PS */
	static const char breaks[] = "\n\r\x85\xa8\xa9";
	static const char directive[] = "%TAG";
	const char *p = text;
	unsigned n = 0;

	while (n <= TAG_DIRECTIVES_MAX &&
	       (p = memmem(p, len - (size_t)(p - text), directive, sizeof(directive) - 1))) {
		n += p == text || strchr(breaks, p[-1]);
		p++;
	}
	return n > TAG_DIRECTIVES_MAX;
}

int compose_lint(const char *text, size_t len, struct compose_port *ports, size_t max,
		 size_t *ret_n, struct err *e)
{
	struct lint l = { .e = e };
	struct collected c = { .v = ports, .max = max };
	auto_json json_t *doc = NULL;

	assert(ports || !max);
	if (len > COMPOSE_LINT_MAX)
		return err_field(e, ERR_COMPOSE_INVALID, FIELD_PATH, NULL,
				 "%zu bytes, at most %d are accepted", len, COMPOSE_LINT_MAX);
	if (has_many_tag_directives(text, len))
		return err_field(
			e, ERR_COMPOSE_INVALID, FIELD_PATH, NULL,
			"tags (!) are not accepted, and there are more than %d %%TAG directives",
			TAG_DIRECTIVES_MAX);
	if (!yaml_parser_initialize(&l.parser))
		abort();
	yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l.parser, (const unsigned char *)text, len);
	doc = lint_document(&l);
	yaml_parser_delete(&l.parser);
	if (!doc || lint_services(doc, &c, e) < 0)
		return -(int)e->code;
	if (ret_n)
		*ret_n = c.n;
	return 0;
}
