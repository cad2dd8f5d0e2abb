/* SPDX-License-Identifier: Apache-2.0 */
#include "setup/domain.h"

#include "setup/config.h"

#include <idn2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_ascii(struct sv text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] >= 0x80)
			return false;
	return true;
}

/* "https://user@host:port/path" -> "host", without the "www." that no mail has. */
static struct sv host_of(struct sv text, bool *out_was_url)
{
	ptrdiff_t scheme = sv_find(text, SV("://"));
	struct sv host = text, before = text;

	if (scheme >= 0)
		host = sv_skip(text, (size_t)scheme + 3);
	(void)sv_cut_char(&host, '/', &before);
	host = before;
	if (scheme >= 0)
		host = sv_skip(host, (size_t)(sv_rfind_char(host, '@') + 1));
	(void)sv_cut_char(&host, '?', &before);
	host = before;
	if (scheme >= 0 || before.len != text.len)
		(void)sv_cut_char(&host, ':', &before);
	host = before;
	if (sv_starts_nocase(host, SV("www.")) && sv_find_char(sv_skip(host, 4), '.') >= 0)
		host = sv_skip(host, 4);
	*out_was_url = host.len != text.len;
	return host;
}

/* "Anna <erp@contoso.com>", "mailto:erp@contoso.com", "@contoso.com" */
static struct sv domain_of_address(struct sv text, bool *out_was_address)
{
	ptrdiff_t at = sv_rfind_char(text, '@');

	*out_was_address = at >= 0;
	text = sv_skip(text, (size_t)(at + 1));
	if (text.len && text.ptr[text.len - 1] == '>')
		text.len--;
	return text;
}

/* IDNA 2008 with the mapping of UTS 46, as browsers and registries have it. */
static bool to_ascii(struct sv domain, struct setup_domain *out)
{
	char *in = sv_dup(domain), *made = NULL;
	struct sv unused;
	bool ok = domain.len <= LIMIT_DOMAIN &&
		  idn2_to_ascii_8z(in, &made, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK &&
		  setup_domain(sv_from(made), out->text, &unused);

	out->was_unicode = true;
	free(in);
	idn2_free(made);
	return ok;
}

bool setup_domain_read(struct sv text, struct setup_domain *out)
{
	struct sv domain, unused;

	*out = (struct setup_domain){ 0 };
	domain = sv_trim(text);
	domain = sv_find(domain, SV("://")) < 0 && sv_find_char(domain, '@') >= 0
			 ? domain_of_address(domain, &out->was_address)
			 : host_of(domain, &out->was_url);
	if (domain.len && domain.ptr[domain.len - 1] == '.')
		domain.len--;
	return is_ascii(domain) ? setup_domain(domain, out->text, &unused) : to_ascii(domain, out);
}

/* ---- the sample ---- */

/* Comments and empty lines aside, which differ from version to version; a row each version. */
static const struct sv samples[] = {
	SV_INIT("data_dir: /var/lib/postern\n"
		"hostname: relay.example.com\n"
		"qualify: example.com\n"
		"aliases: { root: it@example.com }\n"
		"listeners:\n"
		"  - address: 127.0.0.1:25\n"
		"    no_password_from: [127.0.0.0/8]\n"
		"connectors:\n"
		"  - { name: nowhere, provider: smtp, host: localhost, port: 2525 }\n"
		"routes:\n"
		"  - { through: nowhere }\n"),
};

/* Without its comment and the blanks before it. No value of a sample has a # in it. */
static struct sv bare(struct sv line)
{
	struct sv text;

	(void)sv_cut_char(&line, '#', &text);
	while (text.len && strchr(" \t\r", text.ptr[text.len - 1]))
		text.len--;
	return text;
}

static bool is_like(struct sv text, struct sv sample)
{
	struct sv line, wanted = SV("");

	while (text.len) {
		(void)sv_cut_char(&text, '\n', &line);
		line = bare(line);
		if (!line.len)
			continue;
		(void)sv_cut_char(&sample, '\n', &wanted);
		if (!sv_eq(line, wanted))
			return false;
	}
	return sample.len == 0;
}

bool setup_is_sample(struct sv text)
{
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		if (is_like(text, samples[i]))
			return true;
	return false;
}
