# The man pages at 80 columns, as groff shows them: no warning, no line that a terminal breaks, and no column of a table
# so narrow that it holds a word a line.
. "$(dirname "$0")/lib.sh"

for page in "$ROOT"/man/*.[157]; do
    p=$(basename "$page")
    command -v groff >/dev/null || { skip "$p at 80 columns" "no groff"; continue; }
    # -P-c, -b, -u, -o: overstriking, which sed removes, instead of colours.
    LC_ALL=C groff -ww -mandoc -Tascii -P-cbuo "$page" >text 2>warnings
    ok "$p: groff warns" sh -c 'cat warnings >&2; [ -s text ] && [ ! -s warnings ]'
    ok "$p: a line is longer than 80 columns" sh -c '! grep -E "^.{81}" text >&2'
    ok "$p: a table is a word a line" sh -c '! grep -E "^ {44,}[^ ]" text >&2'
done
