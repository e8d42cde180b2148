package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// rulesOfText lists the rules that have an effect, as "section: access filter".
func rulesOfText(rs *Ruleset) []string {
	var list []string
	add := func(s *scope) {
		for _, r := range s.rules {
			word := map[rights]string{read: "read", write: "write", read | write: "readwrite", deny: "deny"}[r.rights]
			list = append(list, s.title+": "+word+" "+r.filter())
		}
	}
	add(&rs.everybody)
	for _, s := range rs.users {
		add(s)
	}
	for _, s := range rs.roles {
		add(s)
	}
	slices.Sort(list)
	return list
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", nil},
		{"comments and empty lines", "# a\n\n  # b\n\t\n#c", nil},
		{"no access word means both", "pattern a/b", []string{": readwrite a/b"}},
		{"each access word", "pattern read a\npattern write b\npattern readwrite c\npattern deny d",
			[]string{": deny d", ": read a", ": readwrite c", ": write b"}},
		{"a single word is the filter", "pattern read\nuser u\ntopic deny", []string{": readwrite read", "user u: readwrite deny"}},
		{"a filter that begins with an access word", "pattern read read/x\npattern read write x", []string{": read read/x", ": read write x"}},
		{"blanks in filters and names", "user alice b\ntopic read a b/c  d\n", []string{"user alice b: read a b/c  d"}},
		{"blanks around", "  pattern \t read \t a/b \t \n", []string{": read a/b"}},
		{"CRLF and BOM", "\ufeffpattern read a\r\npattern read b\r\n", []string{": read a", ": read b"}},
		{"'#' in a filter is no comment", "pattern read #\npattern read a/#", []string{": read #", ": read a/#"}},
		{"pattern below user is for everybody", "user u\npattern read a\ntopic read b", []string{": read a", "user u: read b"}},
		{"role has both", "user u\nrole r\npattern read a/%u\ntopic read b", []string{"role r: read a/%u", "role r: read b"}},
		{"a section may come back", "user u\ntopic read a\nuser v\ntopic read b\nuser u\ntopic read c",
			[]string{"user u: read a", "user u: read c", "user v: read b"}},
		{"topic before any section has no effect", "topic read a\npattern read b", []string{": read b"}},
		{"empty levels", "pattern read /\npattern read a//b\npattern read /+/", []string{": read /", ": read /+/", ": read a//b"}},
		{"placeholders", "pattern read %u/%c/{a-B_1}/{claim.a.b-c}/x-%u-{r}.y",
			[]string{": read %u/%c/{a-B_1}/{claim.a.b-c}/x-%u-{r}.y"}},
		{"'%' without a letter is literal", "pattern read 100%/50%%/%1", []string{": read 100%/50%%/%1"}},
		{"beyond ASCII", "pattern read chät/ü\nuser Zoë\ntopic read x", []string{": read chät/ü", "user Zoë: read x"}},
	} {
		rs, err := Parse("f", tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := rulesOfText(rs); !slices.Equal(got, tt.want) {
			t.Errorf("%s: rules are %q; want %q", tt.name, got, tt.want)
		}
		if rs.Len() != len(tt.want) {
			t.Errorf("%s: Len() = %d; want %d", tt.name, rs.Len(), len(tt.want))
		}
	}
}

func TestEveryInvalidLineIsReported(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"pattern read a/%s", `f:1:16: unknown placeholder "%s" (did you mean %c?)`},
		{"pattern read %U", `f:1:14: unknown placeholder "%U" (did you mean %u?)`},
		{"  topic red a", `f:1:9: unknown access word "red" (read, write, readwrite or deny; a filter that holds a blank needs one: "topic readwrite red a")`},
		{"pattern sub a", `f:1:9: unknown access word "sub" (did you mean "read"?)`},
		{"pattern pub a", `f:1:9: unknown access word "pub" (did you mean "write"?)`},
		{"pattern rw a", `f:1:9: unknown access word "rw" (did you mean "readwrite"?)`},
		{"pattern READ a", `f:1:9: unknown access word "READ" (access words are in lower case)`},
		{"pattern", `f:1:1: no filter after pattern`},
		{"user", `f:1:1: no name after user`},
		{"role  ", `f:1:1: no name after role`},
		{"Topic a", `f:1:1: unknown keyword "Topic" (did you mean "topic"?)`},
		{"patterns a", `f:1:1: unknown keyword "patterns" (did you mean "pattern"?)`},
		{"USER a", `f:1:1: unknown keyword "USER" (did you mean "user"?)`},
		{"group a", `f:1:1: unknown keyword "group" (did you mean "role"?)`},
		{"read a/b", `f:1:1: a line does not begin with "read" (write "pattern read a/b")`},
		{"allow a", `f:1:1: unknown keyword "allow" (a line begins with topic, pattern, user, role, limit, check, stamp, latest, or # for a comment)`},
		{"limit", `f:1:1: no filter after limit (write "limit FILTER max_size=16KiB")`},
		{"limit a/b", `f:1:1: limit says nothing (write "limit FILTER max_size=16KiB")`},
		{"limit max_qos=1 retain=no", `f:1:1: no filter after limit (write "limit FILTER max_size=16KiB")`},
		{"limit a max_qos=2", `f:1:9: max_qos=2 is not understood (0 or 1; 2 is no limit)`},
		{"  limit a  retain=no max_size=16KB", `f:1:22: max_size=16KB is not understood (bytes, or with KiB or MiB: max_size=16KiB)`},
		{"limit a max_size=4096MiB", `f:1:9: max_size=4096MiB is not understood (bytes, or with KiB or MiB: max_size=16KiB)`},
		{"limit a max_size=-1", `f:1:9: max_size=-1 is not understood (bytes, or with KiB or MiB: max_size=16KiB)`},
		{"limit a retain=yes", `f:1:9: retain=yes is not understood (retain=no refuses retained messages; without it they pass)`},
		{"limit a rate=0/s", `f:1:9: rate=0/s is not understood (whole messages of one user in a second, minute or hour: rate=2/s, rate=30/m, rate=100/h)`},
		{"limit a rate=2", `f:1:9: rate=2 is not understood (whole messages of one user in a second, minute or hour: rate=2/s, rate=30/m, rate=100/h)`},
		{"limit a qos=1", `f:1:9: unknown option "qos" (did you mean max_qos?)`},
		{"limit a json=x", `f:1:9: unknown option "json" (it is of stamp)`},
		{"limit a max_qos=1 max_qos=0", `f:1:19: max_qos stands here twice`},
		{"limit my room max_qos=1", `f:1:10: "room" is no option (a directive's filter holds no blank (write + for such a level); behind it come options such as max_size=16KiB)`},
		{"limit a max_qos =1", `f:1:9: "max_qos" is no option (a directive's filter holds no blank (write + for such a level); behind it come options such as max_size=16KiB)`},
		{"limit a/#/b max_qos=1", `f:1:9: '#' must be the last level`},
		{"limit a/%q max_qos=1", `f:1:9: unknown placeholder "%q" (did you mean %c?)`},
		{"check a schema=", `f:1:9: schema has no value (write schema=NAME, without blanks around '=')`},
		{"check a schema=a/b", `f:1:9: "a/b" is no name (names are letters, digits, _ and -)`},
		{"check a pattern=x", `f:1:9: unknown option "pattern" (there are schema, words)`},
		{"stamp a", `f:1:1: stamp says nothing (write "stamp FILTER json=FIELD")`},
		{"latest", `f:1:1: no filter after latest (write "latest FILTER")`},
		{"latest a max=3", `f:1:10: unknown option "max" (latest takes none)`},
		{"pattern read a/{rooms", `f:1:16: '{' is not closed within its level`},
		{"pattern read a/{ro/oms}", `f:1:16: '{' is not closed within its level`},
		{"pattern read ä/rooms}", `f:1:21: '}' without '{'`},
		{"pattern read a/{}", `f:1:16: no name between '{' and '}' (write {NAME} for a Redis set, {claim.NAME} for a claim of the token)`},
		{"pattern read a/{r.s}", `f:1:16: "r.s" is no name (set names are letters, digits, _ and -; claims are {claim.NAME}, with dots between names)`},
		{"pattern read a/{{r}}", `f:1:16: "{r" is no name (set names are letters, digits, _ and -; claims are {claim.NAME}, with dots between names)`},
		{"pattern read a/{claim.}", `f:1:16: claim path "" has an empty name (write {claim.NAME} or {claim.NAME.NAME})`},
		{"pattern read a/{claim.a..b}", `f:1:16: claim path "a..b" has an empty name (write {claim.NAME} or {claim.NAME.NAME})`},
		{"pattern read a/{claim.https://e.com/x", `f:1:16: '{' is not closed within its level`},
		{"pattern read a/{claim.https://e.com/{rooms}", `f:1:16: '{' is not closed within its level`},
		{"pattern read a/{claim.https://e.com/x}/b#", `f:1:41: '#' must be a whole level`},
		{"pattern read a/{claim.https://e.com/x#y}/b", `f:1:16: "claim.https://e.com/x#y" is no name (set names are letters, digits, _ and -; claims are {claim.NAME}, with dots between names)`},
		{"pattern read a/{claim.https://e.com/x.}", `f:1:16: claim path "https://e.com/x." has an empty name (write {claim.NAME} or {claim.NAME.NAME})`},
		{"pattern read a/b#", `f:1:17: '#' must be a whole level`},
		{"pattern read a/b # all", `f:1:18: '#' must be a whole level (a comment is a line of its own)`},
		{"pattern read a/#/b", `f:1:16: '#' must be the last level`},
		{"pattern read a/+b", `f:1:16: '+' must be a whole level`},
		{"pattern read a/%u+", `f:1:18: '+' must be a whole level`},
		{"pattern read $share/g/a", `f:1:14: rules do not name $share (a shared subscription is judged by the filter behind $share/<group>/: write that one)`},
		{"pattern read a\x00b", `f:1:15: control character U+0000`},
		{"pattern read a\xffb", `f:1:15: not UTF-8`},
		{"pattern read " + strings.Repeat("a/", 200) + "b", `f:1:14: the filter has 201 levels; at most 200 are supported`},
		{"pattern read " + strings.Repeat("x", 65536), `f:1:14: the filter is longer than 65535 bytes`},
		{"pattern read {a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{a}/{i}", `f:1:50: more than 8 different {} placeholders in one rule`},
	} {
		rs, err := Parse("f", tt.line)
		if rs != nil || err == nil || err.Error() != tt.want {
			t.Errorf("Parse(%.60q) = %v, %v; want %s", tt.line, rs, err, tt.want)
		}
	}

	_, err := Parse("rules.acl", "bad\npattern read ok\n\nuser\r\npattern read %q\n")
	want := `rules.acl:1:1: unknown keyword "bad" (a line begins with topic, pattern, user, role, limit, check, stamp, latest, or # for a comment)
rules.acl:4:1: no name after user
rules.acl:5:14: unknown placeholder "%q" (did you mean %c?)`
	problems, ok := errors.AsType[Problems](err)
	if !ok || len(problems) != 3 || err.Error() != want {
		t.Errorf("Parse = %v; want %s", err, want)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"pattern read a/%u\nuser u\ntopic read b\npattern deny c", []string{
			`f:4:1: warning: pattern lines are for everybody, not only for user u (as in mosquitto; write "topic" for this user alone, or move the line above the first user)`,
		}},
		{"topic read a", []string{
			`f:1:1: warning: without effect: topic lines before any user or role are for anonymous clients, of which there are none (write "pattern" for everybody)`,
		}},
		{"pattern read a/%c", []string{
			`f:1:16: warning: %c, the client id, is chosen by the client: it isolates nobody (use %u where only the user may go)`,
		}},
		{"role r\ntopic read a/%u/{x}", []string{
			`f:2:14: warning: topic lines take no placeholders: %u is literal here (as in mosquitto; write "pattern")`,
			`f:2:17: warning: topic lines take no placeholders: {x} is literal here (write "pattern")`,
		}},
		{"role r\ntopic read a/{claim.https://e.com/x}/b", []string{
			`f:2:14: warning: topic lines take no placeholders: {claim.https://e.com/x} is literal here (write "pattern")`,
		}},
		{"pattern read", []string{`f:1:9: warning: "read" is taken as the filter: nothing follows it`}},
		{"pattern read $topicgate/x", []string{
			`f:1:14: warning: topics under $topicgate/ are served by the gateway itself: no rule concerns them`,
		}},
		{"pattern read $%u/x", []string{
			`f:1:14: warning: never matches: a topic that begins with '$' is reached only by a rule without placeholders in its first level`,
		}},
		{"pattern read a/{username}", []string{`f:1:16: warning: {username} is a Redis set of that name (did you mean %u?)`}},
		{"user a/b\ntopic read x", []string{
			`f:1:6: warning: no user can be named "a/b": nobody is meant by this section (a username that holds + # / or a control character, or is over 1 KiB, is refused at CONNECT)`,
		}},
		{"pattern readwrite a\npattern read a\npattern read b\npattern readwrite b", []string{
			`f:2:1: warning: says nothing new: f:1: pattern readwrite a`,
		}},
		{"pattern deny a/+/#\npattern read a/%u\nuser u\ntopic a/b/c\ntopic a/#\ntopic deny z\ntopic z", []string{
			`f:1:1: warning: wins over what user u is allowed by f:5: topic a/#: deny wins, in whatever section it stands (in mosquitto the user's own lines come first, and allow it)`,
			`f:2:1: warning: never allows anything: all of it is denied by f:1: pattern deny a/+/#`,
			`f:4:1: warning: never allows anything: all of it is denied by f:1: pattern deny a/+/# (in mosquitto the user's own lines come first, and allow it)`,
			`f:7:1: warning: never allows anything: all of it is denied by f:6: topic deny z`,
		}},
		{"pattern deny a/{r}/b\npattern read a/{r}/b\npattern read a/{s}/b\npattern deny +/x\npattern read $SYS/x\npattern read {r}/x", []string{
			`f:2:1: warning: never allows anything: all of it is denied by f:1: pattern deny a/{r}/b`,
			`f:6:1: warning: never allows anything: all of it is denied by f:4: pattern deny +/x`,
		}},
		{"pattern deny #\npattern read $SYS/y\npattern read $s\npattern read a/#", []string{
			`f:4:1: warning: never allows anything: all of it is denied by f:1: pattern deny #`,
		}},
	} {
		rs, err := Parse("f", tt.text)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.text, err)
			continue
		}
		var got []string
		for _, w := range rs.Warnings() {
			got = append(got, w.String())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("warnings of %q are\n%s\nwant\n%s", tt.text, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

// A denial that meets what another section allows is told once, by the first that it meets.
func TestDenialsThatMeetOtherSections(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"pattern deny a/b\nuser u\ntopic a/#", "user u is allowed by f:3: topic a/#"},
		{"pattern deny a/#\nrole r\ntopic write +/b", "role r is allowed by f:3: topic write +/b"},
		{"pattern deny a/+/c\nrole r\npattern a/{rooms}/c/#", "role r is allowed by f:3: pattern a/{rooms}/c/#"},
		{"pattern deny a/{rooms}\nuser u\ntopic a/b", "user u is allowed by f:3: topic a/b"},
		{"pattern deny a/x-{rooms}\nuser u\ntopic a/y-b\ntopic a/x-b", "user u is allowed by f:4: topic a/x-b"},
		{"pattern deny +/%u\nrole r\npattern {s}-{t}/+", "role r is allowed by f:3: pattern {s}-{t}/+"},
		{"pattern deny a/b/#\nrole r\ntopic a/+", "role r is allowed by f:3: topic a/+"},
		{"pattern deny a/b\nrole r\ntopic a/b/#\nuser u\ntopic a/+", "user u is allowed by f:5: topic a/+"}, // and role r what it is
		{"pattern deny $SYS/x/y\nuser u\ntopic #\ntopic $SYS/+/y", "user u is allowed by f:4: topic $SYS/+/y"},
		{"user u\ntopic deny a/b\nrole r\ntopic a/+", "role r is allowed by f:4: topic a/+"},
		{"pattern a/#\nuser u\ntopic deny a/b\ntopic a/b/c", "everybody is allowed by f:1: pattern a/#"},
		{"role r\ntopic deny a/b\nrole s\ntopic a/#", "role s is allowed by f:4: topic a/#"},

		{"pattern a/#\npattern deny a/b", ""}, // the same section
		{"role r\ntopic a/#\ntopic deny a/b", ""},
		{"user u\ntopic deny a/b\nuser v\ntopic a/#", ""}, // nobody is both
		{"pattern deny a/b\nuser u\ntopic a/c\ntopic a/b/c\ntopic a\nrole r\ntopic +", ""},
		{"pattern deny #\nrole r\ntopic $SYS/#", ""},
		{"pattern deny +/x\nrole r\ntopic $SYS/x", ""},
		{"pattern deny $SYS/x\nrole r\ntopic +/x/#\ntopic y", ""},
		{"pattern deny a/x-{rooms}-z\nrole r\ntopic a/x-b\ntopic a/b-z", ""},
	} {
		var got []string
		for _, w := range mustParseAs(t, "f", tt.text).Warnings() {
			if strings.Contains(w.Message, "wins over") {
				got = append(got, w.Message)
			}
		}
		if tt.want == "" && got != nil || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%q: %q; want %q", tt.text, got, tt.want)
		}
	}
}

// However many rules there are, looking for meetings has an end, which is told.
func TestMeetingsAreBoundedInWork(t *testing.T) {
	var text strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&text, "user u%d\ntopic a%d/+/x\n", i, i)
	}
	text.WriteString("role r\n")
	for i := range 3000 {
		fmt.Fprintf(&text, "topic deny +/%d/y\n", i)
	}
	warnings := mustParse(t, text.String()).Warnings()
	if len(warnings) != 1 || !strings.Contains(warnings[0].Message, "too many rules") {
		t.Errorf("warnings are %d, such as %.1v; want one, that there are too many rules", len(warnings), warnings)
	}
}

func mustParseAs(t *testing.T, source, text string) *Ruleset {
	t.Helper()
	rs, err := Parse(source, text)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func TestSetNames(t *testing.T) {
	rs := mustParse(t, "pattern read {rooms}/{claim.x}/%u\nrole r\npattern read {teams}-{rooms}\ntopic read {literal}\n")
	if got, want := rs.SetNames(), []string{"rooms", "teams"}; !slices.Equal(got, want) {
		t.Errorf("SetNames() = %q; want %q", got, want)
	}
}

func TestInvalidMemberIsSkippedAlone(t *testing.T) {
	lines := []string{"read news/#", "", "reed x", "topic read x", "write", "deny %c/{gone}/{bad", "readwrite {rooms}/b c", "news/#", "read a\nread b", " read spaced "}
	rs, problems := ParseLines("k", lines)
	want := []string{
		`k: "", column 1: empty (write "read FILTER", "write FILTER", "readwrite FILTER" or "deny FILTER")`,
		`k: "deny %c/{gone}/{bad", column 16: '{' is not closed within its level`,
		`k: "news/#", column 1: unknown access word "news/#" (read, write, readwrite or deny, then the filter)`,
		`k: "read a\nread b", column 7: control character U+000A`,
		`k: "reed x", column 1: unknown access word "reed" (read, write, readwrite or deny, then the filter)`,
		`k: "topic read x", column 1: "topic" is not written in a Redis set (begin with read, write, readwrite or deny)`,
		`k: "write", column 1: no filter after write`,
	}
	if got := strings.Split(problems.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("problems are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, want := rulesOfText(rs), []string{": read news/#", ": read spaced", ": readwrite {rooms}/b c"}; !slices.Equal(got, want) {
		t.Errorf("rules are %q; want %q", got, want)
	}
	slices.Reverse(lines)
	again, _ := ParseLines("k", lines)
	for i, r := range again.everybody.rules {
		if r.String() != rs.everybody.rules[i].String() {
			t.Errorf("in another order rule %d is %v; want %v", i, r, rs.everybody.rules[i])
		}
	}
	// Nothing is left of skipped lines.
	if got, want := rs.SetNames(), []string{"rooms"}; !slices.Equal(got, want) {
		t.Errorf("SetNames() = %q; want %q", got, want)
	}
	if got := rs.Warnings(); len(got) != 0 {
		t.Errorf("Warnings() = %v; want none", got)
	}
}
