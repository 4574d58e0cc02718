#!/usr/bin/perl
# Writes what SQLite's build derives from its own sources: sqlite3.h, opcodes.h, opcodes.c.
#
# usage: generate.pl SOURCE TARGET      (TARGET already holds lemon's parse.h)
#
# Upstream does this in Tcl. The rules that the C code relies on, from its comments:
# - "same as TK_X" gives an opcode the number of a token;
# - opcodes that resolveP2Values() names or that jump get the smallest free numbers, up to SQLITE_MX_JUMP_OPCODE;
# - neighbours marked "group" stay neighbours.
use strict;
use warnings;

my ($source, $target) = @ARGV;

sub text {
	my ($path) = @_;
	open(my $file, '<', $path) or die "$path: $!\n";
	local $/;
	return scalar <$file>;
}

sub write_text {
	my ($path, $content) = @_;
	open(my $file, '>', $path) or die "$path: $!\n";
	print {$file} $content;
	close($file) or die "$path: $!\n";
}

sub header {
	(my $version = text("$source/VERSION")) =~ s/\s+//g;
	my $number = sprintf('%d%03d%03d', split(/\./, $version));
	my ($date) = text("$source/manifest") =~ /^D (\S+)/m;
	$date =~ s/\.\d+$//;
	$date =~ tr/T/ /;
	(my $id = text("$source/manifest.uuid")) =~ s/\s+//g;
	my $header = join('', map { text("$source/$_") } 'src/sqlite.h.in', 'ext/rtree/sqlite3rtree.h', 'ext/fts5/fts5.h');
	$header =~ s/^#include [<"]sqlite3\.h[>"]\n//mg;
	$header =~ s/--VERS--/$version/g;
	$header =~ s/--VERSION-NUMBER--/$number/g;
	$header =~ s/--SOURCE-ID--/$date $id/g;
	# A declaration starts in the first column (or a little in), with a type, and names sqlite3_something.
	$header =~ s/^ {0,2}(?!typedef|struct \w+ *\{|return)(?=[A-Za-z][\w *]*?[ *]sqlite3\w*_\w+(?:\(|\[\]|;| =))/SQLITE_API /mg;
	return ($header, "fts5: $date $id");
}

my %token = text("$target/parse.h") =~ /^#define (TK_\w+)\s+(\d+)/mg;
my ($resolve) = text("$source/src/vdbeaux.c") =~ /^static void resolveP2Values\((.*?)^}/ms;
my %early = map { $_ => 1 } $resolve =~ /case (OP_\w+)/g;

# Every opcode in the order of vdbe.c: name, the words of its comment, the number that a token gives it.
my (@opcodes, %number, %used);
for my $line (split(/\n/, text("$source/src/vdbe.c"))) {
	my ($name, $comment) = $line =~ /^case (OP_\w+):[\s{]*(?:\/\*(.*?)\*\/)?/ or next;
	next if $name eq 'OP_Abortable';
	$comment //= '';
	if ($comment =~ s/same as (TK_\w+)//) {
		$number{$name} = $token{$1} // die "$name: no token $1\n";
		$used{$number{$name}} = $name;
	}
	push @opcodes, { name => $name, is => { map { $_ => 1 } $comment =~ /(\w+)/g } };
}
push @opcodes, map { { name => $_, is => {} } } qw(OP_Noop OP_Explain OP_Abortable);
$_->{is}{jump} = 1 for grep { $_->{is}{jump0} } @opcodes;

sub assign {
	my ($first, @names) = @_;
	for my $name (@names) {
		$number{$name} = $first;
		$used{$first++} = $name;
	}
}

sub free_run {
	my ($length) = @_;
	my $start = 0;
	$start++ while grep { exists $used{$start + $_} } 0 .. $length - 1;
	return $start;
}

my @small = ((grep { $early{$_->{name}} } @opcodes), (grep { $_->{is}{jump} && !$early{$_->{name}} } @opcodes));
for my $opcode (@small) {
	assign(free_run(1), $opcode->{name}) unless exists $number{$opcode->{name}};
}
my ($largest_jump) = sort { $b <=> $a } map { $number{$_->{name}} } @small;

my @run;
for my $opcode (@opcodes, { name => '', is => {} }) {
	if ($opcode->{is}{group}) {
		push @run, $opcode->{name};
		next;
	}
	my @missing = grep { !exists $number{$_} } @run;
	die "half of a group has numbers already: @run\n" if @missing && @missing != @run;
	assign(free_run(scalar @missing), @missing) if @missing;
	@run = ();
}
for my $opcode (@opcodes) {
	assign(free_run(1), $opcode->{name}) unless exists $number{$opcode->{name}};
}

my ($last) = sort { $b <=> $a } keys %used;
die "more than 255 opcodes\n" if $last > 255;
my %words = map { $_->{name} => $_->{is} } @opcodes;
my @flags = qw(jump in1 in2 in3 out2 out3 ncycle jump0);
my (@defines, @properties, @names);
for my $value (0 .. $last) {
	my $name = $used{$value} // "OP_NotUsed_$value";
	my $bits = 0;
	$bits |= 1 << $_ for grep { $words{$name}{$flags[$_]} } 0 .. $#flags;
	push @defines, sprintf("#define %-20s %3d\n", $name, $value);
	push @properties, sprintf("0x%02x", $bits);
	push @names, sprintf("    \"%s\",\n", $name =~ s/^OP_//r);
}
my $masks = join('', map { sprintf("#define OPFLG_%-8s 0x%02x\n", uc($flags[$_]), 1 << $_) } 0 .. $#flags);

my ($header, $fts5) = header();
write_text("$target/sqlite3.h", $header);
write_text("$target/opcodes.h", join('', @defines) . $masks
	. "#define OPFLG_INITIALIZER { " . join(', ', @properties) . " }\n#define SQLITE_MX_JUMP_OPCODE $largest_jump\n");
write_text("$target/opcodes.c", "#include \"sqliteInt.h\"\n"
	. "const char *sqlite3OpcodeName(int i){\n  static const char *const names[] = {\n" . join('', @names)
	. "  };\n  return names[i];\n}\n");

my $main = text("$source/ext/fts5/fts5_main.c");
$main =~ s/--FTS5-SOURCE-ID--/$fts5/g;
write_text("$source/ext/fts5/fts5_main.c", $main);
