<?php
// SPDX-License-Identifier: PostgreSQL
// Code hot enough to be compiled; says whether the compiler is on.
function work()
{
    for ($i = 0; $i < 400; $i++) {
        $db = pg_connect("", PGSQL_CONNECT_FORCE_NEW); // hot
        pg_close($db);
    }
}

work();
var_dump(opcache_get_status()["jit"]["on"]);
