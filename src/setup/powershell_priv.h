/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "setup/powershell.h"

/*
 * Templates. Names stand between << and >>: <<subject>>, <<trustee>>, <<client>>, <<tenant>>,
 * <<certificate>>, <<address>>, <<api>> are quoted; with a # in front they are text for a comment.
 */
extern const char setup_ps_head[], setup_ps_foot[];
extern const char setup_ps_tenant[]; /* of each tenant */
extern const char setup_ps_graph[];  /* signs in at Graph; only where the tenant has an app */
const char *setup_ps_template(const struct setup_step *s);
