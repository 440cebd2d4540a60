// SPDX-License-Identifier: PostgreSQL
//
// Puts the page's sources and its plotting library into one file: node inline.js NODE_MODULES >page.html
//
// No bundler: there is one library, which comes as one file, and our own scripts need no more than an
// order. They are joined in the order of SCRIPTS, from the ground up, as the body of one function: a
// script uses what those before it define. The Content-Security-Policy names what was joined by its
// digest, so that the page runs nothing else, whatever the logs hold that it shows.
'use strict';

const { createHash } = require('crypto');
const fs = require('fs');
const path = require('path');

const SCRIPTS = ['units', 'dom', 'data', 'view', 'ticks', 'table', 'overview', 'pools', 'timeline',
  'histogram', 'flame_tree', 'flame_graph', 'leases', 'sessions', 'events', 'page'];
const STYLES = ['base', 'table', 'charts', 'print'];
const DATA = '@PQPOOL_REPORT_DATA@';

const here = (...names) => fs.readFileSync(path.join(__dirname, ...names), 'utf8');
const digest = (text) => `'sha256-${createHash('sha256').update(text, 'utf8').digest('base64')}'`;

const uplot = (...names) => fs.readFileSync(path.join(process.argv[2], 'uplot', ...names), 'utf8').trim();
const { version } = JSON.parse(uplot('package.json'));
const licence = `/*! uPlot ${version}\n\n${uplot('LICENSE')}\n*/\n`;

const style = `\n${licence}${uplot('dist', 'uPlot.min.css')}\n\n${STYLES.map((name) => here('style', `${name}.css`)).join('\n')}`;
const script = `\n${licence}${uplot('dist', 'uPlot.iife.min.js')}\n\n(function () {\n'use strict';\n\n`
  + `${SCRIPTS.map((name) => here('script', `${name}.js`)).join('\n')}}());\n`;

for (const [what, text] of [['style', style], ['script', script]]) {
  if (/<\/(?:style|script)|<!--/i.test(text)) {
    throw new Error(`the page's ${what} holds what ends its element`);
  }
}

const put = { '@STYLE@': style, '@STYLE_DIGEST@': digest(style), '@SCRIPT@': script, '@SCRIPT_DIGEST@': digest(script) };
const page = here('template.html').replace(/@(?:STYLE|SCRIPT)(?:_DIGEST)?@/g, (name) => put[name]);
if (page.split(DATA).length !== 2) {
  throw new Error('the place for the data must be there once');
}
process.stdout.write(page);
