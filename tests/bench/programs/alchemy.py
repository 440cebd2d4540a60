# SPDX-License-Identifier: PostgreSQL
"""alchemy.py THREADS SECONDS STATEMENT: what cycles.c does, with SQLAlchemy's QueuePool and
pool_pre_ping."""
import sys
import threading
import time

from sqlalchemy import create_engine


def main():
    threads, seconds, statement = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    engine = create_engine("postgresql+psycopg2://", pool_size=max(threads, 2), max_overflow=0,
                           pool_pre_ping=True)
    took = [[] for _ in range(threads)]
    stop = threading.Event()
    connected = threading.Barrier(threads)
    finished = threading.Barrier(threads + 1)

    def work(mine):
        first = engine.raw_connection()
        connected.wait()
        first.close()
        finished.wait()
        while not stop.is_set():
            begin = time.perf_counter()
            connection = engine.raw_connection()
            mine.append(time.perf_counter() - begin)
            if statement:
                cursor = connection.cursor()
                cursor.execute(statement)
                cursor.close()
            connection.close()

    engine.raw_connection().close()
    workers = [threading.Thread(target=work, args=(mine,)) for mine in took]
    for worker in workers:
        worker.start()
    finished.wait()
    begin = time.perf_counter()
    time.sleep(seconds)  # sleeps because that is how long it is to be measured
    stop.set()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - begin
    every = sorted(t for mine in took for t in mine)
    print("%.1f %.2f %.2f %.2f" % (len(every) / seconds, *(
        every[min(len(every) - 1, int(len(every) * q))] * 1e6 for q in (0.5, 0.99, 0.999))))


main()
