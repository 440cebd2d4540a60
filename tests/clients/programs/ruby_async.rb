# SPDX-License-Identifier: PostgreSQL
# Ruby's async gem: ruby-pg under a fiber scheduler, which takes nothing but sockets.
#
#   ruby_async.rb TASKS ROUNDS    each task connects, asks and closes, so many times
require "async"
require "pg"

tasks, rounds = ARGV.map(&:to_i)
Async do |top|
  Array.new(tasks) do |i|
    top.async do
      rounds.times do |round|
        conn = PG.connect
        conn.exec("SET work_mem TO '5MB'")
        sum = conn.exec_params("SELECT $1::int + $2::int", [i * 1000, round]).getvalue(0, 0)
        conn.close
        raise "#{sum} for #{i} and #{round}" if sum.to_i != i * 1000 + round
      end
      "task #{i} done"
    end
  end.each { |task| puts task.wait }
end
