<?php
// SPDX-License-Identifier: PostgreSQL
// Ten lines that connect, of which two forget what they got. Argument one: pgsql or pdo.
$kept = [];
define("PDO", $argv[1] === "pdo");

class Shop
{
    public static function sell()
    {
        global $kept;
        $kept[] = PDO ? new PDO("pgsql:") : pg_connect("", PGSQL_CONNECT_FORCE_NEW); // leaks 3
    }

    public function price()
    {
        $db = PDO ? new PDO("pgsql:") : pg_connect("", PGSQL_CONNECT_FORCE_NEW);
    }
}

function audit()
{
    global $kept;
    $db = PDO
        ? new PDO("pgsql:") : pg_connect("", PGSQL_CONNECT_FORCE_NEW); // leaks 4
    $kept[] = $db;
}

function steps()
{
    yield PDO ? new PDO("pgsql:") : pg_connect("", PGSQL_CONNECT_FORCE_NEW);
}

function tidy()
{
    try {
        $db = PDO ? new PDO("pgsql:") : pg_connect("", PGSQL_CONNECT_FORCE_NEW);
    } finally {
        $db = null;
    }
}

for ($i = 0; $i < 3; $i++) {
    Shop::sell();
    audit();
    (new Shop())->price();
    tidy();
    foreach (steps() as $db) {
        $db = null;
    }
    $db = PDO ? new PDO("pgsql:") : pg_connect("", PGSQL_CONNECT_FORCE_NEW);
    $db = null;
    (function () {
        PDO ? new PDO("pgsql:") : pg_connect("", PGSQL_CONNECT_FORCE_NEW);
    })();
    array_map(fn($j) => PDO ? new PDO("pgsql:") : pg_connect("", PGSQL_CONNECT_FORCE_NEW), [1, 2]);
    eval('PDO ? new PDO("pgsql:") : pg_connect("", PGSQL_CONNECT_FORCE_NEW);');
}
audit();
$db = PDO ? new PDO("pgsql:") : pg_connect("", PGSQL_CONNECT_FORCE_NEW);
if (!PDO) {
    pg_close($db); // the last one made is the default, which PHP keeps by itself
}
$db = null;
