// SPDX-License-Identifier: PostgreSQL
//
// The pools side by side, where there are several; and of the chosen one, what other sizes would have done.

// in_use_max as a small picture, at most 80 points wide.
function sparkline(pool) {
  const { in_use_max: values, count: n } = pool.bins;
  const points = Math.min(80, n);
  const top = Math.max(pool.limit ?? 0, pool.peak, 1);
  let path = 'M0 20';
  for (let i = 0; i < points; i++) {
    let most = 0;
    for (let bin = Math.floor((i * n) / points); bin < Math.floor(((i + 1) * n) / points); bin++) {
      most = Math.max(most, values[bin] ?? 0);
    }
    path += `V${(20 - (19 * most) / top).toFixed(1)}H${(((i + 1) * 80) / points).toFixed(1)}`;
  }
  return svg('svg', { class: 'sparkline', viewBox: '0 0 80 20', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, svg('path', { d: `${path}V20Z` }));
}

function poolsSection(data) {
  const list = table([
    { title: 'Pool', value: (pool) => pool.name, kind: 'place', cell: (pool) => el('button.link', { type: 'button', 'aria-pressed': String(pool.index === view.pool), onclick: () => view.change('pool', pool.index) }, pool.name) },
    { title: 'In use over time', kind: 'minor', cell: sparkline },
    { title: 'Peak', value: (pool) => pool.peak, kind: 'number', cell: (pool) => [count(pool.peak), el('small', {}, pool.limit === null ? '' : ` of ${count(pool.limit)}`)] },
    { title: 'Acquired', value: (pool) => pool.acquired, kind: 'number', cell: (pool) => count(pool.acquired) },
    { title: 'Held, median', value: (pool) => pool.hold.p50_us, kind: 'number minor', cell: (pool) => duration(pool.hold.p50_us) },
    { title: 'Held, p99', value: (pool) => pool.hold.p99_us, kind: 'number minor', cell: (pool) => duration(pool.hold.p99_us) },
    { title: 'Waits', value: (pool) => pool.waits, kind: 'number', cell: (pool) => count(pool.waits) },
    { title: 'Timeouts', value: (pool) => pool.timeouts, kind: 'number', cell: (pool) => alarming(pool.timeouts) },
    { title: 'Leaks', value: (pool) => pool.leaks, kind: 'number', cell: (pool) => alarming(pool.leaks) },
  ], { caption: 'Pools', sort: [3, 'descending'], page: 12, noun: 'pool', current: (pool) => pool.index === view.pool });
  view.on('pool', () => list.update(data.pools));
  return section('pools', 'Pools', 'One for each set of connection parameters. The charts below are of the chosen one.',
    choice('Lists below', [[false, 'Lists of all pools'], [true, 'Of the chosen one']], false, (only) => view.change('onlyPool', only)),
    el('div.card', {}, list.node));
}

function alarming(n) {
  return n ? el('strong.bad', {}, count(n)) : el('span.zero', {}, count(n));
}

function whatIfSection() {
  const is = (row, pool) => row.size === pool.size && row.limit === (pool.limit_each ?? pool.limit);
  const list = table([
    { title: 'Limit', value: (row) => row.limit, kind: 'number', cell: (row) => [count(row.limit), is(row, view.data.pools[view.pool]) ? el('span.badge', {}, 'as it was') : null] },
    { title: 'Size + overflow', kind: 'number', cell: (row) => `${count(row.size)} + ${count(row.overflow)}` },
    { title: 'Peak in use', value: (row) => row.peak, kind: 'number', cell: (row) => count(row.peak) },
    { title: 'Waits', value: (row) => row.waited, kind: 'number', cell: (row) => [count(row.waited), row.waited ? el('small', {}, ` ${percent(row.waited, view.data.pools[view.pool].acquired)}`) : null] },
    { title: 'Wait, median', value: (row) => row.wait_p50_us, kind: 'number minor', cell: (row) => duration(row.wait_p50_us) },
    { title: 'Wait, p99', value: (row) => row.wait_p99_us, kind: 'number', cell: (row) => duration(row.wait_p99_us) },
    { title: 'Longest wait', value: (row) => row.wait_max_us, kind: 'number', cell: (row) => duration(row.wait_max_us) },
    { title: 'Timeouts', value: (row) => row.timeouts, kind: 'number', cell: (row) => alarming(row.timeouts) },
  ], { caption: 'Other sizes', sort: [0, 'ascending'], page: 24, noun: 'size', current: (row) => is(row, view.data.pools[view.pool]), empty: 'There is nothing to simulate: no lease of this pool is in the logs.' });
  view.on('pool', () => list.update(view.data.pools[view.pool]?.what_if ?? []));
  return section('sizes', 'Other sizes', 'The recorded leases, replayed with other limits. Each is held as long as it was; how the server would have fared is not known.', null, el('div.card', {}, list.node));
}
