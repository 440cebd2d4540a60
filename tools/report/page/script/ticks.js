// SPDX-License-Identifier: PostgreSQL
//
// Where an axis of time has its marks, and what they say. Positions are microseconds from the log's first
// event. Of less than a second, the marks count from there; of more, they say what the clock said.

const STEPS = [
  ...[1, 10, 100, 1e3, 1e4, 1e5].flatMap((n) => [n, 2 * n, 5 * n]),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND), ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR), ...[1, 2, 7, 14, 28, 91, 182, 364].map((n) => n * DAY)];

// {at: [positions], text: [strings], unit: what the axis as a whole is in}
function timeTicks(from, min, max, most) {
  const step = STEPS.find((each) => (max - min) / each <= most) ?? Math.ceil((max - min) / most / DAY) * DAY;
  const relative = max - min < SECOND;
  const base = relative ? 0 : from;
  const at = [];
  const text = [];
  for (let t = Math.ceil((base + min) / step) * step; t <= base + max; t += step) {
    at.push(t - base);
    const midnight = t % DAY === 0;
    text.push(relative ? duration(t) : step >= DAY || midnight ? day(t).slice(5) : clock(t, step));
  }
  return { at, text };
}
