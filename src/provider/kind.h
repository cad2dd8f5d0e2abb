/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

/* The kinds of service that carry mail out. */
enum provider_kind {
	PROVIDER_SUBMISSION, /* smtp.office365.com, SMTP AUTH client submission */
	PROVIDER_SMTP,       /* any smarthost */
	PROVIDER_HVE,        /* High Volume Email: internal recipients */
	PROVIDER_CONNECTOR,  /* the tenant's MX, known by certificate or address */
	PROVIDER_DIRECT,     /* the tenant's MX, unknown: our domains to internal recipients */
	PROVIDER_GRAPH,      /* Graph sendMail, over HTTPS */
	PROVIDER_GMAIL,      /* smtp.gmail.com */
	PROVIDER_COUNT,
};

const char *provider_name(enum provider_kind kind); /* "submission", "smtp" */
NODISCARD int provider_parse(struct sv name, enum provider_kind *out_kind);
