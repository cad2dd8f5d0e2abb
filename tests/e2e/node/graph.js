// Sends with @microsoft/microsoft-graph-client as an application would: node graph.js '{"how":..,"base":..,"token":..,...}'
'use strict';
const { Client, LargeFileUploadTask, FileUpload } = require('@microsoft/microsoft-graph-client');

const o = JSON.parse(process.argv[2]);
const client = Client.init({
	baseUrl: o.base, defaultVersion: 'v1.0', customHosts: new Set([new URL(o.base).hostname]),
	authProvider: (done) => done(null, o.token) });
const message = (subject) => ({
	subject, body: { contentType: 'Text', content: 'x' }, toRecipients: [{ emailAddress: { address: o.to, name: 'B' } }] });

async function main() {
	const mail = `/users/${o.from}`;
	if (o.how === 'send') {
		await client.api(mail + '/sendMail').post({ message: message('by the SDK'), saveToSentItems: false });
		return console.log('sent');
	}
	const draft = await client.api(mail + '/messages').post(message('large, by the SDK'));
	const bytes = Buffer.alloc(o.size, 'abcdefghij');
	const session = await LargeFileUploadTask.createUploadSession(client, `${o.base}v1.0${mail}/messages/${draft.id}/attachments/createUploadSession`,
		{ AttachmentItem: { attachmentType: 'file', name: 'scan.pdf', size: bytes.length, contentType: 'application/pdf' } });
	const task = new LargeFileUploadTask(client, new FileUpload(bytes, 'scan.pdf', bytes.length), session, { rangeSize: 1024 * 1024 });
	await task.upload();
	await client.api(`${mail}/messages/${draft.id}/send`).post({});
	console.log('sent');
}

main().then(() => process.exit(0), (error) => { console.error(error.statusCode, error.code, error.message); process.exit(1); });
