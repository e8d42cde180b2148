package policy

// rights is what a rule says about the topics it matches.
type rights uint8

const (
	read rights = 1 << iota
	write
	deny // alone: cuts reading and writing, as in mosquitto
)

// Rule is one line that allows or denies. It is immutable and shared by all
// sessions that it concerns.
type Rule struct {
	Source string // "file:line", or the Redis key whose member it is
	Text   string // the line without leading and trailing blanks

	name   string // Source and Text, joined once: asking for it must not allocate
	rights rights
	levels []level

	directive *Directive // nil: the rule allows or denies
	next      *Rule      // directive of the same filter

	line  int // 0 in a Redis set
	order int // place in its Ruleset: of several that allow, the first is named
}

// String names the very line: "rules.acl:12: pattern read chat/#". A nil Rule,
// that of a Decision that no rule made, is "".
func (r *Rule) String() string {
	if r == nil {
		return ""
	}
	return r.name
}
