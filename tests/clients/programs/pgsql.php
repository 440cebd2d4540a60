<?php
// SPDX-License-Identifier: PostgreSQL
// The extension pgsql: pgsql.php cycles | async | persistent | forks

function cycle(int $i): void
{
    $db = pg_connect("", PGSQL_CONNECT_FORCE_NEW);
    echo json_encode(pg_fetch_row(pg_query_params($db, 'SELECT $1::int * 2', [$i]))), "\n";
    pg_prepare($db, "named", 'SELECT name FROM fruit WHERE id = $1');
    echo pg_fetch_result(pg_execute($db, "named", [$i % 20 + 1]), 0, 0), "\n";
    echo @pg_query($db, "SELEC") === false ? pg_last_error($db) : "no error", "\n";
    pg_query($db, "BEGIN; CREATE TEMP TABLE t (a int, b text)");
    pg_copy_from($db, "t", ["1\tone\n", "2\ttwo\n"]);
    echo json_encode(pg_copy_to($db, "t")), "\n";
    pg_query($db, $i % 2 ? "COMMIT" : "DO $$ BEGIN RAISE NOTICE 'note'; END $$");
    echo json_encode(pg_last_notice($db)), "\n";
    pg_query($db, $i % 2 ? "LISTEN here; NOTIFY here, 'hello'" : "ROLLBACK");
    echo json_encode((pg_get_notify($db) ?: ["payload" => "none"])["payload"]), "\n";
    pg_close($db);
}

function cycles(): void
{
    for ($i = 0; $i < 30; $i++) {
        cycle($i);
    }
    var_dump(@pg_connect("dbname=no_such_database"));
    echo error_get_last()["message"], "\n";
}

function async(): void
{
    for ($i = 0; $i < 30; $i++) {
        $db = pg_connect("", PGSQL_CONNECT_FORCE_NEW | PGSQL_CONNECT_ASYNC);
        while (!in_array(pg_connect_poll($db), [PGSQL_POLLING_OK, PGSQL_POLLING_FAILED])) {
            continue;
        }
        echo pg_fetch_result(pg_query($db, "SELECT $i"), 0, 0), "\n";
        pg_close($db);
    }
}

// PHP's own cache of connections: one for the whole process.
function persistent(): void
{
    for ($i = 0; $i < 30; $i++) {
        $db = pg_pconnect("");
        echo pg_fetch_result(pg_query($db, "SELECT $i"), 0, 0), "\n";
        pg_close($db);
    }
}

function forks(): void
{
    cycle(0);
    for ($n = 1; $n <= 3; $n++) {
        $pid = pcntl_fork();
        if ($pid === 0) {
            array_map('cycle', range($n * 100, $n * 100 + 9));
            exit(0);
        }
        pcntl_waitpid($pid, $status);
        echo "child: $status\n";
    }
}

$argv[1]();
