// SPDX-License-Identifier: PostgreSQL
//
// Sessions' lives: from when to when each was open, and why it ended.

// Of each reason that the log knows, what it means (shim/pool/drop_reason.def).
const REASONS = {
  aged: 'Reached the age at which sessions are replaced',
  invalidated: 'The server had restarted, or its kind of session was no longer wanted',
  idle_timeout: 'Unused for longer than the pool keeps sessions',
  surplus: 'Above the pool’s size, and not needed',
  exit: 'The program ended',
  make_room: 'Closed so that the server had room for another',
  exchanged: 'Given for the connection that an asynchronous connect had begun',
  abandoned: 'Finished before it was connected',
  altered: 'A statement changed what sessions are made of',
  drained: 'pqpool drain',
  shared: 'Handed to the keeper, which lends it to any process',
  broken: 'The connection was broken when it was given back',
  busy: 'A statement was still running when it was given back',
  pipeline: 'Given back in pipeline mode',
  unsent_output: 'Given back with data that were not sent yet',
  open_transaction: 'Given back in a transaction that could not be ended',
  descriptor: 'The program had closed or changed its socket',
  forked: 'It belonged to the parent process',
  cancel_under_way: 'Given back while a cancel request was on its way',
  registered: 'The program still waited for its socket',
  not_pooled: 'Of a kind that is not pooled',
  event_proc: 'The program had registered event procedures',
  traced: 'The program traced it',
  handle_taken: 'The program had taken its TLS handle',
  program_reset: 'The program had reset it',
  loaded: 'A library was loaded into it',
  replication_slot: 'It held a temporary replication slot',
  seeded: 'Its random numbers were seeded',
  replication_origin: 'It had a replication origin set',
  extension_state: 'An extension kept state in it',
  backup: 'A backup was going on in it',
  custom_setting: 'A setting of the program’s own could not be undone',
  connect_notice: 'The server had said something while it connected',
  connect_unseen: 'How it connected was not seen',
  login_trigger: 'The database has login triggers',
  outdated: 'What it was opened with had changed meanwhile',
  reset_failed: 'Could not be reset',
  escaping: 'Escapes strings otherwise than a new one would',
  attributes: 'The server no longer is what was asked for (target_session_attrs)',
  ping_failed: 'Found dead when it was to be lent again',
};
// Those that tell of something that went wrong.
const FAILURES = ['broken', 'descriptor', 'reset_failed', 'ping_failed'];

const sessions = {
  section(data) {
    this.data = data;
    const some = data.sessions.length;
    const from = data.from ?? 0;
    const length = Math.max(1, (data.to ?? 0) - from);
    this.scale = (time) => Math.max(0, Math.min(100, (100 * (time - from)) / length));
    this.list = table([
      { title: 'Session', value: (session) => session.pid * 1e6 + session.session, kind: 'name', cell: (session) => [`${session.pid} / ${session.session}`, session.borrowed ? el('span.badge', { title: 'Opened by another process, and handed over by the keeper' }, 'borrowed') : null] },
      { title: 'Life', under: () => this.axis(), value: (session) => session.opened, kind: 'life', cell: (session) => this.life(session) },
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
      el(`span.life-bar.end-${session.closed === null ? 'open' : FAILURES.includes(session.reason) ? 'bad' : 'fine'}`, {
        style: { left: `${left}%`, width: `${Math.max(0, right - left)}%` },
      }));
  },

  // The times below the head of the column of lives.
  axis() {
    const length = Math.max(1, (this.data.to ?? 0) - (this.data.from ?? 0));
    const { at, text } = timeTicks(this.data.from ?? 0, 0, length, 4);
    return el('span.life-axis', { 'aria-hidden': 'true' }, at.map((t, i) => el('span', { style: { left: `${(100 * t) / length}%` } }, text[i])));
  },

  ends() {
    const all = Object.entries(this.data.session_ends).sort((a, b) => b[1] - a[1]);
    const most = all.length ? all[0][1] : 1;
    const sum = all.reduce((total, [, n]) => total + n, 0);
    if (!all.length) {
      return el('p.lead.apart', {}, 'No session was closed.');
    }
    return el('table.ends', {}, el('caption', {}, 'Why sessions were closed'),
      el('thead', {}, el('tr', {}, ['Reason', 'Sessions', 'Share'].map((title, i) => el('th', { scope: 'col', class: i ? 'number' : null }, title)))),
      el('tbody', {}, all.map(([reason, n]) => el('tr', {},
        el('th', { scope: 'row' }, reason.replace(/_/g, ' '), known(REASONS, reason) ? el('small.block', {}, known(REASONS, reason)) : null),
        el('td.number', { 'data-title': 'Sessions' }, barred(count(n), n, most)), el('td.number', { 'data-title': 'Share' }, percent(n, sum))))));
  },
};
