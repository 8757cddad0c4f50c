# Perl: ZMQ::FFI and Data::MessagePack, which sends strings as bin unless it is told that they are UTF-8.
use strict;
use warnings;
use Data::MessagePack;
use ZMQ::FFI;
use ZMQ::FFI::Constants qw(ZMQ_DEALER ZMQ_REQ ZMQ_POLLIN ZMQ_RCVTIMEO ZMQ_LINGER);

my ($endpoint, $mode) = @ARGV;
my $mp      = Data::MessagePack->new->utf8($mode ne "bin");
my $context = ZMQ::FFI->new;
my ($socket, $number, $goaway, %replies) = (undef, 0, 0);
$| = 1;

sub connected {
	my ($type, %set) = @_;
	my $s = $context->socket($type);
	$s->set_linger(0);
	$s->set(ZMQ_RCVTIMEO, "int", 10000);
	$s->set($_, "int", $set{$_}) for keys %set;
	$s->connect($endpoint);
	return $s;
}

sub take {
	my @frames = $socket->recv_multipart or die "no reply in time";
	for my $frame (@frames) {
		my $u = Data::MessagePack::Unpacker->new;
		for (my $at = 0; $at < length $frame;) {
			$at = $u->execute($frame, $at);
			my $m = $u->data;
			if ($m->[0] == 2) { $goaway = 1 }
			else { $replies{ $m->[1] } = $m }
			$u->reset;
		}
	}
}

# The results of requests that are packed into so many frames.
sub many {
	my ($frames, @requests) = @_;
	my (@ids, @out);
	my $n = int((@requests + $frames - 1) / $frames);
	for my $i (0 .. $#requests) {
		my ($method, @params) = @{ $requests[$i] };
		push @ids, ++$number;
		$out[ int($i / $n) ] .= $mp->pack([ 0, $number, $method, \@params ]);
	}
	$socket->send_multipart(\@out);
	while (grep { !$replies{$_} } @ids) { take() }
	return map { my $m = delete $replies{$_}; die "error: @{$m->[2]}" if $m->[2]; $m->[3] } @ids;
}

sub call { return (many(1, [@_]))[0] }

sub basics {
	$socket = connected(ZMQ_DEALER);
	call("create", "pl");
	many(1, map { [ "put", "pl", "k$_", "v$_" ] } 1 .. 500);
	my @got = many(2, map { [ "get", "pl", "k$_" ] } 1 .. 500);
	for my $i (1 .. 500) { die "k$i is $got[$i - 1][0]" if $got[ $i - 1 ][0] ne "v$i" }
	my $big = "0123456789abcdef" x 65536;
	call("put", "pl", "big", $big);
	die "big differs" if call("get", "pl", "big")->[0] ne $big;
	$socket->close;
	$socket = connected(ZMQ_REQ);
	my @two = many(1, ["ping"], [ "count", "pl" ]);
	die "REQ: @two" if "@two" ne "pong 501";
	$socket->close;
}

# REQ_CORRELATE is 52, REQ_RELAXED 53.
sub correlate {
	$socket = connected(ZMQ_REQ, 52 => 1, 53 => 1);
	$socket->send($mp->pack([ 0, 999, "count", ["no such bucket"] ]));    # given up: its reply is skipped
	for (1 .. 10) { die if call("ping") ne "pong" }
	die if $replies{999};
	$socket->close;
}

sub bin {
	$socket = connected(ZMQ_DEALER);
	call("create", "pl");
	die if call("put", "pl", "k", "v", { if_version => 0 }) < 1;
	die if call("get", "pl", "k")->[0] ne "v";
	$socket->close;
}

sub steady {
	my ($n, $left) = (0, -1);
	$socket = connected(ZMQ_DEALER);
	call("create", "steady");
	print "ready\n";
	for (; $left; $left--, $n++) {
		take() while $socket->has_pollin;
		if ($goaway) {
			$socket->close;
			$socket = connected(ZMQ_DEALER);
			($goaway, $left) = (0, 50);
		}
		call("put", "steady", "k$n", "v");
	}
	$socket->close;
	print "done $n\n";
}

{ basics => \&basics, correlate => \&correlate, bin => \&bin, steady => \&steady }->{$mode}->();
