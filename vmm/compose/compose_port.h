/* SPDX-License-Identifier: Apache-2.0
 * compose_port.h - one entry of a docker compose "ports" list. Pure.
 */
#ifndef TEEPOD_VMM_COMPOSE_COMPOSE_PORT_H
#define TEEPOD_VMM_COMPOSE_COMPOSE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct compose_port {
	bool udp;
	char address[46];   /* IPv4 or IPv6; "" = any */
	uint16_t published; /* 0 = docker picks one */
	uint16_t target;
};

/* Parse an entry in short form: "80", "8080:80", "127.0.0.1:8080:80/udp", "[::1]:53:53",
 * "3000-3005:4000-4005". A range gives one port each. *ret_n: number of ports written, at most
 * @max. False if @text is not such an entry; then *ret_n is untouched. */
bool compose_port_parse(const char *text, struct compose_port *ports, size_t max, size_t *ret_n);

#endif
