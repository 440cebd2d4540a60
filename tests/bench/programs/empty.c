/* SPDX-License-Identifier: PostgreSQL */
/* A library with nothing in it: what preloading costs by itself. */
int pqpool_bench_empty;
