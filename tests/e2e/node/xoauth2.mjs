// An upstream by smtp-server that takes XOAUTH2 only and checks each token for real: signature,
// audience, time, and that it is for the mailbox. node xoauth2.mjs PORT KEY CERT SIGNING_PEM OUTPUT.jsonl
import { appendFileSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { importSPKI, jwtVerify } from 'jose';

const { SMTPServer } = createRequire(import.meta.url)('smtp-server');
const [port, key, cert, signing, output] = process.argv.slice(2);
const trusted = await importSPKI(readFileSync(signing, 'utf8'), 'RS256');

function note(line) {
  appendFileSync(output, `${JSON.stringify(line)}\n`);
}

const ends = new Map(); // session id -> when its token ends

const server = new SMTPServer({
  key: readFileSync(key),
  cert: readFileSync(cert),
  authMethods: ['XOAUTH2'],
  async onAuth(auth, session, done) {
    try {
      const { payload } = await jwtVerify(auth.accessToken, trusted, { audience: 'https://outlook.office365.com' });
      const app = (payload.roles ?? []).includes('SMTP.SendAsApp');
      if (!app && payload.upn !== auth.username) throw new Error(`token of ${payload.upn} for ${auth.username}`);
      note({ auth: auth.username, jti: payload.jti, life: payload.exp - payload.iat, app });
      ends.set(session.id, payload.exp);
      done(null, { user: auth.username });
    } catch (error) {
      note({ refused: auth.username, why: error.code ?? error.message });
      done(null, { data: { status: '401', schemes: 'bearer', scope: 'SMTP.Send' } });
    }
  },
  onData(stream, session, done) {
    const chunks = [];
    stream.on('data', (chunk) => chunks.push(chunk));
    stream.on('end', () => {
      const late = Date.now() / 1000 > ends.get(session.id);
      note({ from: session.envelope.mailFrom.address, to: session.envelope.rcptTo.map((r) => r.address),
        user: session.user, late, raw: Buffer.concat(chunks).toString('latin1') });
      done(null, 'kept');
    });
  },
});
server.listen(Number(port), '127.0.0.1', () => console.log('listening'));
