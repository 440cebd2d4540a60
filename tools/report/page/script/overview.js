// SPDX-License-Identifier: PostgreSQL
//
// What the report is about, and its figures at a glance.

function heading(data) {
  const facts = [];
  if (data.from !== null && data.to !== null) {
    facts.push(span(data.from, data.to), duration(data.to - data.from));
  }
  if (data.processes) {
    facts.push(plural(data.processes, 'process', 'processes'));
  }
  facts.push(plural(data.logs.length, 'log'));
  const names = data.programs.length ? data.programs : ['No program'];
  const some = names.slice(0, 4).join(', ') + (names.length > 4 ? ` and ${names.length - 4} more` : '');
  document.title = `${some} – pqpool report`;
  return el('div.intro', {},
    el('h1', { title: names.join(', ') }, some),
    el('ul.facts', {}, facts.map((fact) => el('li', {}, fact))));
}

// The pool that came nearest to its limit; of those without a limit, the one with the highest peak.
function fullest(pools) {
  const fill = (pool) => (pool.limit ? pool.peak / pool.limit : 0);
  return [...pools].sort((a, b) => fill(b) - fill(a) || b.peak - a.peak)[0];
}

function tile(label, value, note, alarm) {
  return el(alarm ? 'li.tile.alarm' : 'li.tile', {},
    el('div.tile-label', {}, alarm ? svg('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }, svg('path', { d: 'M8 1.8 15 14.2H1L8 1.8Zm0 4.6v3.6m0 1.6v.9' })) : null, label),
    el('div.tile-value', {}, value), el('div.tile-note', {}, note));
}

function tiles(data) {
  const { totals, pools } = data;
  const full = fullest(pools);
  const longest = pools.reduce((most, pool) => Math.max(most, pool.wait.max_us ?? 0), 0);
  const leaking = data.places.filter((place) => place.leaks).length;
  return el('ul.tiles', { 'aria-label': 'At a glance' },
    tile('Leases acquired', count(totals.acquired), totals.acquired > totals.opened && totals.opened ? `${count(Number(digits(totals.acquired / totals.opened)))} for each session opened` : 'times a connection was taken'),
    tile('Sessions opened', count(totals.opened), totals.borrowed ? `and ${count(totals.borrowed)} borrowed from other processes` : `${count(totals.closed)} closed`),
    tile('Peak in use', full ? [count(full.peak), full.limit === null ? null : el('small', {}, ` of ${count(full.limit)}`)] : DASH,
      !full ? 'no pool' : full.limit === null ? 'limit not known' : full.peak >= full.limit ? 'the limit was reached' : `${percent(full.peak, full.limit)} of the limit`),
    tile('Waits', count(totals.waits), totals.waits ? `${percent(totals.waits, totals.acquired)} of leases, ${duration(longest)} at most` : 'no connect had to wait'),
    tile('Timeouts', count(totals.timeouts), totals.timeouts ? 'connects that failed' : 'no connect failed', totals.timeouts > 0),
    tile('Leaks', count(totals.leaks), totals.leaks ? (leaking ? `taken at ${plural(leaking, 'place')}` : 'never given back')
      : totals.kept ? `${count(totals.kept)} kept on purpose` : 'none was forgotten', totals.leaks > 0));
}

// What the figures do not contain.
function caveats(data) {
  const texts = [];
  if (data.format !== FORMAT) {
    texts.push(`This report is of format ${data.format}; the page knows format ${FORMAT}. Some of it may be missing.`);
  }
  const unread = data.logs.reduce((sum, log) => sum + (log.unread ?? 0), 0);
  if (unread) {
    texts.push(`${plural(unread, 'line')} of the logs could not be read.`);
  }
  if (data.totals.lost_lines) {
    texts.push(`${plural(data.totals.lost_lines, 'line')} could not be written while the program ran, so some figures are too low.`);
  }
  const left = Object.entries(data.left_out).filter(([, n]) => n > 0).map(([what, n]) => `${count(n)} ${what}`);
  if (left.length) {
    texts.push(`To keep the page small, its lists leave out ${left.join(', ')}; the figures above and the charts have them all.`);
  }
  return texts.length ? el('ul.caveats', {}, texts.map((text) => el('li', {}, text))) : null;
}

function footer(data) {
  byId('footer').append(
    el('details', {}, el('summary', {}, plural(data.logs.length, 'log'), ' read'),
      el('ul', {}, data.logs.map((log) => el('li', {}, el('code', {}, log.file), ` ${plural(log.lines ?? 0, 'line')}`, log.unread ? `, ${count(log.unread)} not read` : '')))),
    el('p', {}, `Made by pqpool ${data.pqpool ?? ''}. Times are UTC. Charts over time are drawn with uPlot (MIT licence, in this file’s source).`));
}
