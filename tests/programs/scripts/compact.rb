# SPDX-License-Identifier: PostgreSQL
# Connects in threads while another collects garbage, and compacts what is left.
require "pg"

kept = []
finished = false

noise = Thread.new do
  until finished
    GC.start
    GC.compact
    Array.new(1000) { |i| "x" * i }
  end
end

workers = (1..4).map do
  Thread.new do
    Integer(ARGV[0]).times do
      db = PG.connect # here
      db.close
    end
    kept << PG.connect # kept
  end
end
workers.each(&:join)
finished = true
noise.join
