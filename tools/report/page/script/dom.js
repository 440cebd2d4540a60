// SPDX-License-Identifier: PostgreSQL
//
// Making elements. Strings become text, never markup. Styles are set as properties, as the page's
// policy allows no style attribute.

function make(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) {
      continue;
    }
    if (name === 'style') {
      for (const [property, what] of Object.entries(value)) {
        node.style.setProperty(property, what);
      }
    } else if (name.startsWith('on')) {
      node.addEventListener(name.slice(2), value);
    } else {
      node.setAttribute(name, value === true ? '' : value);
    }
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// el('td.number', {title: 'x'}, 'text', node, [more])
function el(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split('.');
  const node = document.createElement(tag);
  if (classes.length) {
    node.className = classes.join(' ');
  }
  return make(node, attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return make(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function byId(id) {
  return document.getElementById(id);
}

// What a table has under a word of the logs, which may be any word ("constructor"); null if nothing.
function known(words, word) {
  return Object.hasOwn(words, word) ? words[word] : null;
}

// For those who hear the page: what changed and cannot be seen to have the focus.
function say(text) {
  byId('status').textContent = text;
}

// A section with its title; what belongs beside the title comes in `aside`.
function section(id, title, lead, aside, ...children) {
  return el('section', { id, 'aria-labelledby': `${id}-title` },
    el('div.section-head', {},
      el('div', {}, el('h2', { id: `${id}-title` }, title), lead ? el('p.lead', {}, lead) : null),
      aside ? el('div.aside', {}, aside) : null),
    ...children);
}

function empty(text) {
  return el('p.empty', {}, text);
}

// Buttons of which one is pressed: choices are [value, text, title].
function choice(label, choices, chosen, change) {
  const buttons = choices.map(([value, text, title]) => el('button', {
    type: 'button',
    title,
    'aria-pressed': String(value === chosen),
    onclick: (event) => {
      buttons.forEach((other) => other.setAttribute('aria-pressed', String(other === event.currentTarget)));
      change(value);
    },
  }, text));
  return el('div.choice', { role: 'group', 'aria-label': label }, buttons);
}

// One tooltip for all. It repeats what the element's own label says, so it is hidden from those who
// hear the page.
const tooltip = {
  show(lines, x, y) {
    const box = byId('tooltip');
    box.replaceChildren(...lines.map((line, i) => el(i ? 'div' : 'strong', {}, line)));
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    const left = Math.max(8, Math.min(x + 14, document.documentElement.clientWidth - width - 8));
    const top = y + 18 + height > window.innerHeight ? y - height - 12 : y + 18;
    make(box, { style: { left: `${left}px`, top: `${Math.max(8, top)}px` } }, []);
  },
  hide() {
    byId('tooltip').hidden = true;
  },
};
