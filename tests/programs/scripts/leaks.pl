# SPDX-License-Identifier: PostgreSQL
# Ten lines that connect, of which two forget what they got.
use strict;
use warnings;
use DBI;

our @kept;
my @source = ("dbi:Pg:", "", "", { RaiseError => 1 });

sub sell { push @kept, DBI->connect(@source); }    # leaks 3

sub price {
    my $dbh = DBI->connect(@source);
    $dbh->disconnect;
}

sub audit {
    my $dbh =    # leaks 4
        DBI->connect(@source);
    push @kept, $dbh;
    return;
}

sub tidy {
    my $dbh = eval { DBI->connect(@source) } or die;
    $dbh->do("SELECT 1");
}

my $closure = sub { DBI->connect(@source)->disconnect };

for (1 .. 3) {
    sell();
    audit();
    price();
    tidy();
    $closure->();
    DBI->connect(@source)->disconnect;
    eval 'DBI->connect(@source)->disconnect; 1' or die;
    $_->disconnect for map { DBI->connect(@source) } 1 .. 2;
    { my $dbh = DBI->connect(@source); }
}
audit();
DBI->connect(@source)->disconnect;
