# SPDX-License-Identifier: PostgreSQL
# ruby-pg: ruby_pg.rb cycles | threads | forks | crowd | refused | cancel
require "pg"
require "timeout"

$stdout.sync = true

# Said, because ruby-pg 1.4 looks hosts up itself and then forgets PGHOST.
HOST = ENV["PGHOST"]

# What one connection can do, and what was seen.
def cycle(i)
  seen = []
  db = PG.connect(host: HOST)
  db.set_notice_processor { |note| seen << note }
  seen << db.exec_params("SELECT $1::int * 2", [i]).values
  db.prepare("named", "SELECT name FROM fruit WHERE id = $1")
  seen << db.exec_prepared("named", [i % 20 + 1]).getvalue(0, 0)
  db.exec("DO $$ BEGIN RAISE NOTICE 'note'; END $$")
  db.exec("CREATE TEMP TABLE t (a int)")
  db.copy_data("COPY t FROM STDIN") { db.put_copy_data("#{i}\n") }
  begin
    db.transaction { db.exec("SELECT 1/0") }
  rescue PG::Error => e
    seen << e.message
  end
  db.exec("LISTEN here; NOTIFY here, 'hello'")
  db.wait_for_notify(10) { |_channel, _pid, payload| seen << payload }
  seen
ensure
  db&.close
end

def cycles
  30.times { |i| p cycle(i) }
  PG.connect(host: HOST, dbname: "no_such_database")
rescue PG::Error => e
  puts e.message
end

def threads
  p(4.times.map { |n| Thread.new { 8.times.map { |i| cycle(n * 100 + i) } } }.map(&:value))
end

def forks
  p cycle(0)
  3.times do |n|
    Process.wait(fork { 10.times { |i| p cycle(n * 100 + i) } })
    puts "child: #{$?.exitstatus}"
  end
end

# More than the pool lends, each for a while.
def crowd
  p(12.times.map do |n|
    Thread.new do
      4.times.map do |i|
        db = PG.connect(host: HOST)
        seen = db.exec_params("SELECT $1::int, pg_sleep(0.01)", [n * 10 + i]).getvalue(0, 0)
        db.close
        seen
      end
    end
  end.map(&:value))
end

def refused
  kept = PG.connect(host: HOST)
  begin
    PG.connect(host: HOST)
  rescue PG::Error => e
    puts e.class, e.message
  end
  kept.close
  p cycle(1)
end

# ruby-pg 1.3 to 1.6 reads pid and key out of libpq's object, and sends the request itself.
def cancel
  observer = PG.connect(host: HOST)
  30.times do |i|
    db = PG.connect(host: HOST)
    key = observer.exec_params("SELECT pid FROM pg_stat_activity WHERE pid = $1",
                               [db.backend_pid]).ntuples
    puts "#{key} #{db.backend_key.is_a?(Integer)} #{db.backend_key == db.backend_key}"
    waiting = Thread.new { Thread.pass until busy?(observer, db.backend_pid); cancel_by(db, i) }
    begin
      db.exec("SELECT pg_sleep(60)")
    rescue PG::QueryCanceled => e
      puts e.message
    end
    p waiting.value
    begin
      db.transaction do
        db.exec("CREATE TABLE never (a int)")
        Timeout.timeout(0.05) { db.exec("SELECT pg_sleep(60)") }
      end
    rescue Timeout::Error => e
      puts e.class
    end
    p db.transaction_status, db.exec("SELECT to_regclass('never')").values
    db.close
  end
  observer.close
end

def busy?(observer, pid)
  observer.exec_params("SELECT 1 FROM pg_stat_activity WHERE pid = $1" \
                       " AND wait_event = 'PgSleep'", [pid]).ntuples == 1
end

def cancel_by(db, i)
  [:cancel, :sync_cancel][i % 2].then { |way| db.send(way) }
end

send(ARGV[0])
