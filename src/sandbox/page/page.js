// The sandbox's page. Mail is hostile: it is shown as text, or as HTML in a frame that may do nothing.
'use strict';

const PAGE = 100;        // messages of the list
const WAIT_S = 50;       // of one long poll
const AGAIN_MS = 2000;   // after the sandbox was away
const byId = (id) => document.getElementById(id);
let shown = null;        // the message that is open
let query = '';
let newest = 0;

function element(name, attributes, ...children) {
	const e = document.createElement(name);
	for (const [key, value] of Object.entries(attributes || {}))
		if (key === 'onclick') e.addEventListener('click', value); else e.setAttribute(key, value);
	e.append(...children);
	return e;
}

async function get(path) {
	const answer = await fetch(path);
	if (!answer.ok) {
		const said = await answer.json().catch(() => ({}));
		throw new Error(said.Error || said.error || answer.status + ' ' + answer.statusText);
	}
	return (answer.headers.get('Content-Type') || '').startsWith('application/json') ? answer.json() : answer.text();
}

const who = (p) => p ? (p.Name ? p.Name + ' <' + p.Address + '>' : p.Address) : '(nobody)';
const all = (people) => people.map(who).join(', ');
const time = (text) => new Date(text).toLocaleString();
function size(bytes) {
	return bytes < 1024 ? bytes + ' B' : bytes < 1048576 ? (bytes / 1024).toFixed(1) + ' KB' : (bytes / 1048576).toFixed(1) + ' MB';
}

// ---- the list ----

function row(m) {
	const people = all(m.To.concat(m.Cc, m.Bcc));
	return element('button', { type: 'button', 'data-id': m.ID, class: m.Read ? '' : 'unread', 'aria-current': String(m.ID === shown),
		onclick: () => open(m.ID) },
		element('span', {}, m.Subject || '(no subject)'),
		element('span', { class: 'soft' }, who(m.From) + ' → ' + people),
		element('span', { class: 'soft' }, time(m.Created) + ' · ' + size(m.Size) + (m.Attachments ? ' · ' + m.Attachments + ' attached' : '')));
}

async function list() {
	const path = query ? '/api/v1/search?limit=' + PAGE + '&query=' + encodeURIComponent(query) : '/api/v1/messages?limit=' + PAGE;
	try {
		const found = await get(path);
		const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.id : null;
		byId('list').replaceChildren(...found.messages.map(row));
		byId('state').textContent = query ? found.messages_count + ' of ' + found.total + ' found'
			: found.total + (found.total === 1 ? ' message, ' : ' messages, ') + found.unread + ' unread' +
			(found.total > PAGE ? '; the newest ' + PAGE + ' are shown, a search finds the others' : '');
		if (focused)
			rowOf(focused)?.focus();
	} catch (error) {
		byId('state').textContent = error.message;
	}
}

const rowOf = (id) => [...byId('list').children].find((b) => b.dataset.id === id);

// ---- one message ----

const attachment = (m, a) => element('a', { href: '/api/v1/message/' + m.ID + '/part/' + a.PartID, download: a.FileName || 'part-' + a.PartID },
	(a.FileName || a.ContentType) + ' (' + size(a.Size) + ')');

const views = {
	HTML: (m) => m.HTML ? element('iframe', { sandbox: '', src: '/view/' + m.ID + '.html', title: 'The message as HTML' })
		: element('p', { class: 'hint' }, 'The message has no HTML.'),
	Text: (m) => element('pre', {}, m.Text),
	Headers: async (m) => element('table', {}, element('tbody', {}, ...Object.entries(await get('/api/v1/message/' + m.ID + '/headers'))
		.flatMap(([name, values]) => values.map((v) => element('tr', {}, element('th', { scope: 'row' }, name), element('td', {}, v)))))),
	Source: async (m) => element('pre', {}, await get('/api/v1/message/' + m.ID + '/raw')),
	Session: async (m) => {
		const said = await get('/messages/' + m.ID + '/dialogue');
		const sign = { client: '→ ', server: '← ', note: '  ' };
		return said.length ? element('pre', {}, ...said.map((l) => element('span', { class: l.who }, String(l.ms).padStart(6) + ' ms ' + sign[l.who] + l.line + '\n')))
			: element('p', { class: 'hint' }, 'It did not come by SMTP.');
	},
	Checks: async (m) => element('table', {}, element('tbody', {}, ...(await get('/messages/' + m.ID + '/checks')).map((c) =>
		element('tr', {}, element('th', { scope: 'row', class: c.result }, c.result), element('td', {}, c.of),
			element('td', {}, c.text, c.step ? element('div', { class: 'soft' }, c.step) : ''))))),
};
let view = 'HTML';

async function show(m, name, place) {
	for (const tab of document.querySelectorAll('[role="tab"]'))
		tab.setAttribute('aria-selected', String(tab.textContent === name));
	view = name;
	try {
		place.replaceChildren(await views[name](m));
	} catch (error) {
		place.replaceChildren(element('p', { class: 'fail' }, error.message));
	}
}

async function open(id) {
	let m;
	try {
		m = await get('/api/v1/message/' + id);
	} catch (error) {
		byId('message').replaceChildren(element('p', { class: 'fail' }, error.message));
		return list();
	}
	shown = id;
	const place = element('section', { role: 'tabpanel', 'aria-label': 'Content' });
	const fields = [['From', who(m.From)], ['To', all(m.To)], ['Cc', all(m.Cc)], ['Bcc', all(m.Bcc)], ['Reply-To', all(m.ReplyTo)],
		['Envelope', m.ReturnPath || '<>'], ['Signed in', m.Username || '(nobody)'], ['Date', time(m.Date)], ['Size', size(m.Size)]];
	const files = m.Attachments.concat(m.Inline);
	byId('message').replaceChildren(
		element('h2', {}, m.Subject || '(no subject)'),
		element('dl', {}, ...fields.filter(([, v]) => v).flatMap(([k, v]) => [element('dt', {}, k), element('dd', {}, v)]),
			...(files.length ? [element('dt', {}, 'Files'), element('dd', {}, ...files.flatMap((a) => [attachment(m, a), ' ']))] : [])),
		element('div', { role: 'tablist', 'aria-label': 'Views' }, ...Object.keys(views).map((name) =>
			element('button', { type: 'button', role: 'tab', 'aria-selected': 'false', onclick: () => show(m, name, place) }, name))),
		place);
	await show(m, view === 'HTML' && !m.HTML ? 'Text' : view, place);
	await list();
}

// ---- limits ----

async function limits() {
	try {
		const v = await get('/verdict');
		const used = v.scopes.filter((s) => s.peak);
		byId('verdict').textContent = v.limits_broken.length ? 'limits: ' + v.limits_broken.length + ' broken' : 'limits: none broken';
		byId('verdict').className = v.limits_broken.length ? 'fail' : 'ok';
		byId('scopes').replaceChildren(...used.map((s) => element('tr', {}, element('th', { scope: 'row' }, s.limit), element('td', {}, String(s.peak)),
			element('td', {}, s.allowed ? String(s.allowed) : 'no limit'), element('td', { class: s.broken ? 'fail' : '' }, String(s.broken)),
			element('td', {}, s.who))));
	} catch (error) {
		byId('verdict').textContent = error.message;
	}
}

// ---- live ----

async function follow() {
	for (;;) {
		try {
			const answer = await fetch('/messages/wait?after=' + newest + '&timeout=' + WAIT_S);
			if (answer.ok)
				newest = (await answer.json()).number;
			if (answer.ok || answer.status !== 408) {
				await list();
				await limits();
			}
		} catch {
			byId('state').textContent = 'the sandbox does not answer';
			await new Promise((done) => setTimeout(done, AGAIN_MS));
		}
	}
}

byId('search').addEventListener('submit', (event) => event.preventDefault());
byId('query').addEventListener('input', () => { query = byId('query').value.trim(); list(); });
byId('clear').addEventListener('click', async () => {
	if (!confirm('Remove all messages? What was counted stays counted.'))
		return;
	await fetch('/api/v1/messages', { method: 'DELETE' });
	shown = null;
	byId('message').replaceChildren();
	list();
});
byId('list').addEventListener('keydown', (event) => {
	const next = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' }[event.key];
	const to = next && document.activeElement[next];
	if (to) {
		event.preventDefault();
		to.focus();
		open(to.dataset.id);
	}
});
list().then(limits);
get('/api/v1/messages?limit=1').then((found) => { newest = found.messages.length ? Number(found.messages[0].ID) : 0; }).finally(follow);
