# SPDX-License-Identifier: PostgreSQL
# Perl's Coro: threads of Perl that switch stacks of C, too, where a call is in the midst of one.
# dbd_pg_coro.pl [leak]
use strict;
use warnings;
use Coro;
use DBI;
use List::Util qw(first);

my (@kept, @said);
my $leaking = @ARGV && $ARGV[0] eq "leak";

sub work {
	my ($number) = @_;
	for my $turn (0 .. 3) {
		my $db = DBI->connect("dbi:Pg:", "", "", {RaiseError => 1});
		cede;
		my ($answer) = $db->selectrow_array("SELECT ?::int", undef, $number * 10 + $turn);
		# From within a function of C, so that it needs a stack of its own.
		first { cede; 1 } sort { cede; 0 } 1, 2;
		push @{$said[$number]}, $answer;
		$db->disconnect;
		cede;
	}
}

sub forget {
	my ($db) = sort { cede; 0 } DBI->connect("dbi:Pg:"), undef;    # here
	push @kept, $db;
	cede;
}

my @all = map { my $number = $_; async { $leaking ? forget() : work($number) } } 0 .. 5;
$_->join for @all;
print join(" ", @$_), "\n" for @said;
