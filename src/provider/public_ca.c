/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/public_ca.h"

/*
 * Beginnings of the names of issuing and root CAs. Microsoft 365: "Azure Certificate Authority details" and
 * "Microsoft 365 encryption chains" of learn.microsoft.com; the rest: owners of roots in Mozilla's programme
 * (ccadb.org), by the names that their issuing CAs have. Read on 2026-11-30.
 */
static const struct sv names[] = {
	SV_INIT("DigiCert"),
	SV_INIT("Microsoft Azure"),
	SV_INIT("Microsoft TLS"),
	SV_INIT("Microsoft RSA"),
	SV_INIT("Microsoft ECC"),
	SV_INIT("Microsoft IT TLS"),
	SV_INIT("Baltimore CyberTrust"),
	SV_INIT("GeoTrust"),
	SV_INIT("RapidSSL"),
	SV_INIT("Thawte"),
	SV_INIT("GlobalSign"),
	SV_INIT("Sectigo"),
	SV_INIT("COMODO"),
	SV_INIT("USERTrust"),
	SV_INIT("AAA Certificate Services"),
	SV_INIT("Entrust"),
	SV_INIT("Let's Encrypt"),
	SV_INIT("ISRG Root"),
	SV_INIT("GTS "),
	SV_INIT("Amazon RSA"),
	SV_INIT("Amazon ECDSA"),
	SV_INIT("Amazon Root CA"),
	SV_INIT("Go Daddy"),
	SV_INIT("Starfield"),
	SV_INIT("IdenTrust"),
	SV_INIT("TrustID"),
	SV_INIT("QuoVadis"),
	SV_INIT("SwissSign"),
	SV_INIT("T-TeleSec"),
	SV_INIT("Telekom Security"),
	SV_INIT("D-TRUST"),
	SV_INIT("Buypass"),
	SV_INIT("Certum"),
	SV_INIT("Actalis"),
	SV_INIT("HARICA"),
	SV_INIT("SSL.com"),
	SV_INIT("ZeroSSL"),
	SV_INIT("GEANT"),
	SV_INIT("Gandi"),
};

/* Let's Encrypt and Google number theirs: R10, E5, WR2, WE1. */
static bool is_numbered(struct sv name)
{
	static const struct sv letters[] = { SV_INIT("R"),
		SV_INIT("E"),
		SV_INIT("YR"),
		SV_INIT("YE"),
		SV_INIT("WR"),
		SV_INIT("WE") };

	for (size_t i = 0; i < COUNT_OF(letters); i++) {
		struct sv rest = sv_skip(name, letters[i].len);
		uint32_t number;

		if (sv_starts(name, letters[i]) && rest.len <= 2 &&
			sv_parse_u32(rest, 99, &number) == 0)
			return true;
	}
	return false;
}

bool provider_is_public_ca(struct sv issuer)
{
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (sv_starts_nocase(issuer, names[i]))
			return true;
	return is_numbered(issuer);
}
