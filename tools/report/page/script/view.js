// SPDX-License-Identifier: PostgreSQL
//
// What the reader chose: pool, search, light or dark. Whoever draws by it listens.

const view = {
  data: null,
  pool: 0,
  onlyPool: false,
  search: '',
  // Whether the logs tell what connections did while they were held.
  known: false,
  listeners: {},

  // on('pool search', draw) draws now, and whenever one of these changes.
  on(names, draw) {
    for (const name of names.split(' ')) {
      (this.listeners[name] ??= []).push(draw);
    }
    draw();
  },

  change(name, value) {
    this[name] = value;
    (this.listeners[name] ?? []).forEach((draw) => draw());
  },

  // Whether what belongs to this pool (null: to none) is among what lists show.
  shows(pool) {
    return !this.onlyPool || pool === this.pool || pool === null || pool === undefined;
  },

  // Whether all words of the search are in one of the texts.
  finds(...texts) {
    if (!this.search) {
      return true;
    }
    const text = texts.filter((each) => each !== null && each !== undefined).join('\n').toLowerCase();
    return this.search.split(' ').every((word) => text.includes(word));
  },
};

const theme = {
  // The system's, until the reader chooses. A browser may keep nothing for a file: then the choice
  // lasts as long as the page.
  chosen: null,
  system: matchMedia('(prefers-color-scheme: dark)'),

  dark() {
    return (this.chosen ?? (this.system.matches ? 'dark' : 'light')) === 'dark';
  },

  apply(name = this.dark() ? 'dark' : 'light') {
    document.documentElement.dataset.theme = name;
    const text = this.dark() ? 'Light colours' : 'Dark colours';
    byId('theme').replaceChildren(
      svg('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' },
        svg('path', { d: this.dark() ? 'M8 1v2m0 10v2m7-7h-2M3 8H1m12-5-1.5 1.5m-7 7L3 13m10 0-1.5-1.5m-7-7L3 3' : 'M13 9.6A5.5 5.5 0 0 1 6.4 3a5.5 5.5 0 1 0 6.6 6.6Z' }),
        this.dark() ? svg('circle', { cx: 8, cy: 8, r: 3 }) : null),
      el('span.hidden', {}, text));
    byId('theme').title = text;
    view.change('theme', name);
  },

  start() {
    try {
      this.chosen = localStorage.getItem('pqpool-report-theme');
    } catch {
      this.chosen = null;
    }
    this.apply();
    this.system.addEventListener('change', () => this.apply());
    byId('theme').addEventListener('click', () => {
      this.chosen = this.dark() ? 'light' : 'dark';
      try {
        localStorage.setItem('pqpool-report-theme', this.chosen);
      } catch { /* it lasts as long as the page */ }
      this.apply();
    });
    // Paper is light.
    window.addEventListener('beforeprint', () => this.apply('light'));
    window.addEventListener('afterprint', () => this.apply());
  },
};

// A colour of the style sheet, for what is drawn on a canvas.
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
