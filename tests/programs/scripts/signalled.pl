# SPDX-License-Identifier: PostgreSQL
# A signal comes while the program waits for the only session: one handler only counts, the
# other one dies, which ends the wait.
use strict;
use warnings;
use threads;
use threads::shared;
use Time::HiRes qw(time ualarm);
use DBI;

$| = 1;
# Where no other thread could give anything back a connect is refused at once.
my $ready :shared = 0;
threads->create(sub {
    DBI->connect("dbi:Pg:")->disconnect;
    { lock($ready); $ready = 1; cond_signal($ready) }
    sleep 60; # sleeps because it is to do nothing else
})->detach;
{ lock($ready); cond_wait($ready) until $ready }
my $held = DBI->connect("dbi:Pg:");
my $rung = 0;
my $begin = time;
$SIG{ALRM} = sub { die "rung\n" if ++$rung == 20 };
my $got = eval {
    ualarm(10_000, 10_000);
    DBI->connect("dbi:Pg:", undef, undef, {RaiseError => 1, PrintError => 0});
};
my $why = $@;
ualarm(0);
print defined $got ? "connected\n" : $why;
print time - $begin < 5 ? "at once\n" : "late\n";
$held->disconnect;
for (1 .. 3) {
    my $h = DBI->connect("dbi:Pg:");
    print $h->selectrow_array("SELECT 7"), "\n";
    $h->disconnect;
}
