/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/flow.h"

struct sv mail_class_name(enum mail_class class)
{
	static const struct sv names[MAIL_CLASS_COUNT] = {
		[MAIL_CLASS_TRANSACTIONAL] = SV_INIT("transactional"),
		[MAIL_CLASS_NORMAL] = SV_INIT("normal"),
		[MAIL_CLASS_BULK] = SV_INIT("bulk"),
	};

	return (unsigned)class < MAIL_CLASS_COUNT ? names[class] : SV("");
}
