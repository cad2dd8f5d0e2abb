/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/zone_text.h"

enum {
	STRING_MAX = 255, /* RFC 1035 3.3 */
};

const char *domain_type_name(uint16_t type)
{
	switch (type) {
	case AUTHN_TXT:
		return "TXT";
	case AUTHN_MX:
		return "MX";
	case AUTHN_CNAME:
		return "CNAME";
	default:
		return "?";
	}
}

static int put_string(struct buf *out, struct sv text)
{
	int rc = buf_append_char(out, '"');

	for (size_t i = 0; rc == 0 && i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c < ' ' || c > '~')
			rc = buf_printf(out, "\\%03u", c);
		else if (c == '"' || c == '\\')
			rc = buf_printf(out, "\\%c", c);
		else
			rc = buf_append_char(out, (char)c);
	}
	return rc == 0 ? buf_append_char(out, '"') : rc;
}

static int put_text(struct buf *out, struct sv text)
{
	int rc = put_string(out, sv_head(text, STRING_MAX));

	for (text = sv_skip(text, STRING_MAX); rc == 0 && text.len;
		text = sv_skip(text, STRING_MAX)) {
		rc = buf_append_char(out, ' ');
		if (rc == 0)
			rc = put_string(out, sv_head(text, STRING_MAX));
	}
	return rc;
}

int domain_zone_record(struct buf *out, struct sv name, const struct domain_value *v)
{
	int rc = buf_printf(
		out, "%.*s. %d IN %s ", SV_ARG(name), DOMAIN_TTL_S, domain_type_name(v->type));

	if (rc == 0 && v->type == AUTHN_TXT)
		rc = put_text(out, v->data);
	else if (rc == 0 && v->type == AUTHN_MX)
		rc = buf_printf(out, "%u %.*s.", v->preference, SV_ARG(v->data));
	else if (rc == 0)
		rc = buf_printf(out, "%.*s.", SV_ARG(v->data));
	return rc == 0 ? buf_append_char(out, '\n') : rc;
}

int domain_plain_data(struct buf *out, const struct domain_value *v)
{
	return v->type == AUTHN_MX ? buf_printf(out, "%u %.*s", v->preference, SV_ARG(v->data))
				   : buf_append(out, v->data);
}
