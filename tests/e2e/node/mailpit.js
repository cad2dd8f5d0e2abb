// Calls mailpit-api, a client library of Mailpit's: node mailpit.js '{"url":..,"calls":[["listMessages",0,10],..]}'
'use strict';
const { MailpitClient } = require('mailpit-api');

const o = JSON.parse(process.argv[2]);

async function main() {
	const client = new MailpitClient(o.url);
	for (const [name, ...args] of o.calls) {
		let answer;
		try {
			answer = await client[name](...args);
			if (answer instanceof Blob)
				answer = { type: answer.type, hex: Buffer.from(await answer.arrayBuffer()).toString('hex') };
		} catch (error) {
			answer = { error: error.message };
		}
		console.log(JSON.stringify(answer));
	}
}

main().then(() => process.exit(0), (error) => { console.error(error.message); process.exit(1); });
