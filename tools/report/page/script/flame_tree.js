// SPDX-License-Identifier: PostgreSQL
//
// Places as a tree of their stacks: a node is a frame below the same callers, and has the held time of
// all places that came through it. What is drawn of it is flame_graph.js's.
//
// A node: {name, parent, depth, children (the largest first), places, leases, leaks, held, query,
// transaction, idle}. Times that no place tells are 0; `known` is the held time of the places that do.

const MEASURES = { held: 'held', query: 'with a query running', transaction: 'idle in transaction', idle: 'idle' };

function flameNode(name, parent) {
  return { name, parent, depth: parent ? parent.depth + 1 : 0, byName: new Map(), children: [], places: [], leases: 0, leaks: 0, held: 0, known: 0, query: 0, transaction: 0, idle: 0 };
}

function addPlace(node, place, parts) {
  node.places.push(place);
  node.leases += place.leases;
  node.leaks += place.leaks;
  node.held += place.held_us;
  if (parts) {
    node.known += place.held_us;
    node.query += parts.query;
    node.transaction += parts.transaction;
    node.idle += parts.idle;
  }
}

// Of the measure's times the tree is built: who has none of it is not in it.
function flameTree(places, frames, measure) {
  const root = flameNode('All places', null);
  for (const place of places) {
    const parts = split(place.held_us, place.query_us, place.transaction_us, place.idle_us);
    const value = measure === 'held' ? place.held_us : parts?.[measure] ?? 0;
    if (!value) {
      continue;
    }
    let node = root;
    addPlace(node, place, parts);
    const names = place.stack.length ? place.stack.map((i) => frames[i] ?? '?') : [place.label];
    for (const name of names) {
      if (!node.byName.has(name)) {
        node.byName.set(name, flameNode(name, node));
      }
      node = node.byName.get(name);
      addPlace(node, place, parts);
    }
  }
  const settle = [root];
  while (settle.length) {
    const node = settle.pop();
    node.children = [...node.byName.values()].sort((a, b) => b[measure] - a[measure] || (a.name < b.name ? -1 : 1));
    settle.push(...node.children);
  }
  return root;
}
