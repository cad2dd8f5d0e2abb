/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

/*
 * The targets of Microsoft's two selectors in what an administrator pastes: the output of `Get-DkimSigningConfig | fl`, its JSON, or
 * that of Exchange's admin endpoint. Everything is looked for by name ("Selector1CNAME"), whatever stands around it. Of the output
 * for several domains, the part behind the domain's own name counts. Views of `text`.
 *
 * 0; RC_NOT_FOUND: not there; RC_PARSE: what is there leads to no place for keys, or the output is of several other domains.
 */
NODISCARD int domain_dkim_targets(struct sv text, struct sv domain, struct sv out_targets[2]);
