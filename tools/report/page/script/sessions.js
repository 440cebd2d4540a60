// SPDX-License-Identifier: PostgreSQL
//
// Sessions' lives: from when to when each was open, and why it ended.

const REASONS = {
  recycle: 'Reached its age (PQPOOL_RECYCLE)',
  ping_failed: 'Found dead when it was checked',
  reset_failed: 'Could not be reset',
  descriptor: 'The program closed or changed its socket',
  login_trigger: 'The database has login triggers',
  idle: 'Unused for long',
  overflow: 'Above the size, and not needed',
  exit: 'The program ended',
};

const sessions = {
  section(data) {
    this.data = data;
    const some = data.sessions.length;
    const from = data.from ?? 0;
    const length = Math.max(1, (data.to ?? 0) - from);
    this.scale = (time) => Math.max(0, Math.min(100, (100 * (time - from)) / length));
    this.list = table([
      { title: 'Session', value: (session) => session.pid * 1e6 + session.session, kind: 'name', cell: (session) => [`${session.pid} / ${session.session}`, session.borrowed ? el('span.badge', { title: 'Opened by another process, and handed over by the keeper' }, 'borrowed') : null] },
      { title: 'Life', value: (session) => session.opened, kind: 'life', cell: (session) => this.life(session) },
      { title: 'Open for', value: (session) => this.age(session), kind: 'number', cell: (session) => duration(this.age(session)) },
      { title: 'Opening took', value: (session) => session.took_us, kind: 'number minor', cell: (session) => duration(session.took_us ?? null) },
      { title: 'Leases', value: (session) => session.leases, kind: 'number', cell: (session) => count(session.leases) },
      { title: 'Backend', value: (session) => session.backend, kind: 'number minor', cell: (session) => (session.backend ? String(session.backend) : DASH) },
      { title: 'End', value: (session) => this.reason(session), cell: (session) => this.reason(session) },
    ], { caption: 'Sessions', sort: [1, 'ascending'], page: 20, noun: 'session', empty: 'No session matches.' });
    return section('sessions', 'Sessions', 'Connections with the server: when each was open, and why it ended.', null,
      el('div.card', {}, some || Object.keys(data.session_ends).length ? [this.ends(), some ? this.list.node : null] : empty('No session is in these logs.')));
  },

  draw() {
    this.list.update(this.data.sessions.filter((session) => view.shows(session.pool)
      && view.finds(`${session.pid} / ${session.session}`, String(session.backend ?? ''), this.reason(session), this.data.pools[session.pool]?.name)));
  },

  age(session) {
    const until = session.closed ?? this.data.to;
    return session.opened === null || until === null ? null : Math.max(0, until - session.opened);
  },

  reason(session) {
    return session.closed === null || session.closed === undefined ? 'open' : (session.reason ?? 'closed').replace(/_/g, ' ');
  },

  life(session) {
    if (session.opened === null) {
      return DASH;
    }
    const [left, right] = [this.scale(session.opened), this.scale(session.closed ?? this.data.to)];
    const text = `opened ${stamp(session.opened)}, ${session.closed === null ? 'still open' : `closed ${stamp(session.closed)}`}`;
    return el('span.life-track', { role: 'img', 'aria-label': text, title: text },
      el(`span.life-bar.end-${session.closed === null ? 'open' : ['ping_failed', 'reset_failed', 'descriptor'].includes(session.reason) ? 'bad' : 'fine'}`, {
        style: { left: `${left}%`, width: `${Math.max(0, right - left)}%` },
      }));
  },

  ends() {
    const all = Object.entries(this.data.session_ends).sort((a, b) => b[1] - a[1]);
    const most = all.length ? all[0][1] : 1;
    const sum = all.reduce((total, [, n]) => total + n, 0);
    if (!all.length) {
      return el('p.lead', {}, 'No session was closed.');
    }
    return el('table.ends', {}, el('caption', {}, 'Why sessions were closed'),
      el('thead', {}, el('tr', {}, ['Reason', 'Sessions', 'Share'].map((title, i) => el('th', { scope: 'col', class: i ? 'number' : null }, title)))),
      el('tbody', {}, all.map(([reason, n]) => el('tr', {},
        el('th', { scope: 'row' }, reason.replace(/_/g, ' '), known(REASONS, reason) ? el('small.block', {}, known(REASONS, reason)) : null),
        el('td.number', { 'data-title': 'Sessions' }, barred(count(n), n, most)), el('td.number', { 'data-title': 'Share' }, percent(n, sum))))));
  },
};
