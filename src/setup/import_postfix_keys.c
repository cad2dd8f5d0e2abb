/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "setup/import_postfix.h"

#include <stdio.h>

/*
 * What nobody has read of main.cf. Nothing is left out without a word: a setting has no meaning for a relay that
 * only sends, or there is something to do about it, or it is told as not carried over.
 */

/* Of Postfix's own machinery, or of mail that is delivered here. A star stands for any text. */
static const char *const idle[] = { "*_directory",
	"*_service_name",
	"*_path",
	"*_time_limit",
	"*_delivery_slot_*",
	"*_minimum_delivery_slots",
	"*_initial_destination_concurrency",
	"*_positive_feedback",
	"*_negative_feedback",
	"*_concurrency_failed_cohort_limit",
	"*_extra_recipient_limit",
	"*_recipient_refill_*",
	"*_reject_code",
	"*_session_cache_database",
	"*_session_cache_timeout",
	"*_loglevel",
	"alias_database",
	"allow_min_user",
	"anvil_*",
	"append_at_myorigin",
	"append_dot_mydomain",
	"berkeley_db_*",
	"biff",
	"bounce_queue_lifetime",
	"bounce_size_limit",
	"compatibility_level",
	"config_directory",
	"daemon_*",
	"debug_peer_*",
	"debugger_command",
	"default_database_type",
	"default_privs",
	"default_process_limit",
	"disable_dns_lookups",
	"disable_vrfy_command",
	"dns_ncache_ttl_fix_enable",
	"empty_address_recipient",
	"enable_long_queue_ids",
	"export_environment",
	"fork_*",
	"hash_queue_*",
	"home_mailbox",
	"html_directory",
	"import_environment",
	"in_flow_delay",
	"ipc_*",
	"line_length_limit",
	"lmtp_*",
	"local_*",
	"mail_name",
	"mail_owner",
	"mail_release_date",
	"mail_version",
	"mailbox_command",
	"mailbox_command_maps",
	"mailbox_delivery_lock",
	"mailbox_size_limit",
	"mailbox_transport",
	"maillog_*",
	"max_idle",
	"max_use",
	"multi_instance_*",
	"nested_header_checks",
	"owner_request_special",
	"parent_domain_matches_subdomains",
	"postscreen_*",
	"proxy_interfaces",
	"proxy_read_maps",
	"proxy_write_maps",
	"proxymap_*",
	"qmgr_*",
	"queue_minfree",
	"queue_run_delay",
	"readme_directory",
	"recipient_delimiter",
	"relay_recipient_maps",
	"resolve_*",
	"rewrite_service_name",
	"setgid_group",
	"show_user_unknown_table_name",
	"smtp_connect_timeout",
	"smtp_connection_*",
	"smtp_data_*",
	"smtp_dns_*",
	"smtp_helo_timeout",
	"smtp_host_lookup",
	"smtp_mail_timeout",
	"smtp_mx_*",
	"smtp_quit_timeout",
	"smtp_randomize_addresses",
	"smtp_rcpt_timeout",
	"smtp_sasl_auth_cache_*",
	"smtp_sasl_auth_soft_bounce",
	"smtp_sasl_path",
	"smtp_sasl_security_options",
	"smtp_sasl_tls_security_options",
	"smtp_sasl_tls_verified_security_options",
	"smtp_sasl_type",
	"smtp_starttls_timeout",
	"smtp_tls_CApath",
	"smtp_tls_block_early_mail_reply",
	"smtp_tls_ciphers",
	"smtp_tls_connection_reuse",
	"smtp_tls_dcert_file",
	"smtp_tls_dkey_file",
	"smtp_tls_exclude_ciphers",
	"smtp_tls_mandatory_*",
	"smtp_tls_note_starttls_offer",
	"smtp_tls_protocols",
	"smtp_tls_scert_verifydepth",
	"smtp_xforward_timeout",
	"smtpd_banner",
	"smtpd_client_*rate*",
	"smtpd_data_restrictions",
	"smtpd_delay_reject",
	"smtpd_discard_ehlo_keyword*",
	"smtpd_error_sleep_time",
	"smtpd_etrn_restrictions",
	"smtpd_forbid_*",
	"smtpd_hard_error_limit",
	"smtpd_helo_required",
	"smtpd_junk_command_limit",
	"smtpd_log_access_permit_actions",
	"smtpd_peername_lookup",
	"smtpd_policy_service_*",
	"smtpd_proxy_timeout",
	"smtpd_sasl_authenticated_header",
	"smtpd_sasl_exceptions_networks",
	"smtpd_sasl_local_domain",
	"smtpd_sasl_path",
	"smtpd_sasl_security_options",
	"smtpd_sasl_tls_security_options",
	"smtpd_sasl_type",
	"smtpd_soft_error_limit",
	"smtpd_starttls_timeout",
	"smtpd_tls_CAfile",
	"smtpd_tls_CApath",
	"smtpd_tls_always_issue_session_ids",
	"smtpd_tls_auth_only",
	"smtpd_tls_ciphers",
	"smtpd_tls_dcert_file",
	"smtpd_tls_dh*",
	"smtpd_tls_dkey_file",
	"smtpd_tls_eecdh_grade",
	"smtpd_tls_exclude_ciphers",
	"smtpd_tls_mandatory_*",
	"smtpd_tls_protocols",
	"smtpd_tls_received_header",
	"smtpd_timeout",
	"smtputf8_*",
	"stale_lock_time",
	"strict_*",
	"swap_bangpath",
	"syslog_*",
	"tls_*",
	"tlsmgr_*",
	"tlsproxy_*",
	"trigger_timeout",
	"undisclosed_recipients_header",
	"unverified_*",
	"verp_*",
	"virtual_gid_maps",
	"virtual_mailbox_base",
	"virtual_mailbox_limit",
	"virtual_minimum_uid",
	"virtual_uid_maps" };

/* What to do instead. */
static const struct {
	const char *name, *say;
} told[] = {
	{ "smtp_helo_name", "the relay has one name, hostname" },
	{ "content_filter",
		"mail is not passed through a filter: put the filter in front of postern" },
	{ "smtpd_proxy_filter",
		"mail is not passed through a filter: put the filter in front of postern" },
	{ "*milters", "there are no milters (DKIM is signed by Microsoft 365)" },
	{ "milter_*", "there are no milters (DKIM is signed by Microsoft 365)" },
	{ "always_bcc", "no copies are made: use a mail flow rule of Exchange Online" },
	{ "sender_bcc_maps", "no copies are made: use a mail flow rule of Exchange Online" },
	{ "recipient_bcc_maps", "no copies are made: use a mail flow rule of Exchange Online" },
	{ "body_checks", "bodies are never changed" },
	{ "smtp_body_checks", "bodies are never changed" },
	{ "mime_header_checks", "only From is changed, by rewrite_from" },
	{ "smtp_mime_header_checks", "only From is changed, by rewrite_from" },
	{ "smtp_nested_header_checks", "only From is changed, by rewrite_from" },
	{ "virtual_mailbox_domains", "postern has no mailboxes of its own: keep Postfix for them" },
	{ "virtual_mailbox_maps", "postern has no mailboxes of its own: keep Postfix for them" },
	{ "virtual_alias_domains", "postern takes no mail for domains from outside" },
	{ "virtual_transport", "postern has no mailboxes of its own: keep Postfix for them" },
	{ "relay_domains",
		"mail of others for these domains is not taken: only senders in "
		"no_password_from, devices and users may send" },
	{ "relay_transport", "the servers of recipients' domains are routes with recipient" },
	{ "luser_relay", "mail to unknown local names leaves like all other mail" },
	{ "notify_classes", "who hears of faults is written under alerts" },
	{ "*_notice_recipient", "who hears of faults is written under alerts" },
	{ "smtpd_sender_login_maps", "who may send as whom is written as senders of each user" },
	{ "smtp_tls_policy_maps", "TLS is set with tls: at each connector" },
	{ "smtp_tls_per_site", "TLS is set with tls: at each connector" },
	{ "smtp_tls_fingerprint_*", "servers are known by their certificate's name or by DANE" },
	{ "smtpd_tls_ask_ccert",
		"clients are known by their address or as users, not by certificates" },
	{ "smtpd_tls_req_ccert",
		"clients are known by their address or as users, not by certificates" },
	{ "relay_clientcerts",
		"clients are known by their address or as users, not by certificates" },
	{ "header_size_limit", "headers may have 256 KB" },
	{ "soft_bounce", "postern never bounces for faults of its own set-up, and parks instead" },
	{ "defer_transports", "to hold mail: postern queue hold" },
	{ "local_header_rewrite_clients",
		"names in headers are completed in mail of this machine only" },
	{ "remote_header_rewrite_domain",
		"names in headers are completed in mail of this machine only" },
	{ "masquerade_*", "write a route with the sender's pattern and rewrite_from" },
};

static bool is_listed(struct sv name)
{
	for (size_t i = 0; i < COUNT_OF(idle); i++)
		if (sv_matches_nocase(sv_from(idle[i]), name))
			return true;
	return false;
}

static void note_setting(struct postfix *p, const struct postfix_setting *s, struct sv file)
{
	const struct import_place at = { file, s->line };
	struct sv name = sv_head(s->name, 100);

	for (size_t i = 0; i < COUNT_OF(told); i++)
		if (sv_matches_nocase(sv_from(told[i].name), s->name)) {
			import_note(
				p->im, SETUP_NOTE_LOST, at, "%.*s: %s", SV_ARG(name), told[i].say);
			return;
		}
	if (is_listed(s->name) || !s->value.len)
		import_note(p->im, SETUP_NOTE_IDLE, at, "%.*s", SV_ARG(name));
	else
		import_note(p->im, SETUP_NOTE_LOST, at, "%.*s", SV_ARG(name));
}

/* Restrictions that are more than who may send. */
static void note_restrictions(struct postfix *p, const struct postfix_service *s)
{
	static const char *const lists[] = { "smtpd_client_restrictions",
		"smtpd_helo_restrictions",
		"smtpd_sender_restrictions",
		"smtpd_relay_restrictions",
		"smtpd_recipient_restrictions",
		"smtpd_end_of_data_restrictions" };
	static const char *const plain[] = { "permit",
		"permit_mynetworks",
		"permit_sasl_authenticated",
		"permit_tls_clientcerts",
		"permit_inet_interfaces",
		"permit_auth_destination",
		"reject",
		"defer",
		"defer_if_permit",
		"reject_unauth_destination",
		"defer_unauth_destination",
		"reject_unauth_pipelining",
		"reject_non_fqdn_recipient",
		"reject_non_fqdn_sender",
		"reject_non_fqdn_helo_hostname",
		"reject_invalid_helo_hostname",
		"reject_unlisted_recipient",
		"reject_unknown_recipient_domain",
		"reject_unknown_sender_domain" };

	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		struct sv list = postfix_get(p, s, lists[i]), item;

		while (postfix_item(&list, &item)) {
			bool known = false;

			for (size_t k = 0; k < COUNT_OF(plain); k++)
				known = known || sv_eq(item, sv_from(plain[k]));
			if (!known && sv_find_char(item, ':') < 0)
				import_note(p->im,
					SETUP_NOTE_LOST,
					postfix_at(p, s, lists[i]),
					"%s: %.*s: who may send is written as no_password_from, "
					"devices "
					"and users",
					lists[i],
					SV_ARG(sv_head(item, 60)));
		}
	}
}

static bool is_read_of_services(const struct postfix_setting *s)
{
	/* Read, or only for logs. */
	return s->used || sv_starts(s->name, SV("syslog_")) || is_listed(s->name);
}

void postfix_note_rest(struct postfix *p)
{
	note_restrictions(p, NULL);
	for (size_t i = 0; i < p->service_count; i++) {
		const struct postfix_service *s = &p->services[i];

		if (sv_eq(s->type, SV("inet")))
			note_restrictions(p, s);
		for (size_t k = 0; k < s->override_count; k++)
			if (!is_read_of_services(&s->overrides[k]))
				note_setting(p, &s->overrides[k], SV("master.cf"));
	}
	for (size_t i = 0; i < p->setting_count; i++)
		if (!p->settings[i].used)
			note_setting(p, &p->settings[i], p->from->file);
}
