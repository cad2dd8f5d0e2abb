#!/usr/bin/perl
# What Mail::DKIM says of messages: one line a file, "FILE<TAB>dkim=RESULT,RESULT...<TAB>arc=RESULT".
# usage: mail_dkim.pl RECORDS FILE...    RECORDS: a line "NAME<TAB>TEXT" each; TEXT "SERVFAIL" is that.
use strict;
use warnings;
use Mail::DKIM::Verifier;
use Mail::DKIM::ARC::Verifier;

my %records;
open(my $list, '<', shift @ARGV) or die;
while (<$list>) {
	chomp;
	my ($name, $text) = split /\t/, $_, 2;
	$records{lc $name} = $text;
}

{
	no warnings 'redefine';
	*Mail::DKIM::DNS::query = sub {
		my ($name) = @_;
		my $text = $records{lc $name};
		return () unless defined $text;
		die "DNS error: SERVFAIL\n" if $text eq 'SERVFAIL';
		return (bless \$text, 'Record');
	};
}

for my $file (@ARGV) {
	open(my $in, '<', $file) or die;
	binmode $in;
	local $/;
	my $message = <$in>;
	$message =~ s/\r?\n/\r\n/g;
	my $dkim = Mail::DKIM::Verifier->new();
	$dkim->PRINT($message);
	$dkim->CLOSE;
	my $arc = Mail::DKIM::ARC::Verifier->new();
	$arc->PRINT($message);
	$arc->CLOSE;
	print "$file\tdkim=", join(',', map { $_->result } $dkim->signatures), "\tarc=", $arc->result, "\n";
}

package Record;
sub type { return 'TXT'; }
sub txtdata { return ${ $_[0] }; }
sub char_str_list { return ${ $_[0] }; }
