// An upstream by smtp-server: node server.js PORT KEY CERT USER PASS OUTPUT.jsonl
'use strict';
const fs = require('fs');
const { SMTPServer } = require('smtp-server');

const [port, key, cert, user, pass, output] = process.argv.slice(2);
const server = new SMTPServer({
	key: fs.readFileSync(key),
	cert: fs.readFileSync(cert),
	authMethods: ['LOGIN', 'PLAIN'],
	onAuth(auth, session, done) {
		if (auth.username === user && auth.password === pass)
			return done(null, { user });
		done(new Error('wrong user or password'));
	},
	onData(stream, session, done) {
		const chunks = [];
		stream.on('data', (chunk) => chunks.push(chunk));
		stream.on('end', () => {
			fs.appendFileSync(output, JSON.stringify({
				from: session.envelope.mailFrom.address,
				to: session.envelope.rcptTo.map((r) => r.address),
				user: session.user,
				secure: session.secure,
				raw: Buffer.concat(chunks).toString('latin1'),
			}) + '\n');
			done(null, 'kept');
		});
	},
});
server.listen(Number(port), '127.0.0.1', () => console.log('listening'));
