// Sends one message with nodemailer: node send.js '{"port":..,"from":..,"to":..,...}'
'use strict';
const nodemailer = require('nodemailer');

const o = JSON.parse(process.argv[2]);
const transport = nodemailer.createTransport({
	host: '127.0.0.1',
	port: o.port,
	secure: false,
	requireTLS: !!o.tls,
	ignoreTLS: !o.tls,
	tls: o.ca ? { ca: require('fs').readFileSync(o.ca), servername: 'localhost' } : undefined,
	auth: o.user ? { user: o.user, pass: o.pass } : undefined,
});
transport.sendMail(o.mail).then(
	(info) => { console.log(info.response); transport.close(); },
	(error) => { console.error(error.message); process.exit(1); });
