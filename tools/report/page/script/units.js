// SPDX-License-Identifier: PostgreSQL
//
// Numbers, durations and times as people read them. Durations and times are microseconds, times since
// the epoch, shown in UTC as in the logs. What is not known (null) is shown as a dash.

const DASH = '–';
const SECOND = 1e6;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

function count(n) {
  return n === null ? DASH : grouped.format(n);
}

// "1 lease", "3 leases".
function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

function percent(part, whole) {
  if (!whole || part === null) {
    return DASH;
  }
  const share = (100 * part) / whole;
  if (share > 0 && share < 0.1) {
    return '< 0.1 %';
  }
  // Not 100 % for what is only nearly all.
  return `${share < 10 || (share > 99 && share < 100) ? (Math.floor(share * 10) / 10) : Math.round(share)} %`;
}

// Three digits: 1.2, 12.3, 123.
function digits(value) {
  return value < 10 ? value.toFixed(2).replace(/\.?0+$/, '')
    : value < 100 ? value.toFixed(1).replace(/\.0$/, '') : String(Math.round(value));
}

function duration(us) {
  if (us === null) {
    return DASH;
  }
  if (us < 0) {
    return `−${duration(-us)}`;
  }
  if (us < 999.5) {
    return `${Math.round(us)} µs`;
  }
  if (us < 999.5e3) {
    return `${digits(us / 1e3)} ms`;
  }
  if (us < 59.95 * SECOND) {
    return `${digits(us / SECOND)} s`;
  }
  for (const [unit, name, lower, lowerName] of [[MINUTE, 'min', SECOND, 's'], [HOUR, 'h', MINUTE, 'min'], [DAY, 'd', HOUR, 'h']]) {
    const limit = unit === DAY ? Infinity : unit * (unit === MINUTE ? 60 : 48);
    const rounded = Math.round(us / lower) * lower;
    if (rounded < limit) {
      const rest = Math.round((rounded % unit) / lower);
      return `${count(Math.floor(rounded / unit))} ${name}${rest ? ` ${rest} ${lowerName}` : ''}`;
    }
  }
  return DASH;
}

// The clock's words for a time, with as many digits of the second as a step of this size needs.
function clock(us, step = SECOND) {
  const parts = new Date(Math.floor(us / 1e3)).toISOString();
  const time = step >= MINUTE ? parts.slice(11, 16) : parts.slice(11, 19);
  if (step >= SECOND) {
    return time;
  }
  const micros = String(Math.floor(us % SECOND)).padStart(6, '0');
  return `${time}.${micros.slice(0, step >= 1e5 ? 1 : step >= 1e4 ? 2 : step >= 1e3 ? 3 : 6)}`;
}

function day(us) {
  return new Date(Math.floor(us / 1e3)).toISOString().slice(0, 10);
}

function stamp(us, step = 1e3) {
  return us === null ? DASH : `${day(us)} ${clock(us, step)}`;
}

// From and to in one line: the day is said once if it is the same.
function span(from, to) {
  const step = to - from < 10 * SECOND ? 1e3 : SECOND;
  const end = day(from) === day(to) ? clock(to, step) : stamp(to, step);
  return `${stamp(from, step)} – ${end} UTC`;
}
