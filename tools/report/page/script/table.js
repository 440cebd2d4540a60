// SPDX-License-Identifier: PostgreSQL
//
// A table that can be sorted by its columns and shows a page of its rows at first. On a narrow screen the
// rows become blocks (style/table.css).
//
// columns: [{title, value(row): what it is sorted by, cell(row): what it shows, kind, first, under}]
//     kind: classes of its cells; "number" is set to the right, "minor" is left out where there is little
//     room. first: "descending" if the first click has the largest first, which is so for
//     numbers. under(): what is below the title.
// options: caption; sort: [column, direction]; page: rows at first; detail(row): what a row opens to;
//     empty: what is said if there are no rows; noun: what a row is

function table(columns, { caption, sort = null, page = 25, detail = null, empty: none = 'Nothing to show.', noun = 'row', current = () => false }) {
  let rows = [];
  let shown = page;
  let order = sort;
  const opened = new Set();
  const body = el('tbody');
  const foot = el('div.table-foot');
  const sortable = columns.some((column) => column.value);
  const heads = columns.map((column, i) => el('th', { scope: 'col', class: column.kind, 'data-title': column.title },
    !column.value ? column.title : el('button', { type: 'button', onclick: () => sortBy(i) }, column.title, el('span.arrow', { 'aria-hidden': 'true' })), column.under ? column.under() : null));
  const whole = el('table', { class: sortable ? 'sortable' : null }, el('caption.hidden', {}, caption),
    el('thead', {}, el('tr', {}, heads, detail ? el('th.opener', {}, el('span.hidden', {}, 'Details')) : null)), body);
  const nothing = empty(none);

  function sortBy(i) {
    const first = columns[i].first ?? (/number/.test(columns[i].kind ?? '') ? 'descending' : 'ascending');
    order = [i, order && order[0] === i ? (order[1] === 'ascending' ? 'descending' : 'ascending') : first];
    draw();
    say(`Sorted by ${columns[i].title}, ${order[1]}`);
  }

  function compare(a, b) {
    const value = columns[order[0]].value;
    const [x, y] = [value(a), value(b)];
    // What is not known comes last either way.
    if (x === null || y === null || x === undefined || y === undefined) {
      return ((x ?? null) === null) - ((y ?? null) === null);
    }
    const sign = typeof x === 'string' ? x.localeCompare(y) : x - y;
    return order[1] === 'ascending' ? sign : -sign;
  }

  function rowOf(row, id) {
    const open = detail && opened.has(row);
    const cells = columns.map((column, i) => el(i === 0 ? 'th' : 'td', {
      class: column.kind, scope: i === 0 ? 'row' : null, 'data-title': column.title,
    }, column.cell(row)));
    const line = el('tr', { class: [open ? 'open' : '', current(row) ? 'current' : ''].join(' ').trim() || null }, cells);
    if (!detail) {
      return [line];
    }
    const more = el('tr.detail', { id, hidden: !open }, el('td', { colspan: columns.length + 1 }, open ? detail(row) : null));
    const button = el('button.opener', {
      type: 'button',
      'aria-expanded': String(open),
      'aria-controls': id,
      onclick: () => {
        const now = !opened.has(row);
        opened[now ? 'add' : 'delete'](row);
        button.setAttribute('aria-expanded', String(now));
        line.classList.toggle('open', now);
        more.hidden = !now;
        more.firstChild.replaceChildren(now ? detail(row) : '');
      },
    }, el('span.hidden', {}, 'Details'), el('span.chevron', { 'aria-hidden': 'true' }));
    line.append(el('td.opener', {}, button));
    line.addEventListener('click', (event) => {
      if (!event.target.closest('button, a') && !String(getSelection())) {
        button.click();
      }
    });
    return [line, more];
  }

  function draw() {
    const sorted = order ? [...rows].sort(compare) : rows;
    const some = sorted.slice(0, shown);
    heads.forEach((head, i) => {
      if (order && order[0] === i) {
        head.setAttribute('aria-sort', order[1]);
      } else {
        head.removeAttribute('aria-sort');
      }
    });
    body.replaceChildren(...some.flatMap((row, i) => rowOf(row, `${caption.replace(/\W+/g, '-').toLowerCase()}-${i}`)));
    whole.hidden = !rows.length;
    nothing.hidden = Boolean(rows.length);
    const left = rows.length - some.length;
    foot.replaceChildren(...(rows.length > page ? [
      el('span', {}, `${count(some.length)} of ${plural(rows.length, noun)}`),
      left ? el('button.quiet', { type: 'button', onclick: () => more(4 * page) }, `Show ${count(Math.min(left, 4 * page))} more`) : null,
      left > 4 * page ? el('button.quiet', { type: 'button', onclick: () => more(Infinity) }, 'Show all') : null,
    ].filter(Boolean) : []));
  }

  function more(n) {
    const before = Math.min(shown, rows.length);
    shown += n;
    draw();
    body.querySelectorAll(':scope > tr:not(.detail)')[before]?.querySelector('button')?.focus();
    say(`${count(Math.min(shown, rows.length))} of ${plural(rows.length, noun)} shown`);
  }

  return {
    node: el('div.table', {}, whole, nothing, foot),
    length: () => rows.length,
    update(next) {
      rows = next;
      shown = page;
      draw();
    },
  };
}

// A small bar behind a number: how much of the most it is.
function barred(text, part, whole) {
  return el('span.barred', {}, el('span.bar-fill', { 'aria-hidden': 'true', style: { width: `${whole ? Math.max(0, Math.min(100, (100 * part) / whole)) : 0}%` } }), el('span', {}, text));
}

const SPLIT = [['query', 'Query running'], ['transaction', 'Idle in transaction'], ['idle', 'Idle']];

// A hold as a bar of its three parts, which its label says, too.
function splitBar(parts) {
  if (!parts) {
    return el('span.unknown', { title: 'These logs do not tell what the connection did' }, DASH);
  }
  const whole = parts.query + parts.transaction + parts.idle;
  const text = SPLIT.map(([name, title]) => `${title.toLowerCase()} ${duration(parts[name])} (${percent(parts[name], whole)})`).join(', ');
  return el('span.split', { role: 'img', 'aria-label': text, title: text },
    SPLIT.map(([name]) => el(`span.fill-${name}`, { style: { 'flex-grow': String(whole ? parts[name] / whole : 0) } })));
}

function splitLegend() {
  return el('ul.legend', { 'aria-label': 'What the colours mean' }, SPLIT.map(([name, title]) => el('li', {}, el(`span.swatch.fill-${name}`), title)));
}
