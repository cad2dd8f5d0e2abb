/* SPDX-License-Identifier: Apache-2.0 */
#include "provider/http_priv.h"

#include "cmocka_all.h"

#define TO(k, s, n) VERDICT_##k, VERDICT_SCOPE_##s, VERDICT_NATURE_##n
#define TRACE                                                                                      \
	" Trace ID: 0000aaaa-11bb-cccc-dd22-eeeeee333333 Correlation ID: aaaa0000-bb11-2222-33cc-" \
	"444444dddddd Timestamp: 2026-11-25 10:00:00Z"

struct row {
	unsigned status;
	const char *error, *description;
	enum verdict_kind kind;
	enum verdict_scope scope;
	enum verdict_nature nature;
	const char *cause;
	const char *says; /* a piece of the summary that must be there; NULL: any */
};

#define APP TO(PARK, TENANT, AUTHENTICATION)
#define USER TO(PARK, MAILBOX, AUTHENTICATION)

static const struct row token_rows[] = {
	/* the app */
	{ 401,
		"invalid_client",
		"AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in "
		"the "
		"request is the client secret value, not the client secret ID, for a secret added "
		"to "
		"app 'x'." TRACE,
		APP,
		"app-secret-wrong",
		"id of the secret" },
	{ 401,
		"invalid_client",
		"AADSTS7000222: The provided client secret keys for app 'x' are expired." TRACE,
		APP,
		"app-secret-expired",
		NULL },
	{ 400,
		"unauthorized_client",
		"AADSTS700016: Application with identifier 'x' was not found in the directory 'y'.",
		APP,
		"app-not-in-tenant",
		"client_id" },
	{ 400,
		"invalid_request",
		"AADSTS90002: Tenant 'x' not found.",
		APP,
		"tenant-not-found",
		NULL },
	{ 400,
		"invalid_request",
		"AADSTS900023: Specified tenant identifier 'x' is neither a valid DNS name, nor a "
		"valid external domain.",
		APP,
		"tenant-id-invalid",
		NULL },
	{ 401,
		"invalid_client",
		"AADSTS700027: The certificate with identifier used to sign the client assertion "
		"is "
		"not registered on application.",
		APP,
		"app-certificate-wrong",
		NULL },
	{ 401,
		"invalid_client",
		"AADSTS700024: Client assertion is not within its valid time range.",
		APP,
		"clock-wrong",
		NULL },
	{ 401,
		"invalid_client",
		"AADSTS7000218: The request body must contain the following parameter: "
		"'client_assertion' or 'client_secret'.",
		APP,
		"app-secret-missing",
		"public client flows" },
	{ 400,
		"unauthorized_client",
		"AADSTS7000112: Application 'x'(y) is disabled.",
		APP,
		"app-disabled",
		NULL },
	{ 400,
		"invalid_resource",
		"AADSTS500011: The resource principal named x was not found",
		APP,
		"resource-not-in-tenant",
		NULL },
	{ 400,
		"invalid_resource",
		"AADSTS50001: The resource is disabled",
		APP,
		"resource-not-in-tenant",
		NULL },
	{ 400,
		"invalid_scope",
		"AADSTS70011: The provided value for the input parameter 'scope'",
		APP,
		"scope-invalid",
		NULL },
	{ 400,
		"invalid_scope",
		"AADSTS1002012: The provided value for scope x is not valid.",
		APP,
		"scope-invalid",
		"/.default" },
	{ 400,
		"invalid_grant",
		"AADSTS50196: The server terminated an operation because it "
		"encountered a client request loop.",
		TO(RETRY, TENANT, QUOTA),
		"too-many-token-requests",
		NULL },
	{ 503,
		"temporarily_unavailable",
		"AADSTS90033: A transient error has occurred. Please try "
		"again.",
		TO(RETRY, TENANT, OUTAGE),
		"token-service-down",
		NULL },
	{ 400,
		"server_error",
		"AADSTS90006: x",
		TO(RETRY, TENANT, OUTAGE),
		"token-service-down",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS90024: x",
		TO(RETRY, TENANT, OUTAGE),
		"token-service-down",
		NULL },
	{ 401, "invalid_client", "The OAuth client was not found.", APP, "app-refused", NULL },
	{ 401,
		"unauthorized_client",
		"Client is unauthorized to retrieve access tokens using this method",
		APP,
		"google-not-delegated",
		"delegation" },
	{ 400, "invalid_scope", "", APP, "scope-invalid", NULL },
	{ 400, "invalid_resource", "", APP, "resource-not-in-tenant", NULL },
	{ 400, "unsupported_grant_type", "", APP, "flow-not-supported", NULL },
	{ 400,
		"invalid_request",
		"AADSTS900144: The request body must contain",
		APP,
		"request-incomplete",
		NULL },
	{ 400,
		"temporarily_unavailable",
		"",
		TO(RETRY, TENANT, OUTAGE),
		"token-service-down",
		NULL },
	{ 500, "server_error", "", TO(RETRY, TENANT, OUTAGE), "token-service-down", NULL },
	{ 400, "slow_down", "", TO(RETRY, TENANT, QUOTA), "too-many-token-requests", NULL },
	{ 404, "", "", APP, "tenant-not-found", NULL },
	{ 407, "", "", TO(PARK, TENANT, OUTAGE), "proxy-refuses", "proxy" },
	{ 408, "", "", TO(RETRY, TENANT, OUTAGE), "token-service-down", NULL },
	{ 429, "", "", TO(RETRY, TENANT, QUOTA), "too-many-token-requests", NULL },
	{ 503, "", "<html>", TO(RETRY, TENANT, OUTAGE), "token-service-down", NULL },
	{ 400,
		"invalid_grant",
		"AADSTS7000229: x",
		TO(PARK, TENANT, AUTHENTICATION),
		"app-not-in-tenant",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS50059: x",
		TO(PARK, TENANT, AUTHENTICATION),
		"tenant-id-invalid",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS50128: x",
		TO(PARK, TENANT, AUTHENTICATION),
		"tenant-id-invalid",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS50194: x",
		TO(PARK, TENANT, AUTHENTICATION),
		"tenant-id-invalid",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS900382: x",
		TO(PARK, TENANT, AUTHENTICATION),
		"cloud-wrong",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS900439: x",
		TO(PARK, TENANT, AUTHENTICATION),
		"cloud-wrong",
		NULL },
	{ 400, "deleted_client", "", TO(PARK, TENANT, AUTHENTICATION), "app-disabled", NULL },
	{ 400, "disabled_client", "", TO(PARK, TENANT, AUTHENTICATION), "app-disabled", NULL },
	/* the person */
	{ 400,
		"invalid_grant",
		"AADSTS700082: The refresh token has expired due to inactivity." TRACE,
		USER,
		"login-expired",
		"postern login" },
	{ 400,
		"invalid_grant",
		"AADSTS700084: The refresh token was issued to a single page app",
		USER,
		"login-expired",
		"public client" },
	{ 400,
		"invalid_grant",
		"AADSTS70008: The provided authorization code or refresh token has "
		"expired",
		USER,
		"login-expired",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS70043: The refresh token has expired or is invalid due to "
		"sign-in frequency checks by conditional access.",
		USER,
		"login-expired",
		"conditional access" },
	{ 400,
		"invalid_grant",
		"AADSTS50173: The provided grant has expired due to it being "
		"revoked",
		USER,
		"login-revoked",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS50076: Due to a configuration change made by your "
		"administrator, you must use multi-factor authentication",
		USER,
		"mfa-needed",
		NULL },
	{ 400, "interaction_required", "AADSTS50079: x", USER, "mfa-needed", "enrol" },
	{ 400,
		"interaction_required",
		"AADSTS50158: External security challenge not satisfied.",
		USER,
		"mfa-needed",
		NULL },
	{ 400,
		"interaction_required",
		"AADSTS53003: Access has been blocked by Conditional Access "
		"policies.",
		USER,
		"conditional-access",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS65001: The user or administrator has not consented",
		USER,
		"consent-missing",
		"admin consent" },
	{ 400, "invalid_grant", "AADSTS50105: x", USER, "user-not-assigned", NULL },
	{ 400,
		"invalid_grant",
		"AADSTS50034: The user account x does not exist",
		USER,
		"user-not-found",
		NULL },
	{ 400, "invalid_grant", "AADSTS50020: x", USER, "user-not-found", "another tenant" },
	{ 400,
		"invalid_grant",
		"AADSTS50053: The account is locked",
		USER,
		"account-locked",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS50055: The password is expired.",
		USER,
		"password-expired",
		NULL },
	{ 400, "invalid_grant", "AADSTS50056: x", USER, "account-without-password", NULL },
	{ 400,
		"invalid_grant",
		"AADSTS50057: The user account is disabled.",
		USER,
		"user-disabled",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS50126: Error validating credentials",
		USER,
		"wrong-credentials",
		NULL },
	{ 400, "invalid_grant", "Token has been expired or revoked.", USER, "login-expired", NULL },
	{ 400, "interaction_required", "", USER, "login-expired", NULL },
	{ 400, "login_required", "", USER, "login-expired", NULL },
	{ 400, "consent_required", "", USER, "consent-missing", NULL },
	{ 400, "access_denied", "", USER, "login-declined", NULL },
	{ 400, "authorization_declined", "", USER, "login-declined", "browser" },
	{ 400, "expired_token", "", USER, "login-not-finished", NULL },
	{ 400, "bad_verification_code", "", USER, "login-not-finished", NULL },
	{ 400,
		"invalid_grant",
		"AADSTS50072: x",
		TO(PARK, MAILBOX, AUTHENTICATION),
		"mfa-needed",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS50074: x",
		TO(PARK, MAILBOX, AUTHENTICATION),
		"mfa-needed",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS53000: x",
		TO(PARK, MAILBOX, AUTHENTICATION),
		"conditional-access",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS53001: x",
		TO(PARK, MAILBOX, AUTHENTICATION),
		"conditional-access",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS50097: x",
		TO(PARK, MAILBOX, AUTHENTICATION),
		"conditional-access",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS90094: x",
		TO(PARK, MAILBOX, AUTHENTICATION),
		"consent-missing",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS50011: x",
		TO(PARK, MAILBOX, AUTHENTICATION),
		"redirect-not-registered",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS54005: x",
		TO(PARK, MAILBOX, AUTHENTICATION),
		"login-not-finished",
		NULL },
	{ 400,
		"invalid_grant",
		"AADSTS70019: x",
		TO(PARK, MAILBOX, AUTHENTICATION),
		"login-not-finished",
		NULL },
	{ 400,
		"admin_policy_enforced",
		"",
		TO(PARK, MAILBOX, AUTHENTICATION),
		"consent-missing",
		NULL },
	/* nobody knows */
	{ 400, "invalid_grant", "AADSTS999999: new", USER, "entra-refused", NULL },
	{ 400, "brand_new", "AADSTS", USER, "no-token", NULL },
	{ 400, "", "AADSTS99999999999999999999: x", USER, "no-token", NULL },
	{ 418, "", "", USER, "no-token", NULL },
	{ 200, "", "", TO(RETRY, TENANT, OUTAGE), "unexpected-answer", NULL },
	{ 302, "", "", TO(RETRY, TENANT, OUTAGE), "unexpected-answer", NULL },
	{ 0, "", "", TO(RETRY, ROUTE, OUTAGE), "https-failure", NULL },
};

#define HELD TO(PARK, MAILBOX, OTHER)

static const struct row graph_rows[] = {
	{ 202, "", "", TO(DELIVERED, MESSAGE, OTHER), "accepted", NULL },
	{ 400,
		"ErrorMimeContentInvalidBase64String",
		"Invalid base64 string for MIME content.",
		TO(PARK, MESSAGE, OTHER),
		"mime-not-understood",
		NULL },
	{ 400, "ErrorMimeContentInvalid", "", TO(BOUNCE, MESSAGE, OTHER), "mime-invalid", NULL },
	{ 400,
		"ErrorInvalidRecipients",
		"At least one recipient is not valid.",
		TO(BOUNCE, MESSAGE, OTHER),
		"bad-recipient-address",
		NULL },
	{ 400,
		"ErrorMessageSizeExceeded",
		"",
		TO(BOUNCE, MESSAGE, OTHER),
		"message-too-large",
		"MaxSendSize" },
	{ 413, "RequestEntityTooLarge", "", TO(BOUNCE, MESSAGE, OTHER), "message-too-large", NULL },
	{ 401,
		"InvalidAuthenticationToken",
		"Lifetime validation failed, the token is expired.",
		TO(RETRY, MAILBOX, AUTHENTICATION),
		"token-stale",
		NULL },
	{ 401,
		"InvalidAuthenticationToken",
		"Access token validation failure. Invalid audience.",
		USER,
		"token-audience-wrong",
		NULL },
	{ 401, "", "", USER, "token-refused", NULL },
	{ 403,
		"ErrorAccessDenied",
		"Access is denied. Check credentials and try again.",
		USER,
		"mail-send-missing",
		"Mail.Send" },
	{ 403,
		"Authorization_RequestDenied",
		"Insufficient privileges",
		USER,
		"mail-send-missing",
		NULL },
	{ 403, "Forbidden", "", USER, "graph-forbidden", NULL },
	{ 404,
		"ErrorInvalidUser",
		"The requested user 'x' is invalid.",
		HELD,
		"mailbox-not-found",
		NULL },
	{ 404, "MailboxNotEnabledForRESTAPI", "", HELD, "mailbox-not-found", "licence" },
	{ 403, "MailboxNotSupportedForRESTAPI", "", HELD, "mailbox-not-found", NULL },
	{ 404, "ResourceNotFound", "", HELD, "mailbox-not-found", NULL },
	{ 404, "Request_ResourceNotFound", "", HELD, "mailbox-not-found", NULL },
	{ 404, "ErrorNonExistentMailbox", "", HELD, "mailbox-not-found", NULL },
	{ 404, "", "", HELD, "mailbox-not-found", NULL },
	{ 403,
		"ErrorSendAsDenied",
		"The user account which was used to submit this request does "
		"not have the right to send mail on behalf of the specified sending account.",
		TO(PARK, SENDER, OTHER),
		"send-as-denied",
		"Add-RecipientPermission" },
	{ 413, "ErrorQuotaExceeded", "", TO(PARK, MAILBOX, QUOTA), "mailbox-full", NULL },
	{ 503,
		"ErrorMailboxStoreUnavailable",
		"",
		TO(RETRY, MAILBOX, OUTAGE),
		"mailbox-unavailable",
		NULL },
	{ 503,
		"ErrorMailboxMoveInProgress",
		"",
		TO(RETRY, MAILBOX, OUTAGE),
		"mailbox-unavailable",
		NULL },
	{ 429,
		"ErrorExceededMessageLimit",
		"",
		TO(PARK, MAILBOX_WINDOW, QUOTA),
		"daily-limit",
		NULL },
	{ 400,
		"ErrorMessageLimitExceeded",
		"",
		TO(PARK, MAILBOX_WINDOW, QUOTA),
		"daily-limit",
		NULL },
	{ 403,
		"ErrorSubmissionQuotaExceeded",
		"",
		TO(PARK, MAILBOX_WINDOW, QUOTA),
		"daily-limit",
		NULL },
	{ 403,
		"ErrorMessageSubmissionBlocked",
		"Cannot send mail. Follow the instructions in your Inbox to verify your account.",
		TO(PARK, MAILBOX, REPUTATION),
		"mailbox-restricted",
		NULL },
	{ 403,
		"ErrorAccountSuspend",
		"Account suspended.",
		TO(PARK, MAILBOX, REPUTATION),
		"mailbox-restricted",
		NULL },
	{ 429,
		"ApplicationThrottled",
		"Application is over its MailboxConcurrency limit.",
		TO(RETRY, MAILBOX_WINDOW, QUOTA),
		"too-many-connections",
		"connections" },
	{ 429,
		"ApplicationThrottled",
		"Application is over its RequestRate limit.",
		TO(RETRY, MAILBOX_WINDOW, QUOTA),
		"rate-exceeded",
		NULL },
	{ 429,
		"ErrorTooManyRequests",
		"",
		TO(RETRY, MAILBOX_WINDOW, QUOTA),
		"rate-exceeded",
		NULL },
	{ 429, "", "", TO(RETRY, MAILBOX_WINDOW, QUOTA), "rate-exceeded", NULL },
	{ 503, "ErrorServerBusy", "", TO(RETRY, MAILBOX_WINDOW, QUOTA), "server-busy", NULL },
	{ 408, "", "", TO(RETRY, ROUTE, OUTAGE), "timeout", NULL },
	{ 409, "ErrorIrresolvableConflict", "", TO(RETRY, MESSAGE, OTHER), "conflict", NULL },
	{ 503, "serviceNotAvailable", "", TO(RETRY, ROUTE, OUTAGE), "service-unavailable", NULL },
	{ 504, "UnknownError", "", TO(RETRY, ROUTE, OUTAGE), "server-error", NULL },
	{ 500, "ErrorInternalServerError", "", TO(RETRY, ROUTE, OUTAGE), "server-error", NULL },
	{ 400, "ErrorItemNotFound", "", TO(RETRY, MESSAGE, OTHER), "draft-gone", NULL },
	{ 410, "", "", TO(RETRY, MESSAGE, OTHER), "draft-gone", NULL },
	{ 400,
		"ErrorAttachmentSizeLimitExceeded",
		"",
		TO(BOUNCE, MESSAGE, OTHER),
		"message-too-large",
		NULL },
	{ 400,
		"ErrorInsufficientResources",
		"",
		TO(RETRY, MAILBOX_WINDOW, OUTAGE),
		"server-busy",
		NULL },
	{ 507, "", "", TO(PARK, MAILBOX, QUOTA), "mailbox-full", NULL },
	{ 509, "", "", TO(RETRY, MAILBOX_WINDOW, QUOTA), "rate-exceeded", NULL },
	{ 400, "ErrorBrandNew", "", TO(PARK, MESSAGE, OTHER), "graph-refused", NULL },
	{ 200, "", "", TO(RETRY, ROUTE, OUTAGE), "unexpected-answer", NULL },
	{ 302, "", "", TO(RETRY, ROUTE, OUTAGE), "unexpected-answer", NULL },
	{ 0, "", "", TO(RETRY, ROUTE, OUTAGE), "https-failure", NULL },
};

static struct provider_http_answer answer_of(const struct row *row)
{
	return (struct provider_http_answer){ .status = row->status,
		.error = sv_from(row->error),
		.description = sv_from(row->description) };
}

static void check(const struct row *row, const struct verdict *v)
{
	if (v->kind != row->kind || v->scope != row->scope || v->nature != row->nature ||
		strcmp(cause_name(v->cause), row->cause) != 0)
		fail_msg("%u %s %s: got %s %s %s %s",
			row->status,
			row->error,
			row->description,
			verdict_kind_name(v->kind),
			verdict_scope_name(v->scope),
			verdict_nature_name(v->nature),
			cause_name(v->cause));
	if (row->says && !strstr(v->summary, row->says))
		fail_msg("%s: \"%s\" is missing in: %s",
			cause_name(v->cause),
			row->says,
			v->summary);
	assert_true(strlen(v->enhanced) >= 5);
}

static void test_answers_of_the_token_service(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(token_rows); i++) {
		const struct provider_http_answer a = answer_of(&token_rows[i]);
		struct verdict v = provider_judge_token(&a);

		check(&token_rows[i], &v);
		/* No token is never a reason to give mail back. */
		assert_true(v.kind == VERDICT_RETRY || v.kind == VERDICT_PARK);
	}
}

static void test_answers_of_graph(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(graph_rows); i++) {
		const struct provider_http_answer a = answer_of(&graph_rows[i]);
		struct verdict v = provider_judge_graph(&a);

		check(&graph_rows[i], &v);
	}
}

static void test_the_service_says_when(void **state)
{
	struct provider_http_answer a = { .status = 429, .retry_after_us = 7 * US_PER_S };

	(void)state;
	assert_int_equal(provider_judge_graph(&a).retry_after_us, 7 * US_PER_S);
	assert_int_equal(provider_judge_token(&a).retry_after_us, 7 * US_PER_S);
	a.retry_after_us = 0;
	assert_int_equal(provider_judge_graph(&a).retry_after_us, US_PER_MIN);
	/* A person has to act: that takes as long as it takes. */
	a = (struct provider_http_answer){
		.status = 403, .error = SV("ErrorAccessDenied"), .retry_after_us = US_PER_S
	};
	assert_int_equal(provider_judge_graph(&a).retry_after_us, 15 * US_PER_MIN);
}

static void test_the_status_fits_the_verdict(void **state)
{
	struct provider_http_answer a = { .status = 202 };

	(void)state;
	assert_string_equal(provider_judge_graph(&a).enhanced, "2.0.0");
	a.status = 413;
	assert_string_equal(provider_judge_graph(&a).enhanced, "5.3.4");
	a.status = 429;
	assert_string_equal(provider_judge_graph(&a).enhanced, "4.4.5");
	a.status = 401;
	assert_string_equal(provider_judge_token(&a).enhanced, "4.7.8");
}

/* ---- the tables ---- */

static bool is_shape(const char *s, const char *allowed)
{
	return s[0] && strspn(s, allowed) == strlen(s);
}

static void check_row(const struct provider_http_row *row)
{
	assert_true(row->aadsts || row->error || row->text || row->status);
	assert_int_equal(row->summary[strlen(row->summary) - 1], '.');
	assert_null(strstr(row->summary, "  "));
	assert_true(strlen(row->source) > 5);
	assert_int_equal(strlen(row->checked), 10);
	assert_true(is_shape(row->checked, "0123456789-"));
	assert_true(row->scope < VERDICT_SCOPE_COUNT);
	assert_true(row->kind != VERDICT_DELIVERED);
	if (row->kind == VERDICT_PARK)
		assert_true(row->retry_after_us >= 5 * US_PER_MIN);
	if (row->kind == VERDICT_BOUNCE)
		assert_int_equal(row->scope, VERDICT_SCOPE_MESSAGE);
	if (row->nature == VERDICT_NATURE_REPUTATION)
		assert_true(row->retry_after_us >= US_PER_DAY || row->kind == VERDICT_BOUNCE);
	if (row->detail)
		assert_true(is_shape(row->detail, "0123456789."));
}

/* A row that the judge can never choose is a row nobody should believe in. */
static void check_reachable(const struct provider_http_row *row,
	const struct provider_http_row *(*find)(const struct provider_http_answer *))
{
	char description[512];
	struct provider_http_answer a = { .status = row->status >= 10 ? row->status
						    : row->status     ? row->status * 100U
								      : 400,
		.error = sv_from(row->error) };

	(void)snprintf(description,
		sizeof(description),
		"%s%.0u: %s",
		row->aadsts ? "AADSTS" : "",
		row->aadsts,
		row->text ? row->text : "");
	a.description = sv_from(description);
	if (find(&a) != row)
		fail_msg("no answer finds the row of \"%s\": %s",
			cause_name(row->cause),
			row->summary);
}

static void test_every_row_is_sound_and_reachable(void **state)
{
	(void)state;
	for (size_t i = 0; i < provider_token_rows_count; i++) {
		check_row(&provider_token_rows[i]);
		check_reachable(&provider_token_rows[i], provider_find_token_row);
	}
	for (size_t i = 0; i < provider_graph_rows_count; i++) {
		check_row(&provider_graph_rows[i]);
		check_reachable(&provider_graph_rows[i], provider_find_graph_row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_of_the_token_service),
		cmocka_unit_test(test_answers_of_graph),
		cmocka_unit_test(test_the_service_says_when),
		cmocka_unit_test(test_the_status_fits_the_verdict),
		cmocka_unit_test(test_every_row_is_sound_and_reachable),
	};

	return cmocka_run_group_tests_name("provider/http", tests, NULL, NULL);
}
