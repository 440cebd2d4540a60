// SPDX-License-Identifier: PostgreSQL
//
// The leases that somebody should look at: all leaks, and those held longest.

const ENDS = {
  leaked: ['leaked', 'Never given back'],
  at_exit: ['at exit', 'Given back only by an exit handler or destructor'],
  given_away: ['given away', 'The connection left the pool’s care'],
  kept: ['kept', 'Kept for the program’s life'],
  open: ['open', 'Still held at the end of the logs'],
  released: ['released', 'Given back'],
};
const LEAKS = ['leaked', 'at_exit'];

const leases = {
  shown: 'all',

  section(data) {
    this.data = data;
    const several = data.pools.length > 1;
    const most = Math.max(...data.leases.map((lease) => lease.hold_us ?? 0), 1);
    const programs = new Set(data.leases.map((lease) => lease.program)).size > 1;
    this.list = table([
      { title: 'Taken at', value: (lease) => this.place(lease), kind: 'place', cell: (lease) => [this.place(lease), data.places[lease.place] ? caller(data.places[lease.place], data.frames) : null, several ? el('small.block', {}, data.pools[lease.pool]?.name ?? '') : null] },
      { title: 'End', value: (lease) => lease.end, cell: (lease) => this.badge(lease.end) },
      { title: 'Held', value: (lease) => lease.hold_us, kind: 'number', cell: (lease) => barred(duration(lease.hold_us), lease.hold_us, most) },
      view.known && { title: 'What it did', kind: 'parts', cell: (lease) => splitBar(this.parts(lease)) },
      { title: 'Waited', value: (lease) => lease.wait_us, kind: 'number minor', cell: (lease) => duration(lease.wait_us) },
      { title: 'Acquired', value: (lease) => lease.acquired, kind: 'time', cell: (lease) => (lease.acquired === null ? DASH : clock(lease.acquired, 1e3)) },
      { title: programs ? 'Program' : 'Process', value: (lease) => (programs ? lease.program : lease.pid), kind: 'minor', cell: (lease) => (programs ? `${lease.program ?? DASH} ${lease.pid}` : String(lease.pid)) },
      { title: 'Last statement', value: (lease) => lease.statement, kind: 'statement', cell: (lease) => el('code', {}, lease.statement ?? DASH) },
    ].filter(Boolean), { caption: 'Leases', sort: null, page: 25, noun: 'lease', detail: (lease) => this.detail(lease), empty: 'No lease matches.' });
    const leaked = data.leases.filter((lease) => LEAKS.includes(lease.end)).length;
    const filters = [['all', `All ${count(data.leases.length)}`], ['leaks', `Leaks ${count(leaked)}`], ['open', 'Still open'], ['released', 'Released']];
    const node = section('leases', 'Leaks and long holds', data.leases.length ? 'All leaks first, then the leases held longest.' : null,
      data.leases.length ? choice('Leases to show', filters, 'all', (shown) => { this.shown = shown; this.draw(); }) : null,
      el('div.card', {}, data.leases.length ? this.list.node : empty('No lease is in these logs.')));
    return node;
  },

  draw() {
    const ends = { leaks: LEAKS, open: ['open', 'kept', 'given_away'], released: ['released'] }[this.shown];
    this.list.update(this.data.leases.filter((lease) => (!ends || ends.includes(lease.end)) && view.shows(lease.pool)
      && view.finds(lease.statement, lease.program, lease.id, lease.end, String(lease.pid), ...(this.data.places[lease.place] ? placeTexts(this.data.places[lease.place], this.data.frames) : []))));
  },

  place(lease) {
    return this.data.places[lease.place]?.label ?? '(place not known)';
  },

  parts(lease) {
    return split(lease.hold_us, lease.query_us, lease.transaction_us, null);
  },

  badge(end) {
    const [text, title] = known(ENDS, end) ?? [String(end).replace(/_/g, ' '), ''];
    return el(`span.badge${LEAKS.includes(end) ? '.bad' : ''}`, { title }, text);
  },

  detail(lease) {
    const place = this.data.places[lease.place];
    const parts = this.parts(lease);
    const facts = [
      ['Lease', lease.id], ['Program', `${lease.program ?? DASH}, process ${lease.pid}, thread ${lease.thread ?? DASH}`],
      ['Pool', this.data.pools[lease.pool]?.name ?? DASH], ['Acquired', `${stamp(lease.acquired, 1)} UTC, after waiting ${duration(lease.wait_us)}`],
      ['Held', `${duration(lease.hold_us)}; ${(known(ENDS, lease.end) ?? [0, String(lease.end)])[1].toLowerCase()}`],
      parts ? ['What it did', SPLIT.map(([name, title]) => `${title.toLowerCase()} ${duration(parts[name])}`).join(', ')] : null,
      lease.transaction ? ['Transaction', lease.transaction] : null,
    ].filter(Boolean);
    return el('div.detail-body', {},
      el('dl.facts-list', {}, facts.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value)))),
      lease.statement ? [el('p.detail-title', {}, 'Last statement'), el('pre', { tabindex: 0, 'aria-label': 'Last statement' }, lease.statement)] : null,
      place && place.stack.length ? [el('p.detail-title', {}, 'Taken at, innermost first'), stackList(place, this.data.frames)] : null);
  },
};
