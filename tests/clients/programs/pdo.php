<?php
// SPDX-License-Identifier: PostgreSQL
// The extension pdo_pgsql: pdo.php cycles | forks

function connected(string $dsn = "pgsql:"): PDO
{
    return new PDO($dsn, null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
}

function cycle(int $i): void
{
    $db = connected();
    $db->beginTransaction();
    $statement = $db->prepare("SELECT name FROM fruit WHERE id = ?");
    $statement->execute([$i % 20 + 1]);
    echo json_encode($statement->fetchAll(PDO::FETCH_ASSOC)), "\n";
    $db->exec("CREATE TEMP TABLE t (a int, b text)");
    $db->pgsqlCopyFromArray("t", ["1\tone", "2\ttwo"]);
    echo json_encode($db->pgsqlCopyToArray("t")), "\n";
    $i % 2 ? $db->commit() : $db->rollBack();
    try {
        $db->query("SELECT 1/0");
    } catch (PDOException $e) {
        echo $e->getMessage(), "\n";
    }
    $db->exec("LISTEN here");
    $db->exec("NOTIFY here, 'hello'");
    echo $db->pgsqlGetNotify(PDO::FETCH_ASSOC)["payload"], "\n";
    $statement = $db = null; // is how PDO disconnects
}

function cycles(): void
{
    for ($i = 0; $i < 30; $i++) {
        cycle($i);
    }
    try {
        connected("pgsql:dbname=no_such_database");
    } catch (PDOException $e) {
        echo $e->getMessage(), "\n";
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
