/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "setup/powershell_priv.h"

/*
 * The cmdlets are those of Exchange Online and Microsoft.Graph as their reference described them on
 * 2026-08-21 (learn.microsoft.com/powershell/module/exchangepowershell); read on 2026-11-23.
 */

const char setup_ps_head[] =
	"# What Microsoft 365 needs for this configuration of postern.\n"
	"# Written by `postern setup powershell`. Read it before you run it.\n"
	"#\n"
	"# It changes only what is missing, so it can be run again. No password or secret is in "
	"it.\n"
	"# Who runs it needs the roles Exchange Administrator and, for an app, Privileged Role\n"
	"# Administrator (it consents to the app's permissions). Once per machine:\n"
	"#   Install-Module ExchangeOnlineManagement, Microsoft.Graph.Applications,\n"
	"#     Microsoft.Graph.Identity.SignIns\n"
	"# Changes can take up to an hour to work.\n"
	"$ErrorActionPreference = 'Stop'\n"
	"\n"
	"# Adds a permission to the list that the app registration shows.\n"
	"function Add-PosternAccess($app, $resource, $id, $type) {\n"
	"    $list = @((Get-MgApplication -ApplicationId $app.Id).RequiredResourceAccess |\n"
	"        Where-Object { $_ } | ForEach-Object { @{ ResourceAppId = $_.ResourceAppId\n"
	"            ResourceAccess = @($_.ResourceAccess |\n"
	"                ForEach-Object { @{ Id = $_.Id; Type = $_.Type } }) } })\n"
	"    $entry = $list | Where-Object { $_.ResourceAppId -eq $resource.AppId } |\n"
	"        Select-Object -First 1\n"
	"    if (-not $entry) {\n"
	"        $entry = @{ ResourceAppId = $resource.AppId; ResourceAccess = @() }\n"
	"        $list += $entry\n"
	"    }\n"
	"    if (@($entry.ResourceAccess | Where-Object { $_.Id -eq $id }).Count -eq 0) {\n"
	"        $entry.ResourceAccess = @($entry.ResourceAccess) + @{ Id = $id; Type = $type }\n"
	"        Update-MgApplication -ApplicationId $app.Id -RequiredResourceAccess $list\n"
	"    }\n"
	"}\n"
	"\n"
	"# Lets the app itself do something, with the administrator's consent.\n"
	"function Add-PosternRole($app, $sp, $resourceAppId, $value) {\n"
	"    $resource = Get-MgServicePrincipal -Filter \"appId eq '$resourceAppId'\"\n"
	"    $role = $resource.AppRoles | Where-Object {\n"
	"        $_.Value -eq $value -and $_.AllowedMemberTypes -contains 'Application' }\n"
	"    if (-not $role) { throw \"There is no application permission $value.\" }\n"
	"    Add-PosternAccess $app $resource $role.Id 'Role'\n"
	"    $have = Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $sp.Id -All |\n"
	"        Where-Object { $_.AppRoleId -eq $role.Id -and $_.ResourceId -eq $resource.Id }\n"
	"    if (-not $have) {\n"
	"        New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $sp.Id `\n"
	"            -PrincipalId $sp.Id -ResourceId $resource.Id -AppRoleId $role.Id | Out-Null\n"
	"    }\n"
	"}\n"
	"\n"
	"# Lets people who sign in through the app do something.\n"
	"function Add-PosternScope($app, $sp, $resourceAppId, $value) {\n"
	"    $resource = Get-MgServicePrincipal -Filter \"appId eq '$resourceAppId'\"\n"
	"    $scope = $resource.Oauth2PermissionScopes | Where-Object { $_.Value -eq $value }\n"
	"    if (-not $scope) { throw \"There is no delegated permission $value.\" }\n"
	"    Add-PosternAccess $app $resource $scope.Id 'Scope'\n"
	"    $grant = Get-MgOauth2PermissionGrant -All -Filter \"clientId eq '$($sp.Id)'\" |\n"
	"        Where-Object { $_.ResourceId -eq $resource.Id -and\n"
	"            $_.ConsentType -eq 'AllPrincipals' } | Select-Object -First 1\n"
	"    if (-not $grant) {\n"
	"        New-MgOauth2PermissionGrant -ClientId $sp.Id -ConsentType 'AllPrincipals' `\n"
	"            -ResourceId $resource.Id -Scope $value | Out-Null\n"
	"    } elseif ($grant.Scope.Trim() -split '\\s+' -notcontains $value) {\n"
	"        $change = @{ OAuth2PermissionGrantId = $grant.Id\n"
	"            Scope = $grant.Scope.Trim() + ' ' + $value }\n"
	"        Update-MgOauth2PermissionGrant @change\n"
	"    }\n"
	"}\n";

const char setup_ps_tenant[] = "\n# ======== Tenant <<#tenant>> ========\n"
			       "Connect-ExchangeOnline -ShowBanner:$false<<exchange>>\n";

const char setup_ps_graph[] =
	"Connect-MgGraph -NoWelcome -TenantId <<id>><<graph>> -Scopes "
	"'Application.ReadWrite.All',\n"
	"    'AppRoleAssignment.ReadWrite.All', 'DelegatedPermissionGrant.ReadWrite.All'\n";

const char setup_ps_foot[] =
	"\nWrite-Host 'Done. Changes can take up to an hour; then: postern check'\n";

/* The id of the Enterprise application, not that of the registration, is what Exchange wants. */
#define PRINCIPAL                                                             \
	"$sp = Get-MgServicePrincipal -Filter \"appId eq '$($app.AppId)'\"\n" \
	"if (-not $sp) { $sp = New-MgServicePrincipal -AppId $app.AppId }\n"

#define PUBLIC_CLIENT                                                                   \
	"# People sign in with a code or a browser: the app is a public client, too.\n" \
	"$uris = @($app.PublicClient.RedirectUris | Where-Object { $_ })\n"             \
	"if ($uris -notcontains 'http://localhost') { $uris += 'http://localhost' }\n"  \
	"Update-MgApplication -ApplicationId $app.Id -IsFallbackPublicClient:$true `\n" \
	"    -PublicClient @{ RedirectUris = $uris }\n"

#define APP_KNOWN                                                                                \
	"\n# ---- The app registration that postern.yaml names ----\n"                           \
	"$clientId = <<client>>\n"                                                               \
	"$app = Get-MgApplication -Filter (\"appId eq '\" + $clientId.Replace(\"'\", \"''\") + " \
	"\"'\")\n"                                                                               \
	"if (-not $app) { throw \"There is no app $clientId here: correct client_id in "         \
	"postern.yaml.\" }\n" PRINCIPAL

#define APP_NEW                                                                                    \
	"\n# ---- The app registration ----\n"                                                     \
	"$app = Get-MgApplication -Filter \"displayName eq 'postern'\" | Select-Object -First 1\n" \
	"if (-not $app) {\n"                                                                       \
	"    $app = New-MgApplication -DisplayName 'postern' -SignInAudience 'AzureADMyOrg'\n"     \
	"}\n" PRINCIPAL "Write-Host \"In postern.yaml, app: client_id: $($app.AppId)\"\n"          \
	"Write-Host 'Its credential: App registrations > postern > Certificates & secrets'\n"

static const char app_known[] = APP_KNOWN, app_known_users[] = APP_KNOWN PUBLIC_CLIENT;
static const char app_new[] = APP_NEW, app_new_users[] = APP_NEW PUBLIC_CLIENT;

static const char role[] = "\n# The app may use <<#subject>>.\n"
			   "Add-PosternRole $app $sp <<api>> <<subject>>\n";

static const char scope[] = "\n# People who sign in through the app may use <<#subject>>.\n"
			    "Add-PosternScope $app $sp <<api>> <<subject>>\n";

static const char principal[] =
	"\n# Exchange gets to know the app, by the id of its Enterprise application.\n"
	"# (The id of the app registration looks alike, and every sign-in would fail: 535 5.7.3.)\n"
	"$known = Get-ServicePrincipal | Where-Object { $_.AppId -eq $app.AppId }\n"
	"if ($known -and $known.ObjectId -ne $sp.Id) {\n"
	"    Remove-ServicePrincipal -Identity $known.ObjectId -Confirm:$false\n"
	"    $known = $null\n"
	"}\n"
	"if (-not $known) {\n"
	"    New-ServicePrincipal -AppId $app.AppId -ObjectId $sp.Id -DisplayName 'postern' | "
	"Out-Null\n"
	"}\n";

static const char full_access[] =
	"\n# ---- Mailbox <<#subject>>: <<#trustee>> may use it ----\n"
	"$mailbox = <<subject>>\n"
	"$trustee = <<trustee>>\n"
	"$have = Get-MailboxPermission -Identity $mailbox -User $trustee -ErrorAction "
	"SilentlyContinue |\n"
	"    Where-Object { $_.AccessRights -contains 'FullAccess' -and -not $_.Deny }\n"
	"if (-not $have) {\n"
	"    Add-MailboxPermission -Identity $mailbox -User $trustee -AccessRights FullAccess `\n"
	"        -AutoMapping:$false | Out-Null\n"
	"}\n";

static const char smtp_auth[] =
	"\n# <<#subject>>: SMTP AUTH on, for this mailbox only; the tenant's switch stays as it "
	"is.\n"
	"# OAuth needs it, too.\n"
	"Set-CASMailbox -Identity <<subject>> -SmtpClientAuthenticationDisabled $false\n";

static const char sent_copy[] =
	"\n# <<#subject>>: no copy of each message in Sent Items, which would fill the mailbox.\n"
	"Set-Mailbox -Identity <<subject>> -MessageCopyForSMTPClientSubmissionEnabled $false\n";

static const char send_as[] =
	"\n# <<#trustee>> may send as <<#subject>>.\n"
	"$sender = <<subject>>\n"
	"$trustee = <<trustee>>\n"
	"$have = Get-RecipientPermission -Identity $sender -Trustee $trustee -ErrorAction "
	"SilentlyContinue |\n"
	"    Where-Object { $_.AccessRights -contains 'SendAs' }\n"
	"if (-not $have) {\n"
	"    Add-RecipientPermission -Identity $sender -Trustee $trustee -AccessRights SendAs `\n"
	"        -Confirm:$false | Out-Null\n"
	"}\n";

#define CONNECTOR_HEAD "\n# ---- Inbound connector for <<#subject>>: knows the relay by its "
#define CONNECTOR_NAME                       \
	"$name = 'postern ' + <<subject>>\n" \
	"$have = Get-InboundConnector | Where-Object { $_.Name -eq $name }\n"
#define BY_CERTIFICATE                                                                          \
	"# Its domain must be an accepted domain of the tenant.\n" CONNECTOR_NAME               \
	"if (-not $have) {\n"                                                                   \
	"    New-InboundConnector -Name $name -ConnectorType OnPremises -SenderDomains '*' `\n" \
	"        -RequireTls $true -TlsSenderCertificateName $certificate | Out-Null\n"         \
	"} elseif ($have.TlsSenderCertificateName -ne $certificate) {\n"                        \
	"    Set-InboundConnector -Identity $name -RequireTls $true `\n"                        \
	"        -TlsSenderCertificateName $certificate\n"                                      \
	"}\n"
#define BY_ADDRESS                                                                              \
	"# It must be static and nobody else's, and stand in the domain's SPF "                 \
	"record.\n" CONNECTOR_NAME "if (-not $have) {\n"                                        \
	"    New-InboundConnector -Name $name -ConnectorType OnPremises -SenderDomains '*' `\n" \
	"        -RequireTls $true -SenderIPAddresses $address | Out-Null\n"                    \
	"} elseif (@($have.SenderIPAddresses) -notcontains $address) {\n"                       \
	"    Set-InboundConnector -Identity $name -SenderIPAddresses $address\n"                \
	"}\n"

static const char by_certificate[] =
	CONNECTOR_HEAD "certificate ----\n$certificate = <<certificate>>\n" BY_CERTIFICATE;
static const char by_address[] = CONNECTOR_HEAD "address ----\n$address = <<address>>\n" BY_ADDRESS;
static const char by_asked[] = CONNECTOR_HEAD
	"address ----\n"
	"# postern cannot know it; `postern setup powershell --address IP` writes it down.\n"
	"$address = Read-Host 'Public IPv4 address of the relay, as Microsoft sees "
	"it'\n" BY_ADDRESS;

#define HVE_HEAD                                                                         \
	"\n# ---- High Volume Email account <<#subject>> ----\n$account = <<subject>>\n" \
	"$name = $account.Split('@')[0]\n"
#define HVE_LOOK "if (-not (Get-MailUser -Identity $account -ErrorAction SilentlyContinue)) {\n"
#define HVE_NEW                                                         \
	"    New-MailUser -HVEAccount -Name $name -PrimarySmtpAddress " \
	"$account `\n"                                                  \
	"        -Password $password | Out-Null\n"                      \
	"}\n"
/* An app signs in without the password; nobody needs to know it. */
static const char hve_app_account[] = HVE_HEAD HVE_LOOK
	"    # Nobody signs in with this password: it is made up and forgotten.\n"
	"    $password = ConvertTo-SecureString -AsPlainText -Force `\n"
	"        -String ('Aa1!' + [guid]::NewGuid() + [guid]::NewGuid())\n" HVE_NEW;
static const char hve_password_account[] = HVE_HEAD HVE_LOOK
	"    $password = Read-Host -AsSecureString \"Password for $account\"\n" HVE_NEW;

static const char hve_app[] =
	"\n# The app may send as <<#subject>>; it works within five minutes.\n"
	"try { Add-HVEAppAccess -Identity <<subject>> -AppIds $app.AppId -Confirm:$false }\n"
	"catch { Write-Warning \"$_ (nothing to do when the app is on the list already)\" }\n";

static const char dkim[] =
	"\n# ---- DKIM for <<#subject>> ----\n"
	"# Until it is on, Microsoft signs as onmicrosoft.com, which DMARC does not count.\n"
	"$domain = <<subject>>\n"
	"$dkim = Get-DkimSigningConfig | Where-Object { $_.Domain -eq $domain }\n"
	"if (-not $dkim) {\n"
	"    $dkim = New-DkimSigningConfig -DomainName $domain -Enabled $false -KeySize 2048\n"
	"}\n"
	"if (-not $dkim.Enabled) {\n"
	"    try { Set-DkimSigningConfig -Identity $domain -Enabled $true }\n"
	"    catch {\n"
	"        Write-Warning \"$domain : publish these two CNAME records, then run this "
	"again.\"\n"
	"        Write-Host \"  selector1._domainkey.$domain  CNAME  $($dkim.Selector1CNAME)\"\n"
	"        Write-Host \"  selector2._domainkey.$domain  CNAME  $($dkim.Selector2CNAME)\"\n"
	"    }\n"
	"}\n";

static const char *app_template(const struct setup_step *s)
{
	if (s->tenant->client_id.len)
		return s->tenant->has_users ? app_known_users : app_known;
	return s->tenant->has_users ? app_new_users : app_new;
}

const char *setup_ps_template(const struct setup_step *s)
{
	switch (s->kind) {
	case SETUP_APP:
		return app_template(s);
	case SETUP_APP_ROLE:
		return role;
	case SETUP_APP_SCOPE:
		return scope;
	case SETUP_PRINCIPAL:
		return principal;
	case SETUP_FULL_ACCESS:
		return full_access;
	case SETUP_SMTP_AUTH:
		return smtp_auth;
	case SETUP_SENT_COPY:
		return sent_copy;
	case SETUP_SEND_AS:
		return send_as;
	case SETUP_CONNECTOR:
		return s->certificate.len ? by_certificate : s->address.len ? by_address : by_asked;
	case SETUP_HVE_ACCOUNT:
		return s->password ? hve_password_account : hve_app_account;
	case SETUP_HVE_APP:
		return hve_app;
	case SETUP_DKIM:
		return dkim;
	case SETUP_KIND_COUNT:
		break;
	}
	must(false); /* no other kind */
	return NULL;
}
