// SPDX-License-Identifier: PostgreSQL
//
// The report's data, as `pqpool report` put them into the page. Strings come from logs that anybody may
// have written: what is in them that would not be seen, or would turn the text around, is spelled out.
// What may be missing is filled in here, so that nobody else has to ask.

const FORMAT = 1;

// Controls but newline and tab, separators of lines, marks of direction and of nothing, half characters.
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function spelled(text) {
  return text.replace(UNSEEN, (c) => {
    const code = c.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

const NO_TIMES = { count: 0, p50_us: null, p90_us: null, p99_us: null, max_us: null, buckets: [] };

function completePool(pool, index) {
  const bins = { width_us: 1, count: 0, ...pool.bins };
  for (const name of ['in_use_max', 'in_use_avg', 'waiting_max', 'open_max', 'acquired', 'timeouts']) {
    bins[name] = bins[name] ?? new Array(bins.count).fill(0);
  }
  return {
    limit: null, size: null, acquired: 0, waits: 0, timeouts: 0, leaks: 0, ...pool,
    index,
    name: pool.name || '(unnamed pool)',
    bins,
    peak: bins.in_use_max.reduce((most, n) => Math.max(most, n ?? 0), 0),
    hold: { ...NO_TIMES, ...pool.hold },
    wait: { ...NO_TIMES, ...pool.wait },
    what_if: pool.what_if ?? [],
  };
}

function completePlace(place, index) {
  const stack = place.stack ?? [];
  return {
    pool: 0, script: false, leases: 0, held_us: 0, query_us: null, transaction_us: null, idle_us: null,
    p50_us: null, p99_us: null, max_us: null, leaks: 0, ...place,
    index,
    stack,
    label: place.label || '(place not known)',
  };
}

// How a hold divides into query, idle in transaction and idle; null if the log does not tell.
function split(held, query, transaction, idle) {
  if (query === null || query === undefined || transaction === null || transaction === undefined) {
    return null;
  }
  return { query, transaction, idle: idle ?? Math.max(0, (held ?? 0) - query - transaction) };
}

function readData() {
  const text = byId('report-data').textContent;
  const raw = JSON.parse(text, (key, value) => (typeof value === 'string' ? spelled(value) : value));
  const data = {
    format: FORMAT, pqpool: null, logs: [], from: null, to: null, programs: [], processes: 0, totals: {}, pools: [], frames: [],
    places: [], leases: [], sessions: [], session_ends: {}, marks: [], left_out: {},
  };
  for (const [key, value] of Object.entries(raw)) {
    data[key] = value ?? data[key];
  }
  data.totals = { acquired: 0, released: 0, opened: 0, borrowed: 0, closed: 0, waits: 0, timeouts: 0, leaks: 0, kept: 0, lost_lines: 0, ...data.totals };
  data.pools = data.pools.map(completePool);
  data.places = data.places.map(completePlace);
  data.leases = data.leases.map((lease) => ({ hold_us: null, wait_us: null, statement: null, end: 'open', ...lease }));
  return data;
}
