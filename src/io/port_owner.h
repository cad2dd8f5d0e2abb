/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "io/net.h"

#include <sys/types.h>

/* Who has an address that somebody else wants to listen on: for a message that helps. */
enum {
	IO_OWNER_NAME_MAX = 64,
	IO_OWNER_UNIT_MAX = 256,
};
struct io_port_owner {
	uid_t uid;
	pid_t pid;                    /* 0: not known; only root sees the processes of others */
	char name[IO_OWNER_NAME_MAX]; /* of the process, printable; empty: not known */
	char program[IO_OWNER_NAME_MAX * 4]; /* its command line's first word; empty: not known */
	char unit[IO_OWNER_UNIT_MAX];        /* "postfix@-.service"; empty: none */
};

/*
 * Could a listener be opened at this TCP address now? 0: yes; -EADDRINUSE; -EADDRNOTAVAIL: no interface of
 * this machine has it; other errors as bind() gives them. Nothing stays open. A port below 1024 that this
 * process may not bind is looked up in the kernel's tables instead.
 */
NODISCARD int io_port_try(const struct io_address *address);
/* False: nobody listens there. */
NODISCARD bool io_port_owner(const struct io_address *address, struct io_port_owner *out_owner);
