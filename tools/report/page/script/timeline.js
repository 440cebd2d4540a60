// SPDX-License-Identifier: PostgreSQL
//
// Sessions in use over time against the limit, and below it who waited. Both are uPlot's; positions are
// microseconds from the log's first event. A stretch is chosen by dragging, by keys or by buttons; the
// cursor moves by mouse or keys, and what is there is said above the chart and to a screen reader, for
// which the chart is a slider along time.

const MARKS = {
  timeout: ['Timeouts', 'bad', 'M0 -4.5 4.5 4H-4.5Z'],
  deadlock: ['Suspected deadlocks', 'bad', 'M0 -5 5 0 0 5-5 0Z'],
  server_restart: ['Server restarts', 'text', 'M-4-4H4V4H-4Z'],
  near_limit: ['Near the limit', 'warn', 'M0 4.5 4.5-4H-4.5Z'],
  misuse: ['Misuses', 'warn', 'M0 -5 5 0 0 5-5 0Z'],
  turn_lost: ['Lost turns', 'warn', 'M-4-4H4V4H-4Z'],
  lost_lines: ['Lost lines', 'muted', 'M0-4A4 4 0 1 1 0 4 4 4 0 1 1 0-4Z'],
  rotate_failed: ['Failed rotations', 'muted', 'M0-4A4 4 0 1 1 0 4 4 4 0 1 1 0-4Z'],
};

const PRINT_WIDTH = 640;

function markKind(kind) {
  return known(MARKS, kind) ?? [String(kind).replace(/_/g, ' '), 'muted', MARKS.lost_lines[2]];
}

function markShape(kind) {
  const [, hue, path] = markKind(kind);
  return svg('svg', { class: `shape ${hue}`, viewBox: '-6 -6 12 12', 'aria-hidden': 'true' }, svg('path', { d: path }));
}

// Per bin as uPlot wants it: one more at the end, so that the last step has its width.
function series(values) {
  return [...values, values.length ? values[values.length - 1] : null];
}

const timeline = {
  charts: [],
  cursor: null,
  range: null,

  section(data) {
    this.data = data;
    this.readout = el('dl.readout');
    this.plots = el('div.plots');
    this.slider = el('div.chart-focus', {
      tabindex: 0, role: 'slider', 'aria-label': 'Moment in the log', 'aria-describedby': 'timeline-keys', onkeydown: (event) => this.key(event),
    }, this.plots);
    this.marks = el('ul.legend');
    const button = (text, title, act) => el('button.icon', { type: 'button', title, 'aria-label': title, onclick: act }, el('span', { 'aria-hidden': 'true' }, text));
    this.whole = el('button', { type: 'button', onclick: () => this.zoom(null) }, 'Whole log');
    const buttons = el('div.choice', { role: 'group', 'aria-label': 'Stretch of time' }, button('−', 'Zoom out', () => this.scale(2)), button('+', 'Zoom in', () => this.scale(0.5)), this.whole);
    this.name = el('p.lead');
    const node = section('time', 'Sessions in use', null, buttons,
      el('div.card', {}, this.readout, this.slider, el('div.chart-foot', {}, this.marks, el('p.hint', { id: 'timeline-keys' }, 'Drag to zoom, or focus the chart: arrows move, + and − zoom, Escape shows the whole log.'))));
    node.querySelector('.section-head > div').append(this.name);
    new ResizeObserver(() => this.resize()).observe(this.plots);
    // A canvas does not give way to the paper's width; A4 has room for this much.
    window.addEventListener('beforeprint', () => this.resize(PRINT_WIDTH));
    window.addEventListener('afterprint', () => this.resize());
    return node;
  },

  // Drawn only if there is a pool.
  pool() {
    return this.data.pools[view.pool];
  },

  total() {
    const { bins } = this.pool();
    return Math.max(bins.width_us * bins.count, 1);
  },

  marksHere() {
    return this.data.marks.filter((mark) => mark.pool === view.pool || mark.pool === null || mark.pool === undefined);
  },

  draw() {
    this.charts.forEach((chart) => chart.destroy());
    this.charts = [];
    const pool = this.pool();
    const drawn = Boolean(pool && pool.bins.count);
    this.slider.hidden = !drawn;
    this.readout.hidden = !drawn;
    this.name.textContent = pool ? pool.name : 'No pool is in these logs.';
    if (!drawn) {
      return;
    }
    this.cursor = null;
    if (this.range && this.range[1] > this.total()) {
      this.range = null;
    }
    const { bins } = pool;
    const x = Array.from({ length: bins.count + 1 }, (_, i) => i * bins.width_us);
    // A limit far above all that happened would press it flat.
    const highest = bins.open_max.reduce((top, n) => Math.max(top, n ?? 0), Math.max(pool.peak, 1));
    const far = pool.limit !== null && pool.limit > 4 * highest;
    const limit = pool.limit === null || far ? null : x.map(() => pool.limit);
    const waited = bins.waiting_max.some((n) => n) || bins.timeouts.some((n) => n);
    this.add(240, [x, series(bins.open_max), series(bins.in_use_max), series(bins.in_use_avg), limit ?? x.map(() => null)], [
      { stroke: colour('faint'), width: 1.25, dash: [1.5, 3], paths: uPlot.paths.stepped({ align: 1 }) },
      { stroke: colour('accent'), fill: colour('accent-soft'), width: 1.5, paths: uPlot.paths.stepped({ align: 1 }) },
      { stroke: colour('average'), width: 1.5 },
      { stroke: colour('limit'), width: 1.5, dash: [6, 4] },
    ], Math.max(limit ? pool.limit : 0, highest), true, !waited);
    if (waited) {
      const most = bins.waiting_max.reduce((top, n) => Math.max(top, n ?? 0), 1);
      this.add(96, [x, series(bins.waiting_max)], [{ stroke: colour('warn'), fill: colour('warn-soft'), width: 1.5, paths: uPlot.paths.stepped({ align: 1 }) }], most, false, true);
    }
    const kinds = [...new Set(this.marksHere().map((mark) => mark.kind))];
    this.marks.replaceChildren(...kinds.map((kind) => el('li', {}, markShape(kind), markKind(kind)[0])),
      ...(far ? [el('li', {}, `The limit of ${count(pool.limit)} is far above what is drawn.`)] : []));
    this.zoom(this.range);
  },

  add(height, columns, lines, top, marked, labelled) {
    const font = '12px system-ui, sans-serif';
    const axis = { stroke: colour('muted'), font, grid: { stroke: colour('grid'), width: 1 }, ticks: { show: false } };
    const plot = el('div.plot', {}, el('div.plot-title', {}, marked ? 'in use' : 'waiting'));
    this.plots.append(plot);
    this.charts.push(new uPlot({
      width: Math.max(this.plots.clientWidth, 200),
      height: height - (labelled ? 0 : 22),
      padding: [16, 24, labelled ? 0 : 8, 0],
      legend: { show: false },
      focus: { alpha: 1 },
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, dist: 4 }, sync: { key: 'time' } },
      scales: { x: { time: false, range: (chart, min, max) => [min ?? 0, max ?? this.total()] }, y: { range: [0, top * 1.08] } },
      axes: [
        { ...axis, size: labelled ? 34 : 8, gap: 8, splits: (chart, i, min, max) => this.ticks(min, max).at, values: (chart, at) => (labelled ? at.map((t, i) => this.ticks(...this.seen()).text[i] ?? '') : at.map(() => '')) },
        { ...axis, size: 44, space: marked ? 34 : 22, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5], values: (chart, at) => at.map(count) },
      ],
      series: [{}, ...lines.map((line) => ({ points: { show: false }, ...line }))],
      hooks: {
        setCursor: [(chart) => this.moved(chart)],
        setScale: [(chart, key) => key === 'x' && this.follow(chart)],
        draw: [(chart) => this.drawMarks(chart, marked)],
      },
    }, columns, plot));
  },

  seen() {
    const { min, max } = this.charts[0].scales.x;
    return [min ?? 0, max ?? this.total()];
  },

  ticks(min, max) {
    return timeTicks(this.data.from ?? 0, min, max, Math.max(2, Math.floor(this.plots.clientWidth / 110)));
  },

  resize(width = this.plots.clientWidth) {
    if (width) {
      this.charts.forEach((chart) => chart.width !== width && chart.setSize({ width, height: chart.height }));
    }
  },

  // Shows from..to; null is the whole log. No less than two bins.
  zoom(range) {
    const total = this.total();
    if (range) {
      const least = Math.min(total, 2 * this.pool().bins.width_us);
      const width = Math.min(total, Math.max(least, range[1] - range[0]));
      const from = Math.max(0, Math.min(total - width, (range[0] + range[1] - width) / 2));
      this.range = width >= total ? null : [from, from + width];
    } else {
      this.range = null;
    }
    const [min, max] = this.range ?? [0, total];
    this.charts.forEach((chart) => chart.setScale('x', { min, max }));
    this.whole.disabled = !this.range;
    this.read();
  },

  // A chart was zoomed by dragging or a double click: the other one, and we, are to know.
  follow(chart) {
    const { min, max } = chart.scales.x;
    const [from, to] = this.range ?? [0, this.total()];
    if (min !== null && this.charts.length && (min !== from || max !== to) && this.charts.includes(chart)) {
      queueMicrotask(() => this.zoom([min, max]));
    }
  },

  scale(factor) {
    const [min, max] = this.range ?? [0, this.total()];
    const at = this.cursor === null ? (min + max) / 2 : Math.min(max, Math.max(min, (this.cursor + 0.5) * this.pool().bins.width_us));
    this.zoom([at - (at - min) * factor, at + (max - at) * factor]);
    const [from, to] = this.range ?? [0, this.total()];
    say(`Showing ${duration(to - from)}`);
  },

  // Around a moment of the log, for the list of events.
  show(time) {
    const at = time - this.data.from;
    const width = this.total() / 20;
    this.zoom([at - width / 2, at + width / 2]);
    this.moveTo(Math.floor(at / this.pool().bins.width_us));
    this.slider.focus({ preventScroll: true });
    this.slider.scrollIntoView({ block: 'center' });
  },

  key(event) {
    const [min, max] = this.range ?? [0, this.total()];
    const { width_us: bin, count: n } = this.pool().bins;
    const step = Math.max(1, Math.round((max - min) / bin / (event.shiftKey ? 10 : 100)));
    const here = this.cursor ?? Math.floor((min + max) / 2 / bin);
    const act = {
      ArrowLeft: () => this.moveTo(here - step),
      ArrowRight: () => this.moveTo(here + step),
      ArrowDown: () => this.moveTo(here - step),
      ArrowUp: () => this.moveTo(here + step),
      PageUp: () => this.moveTo(here + Math.round((max - min) / bin / 2)),
      PageDown: () => this.moveTo(here - Math.round((max - min) / bin / 2)),
      Home: () => this.moveTo(0),
      End: () => this.moveTo(n - 1),
      '+': () => this.scale(0.5),
      '=': () => this.scale(0.5),
      '-': () => this.scale(2),
      Escape: () => { this.zoom(null); say('Showing the whole log'); },
    }[event.key];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      act();
    }
  },

  moveTo(bin) {
    const { width_us: width, count: n } = this.pool().bins;
    const at = Math.max(0, Math.min(n - 1, bin));
    let [min, max] = this.range ?? [0, this.total()];
    const x = (at + 0.5) * width;
    if (x < min || x > max) {
      this.zoom([x - (max - min) / 2, x + (max - min) / 2]);
      [min, max] = this.range ?? [0, this.total()];
    }
    const [chart] = this.charts;
    chart.setCursor({ left: chart.valToPos(x, 'x'), top: 10 });
    this.cursor = at;
    this.read();
  },

  moved(chart) {
    if (!this.charts.includes(chart)) {
      return;
    }
    const { left } = chart.cursor;
    const n = this.pool().bins.count;
    const bin = left === null || left < 0 ? null : Math.floor(chart.posToVal(left, 'x') / this.pool().bins.width_us);
    this.cursor = bin === null ? null : Math.max(0, Math.min(n - 1, bin));
    this.read();
  },

  // The figures at the cursor, else those of the stretch that is shown.
  read() {
    const pool = this.pool();
    const { bins } = pool;
    const [min, max] = this.range ?? [0, this.total()];
    const first = this.cursor ?? Math.max(0, Math.floor(min / bins.width_us));
    const last = this.cursor ?? Math.min(bins.count - 1, Math.ceil(max / bins.width_us) - 1);
    const most = (values) => { let top = 0; for (let i = first; i <= last; i++) { top = Math.max(top, values[i] ?? 0); } return top; };
    const sum = (values) => { let all = 0; for (let i = first; i <= last; i++) { all += values[i] ?? 0; } return all; };
    const at = first * bins.width_us;
    const from = this.data.from ?? 0;
    const step = bins.width_us < SECOND ? Math.max(1, Math.min(1e3, bins.width_us)) : SECOND;
    const when = this.cursor === null ? duration(max - min) : this.total() < SECOND ? `after ${duration(at)}` : clock(from + at, step);
    const items = [
      ['time', this.cursor === null ? 'Shown' : 'At', when],
      ['accent', 'In use, most', count(most(bins.in_use_max))],
      ['average', 'Average', count(sum(bins.in_use_avg) / (last - first + 1))],
      ...(pool.limit === null ? [] : [['limit', 'Limit', count(pool.limit)]]),
      ['faint', 'Open', count(most(bins.open_max))],
      ['warn', 'Waiting, most', count(most(bins.waiting_max))],
      ['', 'Acquired', count(sum(bins.acquired))],
      ['', 'Timeouts', count(sum(bins.timeouts))],
    ];
    this.readout.replaceChildren(...items.map(([key, title, value]) => el('div', {}, el('dt', {}, key && key !== 'time' ? el(`span.line.line-${key}`) : null, title), el('dd', {}, value))));
    make(this.slider, {
      'aria-valuemin': 0,
      'aria-valuemax': bins.count - 1,
      'aria-valuenow': first,
      'aria-valuetext': items.map(([, title, value]) => `${title} ${value}`).join(', '),
    }, []);
  },

  drawMarks(chart, lines) {
    const { ctx, bbox } = chart;
    const scale = devicePixelRatio;
    const drawnAt = new Map();
    ctx.save();
    for (const mark of this.marksHere()) {
      const [, hue, path] = markKind(mark.kind);
      const x = Math.round(chart.valToPos(mark.time - this.data.from, 'x', true));
      // Of many marks of a kind at one place, one is enough.
      const last = drawnAt.get(mark.kind) ?? -Infinity;
      if (x < bbox.left || x > bbox.left + bbox.width || Math.abs(x - last) < 3 * scale) {
        continue;
      }
      drawnAt.set(mark.kind, x);
      ctx.globalAlpha = 0.35;
      ctx.fillStyle = colour(hue);
      ctx.fillRect(x - scale / 2, bbox.top, scale, bbox.height);
      ctx.globalAlpha = 1;
      if (lines) {
        ctx.save();
        ctx.translate(x, bbox.top - 6 * scale);
        ctx.scale(scale, scale);
        ctx.fill(new Path2D(path));
        ctx.restore();
      }
    }
    ctx.restore();
  },
};
