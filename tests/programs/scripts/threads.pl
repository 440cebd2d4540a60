# SPDX-License-Identifier: PostgreSQL
# Each thread has an interpreter of its own.
use strict;
use warnings;
use threads;
use DBI;

sub work {
    for (1 .. 5) {
        my $dbh = DBI->connect("dbi:Pg:", "", "");    # thread
        $dbh->disconnect;
    }
}

$_->join for map { threads->create(\&work) } 1 .. 3;
my $dbh = DBI->connect("dbi:Pg:", "", "");    # main
$dbh->disconnect;
