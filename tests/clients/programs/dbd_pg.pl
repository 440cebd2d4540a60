# SPDX-License-Identifier: PostgreSQL
# DBD::Pg: dbd_pg.pl cycles | forks
use strict;
use warnings;
use DBI;

$| = 1;

sub connected {
    return DBI->connect($_[0] // "dbi:Pg:", undef, undef, {RaiseError => 0, PrintError => 0});
}

sub cycle {
    my ($i) = @_;
    my $dbh = connected();
    print join(",", $dbh->selectrow_array("SELECT ?::int + 1", undef, $i)), "\n";
    my $sth = $dbh->prepare("SELECT name FROM fruit WHERE id = ?");
    $sth->execute($i % 20 + 1);
    print $sth->fetchrow_array, "\n";
    $sth->finish;
    $dbh->do("SELEC") or print $dbh->errstr, "\n";
    $dbh->begin_work;
    $dbh->do("CREATE TEMP TABLE t (a int)");
    $i % 2 ? $dbh->commit : $dbh->rollback;
    $dbh->do("COPY fruit TO STDOUT");
    my ($row, $rows);
    $rows++ while $dbh->pg_getcopydata($row) >= 0;
    print "$rows rows\n";
    $dbh->do("LISTEN here");
    $dbh->do("NOTIFY here, 'hello'");
    print $dbh->pg_notifies->[2], "\n";
    $dbh->disconnect;
}

# Each child inherits an open connection that it must leave alone.
sub forks {
    my $dbh = connected();
    for my $n (1 .. 3) {
        my $pid = fork // die "fork: $!";
        if ($pid == 0) {
            $dbh->{AutoInactiveDestroy} = 1;
            cycle($n * 100 + $_) for 1 .. 10;
            exit 0;
        }
        waitpid $pid, 0;
        print "child: $?\n";
        print $dbh->selectrow_array("SELECT 'still here'"), "\n";
    }
    $dbh->disconnect;
}

if ($ARGV[0] eq "forks") {
    forks();
} else {
    cycle($_) for 1 .. 30;
    connected("dbi:Pg:dbname=no_such_database") or print DBI->errstr, "\n";
}
