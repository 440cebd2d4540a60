# SPDX-License-Identifier: PostgreSQL
# ruby-pg: ruby_pg.rb cycles | threads | forks | crowd | refused
require "pg"

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

send(ARGV[0])
