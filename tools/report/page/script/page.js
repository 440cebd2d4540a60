// SPDX-License-Identifier: PostgreSQL
//
// Puts the page together, and what works everywhere on it: search, choice of the pool, keys, help.

const KEYS = [
  ['/', 'Search'], ['Esc', 'Clear the search; in a chart, zoom out'], ['?', 'This help'], ['t', 'Light or dark'],
  ['p', 'Choose the pool'], ['Tab', 'To the next control; in a chart arrows move'],
  ['← →', 'In use over time: move, with Shift farther'], ['+ −', 'In use over time: zoom'],
  ['↑ ↓ ← →', 'Flame graph: caller, callee, beside'], ['Enter', 'Flame graph: zoom in'],
];
// Where a title would be long in the line of links.
const NAMES = { time: 'In use', times: 'Times', held: 'Places', leases: 'Leases', sizes: 'Sizes' };
const TERMS = [
  ['Session', 'one connection with its server process'],
  ['Lease', 'the use of a session by the program, from connect to finish'],
  ['Pool', 'the sessions of one set of connection parameters in one process'],
  ['Limit', 'how many sessions a pool has at most; further connects wait'],
  ['Leak', 'a lease that was never given back, or only by exit'],
  ['p99', '99 % of the leases took no longer'],
];

function help() {
  const list = (items, mark) => el('dl.terms', {}, items.map(([name, text]) => el('div', {}, el('dt', {}, mark ? el('kbd', {}, name) : name), el('dd', {}, text))));
  const dialog = byId('help');
  dialog.append(el('div.dialog-head', {}, el('h2', { id: 'help-title' }, 'Keyboard and terms'),
    el('button.icon', { type: 'button', 'aria-label': 'Close', onclick: () => dialog.close() }, el('span', { 'aria-hidden': 'true' }, '×'))),
  el('div.columns', {}, list(KEYS, true), list(TERMS, false)));
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  byId('help-open').addEventListener('click', () => dialog.showModal());
}

function searchFor(text, where) {
  byId('search').value = text;
  applySearch();
  byId(where).scrollIntoView();
}

function applySearch() {
  view.change('search', byId('search').value.trim().toLowerCase().replace(/\s+/g, ' '));
  const found = [[flame.list, 'place'], [leases.list, 'lease'], [sessions.list, 'session'], [events.list, 'event']].map(([list, noun]) => plural(list.length(), noun));
  say(view.search ? `${found.join(', ')} found` : '');
}

function search() {
  const field = byId('search');
  let waiting = 0;
  field.addEventListener('input', () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(applySearch);
  });
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') {
      field.value = '';
      applySearch();
      field.blur();
    }
  });
}

function keys() {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea') || byId('help').open) {
      return;
    }
    const act = {
      '/': () => byId('search').select(),
      '?': () => byId('help').showModal(),
      t: () => byId('theme').click(),
      p: () => !byId('pool-choice').hidden && byId('pool').focus(),
      Escape: () => tooltip.hide(),
    }[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
}

function poolChoice(data) {
  const select = byId('pool');
  select.append(...data.pools.map((pool) => el('option', { value: pool.index }, pool.name)));
  select.addEventListener('change', () => view.change('pool', Number(select.value)));
  byId('pool-choice').hidden = data.pools.length < 2;
  view.on('pool', () => { select.value = String(view.pool); });
}

function navigation() {
  byId('nav').append(...[...document.querySelectorAll('main > section')].map((each) => el('a', { href: `#${each.id}` }, NAMES[each.id] ?? each.querySelector('h2').textContent)));
}

function start() {
  const main = byId('main');
  let data;
  try {
    data = readData();
  } catch (error) {
    main.append(el('p.notice', { role: 'alert' }, `The report’s data cannot be read: ${error.message}`));
    theme.start();
    return;
  }
  view.data = data;
  view.known = data.places.some((place) => place.query_us !== null);
  // The busiest is what one looks for first.
  view.pool = data.pools.reduce((best, pool) => (pool.acquired > data.pools[best].acquired ? pool.index : best), 0);
  theme.start();
  main.append(heading(data), caveats(data) ?? '', tiles(data));
  help();
  if (!data.pools.length && !data.leases.length && !data.sessions.length && !data.marks.length) {
    main.append(el('section', {}, el('div.card', {}, empty('No connection was taken in these logs. If the program did connect, see that its log was written at level info (PQPOOL_LOG_LEVEL).'))));
    byId('search').disabled = true;
  } else {
    sections(main, data);
  }
  footer(data);
  performance.mark('report-ready');
}

function sections(main, data) {
  main.append(data.pools.length > 1 ? poolsSection(data) : '', data.pools.length ? timeline.section(data) : '', data.pools.length ? timesSection() : '',
    flame.section(data), leases.section(data), sessions.section(data), data.pools.length ? whatIfSection() : '', events.section(data));
  navigation();
  poolChoice(data);
  search();
  keys();
  if (data.pools.length) {
    view.on('pool theme', () => timeline.draw());
  }
  view.on('onlyPool pool', () => flame.build());
  view.on('search', () => flame.highlight());
  view.on('search', () => flame.listPlaces());
  view.on('search onlyPool pool', () => leases.draw());
  view.on('search onlyPool pool', () => sessions.draw());
  view.on('search onlyPool pool', () => events.draw());
}

start();
