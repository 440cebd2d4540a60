# SPDX-License-Identifier: PostgreSQL
# Ten lines that connect, of which two forget what they got.
require "pg"

$kept = []

class Shop
  def sell
    $kept << PG.connect # leaks 3
  end

  def price
    PG.connect.close
  end
end

def audit
  db =
    PG.connect # leaks 4
  $kept << db
end

def with
  db = PG.connect
  yield db
ensure
  db.close
end

def tidy
  PG.connect do |db|
    db.exec("SELECT 1")
  end
end

3.times do
  Shop.new.sell
  audit
  Shop.new.price
  tidy
  with { |db| db.exec("SELECT 1") }
  PG.connect.close
  -> { PG.connect.close }.call
  [1, 2].map { PG.connect }.each(&:close)
  eval("PG.connect.close")
end
audit
last = PG.connect
last.close
