// SPDX-License-Identifier: PostgreSQL
//
// How long connections were held, and how long connects waited: bars on a logarithmic scale of time, as
// the data count them (1, 2, 5, 10 …), with the percentiles marked.

const PLOT = { height: 190, left: 8, right: 8, top: 46, bottom: 26 };

function lowerBound(buckets, i) {
  if (i > 0) {
    return buckets[i - 1][0];
  }
  const first = buckets[0][0];
  // Of 1, 2, 5, 10 the one before.
  return first === null ? 0 : first / (String(first).startsWith('5') ? 2.5 : 2);
}

// The buckets from the first to the last that have something in them.
function filled(buckets) {
  const first = buckets.findIndex(([, n]) => n);
  const last = buckets.findLastIndex(([, n]) => n);
  return first < 0 ? [] : buckets.slice(Math.max(0, first - 1), last + 2).map(([upper, n], i, all) => ({
    lower: lowerBound(buckets, buckets.indexOf(all[i])), upper, n,
  }));
}

// Where a time is, in bars from the left.
function position(bars, us) {
  const i = bars.findIndex((bar) => bar.upper === null || us <= bar.upper);
  if (i < 0) {
    return bars.length;
  }
  const { lower, upper } = bars[i];
  if (upper === null || lower <= 0) {
    return i + 0.5;
  }
  return i + Math.max(0, Math.min(1, Math.log(Math.max(us, lower) / lower) / Math.log(upper / lower)));
}

function histogramPicture(times, noun, plotWidth) {
  const bars = filled(times.buckets);
  const most = Math.max(...bars.map((bar) => bar.n));
  const inner = plotWidth - PLOT.left - PLOT.right;
  const step = inner / bars.length;
  const floor = PLOT.height - PLOT.bottom;
  const tall = floor - PLOT.top;
  const shapes = bars.map((bar, i) => {
    const height = bar.n ? Math.max(2, (tall * bar.n) / most) : 0;
    const range = bar.upper === null ? `over ${duration(bar.lower)}` : `${duration(bar.lower)} – ${duration(bar.upper)}`;
    const lines = [range, plural(bar.n, noun), `${percent(bar.n, times.count)} of all`];
    return svg('g', { class: 'column', onmousemove: (event) => tooltip.show(lines, event.clientX, event.clientY), onmouseleave: () => tooltip.hide() },
      svg('rect', { class: 'catch', x: PLOT.left + i * step, y: PLOT.top, width: step, height: tall }),
      svg('rect', { class: 'fill', x: PLOT.left + i * step + 1, y: floor - height, width: Math.max(1, step - 2), height, rx: Math.min(2, step / 4) }));
  });
  const labels = bars.map((bar, i) => (i && bar.lower && /^10*$/.test(String(bar.lower)) && (bars.length < 24 || Math.log10(bar.lower) % 3 === 0)
    ? svg('text', { x: PLOT.left + i * step, y: PLOT.height - 8, 'text-anchor': 'middle' }, duration(bar.lower)) : null)).filter(Boolean);
  // Each percentile's words on a line of their own where they would run into those before.
  let right = -Infinity;
  let row = 0;
  const percentiles = [['p50', times.p50_us], ['p90', times.p90_us], ['p99', times.p99_us]].filter(([, us]) => us !== null).map(([name, us]) => {
    const x = PLOT.left + position(bars, us) * step;
    const text = `${name} ${duration(us)}`;
    const width = text.length * 7.1;
    row = x - width / 2 < right ? (row + 1) % 3 : 0;
    right = x + width / 2 + 4;
    const y = 10 + row * 13;
    return svg('g', { class: 'percentile' }, svg('line', { x1: x, x2: x, y1: y + 4, y2: floor }),
      svg('text', { x: Math.max(width / 2, Math.min(plotWidth - width / 2, x)), y, 'text-anchor': 'middle' }, text));
  });
  const said = `${plural(times.count, noun)}: half took no more than ${duration(times.p50_us)}, 90 % no more than ${duration(times.p90_us)}, 99 % no more than ${duration(times.p99_us)}, the longest ${duration(times.max_us)}`;
  return el('figure.histogram', {},
    svg('svg', { viewBox: `0 0 ${plotWidth} ${PLOT.height}`, role: 'img', 'aria-label': said },
      svg('line', { class: 'axis', x1: PLOT.left, x2: plotWidth - PLOT.right, y1: floor, y2: floor }), shapes, labels, percentiles));
}

function timesCard(title, none, noun, pick) {
  const body = el('div');
  let drawnFor = 560;
  const draw = () => {
    const pool = view.data.pools[view.pool];
    const times = pool ? pick(pool) : NO_TIMES;
    if (!times.count || !times.buckets.some(([, n]) => n)) {
      body.replaceChildren(empty(none));
      return;
    }
    body.replaceChildren(histogramPicture(times, noun, drawnFor), el('dl.figures', {},
      [['Median', times.p50_us], ['p90', times.p90_us], ['p99', times.p99_us], ['Longest', times.max_us]].map(([name, us]) => el('div', {}, el('dt', {}, name), el('dd', {}, duration(us))))));
  };
  view.on('pool', draw);
  // Drawn as wide as its room, so that its words have their size.
  new ResizeObserver(() => {
    if (body.clientWidth && body.clientWidth !== drawnFor) {
      drawnFor = body.clientWidth;
      draw();
    }
  }).observe(body);
  return el('div.card', {}, el('h3', {}, title), body);
}

function timesSection() {
  return section('times', 'Holds and waits', 'How many took how long. The scale of time is logarithmic.', null, el('div.pair', {},
    timesCard('Time a connection was held', 'No connection was given back.', 'lease', (pool) => pool.hold),
    timesCard('Time a connect waited', 'No connect waited.', 'connect', (pool) => pool.wait)));
}
