/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/list.h"
#include "io/dnssec.h"

#include <unbound.h>

struct io_dnssec {
	struct io_loop *loop;
	struct ub_ctx *ub;
	struct io_watch *watch;
	struct list queries; /* for TLSA */
	struct list looks;   /* struct io_dns_look */
};

enum {
	DNS_CLASS_IN = 1,
	DNS_RCODE_NOERROR = 0,
	DNS_RCODE_SERVFAIL = 2,
	DNS_RCODE_NXDOMAIN = 3,
};

void io_dns_look_free(struct io_dns_look *q);
struct io_dns_look *io_dns_look_of(struct list *node);
