// SPDX-License-Identifier: PostgreSQL
// Hikari URL THREADS SECONDS STATEMENT: what cycles.c does, with HikariCP's pool. The system
// property com.zaxxer.hikari.aliveBypassWindowMs says for how long a connection that was used
// need not be asked whether it lives (-1: it always is).
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.Statement;
import java.util.Arrays;

public class Hikari {
	static volatile boolean stop;
	static final int SAMPLES = 1 << 20;

	static class Worker extends Thread {
		final HikariDataSource pool;
		final String statement;
		final long[] took = new long[SAMPLES];
		long cycles;
		Exception error;

		Worker(HikariDataSource pool, String statement) {
			this.pool = pool;
			this.statement = statement;
		}

		@Override
		public void run() {
			try {
				while (!stop) {
					long begin = System.nanoTime();
					try (Connection c = pool.getConnection()) {
						took[(int) (cycles++ % SAMPLES)] = System.nanoTime() - begin;
						if (!statement.isEmpty()) {
							try (Statement s = c.createStatement()) {
								s.execute(statement);
							}
						}
					}
				}
			} catch (Exception e) {
				error = e;
			}
		}
	}

	static double[] measure(HikariDataSource pool, int threads, double seconds, String statement)
			throws Exception {
		Worker[] workers = new Worker[threads];
		stop = false;
		long begin = System.nanoTime();
		for (int i = 0; i < threads; i++) {
			workers[i] = new Worker(pool, statement);
			workers[i].start();
		}
		Thread.sleep((long) (seconds * 1000));
		stop = true;
		long cycles = 0;
		int count = 0;
		for (Worker w : workers) {
			w.join();
			if (w.error != null) {
				throw w.error;
			}
			cycles += w.cycles;
			count += (int) Math.min(w.cycles, SAMPLES);
		}
		double lasted = (System.nanoTime() - begin) / 1e9;
		long[] all = new long[count];
		int at = 0;
		for (Worker w : workers) {
			int n = (int) Math.min(w.cycles, SAMPLES);
			System.arraycopy(w.took, 0, all, at, n);
			at += n;
		}
		Arrays.sort(all);
		return new double[] {cycles / lasted, all[count / 2] / 1e3,
			all[(int) (count * 0.99)] / 1e3, all[(int) (count * 0.999)] / 1e3};
	}

	public static void main(String[] args) throws Exception {
		HikariConfig config = new HikariConfig();
		int threads = Integer.parseInt(args[1]);
		config.setJdbcUrl(args[0]);
		config.setMaximumPoolSize(Math.max(threads, 2));
		try (HikariDataSource pool = new HikariDataSource(config)) {
			double seconds = Double.parseDouble(args[2]);
			measure(pool, threads, seconds, args[3]); // until the compiler has done its work
			double[] r = measure(pool, threads, seconds, args[3]);
			System.out.printf(java.util.Locale.ROOT, "%.1f %.2f %.2f %.2f%n", r[0], r[1], r[2], r[3]);
		}
	}
}
