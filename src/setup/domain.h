/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/limits.h"
#include "base/sv.h"

/* What people write for a mail domain: contoso.com, erp@contoso.com, https://www.contoso.com/, müller.de. */
struct setup_domain {
	char text[LIMIT_DOMAIN + 1]; /* as mail and DNS have it: "xn--mller-kva.de"; lower case */
	bool was_address, was_url;   /* a part was taken */
	bool was_unicode;            /* IDNA made another name of it */
};
/* False: no domain with a dot is in it. */
NODISCARD bool setup_domain_read(struct sv text, struct setup_domain *out);

/*
 * Is this the sample configuration of a package as it came, comments aside? It names nobody's mailboxes, and
 * counts as none: `init` and `import` replace it without a question.
 */
NODISCARD bool setup_is_sample(struct sv text);
