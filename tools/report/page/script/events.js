// SPDX-License-Identifier: PostgreSQL
//
// The moments that the charts mark, as a list.

const events = {
  section(data) {
    this.data = data;
    const several = data.pools.length > 1;
    this.list = table([
      { title: 'Time', value: (mark) => mark.time, kind: 'time', cell: (mark) => this.when(mark) },
      { title: 'What', value: (mark) => markKind(mark.kind)[0], cell: (mark) => el('span.kind', {}, markShape(mark.kind), mark.kind.replace(/_/g, ' ')) },
      several ? { title: 'Pool', value: (mark) => data.pools[mark.pool]?.name, kind: 'minor place', cell: (mark) => data.pools[mark.pool]?.name ?? DASH } : null,
      { title: 'Text', kind: 'text', cell: (mark) => mark.text ?? '' },
    ].filter(Boolean), { caption: 'Events', sort: [0, 'ascending'], page: 15, noun: 'event', empty: 'No event matches.' });
    return section('events', 'Events', 'Restarts of the server, timeouts and what else the charts mark.', null,
      el('div.card', {}, data.marks.length ? this.list.node : empty('Nothing out of the ordinary is in these logs.')));
  },

  when(mark) {
    if (mark.time === null || mark.time === undefined || this.data.from === null || !this.data.pools.length) {
      return stamp(mark.time ?? null);
    }
    return el('button.link', {
      type: 'button',
      title: 'Show it in the chart',
      onclick: () => {
        if (typeof mark.pool === 'number' && mark.pool !== view.pool && this.data.pools[mark.pool]) {
          view.change('pool', mark.pool);
        }
        timeline.show(mark.time);
      },
    }, stamp(mark.time));
  },

  draw() {
    this.list.update(this.data.marks.filter((mark) => view.shows(mark.pool) && view.finds(mark.text, mark.kind.replace(/_/g, ' '))));
  },
};
