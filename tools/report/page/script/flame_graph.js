// SPDX-License-Identifier: PostgreSQL
//
// Held time by the stack that acquired, as a flame graph from the top down: a frame is as wide as its
// share of the time, its callees hang below it. Only what is wide enough to be seen is in the page. For
// those who hear it, and for keys, it is a tree.

const ROW = 24;
const SLIVER = 0.0012; // of the width: narrower frames are left out

const flame = {
  measure: 'held',
  root: null,
  zoomed: null,
  cells: new Map(),

  section(data) {
    this.data = data;
    this.tree = el('div.flame', { role: 'tree', 'aria-label': 'Held time by stack', 'aria-describedby': 'flame-keys', onkeydown: (event) => this.key(event), onmouseleave: () => tooltip.hide() });
    this.path = el('p.flame-path');
    this.none = empty('No lease with a known duration is in these logs.');
    const modes = [['held', 'All'], ['query', 'Query'], ['transaction', 'In transaction'], ['idle', 'Idle']];
    const mode = view.known ? choice('Time to show', modes, 'held', (measure) => {
      this.measure = measure;
      this.build();
    }) : null;
    const hint = el('p.hint', { id: 'flame-keys' }, 'Click or Enter zooms in, Escape out. Arrows move between frames.');
    this.foot = el('div.chart-foot', {}, view.known ? splitLegend() : el('p.hint', {}, 'These logs do not tell what held connections did.'), hint);
    this.list = placesTable();
    const node = section('held', 'Where time is held', 'How long connections were held, by the code that took them.', mode,
      el('div.card', {}, this.path, this.tree, this.none, this.foot), data.places.length ? el('div.card', {}, el('h3', {}, 'Places'), this.list.node) : null);
    new ResizeObserver(() => this.label()).observe(this.tree);
    return node;
  },

  build() {
    const places = this.data.places.filter((place) => view.shows(place.pool));
    const before = this.zoomed && this.trail(this.zoomed).map((node) => node.name);
    this.root = flameTree(places, this.data.frames, this.measure);
    this.zoomed = this.root;
    // The same frame as before, as far as it is there.
    (before ?? []).slice(1).every((name) => {
      const next = this.zoomed.byName.get(name);
      this.zoomed = next ?? this.zoomed;
      return next;
    });
    this.draw();
    this.listPlaces();
  },

  listPlaces() {
    this.list.update(this.data.places.filter((place) => view.shows(place.pool) && view.finds(...placeTexts(place, this.data.frames))));
  },

  trail(node) {
    const nodes = [];
    for (let each = node; each; each = each.parent) {
      nodes.unshift(each);
    }
    return nodes;
  },

  describe(node) {
    const whole = this.root[this.measure];
    const share = node === this.root ? '' : `, ${percent(node[this.measure], whole)} of all`;
    const lines = [node.name, `${duration(node[this.measure])} ${MEASURES[this.measure]}${share}`,
      `${plural(node.leases, 'lease')}${node.leases ? `, ${duration(node.held / node.leases)} each on average` : ''}`];
    if (node.known) {
      lines.push(SPLIT.map(([name, title]) => `${title.toLowerCase()} ${percent(node[name], node.query + node.transaction + node.idle)}`).join(', '));
    }
    if (node.leaks) {
      lines.push(plural(node.leaks, 'leak'));
    }
    return lines;
  },

  draw(focus = null) {
    const { measure, zoomed } = this;
    this.cells.clear();
    const drawn = [];
    let depth = 0;
    const put = (node, left, width) => {
      if (width < SLIVER) {
        return;
      }
      depth = Math.max(depth, node.depth);
      drawn.push(this.cell(node, left, width));
      let x = left;
      for (const child of node.children) {
        const share = (width * child[measure]) / node[measure];
        put(child, x, share);
        x += share;
      }
    };
    const trail = this.trail(zoomed);
    trail.slice(0, -1).forEach((node) => drawn.push(this.cell(node, 0, 1, true)));
    if (this.root[measure]) {
      put(zoomed, 0, 1);
    }
    this.none.hidden = drawn.length > 0;
    this.tree.hidden = !drawn.length;
    this.foot.hidden = !drawn.length;
    this.path.hidden = !drawn.length;
    this.tree.replaceChildren(...drawn);
    this.tree.style.height = `${(depth + 1) * ROW}px`;
    const at = this.cells.get(focus) ?? this.cells.get(zoomed);
    if (at) {
      at.tabIndex = 0;
      if (focus) {
        at.focus();
      }
    }
    this.path.replaceChildren(...(zoomed === this.root ? [el('span', {}, this.describe(this.root).slice(1, 3).join(' · '))]
      : [el('button.quiet', { type: 'button', onclick: () => this.zoom(this.root) }, 'Zoom out'), el('span', {}, `${zoomed.name}: ${this.describe(zoomed)[1]}`)]));
    this.highlight();
    this.label();
  },

  cell(node, left, width, above = false) {
    const hue = [...node.name].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 997, 7) % 4;
    const lines = this.describe(node);
    const whole = node.query + node.transaction + node.idle;
    const cell = el(`div.frame.tint-${this.measure === 'held' ? hue : this.measure}${above ? '.above' : ''}`, {
      role: 'treeitem',
      tabindex: -1,
      'aria-level': node.depth + 1,
      'aria-label': lines.join(', '),
      'aria-expanded': node.children.length ? String(above || node === this.zoomed) : null,
      style: { left: `${left * 100}%`, width: `${width * 100}%`, top: `${node.depth * ROW}px` },
      onclick: () => this.zoom(node),
      onmousemove: (event) => tooltip.show(lines, event.clientX, event.clientY),
      onfocus: () => {
        const box = cell.getBoundingClientRect();
        if (cell.matches(':focus-visible')) {
          tooltip.show(lines, box.left, box.top + 10);
        }
      },
      onblur: () => tooltip.hide(),
    }, el('span', {}, node.name));
    if (this.measure === 'held' && node.known && whole) {
      cell.append(el('i', { 'aria-hidden': 'true' }, SPLIT.map(([name]) => el(`b.fill-${name}`, { style: { 'flex-grow': String((node[name] / whole) * (node.known / node.held)) } })),
        el('b', { style: { 'flex-grow': String(1 - node.known / node.held) } })));
    }
    cell.node = node;
    this.cells.set(node, cell);
    return cell;
  },

  zoom(node) {
    tooltip.hide();
    this.zoomed = node;
    this.draw(node);
    say(this.describe(node).join(', '));
  },

  // The names of frames that have no room for them are not shown cut to nothing.
  label() {
    const room = this.tree.clientWidth;
    for (const cell of this.tree.children) {
      cell.classList.toggle('bare', (parseFloat(cell.style.width) / 100) * room < 28);
    }
  },

  highlight() {
    const any = Boolean(view.search);
    this.tree.classList.toggle('searched', any);
    for (const [node, cell] of this.cells) {
      cell.classList.toggle('hit', any && node !== this.root && view.finds(node.name));
    }
  },

  key(event) {
    const cell = event.target.closest('.frame');
    if (!cell || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const { node } = cell;
    const beside = (by) => {
      const row = [...this.cells.keys()].filter((each) => each.depth === node.depth);
      return row[row.indexOf(node) + by];
    };
    const to = {
      ArrowUp: () => node.parent,
      ArrowDown: () => node.children.find((child) => this.cells.has(child)),
      ArrowLeft: () => beside(-1),
      ArrowRight: () => beside(1),
      Home: () => this.root,
    }[event.key];
    if (to) {
      const next = this.cells.get(to());
      if (next) {
        cell.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
    } else if (event.key === 'Enter' || event.key === ' ') {
      this.zoom(node);
    } else if (event.key === 'Escape' && this.zoomed.parent) {
      this.zoom(this.zoomed.parent);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  },
};

function placeTexts(place, frames) {
  return [place.label, ...place.stack.map((i) => frames[i])];
}

// Who called the place, where it is a function: one that opens connections is often called from many.
function caller(place, frames) {
  const name = place.script || place.stack.length < 2 ? null : frames[place.stack[place.stack.length - 2]];
  return name ? el('small.block', {}, `called by ${name}`) : null;
}

// The innermost last, as the stack was; the place itself stands out.
function stackList(place, frames) {
  return el('ol.stack', {}, [...place.stack].reverse().map((i) => el(frames[i] && frames[i].includes(place.label) ? 'li.here' : 'li', {}, frames[i] ?? '?')));
}

function placesTable() {
  const most = Math.max(...view.data.places.map((place) => place.held_us), 1);
  return table([
    { title: 'Place', value: (place) => place.label, kind: 'place', cell: (place) => [place.label, caller(place, view.data.frames)] },
    { title: 'Held in all', value: (place) => place.held_us, kind: 'number', cell: (place) => barred(duration(place.held_us), place.held_us, most) },
    view.known && { title: 'What it did', kind: 'parts', cell: (place) => splitBar(split(place.held_us, place.query_us, place.transaction_us, place.idle_us)) },
    { title: 'Leases', value: (place) => place.leases, kind: 'number', cell: (place) => count(place.leases) },
    { title: 'Median', value: (place) => place.p50_us, kind: 'number minor', cell: (place) => duration(place.p50_us) },
    { title: 'p99', value: (place) => place.p99_us, kind: 'number', cell: (place) => duration(place.p99_us) },
    { title: 'Longest', value: (place) => place.max_us, kind: 'number minor', cell: (place) => duration(place.max_us) },
    { title: 'Leaks', value: (place) => place.leaks, kind: 'number', cell: (place) => alarming(place.leaks) },
  ].filter(Boolean), {
    caption: 'Places', sort: [1, 'descending'], page: 10, noun: 'place',
    empty: 'No place matches.',
    detail: (place) => el('div.detail-body', {},
      el('p.detail-title', {}, 'Stack, innermost first'), place.stack.length ? stackList(place, view.data.frames) : empty('The logs have no stack of it.'),
      view.data.pools.length > 1 ? el('p', {}, 'Pool ', el('code', {}, view.data.pools[place.pool]?.name ?? DASH)) : null,
      el('button.quiet', { type: 'button', onclick: () => searchFor(place.label, 'leases') }, 'Show its leases')),
  });
}
