// Signs in with @azure/msal-node as an app or a person would: node msal.js '{"how":..,"authority":..,...}'
'use strict';
const msal = require('@azure/msal-node');
const fs = require('fs');

const o = JSON.parse(process.argv[2]);
const auth = { clientId: o.client_id, authority: o.authority };
if (o.known)
	auth.knownAuthorities = [o.known];
if (o.metadata)
	auth.cloudDiscoveryMetadata = o.metadata;
const say = (result) => console.log(JSON.stringify({
	access_token: result.accessToken, user: result.account && result.account.username, scopes: result.scopes }));

async function main() {
	if (o.how === 'secret' || o.how === 'certificate') {
		if (o.how === 'secret')
			auth.clientSecret = o.secret;
		else
			auth.clientCertificate = { thumbprintSha256: o.thumbprint, privateKey: fs.readFileSync(o.key, 'utf8') };
		const app = new msal.ConfidentialClientApplication({ auth });
		return say(await app.acquireTokenByClientCredential({ scopes: [o.scope] }));
	}
	const app = new msal.PublicClientApplication({ auth });
	if (o.how === 'device') {
		const first = await app.acquireTokenByDeviceCode({ scopes: [o.scope],
			deviceCodeCallback: (code) => process.stderr.write(JSON.stringify({ user_code: code.userCode, uri: code.verificationUri }) + '\n') });
		say(first);
		return say(await app.acquireTokenSilent({ account: first.account, scopes: [o.scope], forceRefresh: true }));
	}
	// Interactive: MSAL opens a loopback server and "a browser", which is us.
	return say(await app.acquireTokenInteractive({ scopes: [o.scope], openBrowser: async (url) => {
		const page = await (await fetch(url + '&sandbox_user=' + encodeURIComponent(o.user))).text();
		const plain = (text) => text.replace(/&#(\d+);/g, (_, n) => String.fromCharCode(n));
		const fields = [...page.matchAll(/name="([^"]*)" value="([^"]*)"/g)].map((m) => [plain(m[1]), plain(m[2])]);
		await fetch(plain(page.match(/action="([^"]*)"/)[1]), { method: 'POST', body: new URLSearchParams(fields) });
	} }));
}

main().then(() => process.exit(0), (error) => { console.error(error.errorCode, error.message); process.exit(1); });
