# SPDX-License-Identifier: PostgreSQL
# DBI's recipe for a connect that takes no longer than a second: a handler set by POSIX's
# sigaction, which dies. The server's process of the idle session does not answer meanwhile.
use strict;
use warnings;
use DBI;
use POSIX ':signal_h';

$| = 1;

sub connect_now { DBI->connect("dbi:Pg:", undef, undef, {RaiseError => 1, PrintError => 0}) }

sub bounded {
    my $h;
    my $old = POSIX::SigAction->new;
    eval {
        sigaction(SIGALRM, POSIX::SigAction->new(sub { die "timeout\n" },
                                                 POSIX::SigSet->new(SIGALRM)), $old);
        eval { alarm 1; $h = connect_now(); alarm 0; 1 } or do { alarm 0; die $@ };
    };
    my $why = $@;
    alarm 0;
    sigaction(SIGALRM, $old);
    print $h ? "connected\n" : $why;
    return $h;
}

my $h = connect_now();
my $pid = $h->{pg_pid};
$h->disconnect;
undef $h;
kill STOP => $pid if kill 0 => $pid;
for (1 .. 3) { my $h = bounded(); $h->disconnect if $h }
kill CONT => $pid if kill 0 => $pid;
my %pids;
for (1 .. 20) { my $h = bounded(); $pids{$h->{pg_pid}} = 1; $h->disconnect }
print scalar(keys %pids), " backends\n";
our $forgotten = connect_now();
