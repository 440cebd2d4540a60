// SPDX-License-Identifier: PostgreSQL
// node's libpq: node_libpq.js cycles | parallel | greedy. Found through NODE_PATH.
'use strict';
const Libpq = require('libpq');

// A query in the event loop's manner: sent, and its results read as they come.
function query(db, text, done) {
  const rows = [];
  const read = () => {
    db.consumeInput();
    while (!db.isBusy()) {
      if (!db.getResult()) {
        db.stopReader();
        db.removeListener('readable', read);
        return done(rows);
      }
      rows.push(db.resultErrorMessage() || db.getvalue(0, 0));
    }
  };
  db.on('readable', read);
  db.startReader();
  if (!db.sendQuery(text)) throw new Error(db.errorMessage());
}

// Connects in a worker thread, queries in the loop.
function asynchronous(i, done) {
  const db = new Libpq();
  db.connect((error) => {
    if (error) throw error;
    query(db, `SELECT ${i} * 2; SELECT 'x' || ${i}`, (rows) => {
      query(db, 'SELECT 1/0', (errors) => {
        db.finish();
        done(rows.concat(errors).join(' '));
      });
    });
  });
}

function synchronous(i) {
  const db = new Libpq();
  db.connectSync('');
  db.execParams('SELECT $1::int * 2', [String(i)]);
  const seen = [db.getvalue(0, 0)];
  db.prepare('named', 'SELECT name FROM fruit WHERE id = $1', 1);
  db.execPrepared('named', [String((i % 20) + 1)]);
  seen.push(db.getvalue(0, 0));
  db.exec('LISTEN here; NOTIFY here, \'hello\'');
  seen.push(db.notifies().extra);
  db.exec('SELEC');
  seen.push(db.errorMessage().trim());
  db.finish();
  return seen.join(' ');
}

function cycles() {
  const next = (i) => {
    if (i === 15) return;
    asynchronous(i, (seen) => {
      console.log(seen);
      next(i + 1);
    });
  };
  for (let i = 0; i < 15; i++) console.log(synchronous(i));
  try {
    new Libpq().connectSync('dbname=no_such_database');
  } catch (error) {
    console.log(error.message);
  }
  next(0);
}

// Four chains at a time: as many as the loop has worker threads.
function parallel() {
  const answers = [];
  const chain = (n, i) => asynchronous(n * 100 + i, (seen) => {
    answers.push(seen);
    if (i < 9) return chain(n, i + 1);
    if (answers.length === 40) console.log(answers.sort());
  });
  for (let n = 0; n < 4; n++) chain(n, 0);
}

// Asks for one more than there are, in the only thread that could give one back.
function greedy() {
  const first = new Libpq();
  first.connectSync('');
  const began = Date.now();
  try {
    new Libpq().connectSync('');
    console.log('connected');
  } catch (error) {
    console.log(error.message);
  }
  console.log(Date.now() - began < 5000 ? 'at once' : 'after a wait');
  first.finish();
}

({ cycles, parallel, greedy })[process.argv[2]]();
